package transport

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/zkctl/zkctl/pkg/install/problem"
)

// Options are what all connections of a [Dialer] share. The caller knows the user's home and environment.
type Options struct {
	Home        string   // where ~ is, and .ssh with the default keys and known_hosts
	LocalUser   string   // the login name when nothing else says one
	AgentSocket string   // of ssh-agent, what SSH_AUTH_SOCK holds; empty for none
	ConfigFiles []string // in ssh_config format, the first value found counts; usually ~/.ssh/config and /etc/ssh/ssh_config
	KnownHosts  []string // nil: ~/.ssh/known_hosts, ~/.ssh/known_hosts2 and /etc/ssh/ssh_known_hosts, unless the config says otherwise; new keys go to the first

	Prompter          Prompter // who answers questions; nil: nobody, what needs an answer fails
	AcceptNewHostKeys bool     // record the key of a host that known_hosts does not know; a changed key is refused all the same

	ConnectTimeout time.Duration // for each hop: TCP, key exchange, login, without the time the user takes to answer; default 10 s
	KeepAlive      time.Duration // between signs of life asked for; default 5 s
	Patience       time.Duration // how long one may be missing; default 15 s

	Logger *slog.Logger // debug messages on connecting; nil for none
}

// A Target is a host to dial. What is left out comes from the ssh_config files, then from
// ssh's defaults.
type Target struct {
	Name           string // in messages; default: Address
	Address        string // host name, address, or Host of an ssh_config file
	User           string
	Port           int
	IdentityFiles  []string      // offered before those of the config; ~ is Options.Home
	KnownHosts     []string      // instead of all others; ~ is Options.Home
	Bastions       []Target      // the hosts to jump through, nearest first; nil: ProxyJump of the config; empty: none
	ConnectTimeout time.Duration // for this host
}

// A Dialer connects to hosts over SSH. Connections to bastions are shared by the hosts behind them.
// Its methods may be called from several goroutines.
type Dialer struct {
	opts Options

	mu       sync.Mutex
	bastions map[string]*bastion
}

// bastion is a connection to the end of a chain of hops, made when first needed.
type bastion struct {
	mu   sync.Mutex
	conn *connection
}

// NewDialer returns a dialer; it connects nowhere yet.
func NewDialer(opts Options) *Dialer {
	opts.ConnectTimeout = orDefault(opts.ConnectTimeout, 10*time.Second)
	opts.KeepAlive = orDefault(opts.KeepAlive, 5*time.Second)
	opts.Patience = orDefault(opts.Patience, 15*time.Second)
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	return &Dialer{opts: opts, bastions: make(map[string]*bastion)}
}

func orDefault(d, otherwise time.Duration) time.Duration {
	if d <= 0 {
		return otherwise
	}
	return d
}

// Close ends the connections to bastions; hosts behind them are lost with them.
func (d *Dialer) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, b := range d.bastions {
		b.mu.Lock()
		if b.conn != nil {
			b.conn.Close()
		}
		b.mu.Unlock()
	}
	clear(d.bastions)
	return nil
}

// Dial connects to the target and logs in. Errors are [problem.Problem]s; see [ErrAuth],
// [ErrHostKeyUnknown], [ErrHostKeyChanged] and [ErrHostKeyRevoked].
func (d *Dialer) Dial(ctx context.Context, t Target) (Host, error) {
	hops, err := d.route(t, 0)
	if err != nil {
		return nil, err
	}
	conn, err := d.connect(ctx, hops)
	if err != nil {
		return nil, err
	}
	name := hops[len(hops)-1].on
	e := &engine{host: name, starter: conn}
	return &machine{name: name, engine: e, store: &shellStore{engine: e, upload: conn.upload}, ask: d.opts.Prompter, close: conn.Close}, nil
}

// hop is one login on the way, with everything settled.
type hop struct {
	on             string // for messages
	user           string
	host, port     string
	identities     []identity
	identitiesOnly bool
	agentSocket    string
	keys           *hostKeys
	timeout        time.Duration
}

type identity struct {
	path  string
	named bool // somebody named it, so that it is worth a word when it is missing
}

func (h *hop) addr() string { return net.JoinHostPort(h.host, h.port) }

// String is the hop's name among the bastions.
func (h *hop) String() string { return h.user + "@" + h.addr() + " as " + h.keys.name }

// maxJumps bounds ProxyJump settings that lead to each other.
const maxJumps = 8

