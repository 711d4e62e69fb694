package pipeline

import "sync/atomic"

// Guards counts what the protections of the server did; the names in brackets
// are those of Apache's metrics (ServerMetrics.java). Its fields are safe for
// concurrent use.
type Guards struct {
	// ConnectionsRejected counts connections that were too many, for one address,
	// in all or in a time (connection_rejected).
	ConnectionsRejected atomic.Int64
	// ConnectionsDropped counts connections that ended from the client's side
	// (connection_drop_count).
	ConnectionsDropped atomic.Int64
	// ConnectionsExpired counts connections that were silent for too long, with a
	// session or without (sessionless_connections_expired).
	ConnectionsExpired atomic.Int64
	// ConnectionRequests counts sessions asked for that the throttle let pass
	// (connection_request_count); ConnectionRevalidations those that were there
	// before (connection_revalidate_count).
	ConnectionRequests, ConnectionRevalidations atomic.Int64
	// TokenDeficit is how many tokens were missing when one was let pass
	// (connection_token_deficit).
	TokenDeficit Summary
	// LargeRequestsRejected counts requests that would have made large ones too
	// many (large_requests_rejected).
	LargeRequestsRejected atomic.Int64
	// StaleRequests counts requests that were handled though their client could no
	// longer want them (stale_requests), StaleRequestsDropped those that were not
	// (stale_requests_dropped).
	StaleRequests, StaleRequestsDropped atomic.Int64
	// ThrottleWaits counts how often requests were held back
	// (request_throttle_wait_count), ThrottleQueueTime for how long, in ms
	// (request_throttle_queue_time_ms).
	ThrottleWaits     atomic.Int64
	ThrottleQueueTime Summary
	// ThrottledOps counts requests that were refused because they waited too long
	// (throttled_ops).
	ThrottledOps atomic.Int64
	// SlowReadersClosed counts connections that were given up because they did not
	// read what was queued for them, ArrivalsClosed those whose large request did
	// not arrive while others waited for its memory. Apache has no such metrics.
	SlowReadersClosed, ArrivalsClosed atomic.Int64
}
