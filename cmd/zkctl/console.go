package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"golang.org/x/term"

	"github.com/zkctl/zkctl/pkg/install"
	"github.com/zkctl/zkctl/pkg/install/transport"
)

// console tells on standard error how a run goes: on a terminal a live line a host, in a pipe plain lines, with -o
// json events as JSON lines. It also asks the user.
type console struct {
	mu     sync.Mutex
	out    io.Writer
	in     *os.File
	json   bool
	live   *liveLines // nil where lines cannot be drawn again
	screen screen
}

func newConsole(env environment, o output) *console {
	c := &console{out: env.stderr, in: env.stdin, json: o == outputJSON, screen: screen{}}
	f, ok := env.stderr.(*os.File)
	if !c.json && ok && term.IsTerminal(int(f.Fd())) && env.getenv("TERM") != "dumb" {
		c.screen = screen{live: true, color: env.getenv("NO_COLOR") == "", width: 80}
		if w, _, err := term.GetSize(int(f.Fd())); err == nil && w > 0 {
			c.screen.width = w
		}
		c.live = &liveLines{out: env.stderr, screen: c.screen, state: make(map[string]liveLine)}
	}
	return c
}

// Report implements [install.Reporter].
func (c *console) Report(e install.Event) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.json:
		if text, err := json.Marshal(e); err == nil {
			fmt.Fprintf(c.out, "%s\n", text)
		}
	case c.live != nil:
		c.live.report(e)
	default:
		c.plain(e)
	}
}

// plain writes what came of each piece of work, and not that it began.
func (c *console) plain(e install.Event) {
	if e.Kind == install.Begin && e.Phase != install.PhaseVerify || e.Kind == install.Progress {
		return
	}
	fmt.Fprintln(c.out, eventLine(e))
}

func eventLine(e install.Event) string {
	line := fmt.Sprintf("%-9s ", e.Phase)
	if e.Host != "" {
		line += e.Host + ": "
	}
	switch e.Kind {
	case install.Failed:
		return line + e.What + ": FAILED: " + strings.ReplaceAll(e.Error, "\n", "; ")
	case install.Begin:
		return line + e.What + " ..."
	}
	return line + e.What
}

// Close leaves the last state of the live lines on the screen.
func (c *console) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.settle()
	return nil
}

// settle leaves the live lines where they are, so that other text can follow.
func (c *console) settle() {
	if c.live != nil {
		c.live.reset()
	}
}

// say writes text below the progress.
func (c *console) say(format string, args ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.json {
		return
	}
	c.settle()
	fmt.Fprintf(c.out, format, args...)
}

// liveLines is one line a host, drawn again with each event.
type liveLines struct {
	out    io.Writer
	screen screen
	hosts  []string
	state  map[string]liveLine
	drawn  int
}

type liveLine struct {
	text string
	tone tone
}

func (l *liveLines) report(e install.Event) {
	host := e.Host
	if host == "" {
		host = "ensemble"
	}
	if !slices.Contains(l.hosts, host) {
		l.hosts = append(l.hosts, host)
	}
	line := liveLine{text: string(e.Phase) + ": " + e.What}
	switch e.Kind {
	case install.Done:
		line.tone = toneGood
	case install.Failed:
		line.text, line.tone = line.text+": "+strings.ReplaceAll(e.Error, "\n", "; "), toneBad
	case install.Note:
		l.note(e)
		return
	case install.Progress:
		line.text = fmt.Sprintf("%s %d%%", line.text, e.Sent*100/max(e.Size, 1))
	}
	l.state[host] = line
	l.draw()
}

// note writes a line that stays, above the live ones.
func (l *liveLines) note(e install.Event) {
	l.erase()
	fmt.Fprintln(l.out, eventLine(e))
	l.draw()
}

func (l *liveLines) erase() {
	if l.drawn > 0 {
		fmt.Fprintf(l.out, "\x1b[%dA\x1b[J", l.drawn)
	}
	l.drawn = 0
}

func (l *liveLines) draw() {
	l.erase()
	width := 0
	for _, h := range l.hosts {
		width = max(width, utf8.RuneCountInString(h))
	}
	for _, h := range l.hosts {
		st, ok := l.state[h]
		if !ok {
			continue
		}
		line := fmt.Sprintf("%-*s  %s", width, h, st.text)
		if r := []rune(line); l.screen.width > 4 && len(r) >= l.screen.width {
			line = string(r[:l.screen.width-4]) + "..."
		}
		fmt.Fprintln(l.out, l.screen.paint(st.tone, line))
		l.drawn++
	}
}

func (l *liveLines) reset() { l.drawn, l.hosts, l.state = 0, nil, make(map[string]liveLine) }

// interactive tells whether there is somebody to ask.
func (c *console) interactive() bool {
	f, ok := c.out.(*os.File)
	return c.in != nil && term.IsTerminal(int(c.in.Fd())) && ok && term.IsTerminal(int(f.Fd()))
}

// ask puts a question and reads one line. It ends with ctx.
func (c *console) ask(ctx context.Context, question string) (string, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.settle()
	fmt.Fprint(c.out, question)
	return readAnswer(ctx, func() (string, error) {
		line, err := bufio.NewReader(c.in).ReadString('\n')
		if errors.Is(err, io.EOF) && line != "" {
			err = nil
		}
		return strings.TrimSpace(line), err
	})
}

// readAnswer reads in a goroutine, which Ctrl-C leaves behind: a read of a terminal cannot be called back.
func readAnswer(ctx context.Context, read func() (string, error)) (string, error) {
	type answer struct {
		text string
		err  error
	}
	got := make(chan answer, 1)
	go func() {
		text, err := read()
		got <- answer{text, err}
	}()
	select {
	case a := <-got:
		return a.text, a.err
	case <-ctx.Done():
		return "", context.Cause(ctx)
	}
}

// prompter asks for passwords and passphrases on the terminal; nil when there is none.
func (c *console) prompter(sameEverywhere bool) transport.Prompter {
	if !c.interactive() {
		return nil
	}
	return transport.Remember(terminalPrompter{c}, sameEverywhere)
}

type terminalPrompter struct{ c *console }

// Ask implements [transport.Prompter].
func (p terminalPrompter) Ask(ctx context.Context, q transport.Question) (string, error) {
	if q.Echo {
		return p.c.ask(ctx, q.Text+": ")
	}
	p.c.mu.Lock()
	defer p.c.mu.Unlock()
	p.c.settle()
	if q.Attempt > 1 {
		fmt.Fprintln(p.c.out, "That was not right; try again.")
	}
	fmt.Fprint(p.c.out, q.Text+": ")
	fd := int(p.c.in.Fd())
	before, err := term.GetState(fd)
	if err != nil {
		return "", err
	}
	text, err := readAnswer(ctx, func() (string, error) {
		b, err := term.ReadPassword(fd)
		return string(b), err
	})
	fmt.Fprintln(p.c.out)
	if err != nil {
		return "", errors.Join(err, term.Restore(fd, before)) // the reader may still wait, with echo off
	}
	return text, nil
}

// stopwatch tells how long something took, for people.
func stopwatch(since time.Time) string {
	return time.Since(since).Round(100 * time.Millisecond).String()
}
