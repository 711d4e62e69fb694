package overload

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/zkctl/zkctl/pkg/server/proto"
	"github.com/zkctl/zkctl/test/ensemble"
)

func TestMain(m *testing.M) { os.Exit(ensemble.Main(m)) }

const (
	// largest is the data of a request that just fits into jute.maxbuffer.
	largest = 0xfffff - 200
	// memoryBound is what the process may take, in bytes. Requests may hold 64 MiB
	// and what waits for slow readers 256 MiB; the rest is what they become on their
	// way (frame, transaction, log) and the garbage collector's room.
	memoryBound = 1 << 30
	clients     = 100 // of each attack
)

// An attack is what one client of many does. It may be disconnected at any time,
// and returns what it opened.
type attack struct {
	name string
	run  func(address string, n int) (io.Closer, error)
}

func attacks() []attack {
	return []attack{
		{"garbage instead of a handshake", garbage},
		{"garbage behind a handshake", garbageInSession},
		{"half a handshake", func(a string, _ int) (io.Closer, error) { return send(dial, a, []byte{0, 0, 0, 45, 0}) }},
		{"the largest requests announced and not sent", announced},
		{"the largest requests, half sent", halfSent},
		{"the largest writes without reading the answers", writes},
		{"the largest writes, and gone at once", writesAndGone},
		{"large answers that are not read", unread},
		{"one znode asked for a thousand times in a request", multiReads},
		{"reads that wait behind a write", readsBehindWrite},
		{"byte after byte", byteByByte},
		{"many watches and the events of one write", watches},
	}
}

func TestOverload(t *testing.T) {
	if testing.Short() {
		t.Skip("takes a gigabyte of memory")
	}
	e := ensemble.Start(t, ensemble.Options{Config: map[string]string{"maxClientCnxns": "0", "tickTime": "2000", "snapCount": "1000000"}})
	address := e.Addr(1)
	seed(t, address)
	for _, a := range attacks() {
		ctx, cancel := context.WithCancel(t.Context())
		served := make(chan served, 1)
		go func() { served <- serve(ctx, address) }()
		a.start(t, address)
		cancel()
		s := <-served
		t.Logf("%-55s peak %4d MiB; another client was served %4d times, in %v at most", a.name, peak(t, e.PID(1))>>20, s.rounds, s.slowest.Round(time.Millisecond))
		if s.err != nil {
			t.Errorf("another client, after %d rounds: %v", s.rounds, s.err)
		}
	}
	if got := peak(t, e.PID(1)); got > memoryBound {
		t.Errorf("the server took %d MiB, at most %d may be", got>>20, memoryBound>>20)
	}
	after(t, address)
}

// start runs an attack by all its clients, and keeps their connections open until
// all have done it.
func (a attack) start(t *testing.T, address string) {
	t.Helper()
	var all sync.WaitGroup
	var mu sync.Mutex
	var open []io.Closer
	for n := range clients {
		all.Go(func() {
			c, err := a.run(address, n)
			mu.Lock()
			defer mu.Unlock()
			if c != nil {
				open = append(open, c)
			}
			_ = err // the server may have closed the connection
		})
	}
	all.Wait()
	for _, c := range open {
		_ = c.Close()
	}
}

// seed makes the znodes that are attacked.
func seed(t *testing.T, address string) {
	t.Helper()
	c, err := open(address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for path, size := range map[string]int{"/big": largest, "/half": 500 << 10, "/small": 10} {
		if _, err := c.do(proto.OpCreate, create(path, make([]byte, size))); err != nil {
			t.Fatal(err)
		}
	}
	for n := range 10 {
		if _, err := c.do(proto.OpCreate, create(fmt.Sprintf("/w%d", n), nil)); err != nil {
			t.Fatal(err)
		}
	}
}

type served struct {
	rounds  int
	slowest time.Duration
	err     error
}

// serve is the client that must not notice: small and large requests, one after
// the other.
func serve(ctx context.Context, address string) (s served) {
	c, err := open(address)
	if err != nil {
		return served{err: err}
	}
	defer c.Close()
	data := bytes.Repeat([]byte("d"), 20<<10)
	for ; s.rounds == 0 || ctx.Err() == nil; s.rounds++ {
		start := time.Now()
		if _, s.err = c.do(proto.OpPing, nil); s.err != nil {
			return s
		}
		if _, s.err = c.do(proto.OpSetData, setData("/small", data)); s.err != nil {
			return s
		}
		d, err := c.do(proto.OpGetData, getData("/small"))
		if err != nil {
			s.err = err
			return s
		}
		if got := d.Buffer(); !bytes.Equal(got, data) {
			s.err = fmt.Errorf("read %d bytes that were not written", len(got))
			return s
		}
		s.slowest = max(s.slowest, time.Since(start))
	}
	return s
}

// after checks that the server is as before.
func after(t *testing.T, address string) {
	t.Helper()
	ensemble.Eventually(t, "nobody but who asks is connected", func() bool {
		c, err := open(address)
		if err != nil {
			return false
		}
		defer c.Close()
		answer, err := word(address, "mntr")
		return err == nil && strings.Contains(answer, "zk_num_alive_connections\t2\n") && strings.Contains(answer, "zk_outstanding_requests\t0\n")
	})
}

func word(address, w string) (string, error) {
	c, err := dial(address)
	if err != nil {
		return "", err
	}
	defer c.Close()
	if _, err := io.WriteString(c, w); err != nil {
		return "", err
	}
	b, err := io.ReadAll(c)
	return string(b), err
}

// peak is the most memory a process has taken so far, in bytes.
func peak(t *testing.T, pid int) int64 {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Skip(err) // not Linux
	}
	_, line, _ := strings.Cut(string(b), "VmHWM:")
	var kb int64
	if _, err := fmt.Sscanf(line, "%d kB", &kb); err != nil {
		t.Fatal(err)
	}
	return kb << 10
}

