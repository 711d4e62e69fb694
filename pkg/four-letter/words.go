package fourletter

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// The words of ZooKeeper 3.9 that this package knows the answers of.
const (
	Ruok = "ruok" // is the process there
	Srvr = "srvr" // a server's figures
	Stat = "stat" // the same with its connections
	Mntr = "mntr" // keys and values for monitoring
	Conf = "conf" // its configuration
	Cons = "cons" // its connections in full
	Envi = "envi" // its environment
	Isro = "isro" // whether it is read-only
	Dirs = "dirs" // the sizes of its directories
	Wchs = "wchs" // how many watches there are
	Wchc = "wchc" // watches by session
	Wchp = "wchp" // watches by path
	Dump = "dump" // sessions, ephemerals and connections
	Crst = "crst" // reset the figures of the connections
	Srst = "srst" // reset the figures of the server
	Gtmk = "gtmk" // get the trace mask
	Hash = "hash" // digests of the tree
	Stmk = "stmk" // set the trace mask; eight more bytes follow
)

// Whole answers that never vary.
const (
	Imok                = "imok"                      // to ruok
	StatsReset          = "Server stats reset.\n"     // to srst
	ConnectionsReset    = "Connection stats reset.\n" // to crst
	NotServingAnswer    = notServing + "\n"           // to most words while there is no leader
	ReadWrite           = "rw"                        // to isro
	ReadOnly            = "ro"                        // to isro, without a quorum
	ReadUnknown         = "null"                      // to isro, when not serving at all
	DefaultTraceMask    = "306"                       // to gtmk: no newline
	notServing          = "This ZooKeeper instance is not currently serving requests"
	notWhitelistedAfter = " is not executed because it is not in the whitelist."
	readOnlyLine        = "READ-ONLY mode; serving only read-only clients"
)

// Words lists the known words, sorted.
func Words() []string {
	return []string{Conf, Cons, Crst, Dirs, Dump, Envi, Gtmk, Hash, Isro, Mntr, Ruok, Srst, Srvr, Stat, Stmk, Wchc, Wchp, Wchs}
}

// NotWhitelistedAnswer is what a server answers to a word it may not execute.
func NotWhitelistedAnswer(word string) string { return word + notWhitelistedAfter + "\n" }

// AnswersWithoutQuorum tells whether the word is answered by a server that does
// not serve requests.
func AnswersWithoutQuorum(word string) bool {
	return slices.Contains([]string{Ruok, Envi, Gtmk, Stmk, Isro}, word)
}

// What an answer can mean other than an answer. The parsers and the client wrap
// these, so that errors.Is finds them.
var (
	// ErrNotWhitelisted: the server runs, but may not execute the word.
	ErrNotWhitelisted = errors.New("the word is not in the server's whitelist")
	// ErrNotServing: the server runs, but has no leader.
	ErrNotServing = errors.New("the server runs but is not serving requests")
	// ErrFormat: the answer is none of the word's.
	ErrFormat = errors.New("not an answer to this word")
	// ErrBadWord: no server has such a word.
	ErrBadWord = errors.New("not a four-letter word")
	// ErrEmpty: the connection was closed without an answer.
	ErrEmpty = errors.New("the server closed the connection without an answer")
)

// refusal recognises the two answers every word can get.
func refusal(answer string) error {
	answer = strings.TrimSuffix(answer, "\n")
	if answer == notServing {
		return ErrNotServing
	}
	if word, ok := strings.CutSuffix(answer, notWhitelistedAfter); ok && len(word) == 4 {
		return ErrNotWhitelisted
	}
	return nil
}

func badFormat(word, format string, args ...any) error {
	return fmt.Errorf("%s: %w: %s", word, ErrFormat, fmt.Sprintf(format, args...))
}

// scan reads an answer line by line and remembers the first thing that was wrong.
type scan struct {
	word  string
	lines []string
	err   error
}

func newScan(word string, answer []byte) *scan {
	s := &scan{word: word, err: refusal(string(answer))}
	if s.err == nil && len(answer) == 0 {
		s.err = badFormat(word, "it is empty")
	}
	if text := strings.ReplaceAll(string(answer), "\r\n", "\n"); text != "" {
		s.lines = strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	}
	return s
}

func (s *scan) more() bool { return s.err == nil && len(s.lines) > 0 }

func (s *scan) peek() string {
	if !s.more() {
		return ""
	}
	return s.lines[0]
}

func (s *scan) take() string {
	line := s.peek()
	if s.more() {
		s.lines = s.lines[1:]
	}
	return line
}

func (s *scan) fail(line string) {
	if s.err == nil {
		s.err = badFormat(s.word, "line %q", clip(line))
	}
}

// accept takes the next line when it is this one.
func (s *scan) accept(line string) bool {
	if !s.more() || s.peek() != line {
		return false
	}
	s.take()
	return true
}

// want takes a line and reads it with fmt's verbs, all of it.
func (s *scan) want(format string, args ...any) {
	if s.err != nil {
		return
	}
	if !s.more() {
		s.err = badFormat(s.word, "it ends before %q", format)
		return
	}
	line := s.take()
	if !scanLine(line, format, args...) {
		s.fail(line)
	}
}

// scanLine reads the whole of line in the given format.
func scanLine(line, format string, args ...any) bool {
	r := strings.NewReader(line)
	n, err := fmt.Fscanf(r, format, args...)
	return err == nil && n == len(args) && r.Len() == 0
}

func clip(line string) string {
	if len(line) > 80 {
		return line[:80] + "..."
	}
	return line
}
