package fourletter

import (
	"io"
	"strconv"
	"strings"
)

// Pair is one key and its value; order is as written.
type Pair struct{ Key, Value string }

func find(pairs []Pair, key string) (string, bool) {
	for _, p := range pairs {
		if p.Key == key {
			return p.Value, true
		}
	}
	return "", false
}

const mntrPrefix = "zk_"

// MntrAnswer holds keys and values for monitoring. Keys are without the "zk_"
// they have on the wire. From 3.6 on their order means nothing. Source: MonitorCommand.java.
type MntrAnswer struct{ Pairs []Pair }

// AddText appends a key.
func (a *MntrAnswer) AddText(key, value string) { a.Pairs = append(a.Pairs, Pair{key, value}) }

// AddInt appends a key with a whole number.
func (a *MntrAnswer) AddInt(key string, n int64) { a.AddText(key, strconv.FormatInt(n, 10)) }

// AddFloat appends a key with a number written as Java does, 0.0.
func (a *MntrAnswer) AddFloat(key string, f float64) { a.AddText(key, formatDouble(f)) }

// Get finds a value.
func (a MntrAnswer) Get(key string) (string, bool) { return find(a.Pairs, key) }

// Int finds a whole number; a double such as "3.0" counts as one too.
func (a MntrAnswer) Int(key string) (int64, bool) {
	v, _ := a.Get(key)
	if n, err := strconv.ParseInt(v, 10, 64); err == nil {
		return n, true
	}
	f, err := strconv.ParseFloat(v, 64)
	return int64(f), err == nil && f == float64(int64(f))
}

// Float finds a number.
func (a MntrAnswer) Float(key string) (float64, bool) {
	v, _ := a.Get(key)
	f, err := strconv.ParseFloat(v, 64)
	return f, err == nil
}

// Write prints the answer to mntr.
func (a MntrAnswer) Write(w io.Writer) error {
	var b strings.Builder
	for _, p := range a.Pairs {
		b.WriteString(mntrPrefix + p.Key + "\t" + p.Value + "\n")
	}
	return flush(w, &b)
}

// ParseMntr reads the answer to mntr.
func ParseMntr(answer []byte) (MntrAnswer, error) {
	s := newScan(Mntr, answer)
	var a MntrAnswer
	for s.more() {
		line := s.take()
		key, value, ok := strings.Cut(line, "\t")
		key, prefixed := strings.CutPrefix(key, mntrPrefix)
		if !ok || !prefixed {
			s.fail(line)
		}
		a.AddText(key, value)
	}
	return a, s.err
}

// ConfAnswer is a server's configuration. Source: ZooKeeperServerConf.java, ConfCommand.java.
type ConfAnswer struct {
	Pairs []Pair
	// Membership is the text of the member list, without a newline at its end; ""
	// when standalone, and always in 3.4.
	Membership string
}

const membershipLine = "membership: "

// Get finds a value.
func (a ConfAnswer) Get(key string) (string, bool) { return find(a.Pairs, key) }

// Write prints the answer to conf.
func (a ConfAnswer) Write(w io.Writer) error {
	var b strings.Builder
	writePairs(&b, a.Pairs)
	if a.Membership != "" {
		b.WriteString(membershipLine + "\n" + a.Membership)
	}
	return flush(w, &b)
}

// ParseConf reads the answer to conf.
func ParseConf(answer []byte) (ConfAnswer, error) {
	s := newScan(Conf, answer)
	var a ConfAnswer
	for s.more() && s.peek() != membershipLine {
		a.Pairs = append(a.Pairs, s.pair())
	}
	if len(a.Pairs) == 0 {
		s.fail(s.peek())
	}
	if s.accept(membershipLine) {
		a.Membership = strings.TrimRight(strings.Join(s.lines, "\n"), "\n")
	}
	return a, s.err
}

func (s *scan) pair() Pair {
	line := s.take()
	key, value, ok := strings.Cut(line, "=")
	if !ok {
		s.fail(line)
	}
	return Pair{key, value}
}

func writePairs(b *strings.Builder, pairs []Pair) {
	for _, p := range pairs {
		b.WriteString(p.Key + "=" + p.Value + "\n")
	}
}

// EnviAnswer is a server's environment. Source: EnvCommand.java.
type EnviAnswer struct{ Pairs []Pair }

const enviLine = "Environment:"

// Get finds a value.
func (a EnviAnswer) Get(key string) (string, bool) { return find(a.Pairs, key) }

// Write prints the answer to envi.
func (a EnviAnswer) Write(w io.Writer) error {
	var b strings.Builder
	b.WriteString(enviLine + "\n")
	writePairs(&b, a.Pairs)
	return flush(w, &b)
}

// ParseEnvi reads the answer to envi.
func ParseEnvi(answer []byte) (EnviAnswer, error) {
	s := newScan(Envi, answer)
	if !s.accept(enviLine) {
		s.fail(s.peek())
	}
	var a EnviAnswer
	for s.more() {
		a.Pairs = append(a.Pairs, s.pair())
	}
	return a, s.err
}

// DirsAnswer holds the bytes in the directories of a server. Source: DirsCommand.java.
type DirsAnswer struct{ Data, Log int64 }

// Write prints the answer to dirs.
func (a DirsAnswer) Write(w io.Writer) error {
	_, err := io.WriteString(w, "datadir_size: "+strconv.FormatInt(a.Data, 10)+"\nlogdir_size: "+strconv.FormatInt(a.Log, 10)+"\n")
	return err
}

// ParseDirs reads the answer to dirs.
func ParseDirs(answer []byte) (DirsAnswer, error) {
	s := newScan(Dirs, answer)
	var a DirsAnswer
	s.want("datadir_size: %d", &a.Data)
	s.want("logdir_size: %d", &a.Log)
	return a, s.err
}
