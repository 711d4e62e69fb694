package quorum

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/zkctl/zkctl/pkg/server/jute"
	"github.com/zkctl/zkctl/pkg/server/zab"
)

// patience bounds every wait of a test; it is reached only when the test fails.
const patience = 30 * time.Second

// waitFor waits until a condition holds.
func waitFor(t testing.TB, what string, holds func() bool) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for !holds() {
		if time.Now().After(deadline) {
			t.Fatalf("waited %s in vain until %s", patience, what)
		}
		<-time.After(2 * time.Millisecond)
	}
}

// subnets numbers the loopback networks of this process's tests.
var subnets atomic.Int32

// subnet returns "127.x.y.", a network no other test uses, so that ports need not
// be searched for.
func subnet() string {
	return fmt.Sprintf("127.%d.%d.", 64+os.Getpid()%190, subnets.Add(1)%250)
}

// node is a znode as it stands in a snapshot: its path, and the record behind it.
type node struct {
	path string
	raw  []byte
}

// memory is a server's disk and tree: it implements Log and Machine for tests. The
// tree has a znode for each proposal; a snapshot of it is one that Apache reads.
type memory struct {
	mu sync.Mutex

	// The disk. A crash keeps base and log.
	base     []node
	baseZxid zab.Zxid
	log      []zab.Proposal
	unsynced []zab.Proposal
	epochs   zab.Epochs
	syncs    int
	fail     error

	// The tree and what else is lost in a crash.
	tree     []node
	applied  zab.Zxid
	faults   []string
	term     Term
	terms    int
	order    Order
	next     zab.Zxid
	self     zab.Sid
	touched  []Touch
	heard    []Touch
	synced   int
	requests []Request
	valid    map[int64]bool

	transact func(Request, zab.Zxid) []byte // makes a request a transaction; nil: its body is one

	holdSync chan struct{} // Sync waits until it is closed
	held     int           // how many do
	bulk     int           // bytes of padding in snapshots
	received int
	refuse   int // snapshots that Receive has yet to refuse

	count     bool // keep no tree
	committed func([]zab.Proposal)

	snapshotFault error
	snapshots     int
	installs      int
	cuts          int

	// Its log as it is read again.
	fromLog  bool
	limit    int64
	pastFile func([]zab.Proposal) []zab.Proposal // what it gives, when it is opened
	pastRead func(n int, pr *zab.Proposal) error // for the n-th that is read of all
	reads    int
}

func newMemory(self zab.Sid) *memory {
	m := &memory{self: self, valid: map[int64]bool{}}
	m.recover()
	return m
}

// recover makes the tree what the disk holds.
func (m *memory) recover() {
	m.unsynced = nil
	m.tree, m.applied = slices.Clone(m.base), m.baseZxid
	if m.tree == nil {
		m.tree = []node{{"", nodeRecord(nil)}, {"/zookeeper", nodeRecord(nil)}, {"/zookeeper/quota", nodeRecord(nil)}}
	}
	for _, p := range m.log {
		m.apply(p)
	}
}

func (m *memory) apply(p zab.Proposal) {
	if p.Zxid <= m.applied {
		m.faults = append(m.faults, fmt.Sprintf("%s committed after %s", p.Zxid, m.applied))
	}
	m.applied = p.Zxid
	if m.count {
		return
	}
	m.tree = append(m.tree, node{"/p" + p.Zxid.String(), nodeRecord(p.Data)})
}

// nodeRecord is a znode in a snapshot: buffer data | long acl | StatPersisted.
func nodeRecord(data []byte) []byte {
	return append(jute.AppendLong(jute.AppendBuffer(nil, append([]byte{}, data...)), -1), make([]byte, 60)...)
}

func (m *memory) Append(ps []zab.Proposal) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.unsynced = append(m.unsynced, ps...)
	return m.fail
}

func (m *memory) Sync() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.held++
	for hold := m.holdSync; hold != nil && m.fail == nil; hold = m.holdSync {
		m.mu.Unlock()
		<-hold
		m.mu.Lock()
		if m.holdSync == hold {
			m.holdSync = nil
		}
	}
	m.held--
	m.syncs++
	if m.fail != nil {
		return m.fail
	}
	m.log = append(m.log, m.unsynced...)
	m.unsynced = nil
	return nil
}

