package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/urfave/cli/v2"

	fourletter "github.com/zkctl/zkctl/pkg/four-letter"
	"github.com/zkctl/zkctl/pkg/install/problem"
	"github.com/zkctl/zkctl/pkg/server/config"
	"github.com/zkctl/zkctl/pkg/server/daemon"
	"github.com/zkctl/zkctl/pkg/server/inspect"
	"github.com/zkctl/zkctl/pkg/server/storage"
	"github.com/zkctl/zkctl/pkg/server/storage/disk"
)

// rejoinOptions are the flags of `zkctl server rejoin`.
type rejoinOptions struct {
	serverOptions
	servers    cli.StringSlice
	yes, force bool
	output     output
}

// rejoined is the answer of `zkctl server rejoin`.
type rejoined struct {
	Config string   `json:"config"`
	Epoch  int64    `json:"epoch"` // that this server promises not to go back behind, as far as the leader told
	Asked  []asked  `json:"asked"` // the others
	Forced bool     `json:"forced"`
	Kept   []string `json:"kept"` // where the former files are
	Next   string   `json:"next"` // the command that starts the server
}

// asked is what another voter answered.
type asked struct {
	Address string `json:"address"`
	Role    string `json:"role,omitempty"`
	Error   string `json:"error,omitempty"`
}

func serverRejoin(env environment) *cli.Command {
	o := &rejoinOptions{serverOptions: serverOptions{env: env}}
	return &cli.Command{
		Name: "rejoin", Usage: "set this server's damaged data aside, so that its next start copies the state from the leader", ArgsUsage: "[zoo.cfg]",
		Description: "Only while the others serve without this server: a leader that a quorum of them follows must answer. Snapshots and logs are\n" +
			"renamed, never deleted. Until it has copied the leader's state this server takes no part in elections: it may have\n" +
			"acknowledged writes that only one other server still has. An emptied or new disk goes the same way, once myid is there.",
		Flags: slices.Concat(o.configFlags(), []cli.Flag{
			&cli.StringSliceFlag{Name: "servers", Aliases: []string{"s"}, Usage: "ask the others at `HOST:PORT` (default: as zoo.cfg has them; repeatable)", Destination: &o.servers},
			&cli.BoolFlag{Name: "yes", Aliases: []string{"y"}, Usage: "do it", Destination: &o.yes},
			&cli.BoolFlag{Name: "force", Usage: "even when the others do not answer as they should", Destination: &o.force},
			o.waitFlag("wait at most `TIME` for an answer of the others", 5*time.Second),
			o.output.flag(outputTable, outputJSON, outputYAML),
		}, o.tls.flags()),
		Action: func(c *cli.Context) error { return o.rejoin(c) },
	}
}

func (o *rejoinOptions) rejoin(c *cli.Context) error {
	cfg, err := o.load(c)
	if err != nil {
		return err
	}
	if err := o.mayRejoin(cfg); err != nil {
		return err
	}
	r := &rejoined{Config: o.config, Next: nextCommand(o.config)}
	if err := o.leaderWithoutUs(c.Context, cfg, r); err != nil {
		if !o.force {
			return err
		}
		r.Forced = true
		fmt.Fprintf(o.env.stderr, "zkctl: warning: %v\n", err)
	}
	if !o.yes {
		return usagef("server rejoin sets all data of this server in %s aside: give --yes", strings.Join(dataDirs(cfg), " and "))
	}
	if err := layOut(dataDirs(cfg)); err != nil {
		return refused(err, "make the directory, for the account that the server runs as")
	}
	kept, err := inspect.SetAside(disk.OS{}, r.Epoch, time.Now(), dataDirs(cfg)...)
	r.Kept = append([]string{}, kept...)
	if err == nil {
		err = handOver(dataDirs(cfg))
	}
	switch {
	case errors.Is(err, inspect.ErrInUse):
		return refused(err, "zkctl server stop --config "+o.config)
	case errors.Is(err, fs.ErrPermission):
		return refused(err, "the same command with sudo, or as the account that the server runs as")
	case err != nil:
		return refused(err, "the same command again")
	}
	return o.output.print(o.env.stdout, r, func(w io.Writer) error { return writeRejoined(w, r) })
}

