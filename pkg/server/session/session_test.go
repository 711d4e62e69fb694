package session

import (
	"encoding/hex"
	"errors"
	"math"
	"math/rand"
	"reflect"
	"slices"
	"sync"
	"testing"

	"github.com/zkctl/zkctl/pkg/server/proto"
)

func TestPassword(t *testing.T) {
	// As a Java server answered.
	const id, want = 0x010000164ef30000, "4f8d0c9f3056b692459e5205f9a99dd1"
	p := Password(id)
	if got := hex.EncodeToString(p[:]); got != want {
		t.Errorf("password %s, want %s", got, want)
	}
	other := Password(-id)
	for _, c := range []struct {
		id       int64
		password []byte
		want     bool
	}{
		{id, p[:], true}, {id, p[:15], false}, {id, nil, false}, {id + 1, p[:], false}, {-id, other[:], true},
		{0, make([]byte, 16), false},
	} {
		if got := ValidPassword(c.id, c.password); got != c.want {
			t.Errorf("ValidPassword(%x, %x) = %v", c.id, c.password, got)
		}
	}
	if zero := Password(0); ValidPassword(0, zero[:]) {
		t.Error("session 0 is valid")
	}
}

func TestIDs(t *testing.T) {
	for _, c := range []struct {
		sid, now, want int64
	}{
		{1, 0x16_4ef3, 0x0100_0016_4ef3_0000},
		{2, 0, 0x0200_0000_0000_0000},
		{128, 0, math.MinInt64 + 1},            // not the owner of containers
		{255, 1 << 40, -0x0100_0000_0000_0000}, // only 40 bits of the clock count
	} {
		g := NewIDs(c.sid, c.now)
		if a, b := g.Next(), g.Next(); a != c.want || b != c.want+1 {
			t.Errorf("server %d at %d: %x, %x; want %x", c.sid, c.now, uint64(a), uint64(b), uint64(c.want))
		}
	}
}

func TestExpiry(t *testing.T) {
	tr := NewTracker[string](1000)
	tr.Add(1, 4000, 500)  // 4500: end of that tick is 5000
	tr.Add(2, 4500, 500)  // 5000: the tick after, 6000
	tr.Add(3, 10000, 500) // 11000
	tr.Add(4, 4000, 500)
	if at, ok := tr.Next(); !ok || at != 5000 {
		t.Errorf("next expiry at %d", at)
	}
	if got := tr.Expired(4999); got != nil {
		t.Errorf("expired too soon: %v", got)
	}
	if !tr.Touch(4, 4000, 3000) { // 8000
		t.Error("touch of a live session failed")
	}
	want := []Bucket{{5000, []int64{1}}, {6000, []int64{2}}, {8000, []int64{4}}, {11000, []int64{3}}}
	if got := tr.Buckets(); !reflect.DeepEqual(got, want) {
		t.Errorf("buckets %v, want %v", got, want)
	}
	if got := tr.Expired(5000); !slices.Equal(got, []int64{1}) {
		t.Errorf("at 5000: %v", got)
	}
	if tr.Touch(1, 4000, 5000) || tr.Alive(1) {
		t.Error("an expired session lives")
	}
	tr.Add(1, 4000, 5000) // of a late createSession: stays closing
	if got := tr.Expired(8000); !slices.Equal(got, []int64{2, 4}) {
		t.Errorf("at 8000: %v", got)
	}
	if tr.Len() != 4 {
		t.Errorf("%d sessions; closing ones count", tr.Len())
	}
	for id := range int64(5) {
		tr.Remove(id)
	}
	if got := tr.Expired(1 << 40); tr.Len() != 0 || got != nil {
		t.Errorf("left: %d, %v", tr.Len(), got)
	}
	if _, ok := tr.Next(); ok {
		t.Error("something may expire, with no session left")
	}
}

func TestOwners(t *testing.T) {
	tr := NewTracker[string](1000)
	tr.Add(1, 4000, 0)
	steps := []struct {
		do   func() error
		want error
	}{
		{func() error { return tr.CheckOwner(1, "a") }, nil}, // the first owns it
		{func() error { return tr.CheckOwner(1, "b") }, proto.ErrSessionMoved},
		{func() error { return tr.SetOwner(1, "b") }, nil},
		{func() error { return tr.CheckOwner(1, "a") }, proto.ErrSessionMoved},
		{func() error { return tr.CheckOwner(1, "b") }, nil},
		{func() error { return tr.CheckOwner(2, "b") }, proto.ErrSessionExpired},
		{func() error { return tr.SetOwner(2, "b") }, proto.ErrSessionExpired},
		{func() error { tr.SetClosing(1); return tr.CheckOwner(1, "b") }, proto.ErrSessionExpired},
		{func() error { return tr.SetOwner(1, "b") }, proto.ErrSessionExpired},
	}
	for i, s := range steps {
		if err := s.do(); !errors.Is(err, s.want) {
			t.Errorf("step %d: %v, want %v", i, err, s.want)
		}
	}
	if tr.SetClosing(9) {
		t.Error("closed an unknown session")
	}
}

