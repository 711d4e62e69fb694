// Package faultdisk is a file system in memory that a test can stop, fail
// and crash at any operation. It knows what was made durable and what was
// not:
//
//   - a file keeps the contents of its last sync and, sector by sector (512
//     bytes), what was written since;
//   - a directory keeps the names of its last sync and, in order, the names
//     made, renamed and removed since;
//   - a crash keeps what is durable and any part of the rest: each sector
//     written since the last sync on its own, the length on its own, and a
//     first part of a directory's changes, as a journal would;
//   - a rename between two directories happens in both or in neither;
//   - a sync that fails leaves what was written readable, but no later sync
//     will make it durable: that is how Linux treats pages whose write-back
//     failed.
package faultdisk

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/zkctl/zkctl/pkg/server/storage/disk"
)

// Sector is what a disk writes whole or not at all, in bytes.
const Sector = 512

// ErrStopped is what every operation returns once the disk has stopped.
var ErrStopped = errors.New("the disk has stopped")

// Keep decides, for one thing that is not durable, whether a crash keeps it.
type Keep func() bool

// Nothing is a crash that leaves only what is durable.
func Nothing() bool { return false }

// All is the end of a process, not of the machine: everything written is
// still there.
func All() bool { return true }

// Disk is such a file system; the zero value is not ready, see [New]. It is
// safe for concurrent use.
type Disk struct {
	mu       sync.Mutex
	root     *node
	locks    map[string]bool
	ops      int
	stopAt   int // operation that does not return well any more; -1 never
	failures map[int]error
	matches  []failure
	stopped  bool
	capacity int // sectors; 0 is without limit
	used     int
	short    *short
}

type failure struct {
	op, name string
	err      error
}

// short is how much can be written until writes are cut short.
type short struct {
	left int
	err  error
}

// New returns an empty disk that does not fail.
func New() *Disk {
	return &Disk{root: newDir(), locks: map[string]bool{}, stopAt: -1, failures: map[int]error{}}
}

// StopAfter lets n operations that change something succeed from now on. The
// next one is begun but not ended: it returns [ErrStopped], as does
// everything after it.
func (d *Disk) StopAfter(n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.ops, d.stopAt, d.stopped = 0, n, false
}

// Stopped tells whether [Disk.StopAfter] has come into effect.
func (d *Disk) Stopped() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.stopped
}

// Ops is how many operations that change something were begun since New or
// StopAfter.
func (d *Disk) Ops() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.ops
}

// FailAt makes the operation number n, counted from 0 as in Ops, fail with
// err; those after it work again.
func (d *Disk) FailAt(n int, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.failures[n] = err
}

// Fail makes every operation of a kind ("create", "write", "sync",
// "truncate", "allocate", "rename", "link", "remove", "syncdir", "mkdir", "read") on
// files whose name path.Match finds to match pattern fail with err; a nil
// error ends that. The pattern is matched against the last element.
func (d *Disk) Fail(op, pattern string, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err == nil {
		d.matches = nil
		return
	}
	d.matches = append(d.matches, failure{op, pattern, err})
}

// Limit lets the disk hold so many bytes of written sectors; 0 is no limit.
func (d *Disk) Limit(bytes int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.capacity = bytes / Sector
}

// Short lets so many bytes be written from now on, the last of them in a write that
// ends short with err; every later one writes nothing. A nil error ends that.
func (d *Disk) Short(bytes int, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.short = nil
	if err != nil {
		d.short = &short{bytes, err}
	}
}

// Used is how many bytes of sectors are written.
func (d *Disk) Used() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.used * Sector
}

// Crash returns the disk as it is found after a crash at this moment. The
// old one must not be used any more.
func (d *Disk) Crash(keep Keep) *Disk {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.stopped, d.stopAt = true, 0
	n := New()
	d.root.settleMoves(keep)
	n.root = d.root.crash(keep, map[*node]*node{})
	n.used = n.root.sectors(map[*node]bool{})
	n.capacity = d.capacity
	return n
}

// Flip changes one bit of a file at rest, as a disk that decays does; it reports
// whether the file has that byte. off is in bytes, bit is 0 to 7.
func (d *Disk) Flip(name string, off int, bit uint) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	n, err := d.lookup(name)
	if err != nil || n.dir || off < 0 || off >= len(n.data) {
		return false
	}
	n.data[off] ^= 1 << bit
	if off < len(n.durable) {
		n.durable[off] ^= 1 << bit
	}
	return true
}

