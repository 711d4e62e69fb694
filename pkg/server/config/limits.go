package config

import "time"

// ConnThrottle limits how fast clients may connect, by a bucket of tokens. Keys
// connection_throttle_*. Source: BlueThrottle.java.
type ConnThrottle struct {
	// Tokens is the size of the bucket; 0: no limit. Default 0.
	Tokens int
	// FillTime is the time between fills, in ms, and FillCount how many tokens
	// each brings. Default 1 ms and 1.
	FillTime  time.Duration
	FillCount int
	// FreezeTime is the time between changes of the probability that a connection
	// is dropped, in ms; negative: none is. Default -1 ms.
	FreezeTime time.Duration
	// DropIncrease and DropDecrease are the steps of that probability, 0..1, and
	// DecreaseRatio the share of tokens above which it falls. Default 0.02, 0.002 and 0.
	DropIncrease, DropDecrease, DecreaseRatio float64
	// WeightEnabled makes sessions cost tokens by their kind: GlobalWeight for a
	// new global session, LocalWeight for a new local one, RenewWeight for one that
	// comes back. Default false, 3, 1 and 2.
	WeightEnabled                          bool
	GlobalWeight, LocalWeight, RenewWeight int
}

// RequestThrottle holds back requests when many are in work. Source:
// RequestThrottler.java, Request.java, ZooKeeperServer.java.
type RequestThrottle struct {
	// MaxRequests is how many requests may be in work. Key
	// request_throttle_max_requests. Default 0: no limit.
	MaxRequests int
	// StallTime is the longest a request waits between looks, in ms. Key
	// request_throttle_stall_time. Default 100 ms.
	StallTime time.Duration
	// DropStale drops requests that nobody waits for any more. Key
	// request_throttle_drop_stale. Default true.
	DropStale bool
	// StaleConnectionCheck counts requests of closed connections as stale,
	// StaleLatencyCheck those older than the session's timeout. Keys
	// request_stale_connection_check and request_stale_latency_check. Default true and false.
	StaleConnectionCheck, StaleLatencyCheck bool
	// OpWaitTime fails requests with -127 (throttled) that waited longer, in ms.
	// Key throttled_op_wait_time. Default 0: none.
	OpWaitTime time.Duration
	// LargeThreshold is the size in bytes above which a request counts as large;
	// key largeRequestThreshold; default -1: none does. LargeMaxBytes is how many
	// bytes of large requests may be in work; key largeRequestMaxBytes; default 100 MiB.
	LargeThreshold, LargeMaxBytes int
}