// TestTrackerAgainstModel compares random use with a plain map.
func TestTrackerAgainstModel(t *testing.T) {
	const tick = 10
	r := rand.New(rand.NewSource(1))
	tr := NewTracker[int](tick)
	model := map[int64]int64{} // expiry; 0 while closing
	for now := int64(0); now < 20000; now += int64(r.Intn(4)) {
		id, timeout := int64(r.Intn(50)), int32(r.Intn(300))
		expiry := ((now+int64(timeout))/tick + 1) * tick
		at, known := model[id]
		switch r.Intn(8) {
		case 0:
			tr.Add(id, timeout, now)
			if !known || at != 0 {
				model[id] = expiry
			}
		case 1:
			tr.Remove(id)
			delete(model, id)
		case 2:
			if tr.SetClosing(id) != known {
				t.Fatalf("SetClosing(%d) at %d", id, now)
			}
			if known {
				model[id] = 0
			}
		default:
			if tr.Touch(id, timeout, now) != (at != 0) {
				t.Fatalf("Touch(%d) at %d", id, now)
			}
			if at != 0 {
				model[id] = expiry
			}
		}
		var want []int64
		for id, at := range model {
			if at != 0 && at <= now {
				want, model[id] = append(want, id), 0
			}
		}
		slices.Sort(want)
		if got := tr.Expired(now); !slices.Equal(got, want) {
			t.Fatalf("at %d expired %v, want %v", now, got, want)
		}
		if tr.Len() != len(model) {
			t.Fatalf("at %d: %d sessions, want %d", now, tr.Len(), len(model))
		}
	}
}

func TestTouchDoesNotAllocate(t *testing.T) {
	tr := NewTracker[int](1000)
	now := int64(0)
	for id := range int64(100) {
		tr.Add(id, 4000, now)
	}
	if n := testing.AllocsPerRun(1000, func() { now++; tr.Touch(now%100, 4000, now) }); n != 0 {
		t.Errorf("%v allocations a touch", n)
	}
}

func TestTouches(t *testing.T) {
	var ts Touches
	if got := ts.Drain(nil); len(got) != 0 {
		t.Errorf("drained %v from nothing", got)
	}
	var wg sync.WaitGroup
	for i := range int64(10) {
		wg.Go(func() { ts.Touch(i, 4000); ts.Touch(i, 5000) })
	}
	wg.Wait()
	ts.Forget(3)
	got := ts.Drain(nil)
	slices.SortFunc(got, func(a, b Touched) int { return int(a.Session - b.Session) })
	if len(got) != 9 || got[3] != (Touched{4, 5000}) {
		t.Errorf("drained %v", got)
	}
	if got := ts.Drain(nil); len(got) != 0 {
		t.Errorf("drained %v twice", got)
	}
}

func BenchmarkTouch(b *testing.B) {
	tr := NewTracker[int](2000)
	for id := range int64(10000) {
		tr.Add(id, 30000, 0)
	}
	b.ReportAllocs()
	for i := range int64(b.N) {
		tr.Touch(i%10000, 30000, i/100)
	}
}

// TestUse is what a leader asks of reads.
func TestUse(t *testing.T) {
	tr := NewTracker[string](1000)
	tr.Add(1, 4000, 0)
	steps := []struct {
		id    int64
		owner string
		want  error
	}{
		{1, "a", nil}, {1, "a", nil}, {1, "b", proto.ErrSessionMoved}, {2, "a", proto.ErrSessionExpired},
	}
	for i, s := range steps {
		if err := tr.Use(s.id, 9000, 0, s.owner); !errors.Is(err, s.want) {
			t.Errorf("step %d: %v, want %v", i, err, s.want)
		}
	}
	if got := tr.Expired(9000); len(got) > 0 { // who has moved is touched too
		t.Errorf("expired %v", got)
	}
	if got := tr.Expired(10000); len(got) != 1 || !tr.Known(1) || tr.Known(2) {
		t.Errorf("expired %v", got)
	}
	if err := tr.Use(1, 9000, 0, "a"); !errors.Is(err, proto.ErrSessionExpired) {
		t.Errorf("a closing session: %v", err)
	}
}

// A server that served a session before tells of it late: what it heard of neither
// keeps the session nor shortens its new timeout.
func TestTouchByFormerOwner(t *testing.T) {
	tr := NewTracker[int](100)
	tr.Add(7, 1000, 0)
	if !tr.TouchBy(1, 7, 1000, 0) {
		t.Error("a session that nobody is known to serve was not touched")
	}
	for owner := 1; owner <= 2; owner++ {
		if err := tr.SetOwner(7, owner); err != nil {
			t.Fatal(err)
		}
	}
	tr.Touch(7, 20000, 10)
	if tr.TouchBy(1, 7, 1000, 20) {
		t.Error("touched by its former server")
	}
	if gone := tr.Expired(5000); len(gone) != 0 {
		t.Errorf("expired: %v", gone)
	}
	if !tr.TouchBy(2, 7, 1000, 5000) || len(tr.Expired(7000)) != 1 {
		t.Error("its server's word does not count")
	}
}
