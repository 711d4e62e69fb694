package pipeline

import (
	"bytes"
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/zkctl/zkctl/pkg/server/proto"
	"github.com/zkctl/zkctl/pkg/server/quorum"
	"github.com/zkctl/zkctl/pkg/server/storage"
	"github.com/zkctl/zkctl/pkg/server/tree"
	"github.com/zkctl/zkctl/pkg/server/txn"
	"github.com/zkctl/zkctl/pkg/server/zab"
)

// TestSnapshotTravels takes a snapshot on one server and installs it on
// another, which then serves from it.
func TestSnapshotTravels(t *testing.T) {
	from := leader(t, nil)
	c := from.connect()
	c.must(proto.OpCreate, create("/a", 0))
	c.must(proto.OpCreate, create("/e", 1))
	snap, err := from.p.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	c.must(proto.OpDelete, versioned("/a", -1)) // later than the snapshot
	var b bytes.Buffer
	if _, err := snap.WriteTo(&b); err != nil {
		t.Fatal(err)
	}
	to := newFixture(t, testConfig(), nil)
	staged, err := to.p.Receive(&b)
	if err != nil {
		t.Fatal(err)
	}
	if err := to.p.Install(staged, zab.Zxid(snap.Zxid())); err != nil {
		t.Fatal(err)
	}
	if to.p.LastZxid() != snap.Zxid() {
		t.Errorf("installed up to %x, want %x", to.p.LastZxid(), snap.Zxid())
	}
	to.lead(2)
	r := to.reconnect(c)
	r.must(proto.OpExists, watched("/a", false))
	r.must(proto.OpSetData, setData("/e", "", -1))
	if err := to.p.Install(nil, 1); err == nil {
		t.Error("nothing was installed")
	}
	if _, err := to.p.Receive(bytes.NewReader([]byte{1})); err == nil {
		t.Error("garbage is taken for a snapshot")
	}
}