func (m *memory) WriteEpochs(e zab.Epochs) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.epochs = e
	return m.fail
}

func (m *memory) Commit(ps []zab.Proposal) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, p := range ps {
		m.apply(p)
	}
	if m.committed != nil {
		m.committed(ps)
	}
}

type memorySnapshot struct {
	zxid zab.Zxid
	data []byte
}

func (s memorySnapshot) Zxid() int64 { return int64(s.zxid) }

func (s memorySnapshot) WriteTo(w io.Writer) (int64, error) {
	return io.Copy(w, bytes.NewReader(s.data))
}

func (m *memory) Snapshot() (Snapshot, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.snapshots++
	if m.snapshotFault != nil {
		return nil, m.snapshotFault
	}
	b := make([]byte, 8) // no sessions, no ACLs
	for i, n := range m.tree {
		b = append(jute.AppendString(b, n.path), n.raw...)
		if i == 0 && m.bulk > 0 {
			b = append(jute.AppendString(b, "/bulk"), nodeRecord(make([]byte, m.bulk))...)
		}
	}
	return memorySnapshot{m.applied, jute.AppendString(b, "/")}, nil
}

func (m *memory) MembersIn(Staged) string { return "" }

func (m *memory) Receive(r io.Reader) (Staged, error) {
	m.mu.Lock()
	m.received++
	m.refuse--
	refuse := m.refuse >= 0
	m.mu.Unlock()
	if refuse {
		return nil, errInjected
	}
	return readTree(r)
}

// readTree reads a snapshot stream and not a byte more.
func readTree(r io.Reader) ([]node, error) {
	sessions, err := take(r, 4)
	if err != nil {
		return nil, err
	}
	if _, err = take(r, 12*int(binary.BigEndian.Uint32(sessions))); err != nil {
		return nil, err
	}
	if err = skipACLs(r); err != nil {
		return nil, err
	}
	nodes := []node{}
	for {
		path, err := takeBuffer(r)
		if err != nil {
			return nil, err
		}
		if string(path) == "/" {
			return nodes, nil
		}
		data, err := takeBuffer(r)
		if err != nil {
			return nil, err
		}
		rest, err := take(r, 8+60)
		if err != nil {
			return nil, err
		}
		nodes = append(nodes, node{string(path), append(jute.AppendBuffer(nil, data), rest...)})
	}
}

func skipACLs(r io.Reader) error {
	n, err := take(r, 4)
	if err != nil {
		return err
	}
	for range binary.BigEndian.Uint32(n) {
		head, err := take(r, 12)
		if err != nil {
			return err
		}
		for range binary.BigEndian.Uint32(head[8:]) {
			for _, read := range []func() ([]byte, error){
				func() ([]byte, error) { return take(r, 4) },
				func() ([]byte, error) { return takeBuffer(r) },
				func() ([]byte, error) { return takeBuffer(r) },
			} {
				if _, err := read(); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func take(r io.Reader, n int) ([]byte, error) {
	if n < 0 || n > 1<<28 {
		return nil, fmt.Errorf("%d bytes", n)
	}
	b := make([]byte, n)
	_, err := io.ReadFull(r, b)
	return b, err
}

func takeBuffer(r io.Reader) ([]byte, error) {
	n, err := take(r, 4)
	if err != nil {
		return nil, err
	}
	if length := int32(binary.BigEndian.Uint32(n)); length >= 0 {
		return take(r, int(length))
	}
	return nil, nil
}

func (m *memory) Install(s Staged, zxid zab.Zxid) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	nodes, ok := s.([]node)
	if !ok {
		return errors.New("no snapshot to install")
	}
	m.installs++
	m.base, m.baseZxid, m.log = nodes, zxid, nil
	m.recover()
	return nil
}

func (m *memory) CanTruncate(zxid zab.Zxid) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return zxid >= m.baseZxid
}

func (m *memory) Truncate(zxid zab.Zxid) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.cuts++
	m.log = slices.DeleteFunc(m.log, func(p zab.Proposal) bool { return p.Zxid > zxid })
	m.recover()
	return nil
}

func (m *memory) Term(t Term) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.term = t
	m.terms++
	m.next = t.Next
}

