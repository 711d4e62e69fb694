package transport

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"sync"
	"time"

	"github.com/pkg/sftp"
	"golang.org/x/crypto/ssh"

	"github.com/zkctl/zkctl/pkg/install/problem"
)

// How many commands run at once over one connection, and how many more to stop those. sshd refuses
// more sessions than MaxSessions, 10 by default; sftp takes one.
const (
	maxSessions = 6
	maxUrgent   = 3
)

// connection is one SSH connection to a host, used for everything on it.
type connection struct {
	on     string // the host, for messages
	client *ssh.Client
	slots  chan struct{} // one is taken by each command
	urgent chan struct{} // and by each that stops another
	gone   chan struct{} // closed when the connection is
	once   sync.Once

	mu   sync.Mutex
	lost error // why it is gone; nil when Close was called
	ftp  *sftp.Client
}

// newConnection takes over client and watches that the host answers.
func newConnection(on string, client *ssh.Client, every, patience time.Duration) *connection {
	c := &connection{on: on, client: client, slots: make(chan struct{}, maxSessions), urgent: make(chan struct{}, maxUrgent), gone: make(chan struct{})}
	go func() {
		err := client.Wait()
		if err == nil || errors.Is(err, io.EOF) {
			err = errors.New("the host closed it")
		}
		c.end(err)
	}()
	go c.watch(every, patience)
	return c
}

// watch asks the host for a sign of life now and then; the answer may well be that it does not know
// the question.
func (c *connection) watch(every, patience time.Duration) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case <-c.gone:
			return
		case <-tick.C:
		}
		answered := make(chan error, 1)
		go func() {
			_, _, err := c.client.SendRequest("keepalive@openssh.com", true, nil)
			answered <- err
		}()
		timer := time.NewTimer(patience)
		select {
		case <-c.gone:
		case err := <-answered:
			if err != nil {
				c.end(err)
			}
		case <-timer.C:
			c.end(fmt.Errorf("the host has not answered for %s", patience))
		}
		timer.Stop()
	}
}

// end closes the connection for the given reason; only the first counts.
func (c *connection) end(why error) {
	c.once.Do(func() {
		c.mu.Lock()
		c.lost = why
		c.mu.Unlock()
		close(c.gone)
		c.client.Close()
	})
}

func (c *connection) Close() error {
	c.end(nil)
	return nil
}

func (c *connection) alive() bool {
	select {
	case <-c.gone:
		return false
	default:
		return true
	}
}

