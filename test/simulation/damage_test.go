package simulation

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/zkctl/zkctl/pkg/server/inspect"
	"github.com/zkctl/zkctl/pkg/server/storage"
	"github.com/zkctl/zkctl/pkg/server/storage/disk/faultdisk"
	"github.com/zkctl/zkctl/pkg/server/zab"
)

// damage is what happened to the files of a server at rest, until its operator lets
// it copy the leader's state.
type damage struct {
	done []string       // "flip log.1", "lose snapshot.0" ...
	lost []zab.Proposal // what the disk held then
}

// whole tells whether a server can be counted on: its disk is as it was written, and
// it has a vote.
func (s *server) whole() bool { return s.why == "" && !s.tampered() && !s.mute }

func (s *server) tampered() bool { return len(s.damage.done) > 0 }

func (s *server) damaged(name string) bool {
	return slices.ContainsFunc(s.damage.done, func(what string) bool { return strings.HasSuffix(what, name) })
}

// quorumWithout tells whether enough others are whole.
func (w *world) quorumWithout(s *server) bool {
	return w.isQuorum(func(o *server) bool { return o != s && o.whole() })
}

// holds tells whether a disk has a history, or had it before it was damaged.
func (w *world) holds(sid zab.Sid, h []zab.Proposal) bool {
	s := w.server(sid)
	return isPrefix(h, s.synced) || isPrefix(h, s.damage.lost)
}

// decay damages files of a server that is down, or loses power first: bits flip, files
// are emptied or gone. Mostly a quorum of the others is whole.
func (w *world) decay(s *server) {
	if s.mute || len(w.servers) < 3 || !w.quorumWithout(s) && w.rnd.Intn(10) > 0 {
		return
	}
	if s.peer != nil {
		s.crash(s.keep())
	}
	count := 1
	if w.rnd.Intn(3) == 0 {
		count += w.rnd.Intn(4)
	}
	for range count {
		if what := w.damageOne(s); what != "" {
			if len(s.synced) >= len(s.damage.lost) {
				s.damage.lost = s.synced
			}
			s.damage.done = append(s.damage.done, what)
			if _, err := s.fd.Stat(path.Join(dataDir, storage.VersionDir, storage.ReachedName)); err != nil {
				s.damage.done = append(s.damage.done, "nothing tells of missing files")
			}
			w.trace("%d: %s", s.sid, what)
			w.saw("fault: files damaged")
		}
	}
}

func (w *world) damageOne(s *server) string {
	dir := path.Join(dataDir, storage.VersionDir)
	infos, err := s.fd.ReadDir(dir)
	if err != nil || len(infos) == 0 {
		return ""
	}
	in := infos[w.rnd.Intn(len(infos))]
	name, ok := path.Join(dir, in.Name), false
	what := "flip"
	switch k := w.rnd.Intn(8); {
	case k == 0:
		what, ok = "lose", s.fd.Lose(name)
	case k == 1:
		what, ok = "empty", s.fd.Empty(name)
	case in.Size < 8:
		// The first acceptedEpoch of a young directory, as Apache writes it, has no
		// checksum: what a bit makes of it nobody can tell.
	case in.Size > 0:
		at := w.rnd.Intn(int(in.Size))
		if k > 2 && in.Size > 600 && strings.HasPrefix(in.Name, "log.") {
			at = w.rnd.Intn(600) // mostly not among the zeros behind the records
		}
		ok = s.fd.Flip(name, at, uint(w.rnd.Intn(8)))
		what = fmt.Sprintf("flip at %d of %d,", at, in.Size)
	}
	if !ok {
		return ""
	}
	return what + " " + in.Name
}

// wayOut checks what a server says that does not start: what is damaged, and what to do.
func (s *server) wayOut(err error) error {
	if !s.tampered() {
		return fmt.Errorf("%d does not start, or stops, on a disk that nobody damaged: %w", s.sid, err)
	}
	if text := err.Error(); !strings.Contains(text, dataDir) || !strings.Contains(text, "zkctl server rejoin") {
		return fmt.Errorf("%d does not say what is damaged (%s), or what to do: %w", s.sid, strings.Join(s.damage.done, ", "), err)
	}
	return nil
}

// untold tells whether what a server shows may pass, since the damage left nothing
// that could tell of it.
func (s *server) untold(r recovery) bool {
	return s.tampered() && (len(s.damage.done) > 1 || r.known && r.last >= s.before && r.epochsKept())
}

