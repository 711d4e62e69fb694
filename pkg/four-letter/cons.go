package fourletter

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
)

// Connection is one client connection, as stat and cons list it. Source:
// ServerCnxn.java, dumpConnectionInfo.
type Connection struct {
	Address  string // host:port of the client, an IPv6 host in brackets
	Interest uint32 // java.nio interest: 1 reading, 4 writing, 0 when about to close
	Queued   int64  // packets not yet sent
	Received int64  // packets
	Sent     int64  // packets
	// Session is nil in stat, and for a connection that has no session yet.
	Session *SessionStats
}

// SessionStats are the figures of a connection that has a session.
type SessionStats struct {
	ID           SessionID
	LastOp       string    // NA, PING, SESS, CREA and so on
	Established  time.Time // to the ms
	Timeout      time.Duration
	LastCxid     uint64 // the client's number of its last request
	HasCxid      bool   // false as long as the client sent no request with one
	LastZxid     Zxid   // of the last answer
	LastResponse int64  // ms on the server's own clock, since no particular time
	LastLatency  int64  // ms, as the next three
	MinLatency   int64
	AvgLatency   int64
	MaxLatency   int64
}

// brief leaves the parenthesis open.
func (c Connection) brief(b *strings.Builder) {
	fmt.Fprintf(b, " /%s[%x](queued=%d,recved=%d,sent=%d", c.Address, c.Interest, c.Queued, c.Received, c.Sent)
}

func (s SessionStats) write(b *strings.Builder) {
	fmt.Fprintf(b, ",sid=%s,lop=%s,est=%d,to=%d", s.ID, s.LastOp, s.Established.UnixMilli(), s.Timeout.Milliseconds())
	if s.HasCxid {
		fmt.Fprintf(b, ",lcxid=0x%x", s.LastCxid)
	}
	fmt.Fprintf(b, ",lzxid=%s,lresp=%d,llat=%d,minlat=%d,avglat=%d,maxlat=%d",
		s.LastZxid, s.LastResponse, s.LastLatency, s.MinLatency, s.AvgLatency, s.MaxLatency)
}

// ConsAnswer lists the connections in full.
type ConsAnswer struct{ Connections []Connection }

// Write prints the answer to cons.
func (a ConsAnswer) Write(w io.Writer) error {
	var b strings.Builder
	for _, c := range a.Connections {
		c.brief(&b)
		if c.Session != nil {
			c.Session.write(&b)
		}
		b.WriteString(")\n")
	}
	b.WriteString("\n")
	return flush(w, &b)
}

// ParseCons reads the answer to cons.
func ParseCons(answer []byte) (ConsAnswer, error) {
	s := newScan(Cons, answer)
	a := ConsAnswer{Connections: s.connections()}
	if s.more() {
		s.fail(s.peek())
	}
	return a, s.err
}

// connections reads a list up to and with the empty line after it.
func (s *scan) connections() []Connection {
	var list []Connection
	for s.more() {
		line := s.take()
		if line == "" {
			return list
		}
		c, ok := parseConnection(line)
		if !ok {
			s.fail(line)
			return nil
		}
		list = append(list, c)
	}
	if s.err == nil {
		s.err = badFormat(s.word, "the list of connections does not end")
	}
	return nil
}

func parseConnection(line string) (Connection, bool) {
	rest, ok1 := strings.CutPrefix(line, " /")
	rest, ok2 := strings.CutSuffix(rest, ")")
	open := strings.LastIndex(rest, "](")
	if !ok1 || !ok2 || open < 0 {
		return Connection{}, false
	}
	fields := rest[open+2:]
	bracket := strings.LastIndex(rest[:open], "[")
	if bracket < 0 {
		return Connection{}, false
	}
	interest, err := strconv.ParseUint(rest[bracket+1:open], 16, 32)
	c := Connection{Address: rest[:bracket], Interest: uint32(interest)}
	return c, err == nil && c.parseFields(fields)
}

func (c *Connection) parseFields(text string) bool {
	known := map[string]func(string) bool{
		"queued": into(&c.Queued), "recved": into(&c.Received), "sent": into(&c.Sent),
	}
	if strings.Contains(text, ",sid=") {
		c.Session = &SessionStats{}
		c.Session.fields(known)
	}
	seen := 0
	for field := range strings.SplitSeq(text, ",") {
		key, value, _ := strings.Cut(field, "=")
		if set, ok := known[key]; ok {
			if !set(value) {
				return false
			}
			seen++
		}
	}
	return seen >= 3 // later versions may add fields
}

func (s *SessionStats) fields(known map[string]func(string) bool) {
	known["sid"] = hexInto(func(n uint64) { s.ID = SessionID(n) })
	known["lop"] = func(v string) bool { s.LastOp = v; return true }
	known["est"] = intInto(func(n int64) { s.Established = time.UnixMilli(n) })
	known["to"] = intInto(func(n int64) { s.Timeout = time.Duration(n) * time.Millisecond })
	known["lcxid"] = hexInto(func(n uint64) { s.LastCxid, s.HasCxid = n, true })
	known["lzxid"] = hexInto(func(n uint64) { s.LastZxid = Zxid(n) })
	known["lresp"] = into(&s.LastResponse)
	known["llat"] = into(&s.LastLatency)
	known["minlat"] = into(&s.MinLatency)
	known["avglat"] = into(&s.AvgLatency)
	known["maxlat"] = into(&s.MaxLatency)
}

func into(field *int64) func(string) bool { return intInto(func(n int64) { *field = n }) }

func intInto(set func(int64)) func(string) bool {
	return func(v string) bool {
		n, err := strconv.ParseInt(v, 10, 64)
		set(n)
		return err == nil
	}
}

func hexInto(set func(uint64)) func(string) bool {
	return func(v string) bool {
		n, ok := parseHex(v)
		set(n)
		return ok
	}
}