// Empty leaves nothing of what a file at rest holds; it reports whether it held
// anything.
func (d *Disk) Empty(name string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	n, err := d.lookup(name)
	if err != nil || n.dir || len(n.data) == 0 {
		return false
	}
	d.used -= len(n.written)
	n.data, n.durable, n.lowest = nil, nil, 0
	clear(n.dirty)
	clear(n.written)
	return true
}

// Lose takes away a file at rest; it reports whether there was one.
func (d *Disk) Lose(name string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	n, err := d.lookup(name)
	if err != nil || n.dir {
		return false
	}
	parent, err := d.lookup(path.Dir(name))
	if err != nil {
		return false
	}
	delete(parent.names, path.Base(name))
	delete(parent.synced, path.Base(name))
	for i := range parent.changes {
		if parent.changes[i].name == path.Base(name) {
			parent.changes[i].name = ""
		}
	}
	d.unlink(n)
	return true
}

// Evict lets the machine forget what it kept in memory of what no sync made durable
// and none will: after a failed sync a file reads as it was written until then, and
// as it is on the disk from then on. keep decides for each sector.
func (d *Disk) Evict(keep Keep) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.root.evict(keep)
}

func (n *node) evict(keep Keep) {
	for _, name := range slices.Sorted(maps.Keys(n.names)) {
		n.names[name].evict(keep)
	}
	for s := range (min(len(n.data), len(n.durable)) + Sector - 1) / Sector {
		from, to := s*Sector, min((s+1)*Sector, len(n.data), len(n.durable))
		if !n.dirty[s] && string(n.data[from:to]) != string(n.durable[from:to]) && !keep() {
			copy(n.data[from:to], n.durable[from:to])
		}
	}
}

// unlink takes one name of a file away, and with the last its room.
func (d *Disk) unlink(n *node) {
	if n.links--; n.links == 0 {
		d.used -= len(n.written)
	}
}

// Restart is the end of a process and the start of another: locks are free,
// everything written is still readable, and nothing more has become durable.
func (d *Disk) Restart() {
	d.mu.Lock()
	defer d.mu.Unlock()
	clear(d.locks)
}

// begin counts an operation that changes something. When it returns an
// error the operation must return it; apply tells whether it may have its
// effect (not durable) nevertheless.
func (d *Disk) begin(op, name string) (apply bool, err error) {
	if d.stopped {
		return false, &fs.PathError{Op: op, Path: name, Err: ErrStopped}
	}
	n := d.ops
	d.ops++
	if d.stopAt >= 0 && n >= d.stopAt {
		d.stopped = true
		return true, &fs.PathError{Op: op, Path: name, Err: ErrStopped}
	}
	if err := d.failures[n]; err != nil {
		return false, &fs.PathError{Op: op, Path: name, Err: err}
	}
	return true, d.matched(op, name)
}

func (d *Disk) matched(op, name string) error {
	for _, f := range d.matches {
		if ok, _ := path.Match(f.name, path.Base(name)); ok && f.op == op {
			return &fs.PathError{Op: op, Path: name, Err: f.err}
		}
	}
	return nil
}

// reading checks an operation that changes nothing.
func (d *Disk) reading(name string) error {
	if d.stopped {
		return &fs.PathError{Op: "read", Path: name, Err: ErrStopped}
	}
	return d.matched("read", name)
}

// claim takes room for sectors that are written for the first time.
func (d *Disk) claim(name string, sectors int) error {
	if d.capacity > 0 && d.used+sectors > d.capacity {
		return &fs.PathError{Op: "write", Path: name, Err: syscall.ENOSPC}
	}
	d.used += sectors
	return nil
}

// node is a file or a directory.
type node struct {
	dir bool

	names   map[string]*node // directory: as it is
	synced  map[string]*node // directory: as it is on the disk
	changes []change         // directory: what leads from synced to names

	data    []byte       // file: as it is
	durable []byte       // file: as it is on the disk
	dirty   map[int]bool // file: sectors that the next sync would write
	written map[int]bool // file: sectors that take room
	lowest  int          // file: shortest length since the last sync
	links   int          // file: names that it has
}

// change puts n under a name, and takes gone away; nil and "" are neither.
type change struct {
	name, gone string
	n          *node
	move       *move // this is one half of it
}

// move is a rename from one directory to another.
type move struct{ from, to *node }

func newDir() *node { return &node{dir: true, names: map[string]*node{}, synced: map[string]*node{}} }

