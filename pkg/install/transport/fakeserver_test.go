package transport

import (
	"io"
	"net"
	"os/exec"
	"sync"
	"sync/atomic"
	"testing"

	"golang.org/x/crypto/ssh"
)

// fakeServer is an SSH server in this process, for what sshd cannot be told to do.
type fakeServer struct {
	host, port string
	key        ssh.Signer
	logins     atomic.Int32 // connections that got past the login
}

// startFake serves with the given ways to log in; exec handles the command lines, nil runs them.
func startFake(t *testing.T, cfg *ssh.ServerConfig, exec func(ssh.Channel, string)) *fakeServer {
	t.Helper()
	key, err := ssh.NewSignerFromKey(newEd25519(t))
	must(t, err)
	cfg.AddHostKey(key)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	s := &fakeServer{key: key}
	s.host, s.port, _ = net.SplitHostPort(l.Addr().String())
	if exec == nil {
		exec = runHere
	}
	var conns conns
	t.Cleanup(func() { l.Close(); conns.closeAll() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			conns.add(conn)
			go s.serve(conn, cfg, exec)
		}
	}()
	return s
}

func (s *fakeServer) serve(conn net.Conn, cfg *ssh.ServerConfig, exec func(ssh.Channel, string)) {
	_, chans, reqs, err := ssh.NewServerConn(conn, cfg)
	if err != nil {
		return
	}
	s.logins.Add(1)
	go ssh.DiscardRequests(reqs)
	for nc := range chans {
		ch, reqs, err := nc.Accept()
		if err != nil {
			return
		}
		go func() {
			for req := range reqs {
				var msg struct{ Command string }
				ok := req.Type == "exec" && ssh.Unmarshal(req.Payload, &msg) == nil
				_ = req.Reply(ok, nil)
				if ok {
					go exec(ch, msg.Command)
				}
			}
		}()
	}
}

func (s *fakeServer) known() string {
	return "[" + s.host + "]:" + s.port + " " + string(ssh.MarshalAuthorizedKey(s.key.PublicKey()))
}

// runHere runs the command line as sshd would.
func runHere(ch ssh.Channel, line string) {
	defer ch.Close()
	cmd := exec.Command("/bin/sh", "-c", line)
	cmd.Stdout, cmd.Stderr = ch, ch.Stderr()
	in, err := cmd.StdinPipe()
	if err != nil || cmd.Start() != nil {
		return
	}
	go func() { _, _ = io.Copy(in, ch); in.Close() }()
	_ = cmd.Wait()
	sendStatus(ch, cmd.ProcessState.ExitCode())
}

func sendStatus(ch ssh.Channel, code int) {
	_, _ = ch.SendRequest("exit-status", false, ssh.Marshal(struct{ Code uint32 }{uint32(code)}))
}

// conns can be closed all at once.
type conns struct {
	mu  sync.Mutex
	all []net.Conn
}

func (c *conns) add(conn net.Conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.all = append(c.all, conn)
}

func (c *conns) closeAll() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, conn := range c.all {
		conn.Close()
	}
}

// wire is a TCP relay that can be cut or go silent.
type wire struct {
	host, port string
	conns      conns
	silent     chan struct{} // closed: nothing passes any more
}

func startWire(t *testing.T, to string) *wire {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	w := &wire{silent: make(chan struct{})}
	w.host, w.port, _ = net.SplitHostPort(l.Addr().String())
	t.Cleanup(func() { l.Close(); w.conns.closeAll() })
	go func() {
		for {
			a, err := l.Accept()
			if err != nil {
				return
			}
			b, err := net.Dial("tcp", to)
			if err != nil {
				a.Close()
				continue
			}
			w.conns.add(a)
			w.conns.add(b)
			go w.relay(a, b)
			go w.relay(b, a)
		}
	}()
	return w
}

func (w *wire) relay(to, from net.Conn) {
	defer to.Close()
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		if err != nil {
			return
		}
		select {
		case <-w.silent:
			continue
		default:
		}
		if _, err := to.Write(buf[:n]); err != nil {
			return
		}
	}
}