// route settles the hops to the target; the last is the target itself.
func (d *Dialer) route(t Target, depth int) ([]*hop, error) {
	if depth > maxJumps {
		return nil, &problem.Problem{Op: "connect", On: t.Address, Err: fmt.Errorf("ProxyJump leads through more than %d hosts", maxJumps),
			Do: "look for ProxyJump settings that lead to each other in the ssh config"}
	}
	if t.Name == "" {
		t.Name = t.Address
	}
	cfg, err := readConfig(d.opts.ConfigFiles, d.opts.Home, t.Address, d.opts.LocalUser, t.User)
	if err != nil {
		return nil, &problem.Problem{Op: "connect", On: t.Name, Err: err}
	}
	last, err := d.settle(t, cfg)
	if err != nil {
		return nil, &problem.Problem{Op: "connect", On: t.Name, Err: err}
	}
	jumps := t.Bastions
	if jumps == nil {
		if jumps, err = proxyJump(cfg); err != nil {
			return nil, &problem.Problem{Op: "connect", On: t.Name, Err: err, Do: "name the bastions in the inventory, or use ProxyJump in the ssh config"}
		}
	}
	var hops []*hop
	for i, j := range jumps {
		if i > 0 {
			j.Bastions = []Target{} // the way there is the hop before
		}
		via, err := d.route(j, depth+1)
		if err != nil {
			return nil, err
		}
		hops = append(hops, via...)
	}
	return append(hops, last), nil
}

// proxyJump reads ProxyJump: hosts with commas between them, each user@host:port or ssh://user@host:port.
func proxyJump(cfg clientConfig) ([]Target, error) {
	value := cfg.get("proxyjump")
	if value == "" {
		if cmd := cfg.get("proxycommand"); cmd != "" && !strings.EqualFold(cmd, "none") {
			return nil, errors.New("the ssh config wants a ProxyCommand, which zkctl does not run")
		}
		return nil, nil
	}
	if strings.EqualFold(value, "none") {
		return nil, nil
	}
	var jumps []Target
	for part := range strings.SplitSeq(value, ",") {
		t, err := ParseTarget(strings.TrimSpace(part))
		if err != nil {
			return nil, fmt.Errorf("ProxyJump %s: %w", value, err)
		}
		jumps = append(jumps, t)
	}
	return jumps, nil
}

// ParseTarget reads host, user@host, user@host:port, user@[v6]:port, or the same after ssh://.
func ParseTarget(s string) (Target, error) {
	var t Target
	rest := strings.TrimPrefix(s, "ssh://")
	if i := strings.LastIndexByte(rest, '@'); i >= 0 {
		t.User, rest = rest[:i], rest[i+1:]
	}
	t.Address = rest
	if host, port, err := net.SplitHostPort(rest); err == nil {
		n, err := strconv.ParseUint(port, 10, 16)
		if err != nil || n == 0 {
			return Target{}, fmt.Errorf("%q is not user@host:port", s)
		}
		t.Address, t.Port = host, int(n)
	}
	t.Address = strings.TrimSuffix(strings.TrimPrefix(t.Address, "["), "]")
	if t.Address == "" || strings.ContainsAny(t.Address, " \t/") {
		return Target{}, fmt.Errorf("%q is not user@host:port", s)
	}
	return t, nil
}

// settle puts together what the target, the config and the defaults say.
func (d *Dialer) settle(t Target, cfg clientConfig) (*hop, error) {
	h := &hop{on: t.Name, host: t.Address, port: strconv.Itoa(t.Port), timeout: t.ConnectTimeout}
	if name := cfg.get("hostname"); name != "" {
		h.host = strings.ReplaceAll(strings.ReplaceAll(name, "%h", t.Address), "%%", "%")
	}
	if t.Port == 0 {
		h.port = firstOf(cfg.get("port"), "22")
	}
	if n, err := strconv.ParseUint(h.port, 10, 16); err != nil || n == 0 {
		return nil, fmt.Errorf("%q is not a port", h.port)
	}
	h.user = firstOf(t.User, cfg.get("user"), d.opts.LocalUser)
	if h.user == "" {
		return nil, errors.New("no login name given")
	}
	if h.timeout <= 0 {
		h.timeout = d.opts.ConnectTimeout
		if s, err := strconv.Atoi(cfg.get("connecttimeout")); err == nil && s > 0 {
			h.timeout = time.Duration(s) * time.Second
		}
	}
	h.identitiesOnly = strings.EqualFold(cfg.get("identitiesonly"), "yes")
	d.settleAgent(h, cfg)
	d.settleIdentities(h, t, cfg)
	// A config that insists on known keys is not overruled; one that is lax does not weaken our own rule.
	strict := strings.EqualFold(cfg.get("stricthostkeychecking"), "yes")
	h.keys = newHostKeys(t.Name, h.host, h.port, cfg.get("hostkeyalias"), d.knownHosts(h, t, cfg), d.opts.AcceptNewHostKeys && !strict)
	return h, nil
}