func newFile() *node { return &node{links: 1, dirty: map[int]bool{}, written: map[int]bool{}} }

func (c change) apply(names map[string]*node) {
	if c.gone != "" {
		delete(names, c.gone)
	}
	if c.name != "" {
		names[c.name] = c.n
	}
}

func (n *node) change(c change) {
	c.apply(n.names)
	n.changes = append(n.changes, c)
}

// syncDir makes all changes durable, and with half a move the other half and what
// came before it, as a journal does.
func (n *node) syncDir() {
	for len(n.changes) > 0 {
		n.syncFirst()
	}
}

func (n *node) syncFirst() {
	c := n.changes[0]
	n.changes = n.changes[1:]
	c.apply(n.synced)
	if c.move == nil {
		return
	}
	for _, other := range []*node{c.move.from, c.move.to} {
		for other.has(c.move) {
			other.syncFirst()
		}
	}
}

func (n *node) has(m *move) bool {
	return slices.ContainsFunc(n.changes, func(c change) bool { return c.move == m })
}

// settleMoves decides which moves a crash keeps: both halves, or neither and nothing
// that came behind them.
func (n *node) settleMoves(keep Keep) {
	for _, name := range slices.Sorted(maps.Keys(n.names)) {
		if c := n.names[name]; c.dir {
			c.settleMoves(keep)
		}
	}
	for {
		i := slices.IndexFunc(n.changes, func(c change) bool { return c.move != nil })
		if i < 0 {
			return
		}
		m := n.changes[i].move
		if keep() {
			for n.has(m) {
				n.syncFirst()
			}
			continue
		}
		for _, side := range []*node{m.from, m.to} {
			at := slices.IndexFunc(side.changes, func(c change) bool { return c.move == m })
			side.changes = side.changes[:max(at, 0)]
		}
	}
}

// sync writes the dirty sectors and the length.
func (n *node) sync() {
	n.durable = resize(resize(n.durable, min(n.lowest, len(n.durable))), len(n.data))
	n.lowest = len(n.data)
	for s := range n.dirty {
		n.persist(s)
	}
	clear(n.dirty)
}

func (n *node) persist(sector int) {
	from, to := sector*Sector, min((sector+1)*Sector, len(n.data), len(n.durable))
	if from < to {
		copy(n.durable[from:to], n.data[from:to])
	}
}

// crash copies what survives.
func (n *node) crash(keep Keep, done map[*node]*node) *node {
	if !n.dir {
		if done[n] == nil {
			done[n] = n.crashFile(keep)
			done[n].links = 0
		}
		done[n].links++
		return done[n]
	}
	names := map[string]*node{}
	for name, c := range n.synced {
		names[name] = c
	}
	for _, c := range n.changes {
		if !keep() {
			break
		}
		c.apply(names)
	}
	after := newDir()
	for _, name := range slices.Sorted(maps.Keys(names)) { // in one order, so that a seed replays
		left := names[name].crash(keep, done)
		after.names[name], after.synced[name] = left, left
	}
	return after
}

func (n *node) crashFile(keep Keep) *node {
	after := newFile()
	size := len(n.durable)
	if len(n.data) != size && keep() {
		size = len(n.data)
	}
	after.durable = resize(append([]byte(nil), n.durable...), size)
	saved := n.durable
	n.durable = after.durable
	for s := range (len(n.data) + Sector - 1) / Sector {
		if n.dirty[s] && keep() {
			n.persist(s)
		}
	}
	n.durable = saved
	after.data = append([]byte(nil), after.durable...)
	after.lowest = size
	for s := range n.written {
		if s*Sector < size {
			after.written[s] = true
		}
	}
	return after
}

func (n *node) sectors(seen map[*node]bool) int {
	if seen[n] {
		return 0
	}
	seen[n] = true
	sum := len(n.written)
	for _, c := range n.names {
		sum += c.sectors(seen)
	}
	return sum
}

func (n *node) info(name string) disk.Info {
	return disk.Info{Name: name, Size: int64(len(n.data)), Dir: n.dir, ModTime: time.Unix(1, 0)} // one time: tests must not depend on clocks
}

func resize(b []byte, size int) []byte {
	if size <= len(b) {
		return b[:size:size]
	}
	return append(b, make([]byte, size-len(b))...)
}

func (d *Disk) String() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return fmt.Sprintf("faultdisk after %d operations, stopped %t", d.ops, d.stopped)
}
