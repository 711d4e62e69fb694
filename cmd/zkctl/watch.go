package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"
)

// watchInterval is the value of --watch, a flag whose value may be left out.
type watchInterval time.Duration

const (
	defaultWatch = 2 * time.Second
	minWatch     = 100 * time.Millisecond
)

// Set reads the interval.
func (w *watchInterval) Set(text string) error {
	if text == "true" { // --watch alone
		text = defaultWatch.String()
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < minWatch {
		return fmt.Errorf("%q is no interval such as 5s, of at least %v", text, minWatch)
	}
	*w = watchInterval(d)
	return nil
}

// String is the flag's value, "" when it was not given.
func (w *watchInterval) String() string {
	if *w == 0 {
		return ""
	}
	return time.Duration(*w).String()
}

// IsBoolFlag lets the flag stand without a value.
func (w *watchInterval) IsBoolFlag() bool { return true }

// repeat shows the ensemble each interval until ctx ends; the verdict of the last
// look is the exit status.
func (o *statusOptions) repeat(ctx context.Context, look func(context.Context) *survey) error {
	tick := time.NewTicker(time.Duration(o.watch))
	defer tick.Stop()
	var last *survey
	for {
		s := look(ctx)
		if ctx.Err() == nil {
			if err := o.draw(s, time.Now(), last == nil); err != nil {
				return err
			}
			last = s
		}
		select {
		case <-ctx.Done():
			if last == nil {
				return context.Cause(ctx)
			}
			return last.exit()
		case <-tick.C:
		}
	}
}

// draw shows one look: over the one before on a terminal, below it elsewhere.
func (o *statusOptions) draw(s *survey, at time.Time, first bool) error {
	var buf bytes.Buffer
	to := o.screen()
	switch o.output {
	case outputJSON: // one line a look
		if err := json.NewEncoder(&buf).Encode(s.report()); err != nil {
			return err
		}
	case outputYAML:
		buf.WriteString("---\n")
		if err := printYAML(&buf, s.report()); err != nil {
			return err
		}
	default:
		fmt.Fprintf(&buf, "%s, every %v, Ctrl-C ends\n\n", at.Format(time.DateTime), &o.watch)
		if err := s.write(&buf, to); err != nil {
			return err
		}
		if to.live {
			return redraw(o.env.stdout, buf.String())
		}
		if !first {
			buf = *bytes.NewBufferString("\n" + buf.String())
		}
	}
	_, err := o.env.stdout.Write(buf.Bytes())
	return err
}

// redraw writes text over what the terminal shows, without clearing it before,
// which would flicker.
func redraw(w io.Writer, text string) error {
	const home, restOfLine, restOfScreen = "\x1b[H", "\x1b[K", "\x1b[J"
	_, err := io.WriteString(w, home+strings.ReplaceAll(text, "\n", restOfLine+"\n")+restOfScreen)
	return err
}
