package pipeline

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/zkctl/zkctl/pkg/server/jute"
	"github.com/zkctl/zkctl/pkg/server/proto"
	"github.com/zkctl/zkctl/pkg/server/quorum"
	"github.com/zkctl/zkctl/pkg/server/storage"
	"github.com/zkctl/zkctl/pkg/server/tree"
	"github.com/zkctl/zkctl/pkg/server/txn"
	"github.com/zkctl/zkctl/pkg/server/zab"
)

// The tests of this file are those that bugs of Apache ZooKeeper asked for which no
// other test would have caught; docs/reliability.md lists them all.

// A snapshot that does not get on, because a learner does not read it, holds up no
// write and no read (ZOOKEEPER-2201).
func TestStuckSnapshotHoldsUpNothing(t *testing.T) {
	f := leader(t, nil)
	c := f.connect()
	for i := range 500 { // more than the buffer of a snapshot's writer holds
		c.must(proto.OpCreate, create(fmt.Sprintf("/n%d", i), 0))
	}
	snap, err := f.p.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	r, w := io.Pipe()
	done := make(chan error, 1)
	go func() {
		_, err := snap.WriteTo(w)
		done <- err
	}()
	if _, err := io.ReadFull(r, make([]byte, 1)); err != nil { // it is under way, and stuck
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close() })
	soon, cancel := context.WithTimeout(t.Context(), patience/5)
	defer cancel()
	if err := f.p.Alive(soon); err != nil {
		t.Fatal(err)
	}
	c.must(proto.OpSetData, setData("/n1", "later", -1))
	c.must(proto.OpExists, watched("/n1", false))
	if _, err := f.p.Snapshot(); err != nil {
		t.Error(err)
	}
	_ = r.Close()
	if err := <-done; err == nil {
		t.Error("the snapshot was not under way")
	}
}

// A snapshot of the leader's is on the disk when Install returns, and nothing older
// is left to be taken for the state (ZOOKEEPER-3642).
func TestInstallIsOnDisk(t *testing.T) {
	from := leader(t, nil)
	c := from.connect()
	c.must(proto.OpCreate, create("/a", 0))
	snap, err := from.p.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if _, err := snap.WriteTo(&b); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	store, err := storage.Open(storage.Options{DataDir: dir, ForceSync: true})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	recovered, err := store.Recover(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	p := New(testConfig(), store, recovered)
	p.Start(&fakeOrder{})
	defer p.Stop()
	staged, err := p.Receive(&b)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Install(staged, zab.Zxid(snap.Zxid())); err != nil {
		t.Fatal(err)
	}
	again, err := store.Recover(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := again.Tree.Get("/a"); !ok || again.LastZxid != snap.Zxid() {
		t.Errorf("recovered 0x%x, /a is there: %v", again.LastZxid, ok)
	}
}

// Elections write no snapshot and read nothing from the disk, however often the
// leader changes: they would last as long as the tree is big (ZOOKEEPER-2678, 4766).
func TestElectionsLeaveTheDiskAlone(t *testing.T) {
	f := leader(t, nil)
	c := f.connect()
	c.must(proto.OpCreate, create("/a", 0))
	var before *tree.Tree
	f.p.View(func(tr *tree.Tree) { before = tr })
	dir := filepath.Dir(f.p.store.Stats().LastSnapshot.Path)
	names := func() string {
		entries, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		return fmt.Sprint(entries)
	}
	had := names()
	for epoch := int64(2); epoch < 6; epoch++ {
		f.look()
		if epoch%2 == 0 {
			f.follow(epoch)
		} else {
			f.lead(epoch)
		}
	}
	f.p.Stop() // waits for snapshots that are being written
	if now := names(); now != had {
		t.Errorf("the disk had %s, and has %s", had, now)
	}
	f.p.View(func(tr *tree.Tree) {
		if tr != before {
			t.Error("the tree was loaded anew")
		}
	})
}

// Whatever a learner passes on, what becomes of it is a transaction that every
// server can read: a check outside a multi is none (ZOOKEEPER-2623).
func TestForwardedCheck(t *testing.T) {
	const session = 77
	f := leader(t, nil)
	f.order.holding(true)
	f.p.Request(2, quorum.Request{Session: session, Op: proto.OpCreateSession, Body: jute.AppendInt(nil, 10000)})
	for _, path := range []string{"/", "", "x", "/\x00"} {
		body := jute.AppendInt(jute.AppendString(nil, path), -1)
		f.p.Request(2, quorum.Request{Session: session, Cxid: 9, Op: proto.OpCheck, Body: body})
	}
	var made []zab.Proposal
	f.order.wait(t, "five transactions", func() bool { made = f.order.proposed; return len(made) == 5 })
	for _, pr := range made[1:] {
		x, err := txn.Decode(pr.Data)
		if err != nil {
			t.Fatal(err)
		}
		if e, ok := x.Body.(*txn.Error); !ok || x.Type != proto.OpError || e.Code != proto.ErrUnimplemented {
			t.Errorf("a check became %s %+v", x.Type, x.Body)
		}
	}
	f.order.holding(false)
}

// A transaction that a leader of Apache's should not have made, and that servers of
// its own stop at, changes nothing here, and what follows it counts.
func TestCheckOfAnotherLeader(t *testing.T) {
	f := newFixture(t, testConfig(), nil)
	f.follow(1)
	f.commit(&txn.Txn{Header: txn.Header{Zxid: 1, Type: proto.OpCheck}, Body: &txn.Check{Path: "/a", Version: 1}},
		&txn.Txn{Header: txn.Header{Zxid: 2, Type: proto.OpCreate}, Body: &txn.Create{Path: "/a", ParentCVersion: 1}})
	if err := f.p.Alive(t.Context()); err != nil {
		t.Fatal(err)
	}
	f.p.View(func(tr *tree.Tree) {
		if _, ok := tr.Get("/a"); !ok || tr.LastZxid() != 2 {
			t.Errorf("applied up to 0x%x", tr.LastZxid())
		}
	})
}
