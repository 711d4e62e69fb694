package testbed

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// A Flavour is what process 1 of a host is.
type Flavour string

// The flavours.
const (
	Systemd Flavour = "systemd" // systemd, as on a Debian server
	Plain   Flavour = "plain"   // a script: rc2.d, rc.local and cron, no systemd anywhere
)

// Options say what [New] makes. The zero value is one plain host.
type Options struct {
	Hosts   int     // 1..MaxHosts; 0 is 1
	Flavour Flavour // of all hosts; empty is Plain

	// Dir is the folder under which the testbed's own is made; empty is
	// /var/tmp. It must not be below /run.
	Dir string
	// DiskSize is the size of a host's disk in bytes, used only as it fills;
	// 0 is 2 GiB.
	DiskSize int64
	// BootTimeout is how long a host may take to boot; 0 is 60 s.
	BootTimeout time.Duration
	// Log tells what happens; nil is silence.
	Log *slog.Logger
}

func (o *Options) complete() error {
	if o.Hosts == 0 {
		o.Hosts = 1
	}
	if o.Hosts < 1 || o.Hosts > MaxHosts {
		return fmt.Errorf("%d hosts: want 1 to %d", o.Hosts, MaxHosts)
	}
	if o.Flavour == "" {
		o.Flavour = Plain
	}
	if o.Flavour != Plain && o.Flavour != Systemd {
		return fmt.Errorf("flavour %q: want %s or %s", o.Flavour, Systemd, Plain)
	}
	if o.Dir == "" {
		o.Dir = "/var/tmp"
	}
	dir, err := filepath.Abs(o.Dir)
	if err != nil {
		return err
	}
	if strings.HasPrefix(dir+"/", "/run/") || strings.ContainsAny(dir, ":,") {
		return fmt.Errorf("folder %s: must not be below /run nor contain ':' or ','", dir)
	}
	o.Dir = dir
	if o.DiskSize == 0 {
		o.DiskSize = 2 << 30
	}
	if o.BootTimeout == 0 {
		o.BootTimeout = time.Minute
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return nil
}

// A Testbed is a set of hosts on one switch. Its methods are safe for
// concurrent use.
type Testbed struct {
	opts   Options
	log    *slog.Logger
	record *record
	key    keyPair // the users'
	net    *network
	ctl    *Controller
	hosts  []*Host

	closing sync.Once
	closed  error
}

// New makes a testbed and boots its hosts, all at once; it returns when every
// one of them is ready. It first removes what testbeds of dead processes left.
// [Testbed.Close] removes everything again; so does an error.
func New(ctx context.Context, opts Options) (*Testbed, error) {
	if err := opts.complete(); err != nil {
		return nil, fmt.Errorf("testbed: %w", err)
	}
	if err := Check(); err != nil {
		return nil, err
	}
	tb := &Testbed{opts: opts, log: opts.Log}
	if err := tb.make(ctx); err != nil {
		return nil, fmt.Errorf("testbed: %w", errors.Join(err, tb.Close()))
	}
	err := tb.each(func(h *Host) error { return h.Boot(ctx) })
	if err != nil {
		return nil, fmt.Errorf("testbed: %w", errors.Join(err, tb.Close()))
	}
	return tb, nil
}

// make makes everything up to hosts that are off.
func (tb *Testbed) make(ctx context.Context) (err error) {
	cgroups, err := cgroupRoot()
	if err != nil {
		return err
	}
	tb.record, err = register(ctx, func(id string) (string, string) {
		return filepath.Join(tb.opts.Dir, fmt.Sprintf("zkctl-testbed-%s-%d", id, os.Getpid())),
			filepath.Join(cgroups, cgroupName(id))
	})
	if err != nil {
		return err
	}
	if err := os.Mkdir(tb.record.Dir, 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(tb.path(markerFile), []byte(tb.record.ID), 0o644); err != nil {
		return err
	}
	if tb.net, err = newNetwork(ctx, tb.opts.Hosts+1); err != nil {
		return err
	}
	if err := tb.makeController(ctx); err != nil {
		return err
	}
	if tb.key, err = newKeyPair("testbed"); err != nil {
		return err
	}
	if err := tb.makeGoldenDisk(ctx); err != nil {
		return err
	}
	for i := 1; i <= tb.opts.Hosts; i++ {
		if err := tb.makeHost(ctx, i); err != nil {
			return err
		}
	}
	return tb.writeSSHFiles()
}

func (tb *Testbed) makeController(ctx context.Context) error {
	ns, err := newNetns()
	if err != nil {
		return err
	}
	tb.ctl = &Controller{Name: ControllerName, Addr: address(0), ns: ns, hosts: map[string]netip.Addr{}}
	return tb.net.plug(ctx, 0, ns)
}

func (tb *Testbed) makeHost(ctx context.Context, index int) error {
	h := &Host{Name: fmt.Sprintf("h%d", index), Addr: address(index), tb: tb, index: index}
	h.dir = tb.path(h.Name)
	if err := os.Mkdir(h.dir, 0o755); err != nil {
		return err
	}
	var err error
	if h.key, err = newKeyPair("root@" + h.Name); err != nil {
		return err
	}
	id, err := randomUUID()
	if err != nil {
		return err
	}
	h.machineID = strings.ReplaceAll(id, "-", "")
	err = run(command(ctx, "cp", "--sparse=always", "--reflink=auto", tb.path("golden.img"), h.image()))
	if err != nil {
		return err
	}
	tb.hosts = append(tb.hosts, h)
	tb.ctl.hosts[h.Name] = h.Addr
	return nil
}

// randomUUID returns a random (version 4) UUID.
func randomUUID() (string, error) {
	var b [16]byte
	if _, err := rand.Read(b[:]); err != nil {
		return "", err
	}
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	s := hex.EncodeToString(b[:])
	return strings.Join([]string{s[:8], s[8:12], s[12:16], s[16:20], s[20:]}, "-"), nil
}

// each runs f for all hosts at once and joins their errors in order.
func (tb *Testbed) each(f func(*Host) error) error {
	errs := make([]error, len(tb.hosts))
	var wg sync.WaitGroup
	for i, h := range tb.hosts {
		wg.Go(func() { errs[i] = f(h) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

// closeTimeout bounds what waits for the kernel in [Testbed.Close].
const closeTimeout = time.Minute

// Close powers every host off and removes all that was made: processes, mounts,
// loop devices, cgroups, namespaces, the folder. Further calls return the same.
func (tb *Testbed) Close() error {
	tb.closing.Do(func() {
		ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
		defer cancel()
		tb.closed = tb.remove(ctx)
	})
	return tb.closed
}

func (tb *Testbed) remove(ctx context.Context) error {
	if tb.record == nil {
		return nil
	}
	errs := []error{tb.each(func(h *Host) error { return h.Kill(ctx) })}
	if tb.net != nil {
		errs = append(errs, tb.net.close(ctx))
	}
	if tb.ctl != nil {
		errs = append(errs, tb.ctl.ns.close())
	}
	errs = append(errs, tb.record.sweep(ctx))
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("remove testbed %s: %w", tb.record.ID, err) // the record stays: the next New tries again
	}
	return tb.record.unregister()
}

func (tb *Testbed) path(name string) string { return filepath.Join(tb.record.Dir, name) }

// Hosts returns all hosts, h1 first.
func (tb *Testbed) Hosts() []*Host { return append([]*Host(nil), tb.hosts...) }

// Host returns a host by its index: 0 is h1.
func (tb *Testbed) Host(i int) *Host { return tb.hosts[i] }

// Controller returns the machine from which the hosts are worked on.
func (tb *Testbed) Controller() *Controller { return tb.ctl }

// Home is a folder made to be a user's home on the controller; its .ssh holds
// the files below.
func (tb *Testbed) Home() string { return tb.path("home") }

// KeyFile is the private key that all users of all hosts accept.
func (tb *Testbed) KeyFile() string { return filepath.Join(tb.Home(), ".ssh/id_ed25519") }

// KnownHosts lists the host keys of exactly these hosts, by name and address.
func (tb *Testbed) KnownHosts() string { return filepath.Join(tb.Home(), ".ssh/known_hosts") }

// SSHConfig is a configuration for ssh -F that knows the hosts by name.
func (tb *Testbed) SSHConfig() string { return filepath.Join(tb.Home(), ".ssh/config") }

// SSH prepares an ssh command from the controller to a host. Without words it
// is a login.
func (tb *Testbed) SSH(ctx context.Context, user string, h *Host, words ...string) *exec.Cmd {
	return tb.ctl.Command(ctx, append([]string{"ssh", "-F", tb.SSHConfig(), "-l", user, h.Name}, words...)...)
}

// Cut drops every frame between two nodes, each the name of a host or
// [ControllerName]. It lasts over reboots, until [Testbed.Heal].
func (tb *Testbed) Cut(ctx context.Context, a, b string) error {
	l, err := tb.link(a, b)
	if err != nil {
		return err
	}
	return tb.net.cut(ctx, l, l.back())
}

// CutOneWay drops every frame from one node to another; the other direction
// works.
func (tb *Testbed) CutOneWay(ctx context.Context, from, to string) error {
	l, err := tb.link(from, to)
	if err != nil {
		return err
	}
	return tb.net.cut(ctx, l)
}

// Heal ends every fault of the network: cuts, delays, losses, cables.
func (tb *Testbed) Heal(ctx context.Context) error {
	return tb.net.heal(ctx, func(link) bool { return true }, true)
}

// HealBetween ends the cuts, delays and losses between two nodes.
func (tb *Testbed) HealBetween(ctx context.Context, a, b string) error {
	l, err := tb.link(a, b)
	if err != nil {
		return err
	}
	return tb.net.heal(ctx, func(m link) bool { return m == l || m == l.back() }, false)
}

func (tb *Testbed) link(a, b string) (link, error) {
	from, err := tb.index(a)
	if err != nil {
		return link{}, err
	}
	to, err := tb.index(b)
	if err != nil {
		return link{}, err
	}
	if from == to {
		return link{}, fmt.Errorf("testbed: a link needs two ends, not %s twice", a)
	}
	return link{from, to}, nil
}

func (tb *Testbed) index(name string) (int, error) {
	if name == ControllerName {
		return 0, nil
	}
	for _, h := range tb.hosts {
		if h.Name == name {
			return h.index, nil
		}
	}
	return 0, fmt.Errorf("testbed: there is no %q: want h1 to h%d or %s", name, len(tb.hosts), ControllerName)
}