// send connects and sends bytes.
func send(connect func(string) (*client, error), address string, b []byte) (io.Closer, error) {
	c, err := connect(address)
	if err != nil {
		return nil, err
	}
	_, err = c.Write(b)
	return c, err
}

func noise(n int) []byte {
	r := rand.New(rand.NewPCG(uint64(n), 1))
	b := make([]byte, 256<<10)
	for i := range len(b) / 8 {
		binary.BigEndian.PutUint64(b[8*i:], r.Uint64())
	}
	return b
}

func garbage(address string, n int) (io.Closer, error) { return send(dial, address, noise(n)) }

func garbageInSession(address string, n int) (io.Closer, error) {
	b := noise(n)
	for i := 0; i+1004 < len(b); i += 1004 { // in frames of a right length
		binary.BigEndian.PutUint32(b[i:], 1000)
		binary.BigEndian.PutUint32(b[i+8:], uint32(b[i+8])%25)
	}
	return send(open, address, b)
}

func announced(address string, _ int) (io.Closer, error) {
	return send(open, address, binary.BigEndian.AppendUint32(nil, largest))
}

func halfSent(address string, _ int) (io.Closer, error) {
	return send(open, address, append(binary.BigEndian.AppendUint32(nil, largest), make([]byte, largest/2)...))
}

func writes(address string, n int) (io.Closer, error) {
	c, err := open(address)
	if err != nil {
		return nil, err
	}
	data := make([]byte, largest)
	for range 4 {
		if _, err := c.Write(c.request(proto.OpSetData, setData(fmt.Sprintf("/w%d", n%10), data))); err != nil {
			return c, err
		}
	}
	_, err = c.read()
	return c, err
}

func writesAndGone(address string, n int) (io.Closer, error) {
	c, err := open(address)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	for range 2 {
		if _, err := c.Write(c.request(proto.OpSetData, setData(fmt.Sprintf("/w%d", n%10), make([]byte, largest)))); err != nil {
			return nil, err
		}
	}
	return nil, nil
}

// unread asks for fifty megabytes.
func unread(address string, _ int) (io.Closer, error) {
	c, err := open(address)
	if err != nil {
		return nil, err
	}
	_ = c.Conn.(*net.TCPConn).SetReadBuffer(4 << 10)
	var b []byte
	for range 100 {
		b = append(b, c.request(proto.OpGetData, getData("/half"))...)
	}
	_, err = c.Write(b)
	return c, err
}

func multiReads(address string, n int) (io.Closer, error) {
	c, err := open(address)
	if err != nil {
		return nil, err
	}
	_ = c.Conn.(*net.TCPConn).SetReadBuffer(4 << 10)
	var ops []proto.MultiOp
	for range 1000 {
		ops = append(ops, proto.MultiOp{Op: proto.OpGetData, Body: &proto.PathWatch{Path: "/big"}})
	}
	_, err = c.Write(c.request(proto.OpMultiRead, proto.AppendMulti(nil, ops)))
	return c, err
}

// readsBehindWrite makes answers come due all at once.
func readsBehindWrite(address string, n int) (io.Closer, error) {
	c, err := open(address)
	if err != nil {
		return nil, err
	}
	_ = c.Conn.(*net.TCPConn).SetReadBuffer(4 << 10)
	b := c.request(proto.OpSetData, setData(fmt.Sprintf("/w%d", n%10), []byte("x")))
	for range 100 {
		b = append(b, c.request(proto.OpGetData, getData("/half"))...)
	}
	_, err = c.Write(b)
	return c, err
}

func byteByByte(address string, _ int) (io.Closer, error) {
	c, err := open(address)
	if err != nil {
		return nil, err
	}
	for _, b := range c.request(proto.OpGetData, getData("/small")) {
		if _, err := c.Write([]byte{b}); err != nil {
			return c, err
		}
	}
	_, err = c.read()
	return c, err
}

// watches leaves ten thousand watches below the same names, then writes one.
func watches(address string, n int) (io.Closer, error) {
	c, err := open(address)
	if err != nil {
		return nil, err
	}
	var set proto.SetWatches
	for i := range 10_000 {
		set.Exist = append(set.Exist, fmt.Sprintf("/none/%d", i))
	}
	b := c.request(proto.OpSetWatches, set.Append(nil, proto.OpSetWatches))
	b = append(b, c.request(proto.OpSetData, setData(fmt.Sprintf("/w%d", n%10), nil))...)
	if _, err = c.Write(b); err == nil {
		_, err = c.read()
	}
	return c, err
}