func firstOf(values ...string) string {
	for _, v := range values {
		if v != "" {
			return v
		}
	}
	return ""
}

func (d *Dialer) settleAgent(h *hop, cfg clientConfig) {
	switch a := cfg.get("identityagent"); {
	case a == "" || a == "SSH_AUTH_SOCK" || strings.HasPrefix(a, "$"):
		h.agentSocket = d.opts.AgentSocket
	case !strings.EqualFold(a, "none"):
		h.agentSocket = d.expand(a, h)
	}
}

func (d *Dialer) settleIdentities(h *hop, t Target, cfg clientConfig) {
	for _, f := range append(append([]string{}, t.IdentityFiles...), cfg.files...) {
		if !strings.EqualFold(f, "none") {
			h.identities = append(h.identities, identity{path: d.expand(f, h), named: true})
		}
	}
	if len(t.IdentityFiles) == 0 && len(cfg.files) == 0 {
		for _, name := range []string{"id_ed25519", "id_ecdsa", "id_rsa"} {
			h.identities = append(h.identities, identity{path: filepath.Join(d.opts.Home, ".ssh", name)})
		}
	}
}

func (d *Dialer) knownHosts(h *hop, t Target, cfg clientConfig) []string {
	files := t.KnownHosts
	if len(files) == 0 {
		files = d.opts.KnownHosts
	}
	if len(files) == 0 {
		user := firstOf(cfg.get("userknownhostsfile"), "~/.ssh/known_hosts ~/.ssh/known_hosts2")
		global := firstOf(cfg.get("globalknownhostsfile"), "/etc/ssh/ssh_known_hosts /etc/ssh/ssh_known_hosts2")
		files = strings.Fields(user + " " + global)
	}
	var out []string
	for _, f := range files {
		if !strings.EqualFold(f, "none") && f != "/dev/null" {
			out = append(out, d.expand(f, h))
		}
	}
	return out
}

// expand resolves ~ and the tokens of ssh_config(5) that are of use in file names.
func (d *Dialer) expand(p string, h *hop) string {
	p = strings.NewReplacer("%%", "%", "%d", d.opts.Home, "%h", h.host, "%r", h.user, "%p", h.port, "%u", d.opts.LocalUser).Replace(p)
	return expandHome(p, d.opts.Home)
}

// connect goes through the hops; all but the last are shared.
func (d *Dialer) connect(ctx context.Context, hops []*hop) (*connection, error) {
	last := hops[len(hops)-1]
	if len(hops) == 1 {
		return d.shake(ctx, last, func(ctx context.Context) (net.Conn, error) {
			conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", last.addr())
			if err != nil {
				return nil, &problem.Problem{Op: "connect", On: last.on, Err: err,
					Do: fmt.Sprintf("see whether ssh -p %s %s@%s works, and correct address and ssh port in the inventory", last.port, last.user, last.host)}
			}
			return conn, nil
		})
	}
	via, err := d.bastion(ctx, hops[:len(hops)-1])
	if err != nil {
		return nil, err
	}
	return d.shake(ctx, last, func(ctx context.Context) (net.Conn, error) {
		conn, err := via.tunnel(ctx, last.addr())
		if err != nil {
			return nil, &problem.Problem{Op: "connect", On: last.on, Err: err}
		}
		return conn, nil
	})
}

// bastion returns the connection to the last of the hops, making it when it is not there.
func (d *Dialer) bastion(ctx context.Context, hops []*hop) (*connection, error) {
	var key strings.Builder
	for _, h := range hops {
		key.WriteString(h.String() + "\n")
	}
	d.mu.Lock()
	b := d.bastions[key.String()]
	if b == nil {
		b = &bastion{}
		d.bastions[key.String()] = b
	}
	d.mu.Unlock()
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.conn != nil && b.conn.alive() {
		return b.conn, nil
	}
	conn, err := d.connect(ctx, hops)
	if err != nil {
		return nil, err
	}
	b.conn = conn
	return conn, nil
}

