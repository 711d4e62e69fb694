package fourletter

import (
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
)

// Latency is the time from reading a request to answering it, in ms, since the
// start or the last reset.
type Latency struct {
	Min, Max int64
	Avg      float64 // written with at most four decimals; whole in 3.4 and 3.5
}

// ProposalSizes are in bytes; -1 before the first proposal.
type ProposalSizes struct{ Last, Min, Max int64 }

// Modes of a server, as srvr and stat name them.
const (
	ModeLeader     = "leader"
	ModeFollower   = "follower"
	ModeObserver   = "observer"
	ModeStandalone = "standalone"
	ModeReadOnly   = "read-only"
)

// SrvrAnswer is what a server tells of itself. Source: StatCommand.java, ServerStats.java.
type SrvrAnswer struct {
	Version     string // "3.8.0-<git hash>, built on <date>"
	ReadOnly    bool   // serves only read-only clients
	Latency     Latency
	Received    int64 // packets
	Sent        int64 // packets
	Connections int64
	Outstanding int64 // requests waiting
	Zxid        Zxid  // last transaction applied
	Mode        string
	NodeCount   int64
	Proposals   *ProposalSizes // of a leader from 3.5 on, otherwise nil
}

// Write prints the answer to srvr.
func (a SrvrAnswer) Write(w io.Writer) error {
	var b strings.Builder
	a.head(&b)
	a.figures(&b)
	return flush(w, &b)
}

func (a SrvrAnswer) head(b *strings.Builder) {
	fmt.Fprintf(b, "Zookeeper version: %s\n", a.Version)
	if a.ReadOnly {
		b.WriteString(readOnlyLine + "\n")
	}
}

func (a SrvrAnswer) figures(b *strings.Builder) {
	avg := formatDouble(math.Round(a.Latency.Avg*1e4) / 1e4)
	fmt.Fprintf(b, "Latency min/avg/max: %d/%s/%d\n", a.Latency.Min, avg, a.Latency.Max)
	fmt.Fprintf(b, "Received: %d\nSent: %d\nConnections: %d\nOutstanding: %d\n", a.Received, a.Sent, a.Connections, a.Outstanding)
	fmt.Fprintf(b, "Zxid: %s\nMode: %s\nNode count: %d\n", a.Zxid, a.Mode, a.NodeCount)
	if p := a.Proposals; p != nil {
		fmt.Fprintf(b, "Proposal sizes last/min/max: %d/%d/%d\n", p.Last, p.Min, p.Max)
	}
}

// ParseSrvr reads the answer to srvr.
func ParseSrvr(answer []byte) (SrvrAnswer, error) {
	s := newScan(Srvr, answer)
	a := s.head()
	s.figures(&a)
	return a, s.err
}

func (s *scan) head() (a SrvrAnswer) {
	line := s.take()
	version, ok := strings.CutPrefix(line, "Zookeeper version: ")
	if !ok {
		s.fail(line)
	}
	a.Version = version
	a.ReadOnly = s.accept(readOnlyLine)
	return a
}

func (s *scan) figures(a *SrvrAnswer) {
	s.latency(&a.Latency)
	s.want("Received: %d", &a.Received)
	s.want("Sent: %d", &a.Sent)
	if strings.HasPrefix(s.peek(), "Connections: ") { // not in the oldest 3.4
		s.want("Connections: %d", &a.Connections)
	}
	s.want("Outstanding: %d", &a.Outstanding)
	var zxid string
	s.want("Zxid: %s", &zxid)
	n, ok := parseHex(zxid)
	if !ok {
		s.fail("Zxid: " + zxid)
	}
	a.Zxid = Zxid(n)
	s.want("Mode: %s", &a.Mode)
	s.want("Node count: %d", &a.NodeCount)
	if strings.HasPrefix(s.peek(), "Proposal sizes") {
		a.Proposals = &ProposalSizes{}
		s.want("Proposal sizes last/min/max: %d/%d/%d", &a.Proposals.Last, &a.Proposals.Min, &a.Proposals.Max)
	}
}

func (s *scan) latency(l *Latency) {
	line := s.take()
	rest, ok := strings.CutPrefix(line, "Latency min/avg/max: ")
	parts := strings.Split(rest, "/")
	if !ok || len(parts) != 3 {
		s.fail(line)
		return
	}
	var errs [3]error
	l.Min, errs[0] = strconv.ParseInt(parts[0], 10, 64)
	l.Avg, errs[1] = strconv.ParseFloat(parts[1], 64)
	l.Max, errs[2] = strconv.ParseInt(parts[2], 10, 64)
	if errs != [3]error{} || math.IsNaN(l.Avg) || math.IsInf(l.Avg, 0) {
		s.fail(line)
	}
}

// StatAnswer is a SrvrAnswer with the server's connections, without their sessions.
type StatAnswer struct {
	SrvrAnswer
	Clients []Connection
}

// Write prints the answer to stat.
func (a StatAnswer) Write(w io.Writer) error {
	var b strings.Builder
	a.head(&b)
	b.WriteString("Clients:\n")
	for _, c := range a.Clients {
		c.brief(&b)
		b.WriteString(")\n")
	}
	b.WriteString("\n")
	a.figures(&b)
	return flush(w, &b)
}

// ParseStat reads the answer to stat.
func ParseStat(answer []byte) (StatAnswer, error) {
	s := newScan(Stat, answer)
	a := StatAnswer{SrvrAnswer: s.head()}
	if !s.accept("Clients:") {
		s.fail(s.peek())
	}
	a.Clients = s.connections()
	s.figures(&a.SrvrAnswer)
	return a, s.err
}

func flush(w io.Writer, b *strings.Builder) error {
	_, err := io.WriteString(w, b.String())
	return err
}