// failure is err, or that the connection is lost if that is what is behind it.
func (c *connection) failure(err error) error {
	if c.alive() {
		var refused *ssh.OpenChannelError
		if !errors.Is(err, io.EOF) && !errors.Is(err, net.ErrClosed) && !errors.Is(err, sftp.ErrSSHFxConnectionLost) || errors.As(err, &refused) {
			return err
		}
		select { // the reader of the connection is about to say why
		case <-c.gone:
		case <-time.After(time.Second):
			return err
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.lost == nil {
		return fmt.Errorf("%w: closed by us", ErrConnectionLost)
	}
	return fmt.Errorf("%w: %w", ErrConnectionLost, c.lost)
}

// start is part of [starter].
func (c *connection) start(ctx context.Context, line string, urgent bool) (*process, error) {
	slots := c.slots
	if urgent {
		slots = c.urgent
	}
	select {
	case slots <- struct{}{}:
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	p, err := c.exec(ctx, line)
	if err != nil {
		<-slots
		return nil, err
	}
	hangup := p.hangup
	p.hangup = sync.OnceFunc(func() { hangup(); <-slots })
	return p, nil
}

type opened struct {
	ch   ssh.Channel
	reqs <-chan *ssh.Request
	err  error
}

// exec begins a command line in a session of its own.
func (c *connection) exec(ctx context.Context, line string) (*process, error) {
	got := make(chan opened, 1)
	go func() {
		var o opened
		if o.ch, o.reqs, o.err = c.client.OpenChannel("session", nil); o.err == nil {
			o.err = request(o.ch, line)
		}
		got <- o
	}()
	var o opened
	select {
	case o = <-got:
	case <-ctx.Done():
		go func() { // the host has not answered yet; close what it opens late
			if late := <-got; late.ch != nil {
				late.ch.Close()
			}
		}()
		return nil, context.Cause(ctx)
	}
	if o.err != nil {
		if o.ch != nil {
			o.ch.Close()
		}
		return nil, c.failure(o.err)
	}
	exit := make(chan exitStatus, 1)
	go func() { exit <- c.follow(o.reqs) }()
	return &process{stdin: closeWriter{o.ch}, stdout: o.ch, stderr: o.ch.Stderr(), exit: exit, hangup: func() { o.ch.Close() }}, nil
}

// request asks for line to be run (RFC 4254, section 6.5).
func request(ch ssh.Channel, line string) error {
	ok, err := ch.SendRequest("exec", true, ssh.Marshal(struct{ Command string }{line}))
	if err == nil && !ok {
		err = errors.New("the host refused to run a command")
	}
	return err
}

// follow waits for the host to say how the command ended (RFC 4254, section 6.10). Unlike
// ssh.Session.Wait it does not wait for the channel to close, which a daemon may hold up. What comes later is dropped.
func (c *connection) follow(reqs <-chan *ssh.Request) exitStatus {
	for req := range reqs {
		if req.WantReply {
			_ = req.Reply(false, nil)
		}
		switch req.Type {
		case "exit-status":
			if len(req.Payload) >= 4 {
				go ssh.DiscardRequests(reqs)
				return exitStatus{code: int(binary.BigEndian.Uint32(req.Payload))}
			}
		case "exit-signal":
			var msg struct {
				Signal     string
				CoreDumped bool
				Error      string
				Lang       string
			}
			if ssh.Unmarshal(req.Payload, &msg) == nil {
				go ssh.DiscardRequests(reqs)
				return exitStatus{code: -1, signal: msg.Signal}
			}
		}
	}
	return exitStatus{code: -1, err: c.failure(fmt.Errorf("the session ended without an exit status: %w", io.EOF))}
}

type closeWriter struct{ ssh.Channel }

func (w closeWriter) Close() error { return w.CloseWrite() }

// sftp opens the file transfer of this connection, once.
func (c *connection) sftp() (*sftp.Client, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ftp == nil {
		ftp, err := sftp.NewClient(c.client, sftp.UseConcurrentWrites(true))
		if err != nil {
			return nil, err
		}
		c.ftp = ftp
	}
	return c.ftp, nil
}

// upload writes f.temp by sftp; see shellStore.
func (c *connection) upload(ctx context.Context, f newFile) error {
	ftp, err := c.sftp()
	if err != nil {
		if !c.alive() {
			return c.failure(err)
		}
		return fmt.Errorf("%w: %w", errNoUpload, err)
	}
	out, err := ftp.OpenFile(f.temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL)
	if err != nil {
		return c.putFailed(f, err)
	}
	stop := context.AfterFunc(ctx, func() { out.Close() })
	defer stop()
	if err = out.Chmod(0o600); err == nil {
		_, err = out.ReadFromWithConcurrency(f.open(), 64)
	}
	if closeErr := out.Close(); err == nil && closeErr != nil {
		err = closeErr
	}
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	if err != nil && c.alive() {
		_ = ftp.Remove(f.temp)
	}
	return c.putFailed(f, err)
}

func (c *connection) putFailed(f newFile, err error) error {
	var status *sftp.StatusError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &status) && status.FxCode() == sftp.ErrSSHFxFailure:
		// OpenSSH's sftp-server says no more than "Failure" for a full disk; the script's own attempt says what it is.
		return fmt.Errorf("%w: %w", errNoUpload, err)
	}
	return &fs.PathError{Op: "write", Path: f.path, Err: c.failure(err)}
}

// tunnel opens a TCP connection from the far end.
func (c *connection) tunnel(ctx context.Context, addr string) (net.Conn, error) {
	conn, err := c.client.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, &problem.Problem{Op: "connect to " + addr + " through", On: c.on, Err: c.failure(err),
			Do: "see whether the bastion reaches that address, and its sshd has AllowTcpForwarding"}
	}
	return conn, nil
}
