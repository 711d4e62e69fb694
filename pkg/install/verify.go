package install

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/zkctl/zkctl/inventory"
	fourletter "github.com/zkctl/zkctl/pkg/four-letter"
	"github.com/zkctl/zkctl/pkg/install/problem"
	"github.com/zkctl/zkctl/pkg/install/transport"
)

// askTimeout bounds one question to a server, and directTimeout the first try where there is another way.
const (
	askTimeout    = 3 * time.Second
	directTimeout = time.Second
)

// ClientEndpoint is the host:port at which to ask a server from here.
func ClientEndpoint(v inventory.Server) string {
	address, _ := v.ClientEndpoint()
	return address
}

// localEndpoint is the host:port at which a server is asked from its own machine.
func localEndpoint(v inventory.Server) string {
	port, _ := v.ClientPort()
	key := "clientPortAddress"
	if port == v.Ports.SecureClient {
		key = "secureClientPortAddress"
	}
	host, _ := v.Config.Get(key)
	switch host {
	case "", "0.0.0.0":
		host = "127.0.0.1"
	case "::":
		host = "::1"
	}
	return net.JoinHostPort(host, strconv.Itoa(port))
}

// Verify waits until a leader serves and every server of the inventory follows, at most the session's timeout. It
// returns what the servers told last, also with an error.
func (s *Session) Verify(ctx context.Context) (fourletter.Ensemble, error) {
	s.teller.tell(Event{Phase: PhaseVerify, Kind: Begin, What: "wait until every server serves"})
	var ensemble fourletter.Ensemble
	wait, cancel := context.WithTimeout(ctx, s.opts.Timeout)
	defer cancel()
	err := s.until(wait, func() bool {
		_, statuses := s.statuses(wait)
		if wait.Err() != nil && ensemble.Members != nil {
			return false // what is cut short tells less than what was learned before
		}
		ensemble = fourletter.Evaluate(statuses, s.voters())
		return ensemble.Verdict == fourletter.Healthy || len(s.opts.Only) > 0 && s.chosenServe(ensemble)
	})
	if err != nil {
		err = &problem.Problem{Op: "verify the ensemble", Err: fmt.Errorf("%w: %s", err, strings.Join(ensemble.Reasons, "; ")),
			Do: "look at the servers' logs (" + s.logFiles() + ")"}
		s.teller.failed(PhaseVerify, "", "wait until every server serves", err)
		return ensemble, err
	}
	s.teller.tell(Event{Phase: PhaseVerify, Kind: Done, What: "every server serves"})
	return ensemble, nil
}

// Status asks every server of the inventory once.
func (s *Session) Status(ctx context.Context) fourletter.Ensemble {
	_, statuses := s.statuses(ctx)
	return fourletter.Evaluate(statuses, s.voters())
}

func (s *Session) voters() int {
	n := 0
	for _, v := range s.servers {
		n += b2i(v.Role == inventory.Participant)
	}
	return n
}

// chosenServe tells whether there is a leader and the servers that were worked on serve.
func (s *Session) chosenServe(e fourletter.Ensemble) bool {
	for i, v := range s.servers {
		if s.chosen(v) && e.Members[i].State != fourletter.Serving {
			return false
		}
	}
	return e.Verdict != fourletter.Down
}

func (s *Session) logFiles() string {
	var files []string
	for _, m := range s.machines {
		for _, v := range m.servers {
			if f := logFile(v); !slices.Contains(files, f) {
				files = append(files, f)
			}
		}
	}
	return strings.Join(files, ", ")
}

// statuses asks all servers of the inventory, at once.
func (s *Session) statuses(ctx context.Context) ([]inventory.Server, []fourletter.Status) {
	out := make([]fourletter.Status, len(s.servers))
	var wg sync.WaitGroup
	for i, v := range s.servers {
		wg.Go(func() {
			out[i] = s.status(ctx, v)
			out[i].Address = fmt.Sprintf("%s (%s)", v.Name, out[i].Address) // so that a verdict names it
		})
	}
	wg.Wait()
	return s.servers, out
}

// status asks one server through the network, and when that does not reach it, from its own machine.
func (s *Session) status(ctx context.Context, v inventory.Server) fourletter.Status {
	m := s.machineOf(v.Name)
	if v.Connection == inventory.ConnectLocal {
		return askServer(ctx, askTimeout, v, localEndpoint(v))
	}
	if m == nil || m.local {
		return askServer(ctx, askTimeout, v, ClientEndpoint(v))
	}
	status := askServer(ctx, directTimeout, v, ClientEndpoint(v))
	if status.State != fourletter.Unreachable || ctx.Err() != nil {
		return status
	}
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	if inside, err := m.statusThrough(ctx, v); err == nil && inside.State != fourletter.Unreachable {
		inside.Address = status.Address
		return inside
	}
	return status
}

func askServer(ctx context.Context, timeout time.Duration, v inventory.Server, address string) fourletter.Status {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	conf, err := clientTLS(v)
	if err != nil {
		return fourletter.Unasked(address, err)
	}
	return fourletter.Client{TLS: conf}.Status(ctx, address)
}

// waitServing waits until one server serves clients.
func (s *Session) waitServing(ctx context.Context, v inventory.Server) (fourletter.Status, error) {
	var status fourletter.Status
	what := "wait until " + v.Name + " serves"
	s.teller.tell(Event{Phase: PhaseStart, Host: v.Name, Kind: Begin, What: what})
	err := s.until(ctx, func() bool {
		status = s.status(ctx, v)
		return status.State == fourletter.Serving
	})
	if err != nil {
		err = fmt.Errorf("it does not serve (%s): %w", status.State, err)
		s.teller.failed(PhaseStart, v.Name, what, err)
		return status, err
	}
	s.teller.tell(Event{Phase: PhaseStart, Host: v.Name, Kind: Done, What: "serves as " + status.Role})
	return status, nil
}

// statusThrough asks a server from its own machine, where zkctl itself passes the words on: the network may let only
// SSH through. A listener on this machine's loopback stands for the server meanwhile.
func (m *machine) statusThrough(ctx context.Context, v inventory.Server) (fourletter.Status, error) {
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return fourletter.Status{}, err
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			conn, err := lis.Accept()
			if err != nil {
				return
			}
			wg.Go(func() { m.answer(ctx, v, conn) })
		}
	})
	status := fourletter.Client{}.Status(ctx, lis.Addr().String())
	err = lis.Close()
	wg.Wait()
	return status, err
}

// answer reads a word, has it asked on the machine, and passes the answer back.
func (m *machine) answer(ctx context.Context, v inventory.Server, conn net.Conn) {
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	word := make([]byte, 4)
	if n, err := conn.Read(word); err != nil || n != len(word) {
		return
	}
	res, err := m.host.Run(ctx, transport.Command{Argv: askOnHost(v, string(word))})
	var exit *transport.ExitError
	if err != nil && !errors.As(err, &exit) {
		return
	}
	_, _ = conn.Write(res.Stdout) // the asker sees a short answer as an error of its own
}
