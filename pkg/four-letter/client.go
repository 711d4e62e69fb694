package fourletter

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/zkctl/zkctl/pkg/server/certname"
)

const (
	defaultTimeout = 5 * time.Second
	defaultPort    = "2181"
	maxAnswer      = 64 << 20 // bytes; a dump of a million sessions is smaller
)

// Client asks servers. The zero Client asks without TLS. It may be used from
// many goroutines.
type Client struct {
	// TLS protects what is asked; nil: plain. A ServerName that is empty becomes
	// the host asked. A certificate without alternative names is known by its common
	// name, as those are that were made for Java servers.
	TLS     *tls.Config
	Timeout time.Duration // for connecting and answering, when ctx has no deadline; 0: 5 s
}

// AskError tells which word was asked of whom, why there is no answer, and what
// to try next.
type AskError struct {
	Word, Address string
	Err           error  // wraps a sentinel of this package, or comes from package net
	Try           string // an instruction, without a full stop
}

// Error gives the failure on one line, without the advice in Try.
func (e *AskError) Error() string { return fmt.Sprintf("%s %s: %v", e.Word, e.Address, e.Err) }

// Unwrap gives Err.
func (e *AskError) Unwrap() error { return e.Err }

// Ask asks a server without TLS, see [Client.Ask].
func Ask(ctx context.Context, address, word string) ([]byte, error) {
	return Client{}.Ask(ctx, address, word)
}

// Ask sends the word to a server, host or host:port (2181 when there is none),
// and returns all of its answer. An error is an [AskError]; errors.Is tells
// [ErrBadWord], [ErrNotWhitelisted], [ErrNotServing] and [ErrEmpty] from what the
// network did.
func (c Client) Ask(ctx context.Context, address, word string) ([]byte, error) {
	if !isWord(word) {
		return nil, &AskError{word, address, ErrBadWord, "write one of " + strings.Join(Words(), ", ")}
	}
	address = WithPort(address)
	if _, ok := ctx.Deadline(); !ok {
		timeout := c.Timeout
		if timeout == 0 {
			timeout = defaultTimeout
		}
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, timeout)
		defer cancel()
	}
	answer, err := c.exchange(ctx, address, word)
	if err == nil {
		err = refusal(string(answer))
	}
	if err != nil {
		return nil, &AskError{word, address, err, c.advice(word, address, err)}
	}
	return answer, nil
}

func isWord(s string) bool {
	return len(s) == 4 && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz") == ""
}

// WithPort adds ZooKeeper's client port, 2181, to an address that has none. An
// IPv6 host may stand with or without brackets.
func WithPort(address string) string {
	if _, _, err := net.SplitHostPort(address); err == nil {
		return address
	}
	return net.JoinHostPort(strings.Trim(address, "[]"), defaultPort)
}

func (c Client) exchange(ctx context.Context, address, word string) ([]byte, error) {
	conn, err := c.Dial(ctx, address)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	// Closing the connection is what ends a read when ctx is cancelled.
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	answer, err := converse(conn, word)
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	return answer, err
}

// Dial connects to a server, over TLS if the client has a TLS configuration: its certificate must be for
// ServerName, or the host of address when that is empty.
func (c Client) Dial(ctx context.Context, address string) (net.Conn, error) {
	if c.TLS == nil {
		return new(net.Dialer).DialContext(ctx, "tcp", address)
	}
	conf := c.TLS
	if !conf.InsecureSkipVerify {
		rule := certname.Rule{Roots: conf.RootCAs, Host: conf.ServerName, Now: conf.Time}
		if rule.Host == "" {
			rule.Host, _, _ = net.SplitHostPort(address)
		}
		conf = rule.Apply(conf)
	}
	return (&tls.Dialer{Config: conf}).DialContext(ctx, "tcp", address)
}

func converse(conn net.Conn, word string) ([]byte, error) {
	if _, err := io.WriteString(conn, word); err != nil {
		return nil, err
	}
	answer, err := io.ReadAll(io.LimitReader(conn, maxAnswer+1))
	switch {
	case len(answer) > maxAnswer:
		return nil, fmt.Errorf("%w: it is longer than %d bytes", ErrFormat, maxAnswer)
	case len(answer) > 0 && (err == nil || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, io.ErrUnexpectedEOF)):
		return answer, nil // a server that closes early may reset the connection behind its answer
	case err != nil && !errors.Is(err, syscall.ECONNRESET):
		return nil, err
	}
	if word == Hash && err == nil {
		return nil, nil // a young server remembers no digest
	}
	return nil, ErrEmpty
}

// advice says what to try after a failure.
func (c Client) advice(word, address string, err error) string {
	host, port, _ := net.SplitHostPort(address)
	var dns *net.DNSError
	if do := tlsAdvice(host, port, err); do != "" {
		return do
	}
	switch {
	case errors.Is(err, ErrNotWhitelisted):
		return fmt.Sprintf("add 4lw.commands.whitelist=srvr,%s (or *) to zoo.cfg on %s and restart the server there", word, host)
	case errors.Is(err, ErrNotServing):
		return "look at the other servers of the ensemble: without a majority none of them serves"
	case errors.Is(err, ErrEmpty) && c.TLS == nil:
		return fmt.Sprintf("check that port %s is the client port and not one for TLS, the quorum or elections (--tls asks over TLS)", port)
	case errors.Is(err, ErrEmpty):
		return fmt.Sprintf("check that port %s is the secure client port", port)
	case errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Sprintf("check on %s that the server runs and that clientPort in its zoo.cfg is %s", host, port)
	case errors.As(err, &dns):
		return fmt.Sprintf("check the host name %s", host)
	case isTimeout(err):
		return fmt.Sprintf("check that %s is up and that no firewall drops connections to port %s", host, port)
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		return fmt.Sprintf("check the route from here to %s", host)
	}
	return fmt.Sprintf("look at the log of the server on %s", host)
}

func isTimeout(err error) bool {
	var timeout net.Error
	return errors.Is(err, context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded) || errors.As(err, &timeout) && timeout.Timeout()
}

// each runs do for 0 to n-1, at most parallel (at least one) at a time.
func each(n, parallel int, do func(i int)) {
	var wg sync.WaitGroup
	slots := make(chan struct{}, max(1, parallel))
	for i := range n {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			do(i)
		})
	}
	wg.Wait()
}
