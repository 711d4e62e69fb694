package fourletter

import (
	"fmt"
	"io"
	"strings"
	"time"
)

// javaDate is how java.util.Date prints itself.
const javaDate = "Mon Jan 02 15:04:05 MST 2006"

// SessionSet is the sessions that expire together.
type SessionSet struct {
	At       time.Time // to the second, in the server's zone
	Sessions []SessionID
}

// SessionTimeout is a session as a learner knows it.
type SessionTimeout struct {
	ID      SessionID
	Timeout time.Duration
}

// DumpConnection is a connection; its session is 0 as long as it has none.
type DumpConnection struct {
	Address string // host:port of the client
	Session SessionID
}

// ConnectionSet is the connections that are closed together when nothing comes.
type ConnectionSet struct {
	At          time.Time // to the second, in the server's zone
	Connections []DumpConnection
}

// DumpAnswer is the sessions a server knows, who owns which ephemerals, and its
// connections. Source: DumpCommand.java, SessionTrackerImpl.java,
// LearnerSessionTracker.java, NIOServerCnxnFactory.java.
type DumpAnswer struct {
	// HasLocal: local sessions are on, and LocalSets lists them.
	HasLocal  bool
	LocalSets []SessionSet
	// Learner: a follower or observer lists Global sessions with their timeouts; a
	// leader or standalone server lists Sets by the time they expire.
	Learner    bool
	Sets       []SessionSet
	Global     []SessionTimeout
	Ephemerals []SessionPaths
	// HasConnections is false in 3.4, which has no such part.
	HasConnections bool
	Connections    []ConnectionSet
}

// Write prints the answer to dump in the form of 3.5 and later.
func (a DumpAnswer) Write(w io.Writer) error {
	var b strings.Builder
	b.WriteString("SessionTracker dump:\n")
	if a.HasLocal {
		b.WriteString("Local ")
		writeSets(&b, a.LocalSets)
	}
	if a.Learner {
		fmt.Fprintf(&b, "Global Sessions(%d):\n", len(a.Global))
		for _, s := range a.Global {
			fmt.Fprintf(&b, "%s\t%dms\n", s.ID, s.Timeout.Milliseconds())
		}
	} else {
		if a.HasLocal {
			b.WriteString("Global ")
		}
		writeSets(&b, a.Sets)
	}
	a.writeEphemerals(&b)
	a.writeConnections(&b)
	return flush(w, &b)
}

func writeSets(b *strings.Builder, sets []SessionSet) {
	sessions := 0
	for _, set := range sets {
		sessions += len(set.Sessions)
	}
	fmt.Fprintf(b, "Session Sets (%d)/(%d):\n", len(sets), sessions)
	for _, set := range sets {
		fmt.Fprintf(b, "%d expire at %s:\n", len(set.Sessions), set.At.Format(javaDate))
		for _, id := range set.Sessions {
			fmt.Fprintf(b, "\t%s\n", id)
		}
	}
}

func (a DumpAnswer) writeEphemerals(b *strings.Builder) {
	fmt.Fprintf(b, "ephemeral nodes dump:\nSessions with Ephemerals (%d):\n", len(a.Ephemerals))
	for _, s := range a.Ephemerals {
		fmt.Fprintf(b, "%s:\n", s.ID)
		for _, path := range s.Paths {
			fmt.Fprintf(b, "\t%s\n", path)
		}
	}
}

func (a DumpAnswer) writeConnections(b *strings.Builder) {
	if !a.HasConnections {
		return
	}
	n := 0
	for _, set := range a.Connections {
		n += len(set.Connections)
	}
	fmt.Fprintf(b, "Connections dump:\nConnections Sets (%d)/(%d):\n", len(a.Connections), n)
	for _, set := range a.Connections {
		fmt.Fprintf(b, "%d expire at %s:\n", len(set.Connections), set.At.Format(javaDate))
		for _, c := range set.Connections {
			fmt.Fprintf(b, "\tip: /%s sessionId: %s\n", c.Address, c.Session)
		}
	}
}

// ParseDump reads the answer to dump. What a 3.4 follower prints in place of its
// sessions is passed over.
func ParseDump(answer []byte) (DumpAnswer, error) {
	s := newScan(Dump, answer)
	var a DumpAnswer
	if !s.accept("SessionTracker dump:") {
		s.fail(s.peek())
	}
	for s.more() && s.peek() != "ephemeral nodes dump:" {
		s.tracker(&a)
	}
	if !s.accept("ephemeral nodes dump:") {
		s.fail(s.peek())
	}
	var n int64
	s.want("Sessions with Ephemerals (%d):", &n)
	for s.more() && strings.HasPrefix(s.peek(), "0x") {
		id, _ := strings.CutSuffix(s.take(), ":")
		a.Ephemerals = append(a.Ephemerals, SessionPaths{ID: s.session(id), Paths: s.indented()})
	}
	if s.accept("Connections dump:") {
		a.HasConnections = true
		a.Connections = s.connectionSets()
	}
	if s.more() {
		s.fail(s.peek())
	}
	return a, s.err
}

// tracker reads one section of the session tracker.
func (s *scan) tracker(a *DumpAnswer) {
	line := s.take()
	switch {
	case strings.HasPrefix(line, "Local Session Sets ("):
		a.HasLocal = true
		a.LocalSets = s.sessionSets()
	case strings.HasPrefix(line, "Global Sessions("):
		a.Learner = true
		for s.more() && strings.HasPrefix(s.peek(), "0x") {
			a.Global = append(a.Global, s.timeout())
		}
	case strings.HasPrefix(line, "Session Sets ("), strings.HasPrefix(line, "Global Session Sets ("):
		a.Sets = s.sessionSets()
	case strings.HasPrefix(line, "org.apache.zookeeper."):
		a.Learner = true
	default:
		s.fail(line)
	}
}

func (s *scan) timeout() SessionTimeout {
	line := s.take()
	id, ms, ok := strings.Cut(line, "\t")
	var n int64
	if !ok || !scanLine(ms, "%dms", &n) {
		s.fail(line)
	}
	return SessionTimeout{ID: s.session(id), Timeout: time.Duration(n) * time.Millisecond}
}

func (s *scan) sessionSets() []SessionSet {
	var sets []SessionSet
	for s.more() && strings.Contains(s.peek(), " expire at ") {
		set := SessionSet{At: s.expiry()}
		for _, id := range s.indented() {
			set.Sessions = append(set.Sessions, s.session(id))
		}
		sets = append(sets, set)
	}
	return sets
}

func (s *scan) connectionSets() []ConnectionSet {
	if line := s.take(); !strings.HasPrefix(line, "Connections Sets (") {
		s.fail(line)
	}
	var sets []ConnectionSet
	for s.more() && strings.Contains(s.peek(), " expire at ") {
		set := ConnectionSet{At: s.expiry()}
		for _, line := range s.indented() {
			rest, ok := strings.CutPrefix(line, "ip: /")
			address, id, ok2 := strings.Cut(rest, " sessionId: ")
			if !ok || !ok2 {
				s.fail(line)
			}
			set.Connections = append(set.Connections, DumpConnection{Address: address, Session: s.session(id)})
		}
		sets = append(sets, set)
	}
	return sets
}

func (s *scan) expiry() time.Time {
	line := s.take()
	_, date, _ := strings.Cut(line, " expire at ")
	at, err := time.Parse(javaDate, strings.TrimSuffix(date, ":"))
	if err != nil {
		s.fail(line)
	}
	return at
}
