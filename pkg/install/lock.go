package install

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/zkctl/zkctl/inventory"
	"github.com/zkctl/zkctl/pkg/install/problem"
	"github.com/zkctl/zkctl/pkg/install/transport"
)

const (
	lockName    = ".zkctl.lock"
	lockBeat    = 10 * time.Second // between signs of life of a lock's owner
	lockStale   = time.Minute      // without a sign of life: the owner is gone
	lockGrace   = 10 * time.Second // for letting go of locks after the run was cancelled
	lockIsTaken = 17               // the script's exit status for it
)

// ErrLocked: another zkctl works on the host.
var ErrLocked = errors.New("another zkctl is at work there")

// lockNote is what a lock file says.
type lockNote struct {
	User  string    `json:"user"`
	Host  string    `json:"host"`
	PID   int       `json:"pid"`
	Since time.Time `json:"since"`
}

// takeLock creates the lock (noclobber is O_EXCL), or prints the age in seconds and the note of the one that is there.
const takeLock = `mkdir -p "$1" && cd "$1" || exit 1
( set -C; cat >"$2" ) 2>/dev/null && exit 0
[ -e "$2" ] || { echo "cannot write $1/$2" >&2; exit 1; }
echo $(( $(date +%s) - $(stat -c %Y "$2") )); cat "$2"; exit 17`

func lockFile(v inventory.Server) string { return path.Join(v.Paths.ConfDir, lockName) }

// lock takes the locks of the machine's servers, all or none.
func (s *Session) lock(ctx context.Context, m *machine) error {
	for _, v := range m.servers {
		if err := s.lockServer(ctx, m, v); err != nil {
			s.unlock(ctx, m)
			return err
		}
		m.held = append(m.held, v)
	}
	return nil
}

func (s *Session) lockServer(ctx context.Context, m *machine, v inventory.Server) error {
	for attempt := 0; ; attempt++ {
		age, holder, err := s.tryLock(ctx, m, v)
		if !errors.Is(err, ErrLocked) {
			return err
		}
		why := s.mayTake(age, holder)
		if why == "" || attempt == 3 {
			return &problem.Problem{Op: "lock", On: m.name,
				Err: fmt.Errorf("%w: %s@%s, process %d, since %s (last sign of life %s ago)", ErrLocked, holder.User, holder.Host,
					holder.PID, holder.Since.Local().Format(time.DateTime), age),
				Do: "wait for it to end, or add --break-lock if you know that it is dead"}
		}
		s.teller.tell(Event{Phase: PhaseApply, Host: m.name, Kind: Note, What: "took over the lock " + lockFile(v) + ": " + why})
		if err := removeFile(ctx, m.host, lockFile(v)); err != nil {
			return err
		}
	}
}

// tryLock takes one lock; ErrLocked comes with its age and holder.
func (s *Session) tryLock(ctx context.Context, m *machine, v inventory.Server) (time.Duration, lockNote, error) {
	o := s.opts.Owner
	note, err := json.Marshal(lockNote{User: o.User, Host: o.Host, PID: o.PID, Since: s.teller.now().UTC().Truncate(time.Second)})
	if err != nil {
		return 0, lockNote{}, err
	}
	res, err := m.host.Run(ctx, transport.Command{
		Argv:  []string{"/bin/sh", "-c", takeLock, "sh", v.Paths.ConfDir, lockName},
		Stdin: strings.NewReader(string(note) + "\n"),
	})
	var exit *transport.ExitError
	if !errors.As(err, &exit) || exit.Code != lockIsTaken {
		return 0, lockNote{}, err
	}
	age, text, _ := strings.Cut(string(res.Stdout), "\n")
	seconds, err := strconv.Atoi(strings.TrimSpace(age))
	if err != nil {
		seconds = 0 // it went away meanwhile, or the host has no stat -c: as good as fresh
	}
	var holder lockNote
	if json.Unmarshal([]byte(text), &holder) != nil {
		holder = lockNote{User: "unknown", Host: "unknown"}
	}
	return time.Duration(seconds) * time.Second, holder, ErrLocked
}

// mayTake says why a lock may be taken from its holder; "" when it may not.
func (s *Session) mayTake(age time.Duration, holder lockNote) string {
	switch {
	case s.opts.BreakLock:
		return "as told"
	case age > lockStale:
		return fmt.Sprintf("%s@%s gave no sign of life for %s", holder.User, holder.Host, age)
	case holder.Host == s.opts.Owner.Host && holder.PID > 0 && holder.PID != s.opts.Owner.PID && !processLives(holder.PID):
		return fmt.Sprintf("process %d of %s is gone", holder.PID, holder.User)
	}
	return ""
}

// unlock lets go of the machine's locks, even when the run was cancelled.
func (s *Session) unlock(ctx context.Context, m *machine) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lockGrace)
	defer cancel()
	for _, v := range m.held {
		if err := removeFile(ctx, m.host, lockFile(v)); err != nil {
			s.teller.tell(Event{Phase: PhaseApply, Host: m.name, Kind: Note, What: "the lock stays until it is a minute old: " + err.Error()})
		}
		// Folders that only the lock needed go with it.
		if err := m.removeFolders(ctx, v, v.Paths.ConfDir); err != nil {
			s.opts.Logger.Debug("lock folder stays", "host", m.name, "err", err)
		}
	}
	m.held = nil
}

// lockAll takes the locks of machines, all or none, and keeps them alive until release is called.
func (s *Session) lockAll(ctx context.Context, machines []*machine) (release func(), err error) {
	err = s.each(ctx, machines, func(ctx context.Context, m *machine) error { return s.lock(ctx, m) })
	beat, stop := context.WithCancel(ctx)
	var wg sync.WaitGroup
	release = func() {
		stop()
		wg.Wait()
		for _, m := range machines {
			s.unlock(ctx, m)
		}
	}
	if err != nil {
		release()
		return nil, err
	}
	for _, m := range machines {
		var files []string
		for _, v := range m.held {
			files = append(files, lockFile(v))
		}
		wg.Go(func() { s.keepLocks(beat, m, files) })
	}
	return release, nil
}

// keepLocks gives signs of life.
func (s *Session) keepLocks(ctx context.Context, m *machine, files []string) {
	tick := time.NewTicker(lockBeat)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if err := m.run(ctx, append([]string{"touch", "-c", "--"}, files...)...); err != nil {
				s.opts.Logger.Debug("touch the locks", "host", m.name, "err", err)
			}
		}
	}
}
