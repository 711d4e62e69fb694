package metrics

// Guards counts what the protections of the server did.
type Guards struct {
	// ConnectionsRejected counts connections that were too many, for one address,
	// in all or in a time.
	ConnectionsRejected Counter `zk:"connection_rejected"`
	// ConnectionsDropped counts connections that ended from the client's side.
	ConnectionsDropped Counter `zk:"connection_drop_count"`
	// ConnectionsExpired counts connections that were silent for too long, with a
	// session or without.
	ConnectionsExpired Counter `zk:"sessionless_connections_expired"`
	// ConnectionRequests counts sessions asked for that the throttle let pass;
	// ConnectionRevalidations those that were there before.
	ConnectionRequests      Counter `zk:"connection_request_count"`
	ConnectionRevalidations Counter `zk:"connection_revalidate_count"`
	// TokenDeficit is how many tokens were missing when one was let pass.
	TokenDeficit Summary `zk:"connection_token_deficit"`
	// LargeRequestsRejected counts requests that would have made large ones too
	// many.
	LargeRequestsRejected Counter `zk:"large_requests_rejected"`
	// StaleRequests counts requests that were handled though their client could no
	// longer want them, StaleRequestsDropped those that were not.
	StaleRequests        Counter `zk:"stale_requests"`
	StaleRequestsDropped Counter `zk:"stale_requests_dropped"`
	// ThrottleWaits counts how often requests were held back, ThrottleQueueTime for
	// how long, in ms.
	ThrottleWaits     Counter `zk:"request_throttle_wait_count"`
	ThrottleQueueTime Summary `zk:"request_throttle_queue_time_ms,advanced"`
	// ThrottledOps counts requests that were refused because they waited too long.
	ThrottledOps Counter `zk:"throttled_ops"`
	// SlowReadersClosed counts connections that were given up because they did not
	// read what was queued for them, ArrivalsClosed those whose large request did
	// not arrive while others waited for its memory. Apache has no such metrics.
	SlowReadersClosed Counter `zk:"slow_readers_closed"`
	ArrivalsClosed    Counter `zk:"slow_arrivals_closed"`
	// HandshakesRefused counts TLS handshakes that would have been too many at a
	// time, HandshakesFailed those that came to nothing.
	HandshakesRefused Counter `zk:"tls_handshake_exceeded"`
	HandshakesFailed  Counter `zk:"unsuccessful_handshake"`
}
