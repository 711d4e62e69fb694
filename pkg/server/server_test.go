package server

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-zookeeper/zk"

	fourletter "github.com/zkctl/zkctl/pkg/four-letter"
	"github.com/zkctl/zkctl/pkg/server/config"
)

const patience = 30 * time.Second

// freePort is a port that nobody listens on.
func freePort(t testing.TB) int {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	return ln.Addr().(*net.TCPAddr).Port
}

// A running server, which stop ends.
type running struct {
	*Server
	address string
	stop    func() error
}

// run starts a server that stands alone.
func run(t testing.TB, dir string, port int, extra string) *running {
	t.Helper()
	text := fmt.Sprintf("tickTime=2000\ndataDir=%s\nclientPort=%d\nclientPortAddress=127.0.0.1\npreAllocSize=64\n4lw.commands.whitelist=*\nadmin.enableServer=%t\n%s", dir, port, strings.Contains(extra, "admin.serverPort"), extra)
	cfg, _, err := config.Parse("zoo.cfg", strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	ready := make(chan struct{})
	ctx, cancel := context.WithCancel(context.Background())
	s := New(cfg, Options{Version: "3.9.3-test, built on 2026-01-01 00:00 UTC", Logger: slog.New(slog.DiscardHandler), Ready: func() { close(ready) }})
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	var once bool
	r := &running{Server: s, address: fmt.Sprintf("127.0.0.1:%d", port), stop: func() error {
		if once {
			return nil
		}
		once = true
		cancel()
		return <-ended
	}}
	t.Cleanup(func() {
		if err := r.stop(); err != nil {
			t.Error(err)
		}
	})
	select {
	case <-ready:
	case err := <-ended:
		t.Fatal(err)
	}
	if !strings.Contains(extra, "server.") { // its ports may be open a moment before it serves
		for deadline := time.Now().Add(patience); !s.pipeline.Serving() && time.Now().Before(deadline); {
			time.Sleep(time.Millisecond)
		}
	}
	return r
}

// tryRun starts a server that is not expected to get far.
func tryRun(t *testing.T, extra string) error {
	t.Helper()
	text := fmt.Sprintf("dataDir=%s\nclientPort=%d\nclientPortAddress=127.0.0.1\n%s", t.TempDir(), freePort(t), extra)
	cfg, _, err := config.Parse("zoo.cfg", strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	return New(cfg, Options{Logger: slog.New(slog.DiscardHandler)}).Run(ctx)
}

// dial returns a client with a session.
func (r *running) dial(t *testing.T) *zk.Conn {
	t.Helper()
	c, events, err := zk.Connect([]string{r.address}, 10*time.Second, zk.WithLogger(silent{}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	deadline := time.After(patience)
	for {
		select {
		case e := <-events:
			if e.State == zk.StateHasSession {
				return c
			}
		case <-deadline:
			t.Fatal("no session")
		}
	}
}

type silent struct{}

func (silent) Printf(string, ...any) {}

func TestStandalone(t *testing.T) {
	dir, port := t.TempDir(), freePort(t)
	r := run(t, dir, port, "")
	c := r.dial(t)
	if err := r.Alive(t.Context()); err != nil {
		t.Error(err)
	}
	for i := range 50 {
		if _, err := c.Create(fmt.Sprintf("/n%02d", i), []byte("x"), 0, zk.WorldACL(zk.PermAll)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := c.Create("/e", nil, zk.FlagEphemeral, zk.WorldACL(zk.PermAll)); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Multi(&zk.DeleteRequest{Path: "/n00", Version: -1}, &zk.SetDataRequest{Path: "/n01", Data: []byte("y"), Version: 0}); err != nil {
		t.Fatal(err)
	}
	_, _, events, err := c.GetW("/n01")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Set("/n01", []byte("z"), 1); err != nil {
		t.Fatal(err)
	}
	if e := <-events; e.Type != zk.EventNodeDataChanged {
		t.Errorf("event %v", e)
	}
	c.Close()
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	if err := r.Alive(t.Context()); err == nil {
		t.Error("a stopped server is alive")
	}

	again := run(t, dir, port, "")
	c = again.dial(t)
	names, _, err := c.Children("/")
	if err != nil || len(names) != 50 { // with zookeeper, without n00 and e
		t.Errorf("%d znodes after a restart: %v", len(names), err)
	}
	if data, _, err := c.Get("/n01"); err != nil || string(data) != "z" {
		t.Errorf("/n01 holds %q: %v", data, err)
	}
	if n := again.pipeline.Metrics().DigestMismatches.Load(); n != 0 {
		t.Errorf("%d digests differ", n)
	}
}

// TestSessionOutlivesServer restarts under a client: its session and
// ephemeral are there afterwards.
func TestSessionOutlivesServer(t *testing.T) {
	dir, port := t.TempDir(), freePort(t)
	r := run(t, dir, port, "")
	c := r.dial(t)
	if _, err := c.Create("/e", nil, zk.FlagEphemeral, zk.WorldACL(zk.PermAll)); err != nil {
		t.Fatal(err)
	}
	id := c.SessionID()
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	run(t, dir, port, "")
	deadline := time.Now().Add(patience)
	for {
		_, stat, err := c.Exists("/e")
		if err == nil {
			if stat.EphemeralOwner != id || c.SessionID() != id {
				t.Errorf("session %x became %x", id, c.SessionID())
			}
			return
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
}

func TestWordsParse(t *testing.T) {
	r := run(t, t.TempDir(), freePort(t), "")
	c := r.dial(t)
	if _, err := c.Create("/e", nil, zk.FlagEphemeral, zk.WorldACL(zk.PermAll)); err != nil {
		t.Fatal(err)
	}
	if _, _, _, err := c.GetW("/e"); err != nil {
		t.Fatal(err)
	}
	parsers := map[string]func([]byte) (any, error){
		fourletter.Srvr: parser(fourletter.ParseSrvr), fourletter.Stat: parser(fourletter.ParseStat), fourletter.Mntr: parser(fourletter.ParseMntr),
		fourletter.Conf: parser(fourletter.ParseConf), fourletter.Cons: parser(fourletter.ParseCons), fourletter.Envi: parser(fourletter.ParseEnvi),
		fourletter.Dirs: parser(fourletter.ParseDirs), fourletter.Dump: parser(fourletter.ParseDump), fourletter.Wchs: parser(fourletter.ParseWchs),
		fourletter.Wchc: parser(fourletter.ParseWchc), fourletter.Wchp: parser(fourletter.ParseWchp),
	}
	fixed := map[string]string{fourletter.Ruok: fourletter.Imok, fourletter.Isro: fourletter.ReadWrite, fourletter.Srst: fourletter.StatsReset, fourletter.Crst: fourletter.ConnectionsReset}
	for _, word := range fourletter.Words() {
		if word == fourletter.Stmk { // more than a word; see TestTraceMask
			continue
		}
		answer, err := fourletter.Ask(t.Context(), r.address, word)
		if err != nil {
			t.Error(err)
			continue
		}
		if parse := parsers[word]; parse != nil {
			if _, err := parse(answer); err != nil {
				t.Errorf("%s: %v in\n%s", word, err, answer)
			}
		} else if want, ok := fixed[word]; ok && !bytes.Equal(answer, []byte(want)) {
			t.Errorf("%s: %q, want %q", word, answer, want)
		} else if len(answer) == 0 && word != fourletter.Hash { // no transaction is remembered yet
			t.Errorf("%s: no answer", word)
		}
	}
	srvr, err := fourletter.Ask(t.Context(), r.address, fourletter.Srvr)
	if err != nil {
		t.Fatal(err)
	}
	if a, err := fourletter.ParseSrvr(srvr); err != nil || a.Mode != fourletter.ModeStandalone || a.NodeCount != 6 || a.Connections != 2 { // the session's, and the one that asks
		t.Errorf("srvr: %+v, %v", a, err)
	}
}

func parser[T any](f func([]byte) (T, error)) func([]byte) (any, error) {
	return func(b []byte) (any, error) { return f(b) }
}

// TestWordsNotListed asks a server whose whitelist is the default: srvr.
func TestWordsNotListed(t *testing.T) {
	r := run(t, t.TempDir(), freePort(t), "")
	r.words.allowed = []string{fourletter.Srvr}
	for word, want := range map[string]bool{fourletter.Srvr: true, fourletter.Ruok: false} {
		answer := r.words.answer(word, nil)
		if refused := string(answer) == fourletter.NotWhitelistedAnswer(word); refused == want {
			t.Errorf("%s: %q", word, answer)
		}
	}
	if r.words.known("abcd") {
		t.Error("abcd is a word")
	}
}

func TestCannotStart(t *testing.T) {
	dir, port := t.TempDir(), freePort(t)
	r := run(t, dir, port, "")
	start := func(dir, extra string) error {
		text := fmt.Sprintf("dataDir=%s\nclientPort=%d\nclientPortAddress=127.0.0.1\n%s", dir, port, extra)
		cfg, _, err := config.Parse("zoo.cfg", strings.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		return New(cfg, Options{Logger: slog.New(slog.DiscardHandler)}).Run(t.Context())
	}
	if err := start(dir, ""); err == nil || !strings.Contains(err.Error(), dir) {
		t.Errorf("two servers share a directory: %v", err)
	}
	err := start(t.TempDir(), "")
	if err == nil || !strings.Contains(err.Error(), r.address) || !strings.Contains(err.Error(), fmt.Sprintf("process %d (", os.Getpid())) {
		t.Errorf("the port is held: %v", err)
	}
	if err := start(t.TempDir(), "DigestAuthenticationProvider.digestAlg=MD5\n"); err == nil || !strings.Contains(err.Error(), "MD5") {
		t.Errorf("unknown digest: %v", err)
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := start(file, ""); err == nil || errors.Is(err, context.Canceled) {
		t.Errorf("the data directory is a file: %v", err)
	}
}