func (m *memory) Request(from zab.Sid, r Request) {
	m.mu.Lock()
	m.requests = append(m.requests, r)
	epoch, order := m.term.Epoch, m.order
	m.mu.Unlock()
	if r.Op == 9 {
		order.Sync(epoch, from, nil)
		return
	}
	m.request(r)
}

// request orders a request if we lead; it is dropped otherwise.
func (m *memory) request(r Request) zab.Zxid {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.next == 0 || !m.term.Serving {
		return 0
	}
	z := m.next
	m.next++
	data := r.Body
	if m.transact != nil {
		data = m.transact(r, z)
	}
	m.order.Propose(m.term.Epoch, []zab.Proposal{{Zxid: z, Data: data}})
	return z
}

func (m *memory) Revalidate(_ zab.Sid, session int64, _ int32) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return session == 42
}

func (m *memory) Touch(_ zab.Sid, ts []Touch) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.heard = append(m.heard, ts...)
}

func (m *memory) Touched() []Touch {
	m.mu.Lock()
	defer m.mu.Unlock()
	ts := m.touched
	m.touched = nil
	return ts
}

func (m *memory) Revalidated(session int64, valid bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.valid[session] = valid
}

func (m *memory) Synced() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.synced++
}

// propose orders a transaction if we lead; it is dropped otherwise.
func (m *memory) propose(data []byte) zab.Zxid { return m.request(Request{Body: data}) }

// view returns a part of the state, consistently.
func view[T any](m *memory, part func() T) T {
	m.mu.Lock()
	defer m.mu.Unlock()
	return part()
}

func (m *memory) serving() bool { return view(m, func() bool { return m.term.Serving }) }

// contents is the tree as text, without padding.
func (m *memory) contents() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	var b strings.Builder
	for _, n := range m.tree {
		if strings.HasPrefix(n.path, "/p0x") {
			data := jute.NewDecoder(n.raw).Buffer()
			fmt.Fprintf(&b, "%s=%s\n", n.path, data)
		}
	}
	return b.String()
}

// server is one server of an ensemble under test.
type server struct {
	*memory
	cfg     Config
	peer    *Peer
	running bool
	stop    context.CancelFunc
	result  chan error
}

// ensemble is some servers in this process.
type ensemble struct {
	t       testing.TB
	members []Member
	servers map[zab.Sid]*server
}

const (
	quorumPort   = 12888
	electionPort = 13888
)

// newEnsemble makes servers 1 to voters, and observers after them; none runs yet.
func newEnsemble(t testing.TB, voters, observers int) *ensemble {
	e := &ensemble{t: t, servers: map[zab.Sid]*server{}}
	network := subnet()
	for i := 1; i <= voters+observers; i++ {
		e.members = append(e.members, Member{
			Sid: zab.Sid(i), Observer: i > voters,
			Quorum:   []string{fmt.Sprintf("%s%d:%d", network, i, quorumPort)},
			Election: []string{fmt.Sprintf("%s%d:%d", network, i, electionPort)},
		})
	}
	for _, m := range e.members {
		s := &server{memory: newMemory(m.Sid)}
		s.cfg = Config{
			Self: m.Sid, Members: slices.Clone(e.members),
			TickTime: 200 * time.Millisecond, InitLimit: 50, SyncLimit: 10,
			Tick: 5 * time.Millisecond, CnxTimeout: time.Second,
			FinalizeWait: 50 * time.Millisecond, NotifyMin: 50 * time.Millisecond, NotifyMax: 200 * time.Millisecond,
			DialRetry: 20 * time.Millisecond,
			Logger:    slog.New(slog.NewTextHandler(testLog{t}, &slog.HandlerOptions{Level: slog.LevelDebug})).With("server", m.Sid),
		}
		e.servers[m.Sid] = s
	}
	t.Cleanup(func() {
		for _, s := range e.servers {
			e.halt(s)
		}
		for sid, s := range e.servers {
			for _, fault := range s.faults {
				t.Errorf("server %d: %s", sid, fault)
			}
		}
	})
	return e
}