// shake opens a TCP connection and makes it an SSH connection with a user logged in.
func (d *Dialer) shake(ctx context.Context, h *hop, open func(context.Context) (net.Conn, error)) (*connection, error) {
	ctx, clock := newStopwatch(ctx, h.timeout)
	defer clock.close()
	begun := time.Now()
	conn, err := open(ctx)
	if err != nil {
		if cause := context.Cause(ctx); cause != nil {
			return nil, &problem.Problem{Op: "connect", On: h.on, Err: fmt.Errorf("%s: %w", h.addr(), cause), Do: "see whether the host is up and a firewall lets ssh through"}
		}
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	client, err := d.handshake(ctx, conn, h, clock)
	if !stop() && err == nil {
		client.Close()
		err = context.Cause(ctx)
	}
	if err != nil {
		conn.Close()
		return nil, err
	}
	d.opts.Logger.DebugContext(ctx, "connected", "host", h.on, "address", h.addr(), "user", h.user, "took", time.Since(begun))
	return newConnection(h.on, client, d.opts.KeepAlive, d.opts.Patience), nil
}

func (d *Dialer) handshake(ctx context.Context, conn net.Conn, h *hop, clock *stopwatch) (*ssh.Client, error) {
	algorithms, err := h.keys.algorithms()
	if err != nil {
		return nil, &problem.Problem{Op: "connect", On: h.on, Err: err}
	}
	l := &login{ctx: ctx, hop: h}
	if d.opts.Prompter != nil {
		l.prompter = pausing{prompter: d.opts.Prompter, clock: clock}
	}
	defer l.close()
	var keyErr error
	verified := false
	cfg := &ssh.ClientConfig{User: h.user, HostKeyAlgorithms: algorithms, ClientVersion: "SSH-2.0-zkctl",
		HostKeyCallback: func(addr string, remote net.Addr, key ssh.PublicKey) error {
			keyErr = h.keys.check(addr, remote, key)
			verified = keyErr == nil
			return keyErr
		}}
	l.config(cfg)
	sc, chans, reqs, err := ssh.NewClientConn(conn, h.addr(), cfg)
	switch {
	case err == nil:
		return ssh.NewClient(sc, chans, reqs), nil
	case keyErr != nil:
		return nil, keyErr
	case context.Cause(ctx) != nil:
		return nil, &problem.Problem{Op: "log in to", On: h.on, Err: fmt.Errorf("%s: %w", h.addr(), context.Cause(ctx))}
	case verified && (errors.Is(err, io.EOF) || errors.As(err, new(net.Error))):
		return nil, &problem.Problem{Op: "log in to", On: h.on, Err: fmt.Errorf("%w: %w", ErrConnectionLost, err), Do: "see the log of sshd on the host"}
	case verified:
		return nil, l.denied(err)
	}
	return nil, &problem.Problem{Op: "connect", On: h.on, Err: fmt.Errorf("%s: %w", h.addr(), err), Do: "see whether an SSH server is what answers there"}
}

// denied tells which ways to log in were tried.
func (l *login) denied(err error) error {
	p := &problem.Problem{Op: "log in to", On: l.hop.on, Err: fmt.Errorf("%w for %s: %w", ErrAuth, l.hop.user, err)}
	if len(l.tried) > 0 {
		p.Err = fmt.Errorf("%w (%s)", p.Err, strings.Join(l.tried, "; "))
	}
	p.Do = fmt.Sprintf("see whether ssh -p %s %s@%s works; load the key with ssh-add, or name it under ssh.identityFiles", l.hop.port, l.hop.user, l.hop.host)
	return p
}

// errTimeout ends the context of a hop that took too long.
type errTimeout struct{ limit time.Duration }

func (e errTimeout) Error() string { return fmt.Sprintf("no answer within %s", e.limit) }

// Timeout makes it a [net.Error] in spirit; Is makes it match [context.DeadlineExceeded].
func (e errTimeout) Timeout() bool { return true }

func (e errTimeout) Is(target error) bool { return target == context.DeadlineExceeded }

// stopwatch cancels a context after a time, which does not pass while it is paused.
type stopwatch struct {
	cancel context.CancelCauseFunc
	timer  *time.Timer
	limit  time.Duration
}

func newStopwatch(ctx context.Context, limit time.Duration) (context.Context, *stopwatch) {
	ctx, cancel := context.WithCancelCause(ctx)
	w := &stopwatch{cancel: cancel, limit: limit}
	w.timer = time.AfterFunc(limit, func() { cancel(errTimeout{limit}) })
	return ctx, w
}

func (w *stopwatch) close() {
	w.timer.Stop()
	w.cancel(nil)
}

// pausing is a prompter that stops the hop's clock while the user thinks.
type pausing struct {
	prompter Prompter
	clock    *stopwatch
}

func (p pausing) Ask(ctx context.Context, q Question) (string, error) {
	p.clock.timer.Stop()
	defer p.clock.timer.Reset(p.clock.limit)
	return p.prompter.Ask(ctx, q)
}
