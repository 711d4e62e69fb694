package admin

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"
)

// A Command is something that can be asked for under the command URL.
type Command struct {
	Name    string // the primary one
	Aliases []string
	// NeedsServer refuses the command while clients are not served.
	NeedsServer bool
	// Post tells that the command changes much and takes a body: it has to be
	// POSTed.
	Post bool
	// Restricted commands are for those who have all rights on the root znode.
	Restricted bool
	// Run answers. It may be called by many goroutines at once.
	Run func(Request) Response
}

// A Request is what a command is asked.
type Request struct {
	Context context.Context
	Query   url.Values
	Body    io.Reader // of a POST
	// OwnTime lifts the bound on how long the body may take to come and the
	// answer to go: the command moves much.
	OwnTime func()
}

// A Response is what a command answers: data in JSON, or a stream.
type Response struct {
	Data   Object
	Error  string // "" for none; shown as null
	Status int    // 0 is 200
	Header map[string]string

	Stream io.ReadCloser // nil for JSON; closed by the caller
	Size   int64         // of the stream, in bytes
}

// Why a client may not use a restricted command; [Config.Authorize] wraps them.
var (
	//lint:ignore ST1005 Apache's text, which clients see
	ErrNotAuthenticated = errors.New("Not authenticated")
	//lint:ignore ST1005 likewise
	ErrNotAuthorized = errors.New("Not authorized")
)

// A Limiter lets something happen once in a while. It is safe for concurrent
// use.
type Limiter struct {
	Every time.Duration // 0 and less: always

	mu   sync.Mutex
	last time.Time
}

// Allow tells whether it may happen now, and counts it then.
func (l *Limiter) Allow(now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.Every > 0 && !l.last.IsZero() && now.Sub(l.last) < l.Every {
		return false
	}
	l.last = now
	return true
}

// Credentials are what the header Authorization says: a scheme of ZooKeeper's,
// and what it needs.
type Credentials struct{ Scheme, Data string }

// credentials reads the header; false when there is none.
func credentials(r *http.Request) (Credentials, bool) {
	scheme, data, _ := strings.Cut(strings.TrimSpace(r.Header.Get("Authorization")), " ")
	return Credentials{scheme, strings.TrimSpace(data)}, scheme != ""
}
