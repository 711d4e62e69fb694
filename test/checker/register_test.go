package checker

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
	"github.com/go-zookeeper/zk"

	"github.com/zkctl/zkctl/test/ensemble"
)

// A recorder keeps what clients did.
type recorder struct {
	began time.Time
	mu    sync.Mutex
	ops   []porcupine.Operation
}

func (r *recorder) now() int64 { return int64(time.Since(r.began)) }

func (r *recorder) add(op porcupine.Operation) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ops = append(r.ops, op)
}

// A worker is a client that works on registers.
type worker struct {
	id    int
	conn  *zk.Conn
	fresh func(*zk.Conn) error // what makes a read see the latest
	rand  *rand.Rand
	rec   *recorder
	pause time.Duration    // between two operations
	known map[string]int32 // the last version seen, which swap expects
	count int
}

// Registers are short lived, so that histories of unknown outcomes stay small.
const (
	keysAtOnce  = 4
	keyLifetime = 2 * time.Second
)

func (w *worker) run(ctx context.Context) {
	for ctx.Err() == nil {
		if w.pause > 0 {
			<-time.After(w.pause)
		}
		w.count++
		age := int64(time.Duration(w.rec.now()) / keyLifetime)
		in := input{
			kind: []kind{read, read, read, read, create, create, set, set, swap, swap, swap, remove}[w.rand.IntN(12)],
			key:  fmt.Sprintf("/r/%d-%d", age, w.rand.IntN(keysAtOnce)),
		}
		switch in.kind {
		case create, set, swap:
			in.value = fmt.Sprintf("%d.%d", w.id, w.count)
			in.version = w.known[in.key] * boolInt(in.kind == swap)
		case read, remove:
		}
		w.record(in)
	}
}

func boolInt(b bool) int32 {
	if b {
		return 1
	}
	return 0
}

// record does one operation and notes it. A read of unknown outcome says nothing.
func (w *worker) record(in input) {
	call := w.rec.now()
	out := w.do(in)
	ret := w.rec.now()
	if out.unknown {
		if in.kind == read {
			return
		}
		ret = math.MaxInt64
	}
	if out.err == "" && !out.unknown {
		w.known[in.key] = out.version
	}
	w.rec.add(porcupine.Operation{ClientId: w.id, Input: in, Output: out, Call: call, Return: ret})
}

func (w *worker) do(in input) output {
	var stat *zk.Stat
	var data []byte
	var err error
	switch in.kind {
	case read:
		if err = w.fresh(w.conn); err != nil {
			return output{unknown: true}
		}
		data, stat, err = w.conn.Get(in.key)
	case create:
		_, err = w.conn.Create(in.key, []byte(in.value), 0, open)
	case set:
		stat, err = w.conn.Set(in.key, []byte(in.value), -1)
	case swap:
		stat, err = w.conn.Set(in.key, []byte(in.value), in.version)
	case remove:
		err = w.conn.Delete(in.key, -1)
	}
	return outcome(stat, data, err)
}

func outcome(stat *zk.Stat, data []byte, err error) output {
	for refusal, name := range map[error]string{zk.ErrNoNode: noNode, zk.ErrNodeExists: nodeExists, zk.ErrBadVersion: badVersion} {
		if errors.Is(err, refusal) {
			return output{err: name}
		}
	}
	if err != nil {
		return output{unknown: true}
	}
	out := output{value: string(data)}
	if stat != nil {
		out.version = stat.Version
	}
	return out
}

// checkRegisters lets clients work on registers under faults, and judges.
func checkRegisters(t *testing.T, servers int, faults func(*ensemble.Ensemble) []fault, fresh func(*zk.Conn) error) {
	e := ensemble.Start(t, ensemble.Options{Servers: servers, Config: map[string]string{"snapCount": "2000"}})
	on := processes{e}
	prepare(t, on, "/r")
	r := random(t)
	rec := &recorder{began: time.Now()}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var clients sync.WaitGroup
	const each = 2 // clients a server
	for id := range each * servers {
		w := &worker{id: id, conn: connect(t, on, id), fresh: fresh, rec: rec, known: make(map[string]int32),
			rand: rand.New(rand.NewPCG(r.Uint64(), 0))}
		clients.Go(func() { w.run(ctx) })
	}
	disturb(t, on, r, faults(e), *flags.duration)
	stop()
	clients.Wait()
	judge(t, rec.ops)
	sameTrees(t, on)
}

// judgePatience is how long porcupine may think.
const judgePatience = 2 * time.Minute

// tally is what became of operations.
type tally struct{ unknown, refused, done int }

func count(history []porcupine.Operation) (n tally) {
	for _, op := range history {
		switch out := op.Output.(output); {
		case out.unknown:
			n.unknown++
		case out.err != "":
			n.refused++
		default:
			n.done++
		}
	}
	return n
}

var errNothing = errors.New("no operation was done: there is nothing to judge")

// linearizable asks porcupine about a history. Not to know in time, and to have
// nothing that could be wrong, are errors as well.
func linearizable(history []porcupine.Operation, patience time.Duration) (porcupine.LinearizationInfo, error) {
	if count(history).done == 0 {
		return porcupine.LinearizationInfo{}, errNothing
	}
	result, info := porcupine.CheckOperationsVerbose(registers(), history, patience)
	if result != porcupine.Ok {
		return info, fmt.Errorf("the history is not linearizable (%v)", result)
	}
	return info, nil
}

func judge(t *testing.T, history []porcupine.Operation) {
	t.Helper()
	n := count(history)
	t.Logf("%d operations, %d of them refused, %d of unknown outcome", len(history), n.refused, n.unknown)
	began := time.Now()
	info, err := linearizable(history, judgePatience)
	t.Logf("porcupine: after %v", time.Since(began).Round(time.Millisecond))
	if err == nil {
		return
	}
	if errors.Is(err, errNothing) {
		t.Error(err)
		return
	}
	name := strings.ReplaceAll(t.Name(), "/", "-") + ".html"
	path := filepath.Join(os.TempDir(), fmt.Sprintf("zkctl-%d-%s", os.Getpid(), name))
	if err := porcupine.VisualizePath(registers(), info, path); err != nil {
		t.Error(err)
	}
	t.Errorf("%v: open %s", err, path)
}

func TestRegistersOnThree(t *testing.T) { checkRegisters(t, 3, allFaults, barrier) }

func TestRegistersOnFive(t *testing.T) { checkRegisters(t, 5, allFaults, barrier) }

// While leaders are killed and not cut off, a sync makes a read see the latest.
func TestRegistersReadBehindSync(t *testing.T) {
	checkRegisters(t, 3, kills, func(c *zk.Conn) error {
		_, err := c.Sync("/r")
		return err
	})
}