func refused(err error, do string) error { return &problem.Problem{Op: "rejoin", Err: err, Do: do} }

// mayRejoin refuses where there is nobody to copy from, or this server runs.
func (o *rejoinOptions) mayRejoin(cfg *config.Config) error {
	if !cfg.Distributed() {
		return refused(fmt.Errorf("%s names no other server: nobody has the state but this one", o.config), "restore a backup; zkctl txnlog verify "+strings.Join(dataDirs(cfg), " ")+" tells what is lost")
	}
	if _, err := os.Stat(cfg.DataDir); err != nil {
		return refused(fmt.Errorf("dataDir of %s: %w", o.config, err), "is it the zoo.cfg of this host, and the disk mounted?")
	}
	if _, err := cfg.ReadMyID(); err != nil {
		return refused(err, "write this server's number to "+filepath.Join(cfg.DataDir, "myid")+", if this is the right directory")
	}
	if pid, err := daemon.Running(o.pidFile); err == nil && pid != 0 {
		return refused(fmt.Errorf("this server runs as process %d", pid), "zkctl server stop --config "+o.config)
	}
	return nil
}

func writeRejoined(w io.Writer, r *rejoined) error {
	for _, path := range r.Kept {
		fmt.Fprintf(w, "kept: %s\n", path)
	}
	if len(r.Kept) == 0 {
		fmt.Fprintln(w, "There were no data.")
	} else {
		fmt.Fprintf(w, "Set aside %s, which may go when this server follows again.\n", files(len(r.Kept)))
	}
	_, err := fmt.Fprintf(w, "Its next start copies the state from the leader; until then it has no vote. Now: %s\n", r.Next)
	return err
}

// nextCommand is how a server is started, as the first line of its zoo.cfg tells
// who installed it.
func nextCommand(path string) string {
	text, err := os.ReadFile(path)
	var name, ensemble string
	if err == nil {
		line, _, _ := strings.Cut(string(text), "\n")
		if n, _ := fmt.Sscanf(line, "# Written by zkctl for server %s of ensemble %s", &name, &ensemble); n == 2 {
			return "zkctl start --only " + name + " -i hosts.yaml, where the inventory of " + strings.TrimSuffix(ensemble, ".") + " is"
		}
	}
	return "zkctl server start --config " + path
}

