package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
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
}

func serverRejoin(env environment) *cli.Command {
	o := &rejoinOptions{serverOptions: serverOptions{env: env}}
	return &cli.Command{
		Name: "rejoin", Usage: "set this server's damaged data aside, so that its next start copies the state from the leader", ArgsUsage: "[zoo.cfg]",
		Description: "Only while the others serve without this server: a leader that a quorum of them follows must answer. Snapshots and logs are\n" +
			"renamed, never deleted. Until it has copied the leader's state this server takes no part in elections: it may have\n" +
			"acknowledged writes that only one other server still has.",
		Flags: append(o.configFlags(),
			&cli.StringSliceFlag{Name: "servers", Aliases: []string{"s"}, Usage: "ask the others at `HOST:PORT` (default: as zoo.cfg has them; repeatable)", Destination: &o.servers},
			&cli.BoolFlag{Name: "yes", Aliases: []string{"y"}, Usage: "do it", Destination: &o.yes},
			&cli.BoolFlag{Name: "force", Usage: "even when the others do not answer as they should", Destination: &o.force},
			o.waitFlag("wait at most `TIME` for an answer of the others", 5*time.Second),
		),
		Action: func(c *cli.Context) error { return o.rejoin(c) },
	}
}

func (o *rejoinOptions) rejoin(c *cli.Context) error {
	cfg, err := o.load(c)
	if err != nil {
		return err
	}
	refuse := func(err error, do string) error { return &problem.Problem{Op: "rejoin", Err: err, Do: do} }
	if !cfg.Distributed() {
		return refuse(fmt.Errorf("%s names no other server: nobody has the state but this one", o.config), "restore a backup; zkctl txnlog verify "+cfg.DataDir+" tells what is lost")
	}
	if _, err := cfg.ReadMyID(); err != nil {
		return refuse(err, "write this server's number to "+filepath.Join(cfg.DataDir, "myid"))
	}
	if pid, err := daemon.Running(o.pidFile); err == nil && pid != 0 {
		return refuse(fmt.Errorf("this server runs as process %d", pid), "zkctl server stop --config "+o.config)
	}
	epoch, err := o.leaderWithoutUs(c.Context, cfg)
	if err != nil && !o.force {
		return refuse(err, "get the others to serve first; --force goes on all the same, and this server will wait for them without a vote")
	}
	if err != nil {
		fmt.Fprintf(o.env.stderr, "zkctl: warning: %v\n", err)
	}
	if !o.yes {
		return usagef("server rejoin sets all data of this server in %s aside: give --yes", strings.Join(dataDirs(cfg), " and "))
	}
	moved, err := inspect.SetAside(disk.OS{}, epoch, time.Now(), dataDirs(cfg)...)
	if err != nil {
		do := "zkctl server stop --config " + o.config
		if !errors.Is(err, inspect.ErrInUse) {
			do = "the same command again"
		}
		return refuse(err, do)
	}
	for _, path := range moved {
		fmt.Fprintf(o.env.stdout, "kept: %s\n", path)
	}
	fmt.Fprintf(o.env.stdout, "Set aside %s. Now: zkctl server start --config %s\n", files(len(moved)), o.config)
	return nil
}

func dataDirs(cfg *config.Config) []string {
	if cfg.DataLogDir == "" || cfg.DataLogDir == cfg.DataDir {
		return []string{cfg.DataDir}
	}
	return []string{cfg.DataDir, cfg.DataLogDir}
}

// leaderWithoutUs asks the other voters whether one of them leads and enough
// follow it to be a quorum without this server; it returns the leader's epoch.
func (o *rejoinOptions) leaderWithoutUs(ctx context.Context, cfg *config.Config) (epoch int64, err error) {
	m := cfg.Membership()
	voters := m.Voters()
	asked := o.servers.Value()
	if len(asked) == 0 {
		asked = otherClients(cfg, voters)
	}
	need := len(voters)/2 + 1
	if len(m.Groups) > 0 {
		need = len(asked) // what a quorum is depends on groups: all of them are one
	}
	t, err := o.tls.own(cfg)
	if err != nil {
		return 0, err
	}
	all := t.client(o.wait).All(ctx, asked, len(asked))
	leaders, following := 0, 0
	var words []string
	for _, s := range all {
		switch s.Role {
		case fourletter.ModeLeader:
			leaders++
			epoch = max(epoch, int64(s.Zxid)>>32)
		case fourletter.ModeFollower:
			following++
		}
		word := s.Role
		if word == "" && s.Err != nil {
			word = s.Err.Error()
		}
		words = append(words, s.Address+": "+word)
	}
	if leaders == 1 && leaders+following >= need {
		return epoch, nil
	}
	return epoch, fmt.Errorf("of the other voters %d lead and %d follow, and %d of %d are needed without this server (%s)",
		leaders, following, need, len(voters), strings.Join(words, "; "))
}

// otherClients are the client addresses of the other voters; a server of which
// zoo.cfg does not say it is taken to have the same client port.
func otherClients(cfg *config.Config, voters []config.Server) []string {
	var out []string
	for _, s := range voters {
		if s.ID == cfg.MyID {
			continue
		}
		host, port := s.Addresses[0].Host, cfg.ClientPort
		if port == 0 {
			port = cfg.SecureClientPort
		}
		if s.ClientPort != 0 {
			port = s.ClientPort
			if !slices.Contains([]string{"", "0.0.0.0", "::"}, s.ClientHost) {
				host = s.ClientHost
			}
		}
		out = append(out, net.JoinHostPort(host, strconv.Itoa(port)))
	}
	return out
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