func (r recovery) epochsKept() bool {
	return r.epochs.Accepted >= r.kept.Accepted && r.epochs.Current >= r.kept.Current
}

// rejoin does what an operator does with `zkctl server rejoin`: while the others serve,
// or with --force at any time, what is damaged is set aside. The command may fail or be
// killed, and is given again.
func (s *server) rejoin() {
	epoch, ok := s.leaderWithout(s)
	if s.peer != nil || !ok && s.world.rnd.Intn(4) > 0 {
		return
	}
	s.trace("%d rejoins, epoch %d, forced %t", s.sid, epoch, !ok)
	s.fd.Restart()
	if !s.healing && s.world.rnd.Intn(3) == 0 {
		s.fd.StopAfter(s.world.rnd.Intn(20))
	}
	s.saw("members: history set aside")
	_, err := inspect.SetAside(s.fd, epoch, time.Now(), dataDir)
	switch {
	case err == nil:
		s.why, s.mute = "", true
		s.log, s.written, s.synced, s.instead, s.committedLog = nil, nil, nil, nil, nil
	case isDiskFault(err):
		s.trace("  %v", err)
		s.mend(s.fd.Crash(s.keep()))
		if s.world.rnd.Intn(2) == 0 {
			s.why = "" // it is started before the command is given again
		}
	default:
		s.fault("%d: rejoin: %v", s.sid, err)
	}
}

func isDiskFault(err error) bool {
	return errors.Is(err, faultdisk.ErrStopped) || errors.Is(err, syscall.EIO) || errors.Is(err, syscall.ENOSPC)
}

// leaderWithout finds a leader that a quorum follows without s, as the command does.
func (w *world) leaderWithout(s *server) (epoch int64, ok bool) {
	for _, l := range w.servers {
		if l == s || !l.place.Serving || l.place.Role != zab.Leading {
			continue
		}
		if w.inForce().HasQuorum(func(sid zab.Sid) bool {
			o := w.server(sid)
			return o != s && o.place.Serving && o.place.Leader == l.sid
		}) {
			return l.pipe.LastZxid() >> 32, true
		}
	}
	return 0, false
}

// copied ends the time without a vote: the leader's history is on the disk.
func (s *server) copied() {
	if s.mute {
		s.trace("%d has a vote again", s.sid)
		s.saw("members: rejoined")
		s.mute, s.damage = false, damage{}
	}
}

// mend replaces a disk by what a crash leaves of it, with a new cable: it works.
func (s *server) mend(fd *faultdisk.Disk) { s.fd = fd }

// slowness is how a disk keeps a server waiting; the zero value is a good one.
type slowness struct {
	sync    time.Duration // about how long it takes
	stuck   bool          // until it is mended
	due     time.Time     // when what was begun is done
	writing []job         // written, not synced
}

// slow makes a disk slow or stuck, or well again.
func (w *world) slow(s *server) {
	switch k := w.rnd.Intn(4); {
	case k == 0:
		s.slowness.stuck = true
		w.saw("fault: disk stuck")
		w.trace("%d: the disk is stuck", s.sid)
	case k == 1 || s.slowness.stuck || s.slowness.sync > 0:
		w.trace("%d: the disk is well again", s.sid)
		s.well()
	default:
		s.slowness.sync = time.Duration(1+w.rnd.Intn(60)) * tick
		w.saw("fault: disk slow")
		w.trace("%d: a sync takes %s", s.sid, s.slowness.sync)
	}
}

func (s *server) well() { s.slowness.sync, s.slowness.stuck, s.slowness.due = 0, false, time.Time{} }

// waits tells whether the disk is still at what it was given.
func (s *server) waits() bool {
	if s.slowness.stuck {
		return true
	}
	if s.slowness.sync > 0 && s.slowness.due.IsZero() {
		s.slowness.due = time.Now().Add(time.Duration(s.rnd.Int63n(2 * int64(s.slowness.sync))))
	}
	if time.Now().Before(s.slowness.due) {
		return true
	}
	s.slowness.due = time.Time{}
	return false
}

// trouble makes something go wrong with a disk in use.
func (w *world) trouble(s *server) {
	switch w.rnd.Intn(4) {
	case 0:
		n, err := w.rnd.Intn(4000), []error{syscall.EIO, syscall.ENOSPC}[w.rnd.Intn(2)]
		w.saw("fault: short write")
		w.trace("%d: a write will end short after %d bytes: %v", s.sid, n, err)
		s.fd.Short(n, err)
	default:
		w.slow(s)
	}
}
