package config

import (
	"fmt"
	"math"
	"strconv"
	"time"
)

func limitSettings() []setting {
	conn := func(c *Config) *ConnThrottle { return &c.ConnThrottle }
	req := func(c *Config) *RequestThrottle { return &c.RequestThrottle }
	const anyInt = math.MinInt32
	return []setting{
		lenient(number("connection_throttle_tokens", anyInt, math.MaxInt32, func(c *Config) *int { return &conn(c).Tokens })),
		lenient(millis("connection_throttle_fill_time", 1, func(c *Config) *time.Duration { return &conn(c).FillTime })),
		lenient(number("connection_throttle_fill_count", 1, math.MaxInt32, func(c *Config) *int { return &conn(c).FillCount })),
		lenient(millis("connection_throttle_freeze_time", anyInt, func(c *Config) *time.Duration { return &conn(c).FreezeTime })),
		lenient(ratio("connection_throttle_drop_increase", 0, 1, func(c *Config) *float64 { return &conn(c).DropIncrease })),
		lenient(ratio("connection_throttle_drop_decrease", 0, 1, func(c *Config) *float64 { return &conn(c).DropDecrease })),
		lenient(ratio("connection_throttle_decrease_ratio", 0, 1, func(c *Config) *float64 { return &conn(c).DecreaseRatio })),
		flag("connection_throttle_weight_enabled", func(c *Config) *bool { return &conn(c).WeightEnabled }),
		lenient(number("connection_throttle_global_session_weight", 1, math.MaxInt32, func(c *Config) *int { return &conn(c).GlobalWeight })),
		lenient(number("connection_throttle_local_session_weight", 1, math.MaxInt32, func(c *Config) *int { return &conn(c).LocalWeight })),
		lenient(number("connection_throttle_renew_session_weight", 1, math.MaxInt32, func(c *Config) *int { return &conn(c).RenewWeight })),
		lenient(number("request_throttle_max_requests", anyInt, math.MaxInt32, func(c *Config) *int { return &req(c).MaxRequests })),
		lenient(millis("request_throttle_stall_time", 1, func(c *Config) *time.Duration { return &req(c).StallTime })),
		flag("request_throttle_drop_stale", func(c *Config) *bool { return &req(c).DropStale }),
		flag("request_stale_connection_check", func(c *Config) *bool { return &req(c).StaleConnectionCheck }),
		flag("request_stale_latency_check", func(c *Config) *bool { return &req(c).StaleLatencyCheck }),
		lenient(millis("throttled_op_wait_time", anyInt, func(c *Config) *time.Duration { return &req(c).OpWaitTime })),
		lenient(number("largeRequestThreshold", anyInt, math.MaxInt32, func(c *Config) *int { return &req(c).LargeThreshold })),
		lenient(number("largeRequestMaxBytes", 1, math.MaxInt32, func(c *Config) *int { return &req(c).LargeMaxBytes })),
		flag("enforceQuota", func(c *Config) *bool { return &c.EnforceQuota }),
		lenient(millis("nio.sessionlessCnxnTimeout", 1, func(c *Config) *time.Duration { return &c.SessionlessTimeout })),
	}
}

// ratio is a number with a fraction.
func ratio(name string, lo, hi float64, field func(*Config) *float64) setting {
	return setting{name: name, set: func(c *Config, v string) *complaint {
		n, err := strconv.ParseFloat(v, 64)
		switch {
		case err != nil || math.IsNaN(n):
			return &complaint{fmt.Sprintf("%q is not a number", v), "write for instance 0.5"}
		case n < lo:
			return &complaint{v + tooSmall, fmt.Sprintf("write at least %g", lo)}
		case n > hi:
			return &complaint{v + " is too large", fmt.Sprintf("write at most %g", hi)}
		}
		*field(c) = n
		return nil
	}, get: func(c *Config) string { return strconv.FormatFloat(*field(c), 'g', -1, 64) }}
}