// layOut makes the version-2 of an empty or new disk.
func layOut(dirs []string) error {
	for _, dir := range dirs {
		at, err := inspect.VersionDir(dir)
		if err == nil && at == dir && filepath.Base(dir) != storage.VersionDir {
			err = os.MkdirAll(filepath.Join(dir, storage.VersionDir), 0o755)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// handOver gives what root has made to the account that the data directory belongs to.
func handOver(dirs []string) error {
	st, err := os.Stat(dirs[0])
	if err != nil || os.Geteuid() != 0 {
		return err
	}
	owner, ok := st.Sys().(*syscall.Stat_t)
	if !ok || owner.Uid == 0 {
		return nil
	}
	for _, dir := range dirs {
		version := filepath.Join(dir, storage.VersionDir)
		for _, path := range []string{dir, version, filepath.Join(dir, storage.LockName), filepath.Join(version, storage.RejoinName)} {
			if err := os.Lchown(path, int(owner.Uid), int(owner.Gid)); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
	}
	return nil
}

func dataDirs(cfg *config.Config) []string {
	if cfg.DataLogDir == "" || cfg.DataLogDir == cfg.DataDir {
		return []string{cfg.DataDir}
	}
	return []string{cfg.DataDir, cfg.DataLogDir}
}

// leaderWithoutUs asks the other voters whether one of them leads and enough
// follow it to be a quorum without this server; it notes what they say.
func (o *rejoinOptions) leaderWithoutUs(ctx context.Context, cfg *config.Config, r *rejoined) error {
	m := cfg.Membership()
	voters := m.Voters()
	t, err := o.tls.own(cfg)
	if err != nil {
		return err
	}
	list, guessed, err := o.others(cfg, voters, t.tls != nil)
	if err != nil {
		return err
	}
	need := len(voters)/2 + 1
	if len(m.Groups) > 0 {
		need = len(list) // what a quorum is depends on groups: all of them are one
	}
	leaders, following := 0, 0
	var words, tries []string
	for _, s := range t.client(o.wait).All(ctx, list, len(list)) {
		a := asked{Address: s.Address, Role: s.Role}
		switch s.Role {
		case fourletter.ModeLeader:
			leaders++
			r.Epoch = max(r.Epoch, int64(s.Zxid)>>32)
		case fourletter.ModeFollower:
			following++
		}
		word := s.Role
		if word == "" && s.Err != nil {
			a.Error = s.Err.Error()
			word = strings.TrimPrefix(a.Error, "srvr "+s.Address+": ")
			if ask := (*fourletter.AskError)(nil); errors.As(s.Err, &ask) && ask.Try != "" && !slices.Contains(tries, ask.Try) {
				tries = append(tries, ask.Try)
			}
		}
		r.Asked = append(r.Asked, a)
		words = append(words, s.Address+": "+word)
	}
	if leaders == 1 && leaders+following >= need {
		return nil
	}
	do := "get the others to serve first (zkctl status); --force goes on all the same, and this server will wait for them without a vote"
	switch {
	case guessed:
		do = "--servers HOST:PORT,... if their client ports are others, of which zoo.cfg says nothing; or " + do
	case len(tries) == 1:
		do = tries[0] + "; or " + do
	}
	return refused(fmt.Errorf("of the other voters %d lead and %d follow, and %d of %d are needed without this server (%s)",
		leaders, following, need, len(voters), strings.Join(words, "; ")), do)
}

// others are those that the flags name, or else zoo.cfg.
func (o *rejoinOptions) others(cfg *config.Config, voters []config.Server, secure bool) (list []string, guessed bool, err error) {
	if len(o.servers.Value()) == 0 {
		return o.otherClients(cfg, voters, secure)
	}
	targets, err := parseServers(o.servers.Value())
	for _, t := range targets {
		list = append(list, t.address)
	}
	return list, false, err
}

// otherClients are the client addresses of the other voters. A server of which
// zoo.cfg does not say it is guessed to have the same client port; where that makes
// it this very server, as when several run on one host, they have to be named.
func (o *rejoinOptions) otherClients(cfg *config.Config, voters []config.Server, secure bool) (list []string, guessed bool, err error) {
	self := cfg.Self()
	for _, s := range voters {
		if s.ID == cfg.MyID {
			continue
		}
		host, port := s.Addresses[0].Host, cfg.ClientPort
		if secure && cfg.SecureClientPort != 0 {
			port = cfg.SecureClientPort
		}
		switch {
		case s.ClientPort != 0 && !secure:
			port = s.ClientPort
			if !slices.Contains([]string{"", "0.0.0.0", "::"}, s.ClientHost) {
				host = s.ClientHost
			}
		case len(self.Addresses) > 0 && host == self.Addresses[0].Host:
			return nil, true, refused(fmt.Errorf("server.%d is on this host, too, and %s does not say its client port", s.ID, o.config),
				"the same with --servers HOST:PORT,HOST:PORT, the client ports of the other servers")
		default:
			guessed = true
		}
		list = append(list, net.JoinHostPort(host, strconv.Itoa(port)))
	}
	return list, guessed, nil
}

// damaged says what to try when the data of this server cannot be used.
func damaged(err error, cfg *config.Config) error {
	if !errors.Is(err, storage.ErrCorrupt) {
		return err
	}
	do := "zkctl txnlog verify " + strings.Join(dataDirs(cfg), " ") + ", then restore a backup"
	if cfg.Distributed() {
		do = "zkctl server rejoin --config " + cfg.File + " --yes, while the others serve"
	}
	return &problem.Problem{Op: "start", Err: err, Do: do}
}