// TestTruncate takes back what the disk holds beyond the leader's history.
func TestTruncate(t *testing.T) {
	store, err := storage.Open(storage.Options{DataDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	if _, err := store.Recover(context.Background()); err != nil {
		t.Fatal(err)
	}
	var records []storage.Record
	for i := int64(1); i <= 5; i++ {
		x := txn.Txn{Header: txn.Header{Zxid: i, Type: proto.OpCreate}, Body: &txn.Create{Path: "/" + string(rune('a'+i)), ParentCVersion: int32(i)}}
		records = append(records, storage.Record{Zxid: i, Data: x.Append(nil)})
	}
	if err := store.Append(records); err != nil {
		t.Fatal(err)
	}
	if err := store.Sync(); err != nil {
		t.Fatal(err)
	}
	recovered, err := store.Recover(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	p := New(testConfig(), store, recovered)
	p.Start(&fakeOrder{})
	defer p.Stop()
	if err := p.Truncate(3); err != nil {
		t.Fatal(err)
	}
	p.View(func(tr *tree.Tree) {
		_, kept := tr.Get("/d")
		_, gone := tr.Get("/e")
		if p.LastZxid() != 3 || !kept || gone {
			t.Errorf("truncated to %x", p.LastZxid())
		}
	})
}

// TestDigestMismatch applies what differs from what the leader says.
func TestDigestMismatch(t *testing.T) {
	f := newFixture(t, testConfig(), nil)
	f.wrong = true
	f.commit(&txn.Txn{Header: txn.Header{Zxid: 1, Type: proto.OpError}, Body: &txn.Error{Code: proto.ErrNoNode},
		Digest: &txn.Digest{Version: txn.DigestVersion, Tree: 12345}})
	if err := f.p.Alive(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := f.p.Metrics().DigestMismatches.Load(); n != 1 {
		t.Errorf("%d mismatches", n)
	}
}

// TestFuzzySnapshot installs a tree that is ahead of its zxid, as a leader of
// Apache's sends it under load: digests count again from the first term on.
func TestFuzzySnapshot(t *testing.T) {
	from := leader(t, nil)
	from.connect().must(proto.OpCreate, create("/a", 0))
	ahead, err := from.p.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if _, err := ahead.WriteTo(&b); err != nil {
		t.Fatal(err)
	}
	f := newFixture(t, testConfig(), nil)
	f.wrong = true
	staged, err := f.p.Receive(&b)
	if err != nil {
		t.Fatal(err)
	}
	base := zab.Zxid(ahead.Zxid()) - 1
	if err := f.p.Install(staged, base); err != nil {
		t.Fatal(err)
	}
	other := func(zxid zab.Zxid) *txn.Txn {
		return &txn.Txn{Header: txn.Header{Zxid: int64(zxid), Type: proto.OpError}, Body: &txn.Error{Code: proto.ErrNoNode},
			Digest: &txn.Digest{Version: txn.DigestVersion, Tree: 12345}}
	}
	for i, want := range []int64{0, 1} {
		f.commit(other(base + 1 + zab.Zxid(i)))
		f.follow(2)
		if err := f.p.Alive(t.Context()); err != nil {
			t.Fatal(err)
		}
		if n := f.p.Metrics().DigestMismatches.Load(); n != want {
			t.Errorf("%d mismatches after %d transactions, want %d", n, i+1, want)
		}
	}
}

// TestUnreadable stops at a proposal that cannot be read: what follows it must
// not be applied.
func TestUnreadable(t *testing.T) {
	f := newFixture(t, testConfig(), nil)
	f.p.Commit([]zab.Proposal{{Zxid: 1, Data: []byte("garbage")}})
	f.commit(&txn.Txn{Header: txn.Header{Zxid: 2, Type: proto.OpCreate}, Body: &txn.Create{Path: "/a", ParentCVersion: 1}})
	if err := f.p.Alive(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := <-f.p.Failed(); err == nil || f.p.LastZxid() != 0 {
		t.Errorf("went on to %x after %v", f.p.LastZxid(), err)
	}
}

func TestAlive(t *testing.T) {
	f := leader(t, nil)
	if err := f.p.Alive(t.Context()); err != nil {
		t.Error(err)
	}
	f.p.mu.RLock() // somebody hangs
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if f.p.Alive(ctx) == nil {
		t.Error("a server that hangs is alive")
	}
	f.p.mu.RUnlock()
}

// TestOrphans closes sessions that own znodes and are in no table.
func TestOrphans(t *testing.T) {
	f := newFixture(t, testConfig(), func(tr *tree.Tree) {
		tr.Apply(&txn.Txn{Header: txn.Header{Zxid: 1, ClientID: 77, Type: proto.OpCreate}, Body: &txn.Create{Path: "/e", Ephemeral: true, ParentCVersion: 1}})
	})
	f.lead(1)
	c := f.connect() // behind it
	if r := c.do(proto.OpExists, watched("/e", false)); r.Err != proto.ErrNoNode {
		t.Error("an orphan is left")
	}
}

// TestContainers lets empty containers and TTL znodes go.
func TestContainers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := leader(t, func(c *Config) {
			c.ExtendedTypes, c.ContainerCheck, c.MaxSessionTimeout = true, time.Minute, time.Hour
		})
		c := f.connect()
		stop := make(chan struct{})
		defer close(stop)
		go func() {
			for {
				select {
				case <-stop:
					return
				case <-time.After(time.Second):
					f.p.Touch(1, []quorum.Touch{{Session: c.resp.SessionID, Timeout: 40000}})
				}
			}
		}()
		c.must(proto.OpCreateContainer, create("/used", 4))
		c.must(proto.OpCreateContainer, create("/new", 4))
		c.must(proto.OpCreate, create("/used/x", 0))
		c.must(proto.OpDelete, versioned("/used/x", -1))
		c.must(proto.OpCreateTTL, createTTL("/ttl", 5, 90_000))
		time.Sleep(70 * time.Second)
		synctest.Wait()
		for path, want := range map[string]proto.Code{"/used": proto.ErrNoNode, "/new": 0, "/ttl": 0} {
			if r := c.do(proto.OpExists, watched(path, false)); r.Err != want {
				t.Errorf("%s: %v, want %v", path, r.Err, want)
			}
		}
		time.Sleep(60 * time.Second)
		synctest.Wait()
		if r := c.do(proto.OpExists, watched("/ttl", false)); r.Err != proto.ErrNoNode {
			t.Errorf("/ttl: %v", r.Err)
		}
	})
}

// TestTouches collects on a learner what it tells its leader.
func TestTouches(t *testing.T) {
	f := newFixture(t, testConfig(), nil)
	f.follow(1)
	c := f.dial()
	c.c.term = f.p.term.Load()
	c.c.session.Store(5)
	c.c.sessionTimeout.Store(4000)
	c.must(proto.OpPing, nil) // a learner does not know that a session is dead
	if got := f.p.Touched(); len(got) != 1 || got[0] != (quorum.Touch{Session: 5, Timeout: 4000}) {
		t.Errorf("touched %v", got)
	}
	if got := f.p.Touched(); len(got) != 0 {
		t.Errorf("touched %v again", got)
	}
	if f.p.Revalidate(2, 5, 4000) {
		t.Error("a learner confirms sessions")
	}
	f.p.Touch(2, []quorum.Touch{{Session: 5}}) // of a leader only: nothing
}

// TestSnapshotsAreWritten crosses SnapCount.
func TestSnapshotsAreWritten(t *testing.T) {
	f := leader(t, func(c *Config) { c.SnapCount = 10 })
	c := f.connect()
	for i := 0; i < 1000 && !f.p.RollWanted(); i++ {
		c.must(proto.OpSetData, setData("/", "", -1))
	}
	f.p.Stop()
	if n := f.p.Metrics().SnapshotTime.Count(); n == 0 || f.p.Metrics().SnapshotErrors.Load() != 0 {
		t.Errorf("%d snapshots, %d errors", n, f.p.Metrics().SnapshotErrors.Load())
	}
	if n := len(f.p.Connections()); n != 0 {
		t.Errorf("%d connections after the end", n)
	}
}