// testLog passes log lines on to the test.
type testLog struct{ t testing.TB }

func (l testLog) Write(b []byte) (int, error) {
	l.t.Logf("%s %s", time.Now().Format("05.000"), bytes.TrimSpace(b))
	return len(b), nil
}

// start lets a server run from what its disk holds.
func (e *ensemble) start(sids ...zab.Sid) {
	e.t.Helper()
	for _, sid := range sids {
		s := e.servers[sid]
		s.mu.Lock()
		s.recover()
		cfg := s.cfg
		cfg.Epochs, cfg.LastZxid, cfg.Window = s.epochs, s.applied, slices.Clone(s.log)
		s.term = Term{}
		s.mu.Unlock()
		if s.fromLog {
			cfg.History = s.memory
		}
		peer, err := NewPeer(cfg, s.memory, s.memory)
		if err != nil {
			e.t.Fatalf("server %d: %v", sid, err)
		}
		s.mu.Lock()
		s.order = peer
		s.mu.Unlock()
		ctx, stop := context.WithCancel(context.Background())
		s.peer, s.stop, s.result, s.running = peer, stop, make(chan error, 1), true
		go func() { s.result <- peer.Run(ctx) }()
	}
}

// halt stops a server; what was not synced is lost, as in a crash.
func (e *ensemble) halt(s *server) {
	if !s.running {
		return
	}
	s.stop()
	s.running = false
	if err := <-s.result; err != nil && !errors.Is(err, errInjected) {
		e.t.Errorf("server %d: %v", s.self, err)
	}
}

var errInjected = errors.New("injected fault")

func (e *ensemble) all() []zab.Sid {
	var sids []zab.Sid
	for _, m := range e.members {
		sids = append(sids, m.Sid)
	}
	return sids
}

// serveAll waits until all running servers serve.
func (e *ensemble) serveAll() {
	e.t.Helper()
	waitFor(e.t, "all running servers serve", func() bool {
		for _, s := range e.servers {
			if s.running && !s.serving() {
				return false
			}
		}
		return true
	})
}

// leader waits until all running servers serve under one that leads, and returns it.
func (e *ensemble) leader() *server {
	e.t.Helper()
	var leader *server
	waitFor(e.t, "all running servers serve under one of them", func() bool {
		leader = nil
		epochs := map[int64]bool{}
		for _, s := range e.servers {
			if !s.running {
				continue
			}
			term := view(s.memory, func() Term { return s.term })
			if !term.Serving {
				return false
			}
			if term.Role == zab.Leading {
				leader = s
			}
			epochs[term.Epoch] = true
		}
		return leader != nil && len(epochs) == 1
	})
	return leader
}

// write proposes n transactions on the leader and waits until they are everywhere.
func (e *ensemble) write(leader *server, n int, text string) {
	e.t.Helper()
	for i := range n {
		if leader.propose(fmt.Appendf(nil, "%s-%d", text, i)) == 0 {
			e.t.Fatalf("server %d does not lead", leader.self)
		}
	}
	waitFor(e.t, "the leader has applied "+text, func() bool {
		return strings.Contains(leader.contents(), fmt.Sprintf("=%s-%d\n", text, n-1))
	})
	e.equal()
}

// equal waits until all running servers hold the same.
func (e *ensemble) equal() {
	e.t.Helper()
	waitFor(e.t, "all running servers are equal", func() bool {
		var first *server
		for _, s := range e.servers {
			if !s.running {
				continue
			}
			if first == nil {
				first = s
			}
			if s.contents() != first.contents() {
				return false
			}
		}
		return true
	})
}

func (e *ensemble) followers(leader *server) []*server {
	var fs []*server
	for _, sid := range e.all() {
		if s := e.servers[sid]; s != leader && s.running {
			fs = append(fs, s)
		}
	}
	return fs
}
