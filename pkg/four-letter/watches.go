package fourletter

import (
	"fmt"
	"io"
	"strings"
)

// WchsAnswer counts the data watches of a server. Source: WatchesSummary.java.
type WchsAnswer struct{ Connections, Paths, Total int64 }

// Write prints the answer to wchs.
func (a WchsAnswer) Write(w io.Writer) error {
	_, err := fmt.Fprintf(w, "%d connections watching %d paths\nTotal watches:%d\n", a.Connections, a.Paths, a.Total)
	return err
}

// ParseWchs reads the answer to wchs.
func ParseWchs(answer []byte) (WchsAnswer, error) {
	s := newScan(Wchs, answer)
	var a WchsAnswer
	s.want("%d connections watching %d paths", &a.Connections, &a.Paths)
	s.want("Total watches:%d", &a.Total)
	return a, s.err
}

// SessionPaths is a session and paths that it watches or owns.
type SessionPaths struct {
	ID    SessionID
	Paths []string
}

// WchcAnswer lists the data watches of a server by session.
type WchcAnswer struct{ Sessions []SessionPaths }

// Write prints the answer to wchc.
func (a WchcAnswer) Write(w io.Writer) error {
	var b strings.Builder
	for _, s := range a.Sessions {
		fmt.Fprintf(&b, "%s\n", s.ID)
		for _, path := range s.Paths {
			b.WriteString("\t" + path + "\n")
		}
	}
	b.WriteString("\n")
	return flush(w, &b)
}

// ParseWchc reads the answer to wchc.
func ParseWchc(answer []byte) (WchcAnswer, error) {
	s := newScan(Wchc, answer)
	var a WchcAnswer
	for s.more() && s.peek() != "" {
		a.Sessions = append(a.Sessions, SessionPaths{ID: s.session(s.take()), Paths: s.indented()})
	}
	s.end()
	return a, s.err
}

// PathSessions is a path and the sessions that watch it.
type PathSessions struct {
	Path     string
	Sessions []SessionID
}

// WchpAnswer lists the data watches of a server by path.
type WchpAnswer struct{ Paths []PathSessions }

// Write prints the answer to wchp.
func (a WchpAnswer) Write(w io.Writer) error {
	var b strings.Builder
	for _, p := range a.Paths {
		b.WriteString(p.Path + "\n")
		for _, id := range p.Sessions {
			fmt.Fprintf(&b, "\t%s\n", id)
		}
	}
	b.WriteString("\n")
	return flush(w, &b)
}

// ParseWchp reads the answer to wchp.
func ParseWchp(answer []byte) (WchpAnswer, error) {
	s := newScan(Wchp, answer)
	var a WchpAnswer
	for s.more() && s.peek() != "" {
		p := PathSessions{Path: s.take()}
		if !strings.HasPrefix(p.Path, "/") {
			s.fail(p.Path)
		}
		for _, id := range s.indented() {
			p.Sessions = append(p.Sessions, s.session(id))
		}
		a.Paths = append(a.Paths, p)
	}
	s.end()
	return a, s.err
}

// indented takes the lines that start with a tab.
func (s *scan) indented() []string {
	var lines []string
	for s.more() && strings.HasPrefix(s.peek(), "\t") {
		lines = append(lines, s.take()[1:])
	}
	return lines
}

func (s *scan) session(text string) SessionID {
	id, ok := parseHex(text)
	if !ok {
		s.fail(text)
	}
	return SessionID(id)
}

// end asks for the empty line that closes a list.
func (s *scan) end() {
	if s.err == nil && (len(s.lines) != 1 || s.lines[0] != "") {
		s.fail(s.peek())
	}
}
