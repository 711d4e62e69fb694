package audit

import (
	"bytes"
	"errors"
	"log/slog"
	"regexp"
	"strings"
	"sync"
	"testing"
)

func TestAppend(t *testing.T) {
	for want, e := range map[string]Event{
		"user=zk\toperation=serverStart\tresult=success":                                                  {User: "zk", Operation: ServerStart, Result: Success},
		"session=0x10a\tuser=u\tip=::1\toperation=create\tznode=/a\tznode_type=ephemeral\tresult=failure": {Session: SessionText(0x10a), User: "u", IP: "::1", Operation: Create, Znode: "/a", ZnodeType: "ephemeral", Result: Failure},
		"operation=setAcl\tznode=/a\\n/b\\tc\\x07\tacl=world:anyone:r\tresult=success":                    {Operation: SetACL, Znode: "/a\n/b\tc\a", ACL: "world:anyone:r", Result: Success},
	} {
		if got := string(e.Append(nil)); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	if got := SessionText(-1); got != "0xffffffffffffffff" {
		t.Error(got)
	}
}

func TestToWriter(t *testing.T) {
	var b bytes.Buffer
	l := ToWriter(&b, slog.New(slog.DiscardHandler))
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 100 {
				l.Write(Event{Operation: Create, Znode: "/a", Result: Failure})
			}
		})
	}
	wg.Wait()
	l.Close()
	l.Write(Event{Operation: Delete}) // too late
	line := regexp.MustCompile(`^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} ERROR audit\.Slf4jAuditLogger: operation=create\tznode=/a\tresult=failure$`)
	lines := strings.Split(strings.TrimSuffix(b.String(), "\n"), "\n")
	if len(lines) != 400 {
		t.Errorf("%d lines", len(lines))
	}
	for _, got := range lines {
		if !line.MatchString(got) {
			t.Fatalf("%q", got)
		}
	}
}

func TestToLogger(t *testing.T) {
	var b bytes.Buffer
	l := ToLogger(slog.New(slog.NewTextHandler(&b, nil)))
	l.Write(Event{User: "zk", Operation: ServerStop, Result: Invoked})
	l.Close()
	if got := b.String(); !strings.Contains(got, "level=INFO msg=audit user=zk operation=serverStop result=invoked") {
		t.Error(got)
	}
	var none *Log
	none.Write(Event{})
	none.Close()
}

// slowWriter holds up the first write until it is let go.
type slowWriter struct {
	began, letGo chan struct{}
	once         sync.Once
}

func (w *slowWriter) Write(b []byte) (int, error) {
	w.once.Do(func() { close(w.began); <-w.letGo })
	return 0, errors.New("disk full")
}

// TestSlow: what waits is bounded, what is lost is told, and so is a failure.
func TestSlow(t *testing.T) {
	var b bytes.Buffer
	w := &slowWriter{began: make(chan struct{}), letGo: make(chan struct{})}
	l := ToWriter(w, slog.New(slog.NewTextHandler(&b, nil)))
	l.Write(Event{Operation: Create})
	<-w.began
	big := Event{Operation: Create, Znode: strings.Repeat("x", 1<<20)}
	for range 70 {
		l.Write(big)
	}
	if l.bytes > maxWaiting {
		t.Errorf("%d bytes wait", l.bytes)
	}
	close(w.letGo)
	l.Close()
	if got := b.String(); !strings.Contains(got, "events=7") || strings.Count(got, "disk full") != 1 {
		t.Error(got)
	}
}
