package server

import (
	"encoding/binary"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	fourletter "github.com/zkctl/zkctl/pkg/four-letter"
	"github.com/zkctl/zkctl/pkg/server/metrics"
)

// ask sends bytes to the client port and reads until the server closes.
func (r *running) ask(t *testing.T, send []byte) string {
	t.Helper()
	c, err := net.Dial("tcp", r.address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Write(send); err != nil {
		t.Fatal(err)
	}
	answer, err := io.ReadAll(c)
	if err != nil {
		t.Fatal(err)
	}
	return string(answer)
}

// TestTraceMask sets the mask; what gtmk tells follows.
func TestTraceMask(t *testing.T) {
	r := run(t, t.TempDir(), freePort(t), "")
	if got := r.ask(t, []byte(fourletter.Gtmk)); got != "306" {
		t.Errorf("gtmk: %q", got)
	}
	if got := r.ask(t, binary.BigEndian.AppendUint64([]byte(fourletter.Stmk), 1026)); got != "1026" {
		t.Errorf("stmk: %q", got)
	}
	if got := r.ask(t, []byte(fourletter.Gtmk)); got != "1026" {
		t.Errorf("gtmk after stmk: %q", got)
	}
}

// TestUnknownWord is closed without a word, like the bytes with which telnet
// leaves (FourLetterCommands.java, telnetCloseCmd).
func TestUnknownWord(t *testing.T) {
	r := run(t, t.TempDir(), freePort(t), "")
	for _, send := range []string{"zzzz", "lsnp", "\xff\xf4\xff\xfd\x06"} {
		if got := r.ask(t, []byte(send)); got != "" {
			t.Errorf("%q: %q", send, got)
		}
	}
}

// TestAskerIsCounted compares with what Apache's servers tell of the
// connection that asks.
func TestAskerIsCounted(t *testing.T) {
	r := run(t, t.TempDir(), freePort(t), "")
	cons, err := fourletter.ParseCons([]byte(r.ask(t, []byte(fourletter.Cons))))
	if err != nil || len(cons.Connections) != 1 || cons.Connections[0].Interest != 0 || cons.Connections[0].Received != 1 || cons.Connections[0].Session != nil {
		t.Errorf("cons: %+v, %v", cons, err)
	}
	r.ask(t, []byte(fourletter.Srst))
	srvr, err := fourletter.ParseSrvr([]byte(r.ask(t, []byte(fourletter.Srvr))))
	if err != nil || srvr.Connections != 1 || srvr.Received != 1 || srvr.Sent != 1 {
		t.Errorf("srvr after srst: %+v, %v", srvr, err)
	}
}

// TestMntrTellsMetrics looks for one of each kind, and that every gauge is one
// that is listed.
func TestMntrTellsMetrics(t *testing.T) {
	r := run(t, t.TempDir(), freePort(t), "")
	c := r.dial(t)
	if _, err := c.Set("/zookeeper/config", nil, 7); err == nil {
		t.Fatal("a wrong version was taken")
	}
	if _, _, err := c.Get("/zookeeper/config"); err != nil {
		t.Fatal(err)
	}
	a, err := fourletter.ParseMntr([]byte(r.ask(t, []byte(fourletter.Mntr))))
	if err != nil {
		t.Fatal(err)
	}
	for key, least := range map[string]int64{
		"znode_count": 5, "packets_received": 3, "num_alive_connections": 2, "cnt_readlatency": 1, "cnt_updatelatency": 1,
		"cnt_zookeeper_read_per_namespace": 1, "connection_request_count": 1, "bytes_received_count": 80, "response_bytes": 80,
		"cnt_fsynctime": 1, "cnt_dbinittime": 1, "last_client_response_size": 16, "cnt_prep_process_time": 2, "cnt_propagation_latency": 2,
	} {
		if n, ok := a.Int(key); !ok || n < least {
			t.Errorf("%s is %d (%v), want at least %d", key, n, ok, least)
		}
	}
	listed := map[string]bool{}
	for _, n := range metrics.GaugeNames() {
		listed[n] = true
	}
	r.metrics.Each(onGauge(func(name string) {
		if !listed[name] {
			t.Errorf("gauge %s is not listed", name)
		}
	}))
}

type onGauge func(name string)

func (f onGauge) Gauge(name, _ string, _ float64, _ bool)         { f(name) }
func (f onGauge) Counter(string, string, int64)                   {}
func (f onGauge) Summary(_, _ string, _ *metrics.Summary, _ bool) {}

// TestStatLayout masks the figures and compares with Apache's layout.
func TestStatLayout(t *testing.T) {
	r := run(t, t.TempDir(), freePort(t), "")
	lines := strings.Split(r.ask(t, []byte(fourletter.Stat)), "\n")
	want := []string{"Zookeeper version: ", "Clients:", " /127.0.0.1:", "", "Latency min/avg/max: ", "Received: ", "Sent: ",
		"Connections: ", "Outstanding: ", "Zxid: 0x", "Mode: standalone", "Node count: ", ""}
	if len(lines) != len(want) {
		t.Fatalf("%q", lines)
	}
	for i := range want {
		if !strings.HasPrefix(lines[i], want[i]) {
			t.Errorf("line %d is %q, want %q", i, lines[i], want[i])
		}
	}
}

// TestEnviKeys has every key of Environment.java in its order, then our own.
func TestEnviKeys(t *testing.T) {
	r := run(t, t.TempDir(), freePort(t), "")
	answer, err := fourletter.ParseEnvi([]byte(r.ask(t, []byte(fourletter.Envi))))
	if err != nil {
		t.Fatal(err)
	}
	var keys []string
	for _, p := range answer.Pairs {
		keys = append(keys, p.Key)
	}
	const want = "zookeeper.version host.name java.version java.vendor java.home java.class.path java.library.path java.io.tmpdir java.compiler " +
		"os.name os.arch os.version user.name user.home user.dir os.memory.free os.memory.max os.memory.total go.version"
	if got := strings.Join(keys, " "); got != want {
		t.Errorf("envi has %s\nwant     %s", got, want)
	}
}
