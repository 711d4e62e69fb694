package main

import (
	"crypto/tls"
	"errors"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/zkctl/zkctl/inventory"
	fourletter "github.com/zkctl/zkctl/pkg/four-letter"
)

// inventoryEnv names the inventory where no flag does; several files are
// separated as in PATH.
const inventoryEnv = "ZKCTL_INVENTORY"

// target is a server to ask.
type target struct {
	name    string      // as the inventory calls it; the address without one
	address string      // host:port
	tls     *tls.Config // nil: asked without TLS
	// server is what the inventory says of it; nil with --servers.
	server *inventory.Server
}

// title names the target in messages and headings.
func (t target) title() string {
	if t.name == t.address {
		return t.address
	}
	return t.name + " (" + t.address + ")"
}

// client asks the target, for at most timeout.
func (t target) client(timeout time.Duration) fourletter.Client {
	return fourletter.Client{Timeout: timeout, TLS: t.tls}
}

// parallelAsks bounds how many servers are asked at a time.
const parallelAsks = 64

// each runs do for every target, several at a time.
func each(targets []target, do func(i int, t target)) {
	var wg sync.WaitGroup
	slots := make(chan struct{}, parallelAsks)
	for i, t := range targets {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			do(i, t)
		})
	}
	wg.Wait()
}

// targetFlags are the flags that say which servers a command is about.
type targetFlags struct {
	inventories cli.StringSlice
	servers     cli.StringSlice
	timeout     time.Duration
	tls         tlsFlags
}

func (f *targetFlags) flags() []cli.Flag {
	return append([]cli.Flag{
		inventoryFlag(&f.inventories),
		&cli.StringSliceFlag{Name: "servers", Usage: "ask these servers, `HOST[:PORT],...` (port 2181 when there is none), instead of an inventory's", Destination: &f.servers},
		&cli.DurationFlag{Name: "timeout", Usage: "wait at most `TIME` for a server's answer", Value: 5 * time.Second, Destination: &f.timeout, Action: positive("timeout")},
	}, f.tls.flags()...)
}

func inventoryFlag(to *cli.StringSlice) cli.Flag {
	return &cli.StringSliceFlag{
		Name: "inventory", Aliases: []string{"i"}, Destination: to, TakesFile: true,
		Usage: "read the hosts from `FILE`, - is standard input; several are merged (default: $" + inventoryEnv + ")",
	}
}

func positive(name string) func(*cli.Context, time.Duration) error {
	return func(_ *cli.Context, d time.Duration) error {
		if d <= 0 {
			return usagef("--%s %v: more than 0 is needed", name, d)
		}
		return nil
	}
}

// targets lists the servers, and names their ensemble when an inventory does.
func (f *targetFlags) targets(env environment) (ensemble string, targets []target, err error) {
	if f.servers.Value() == nil {
		if len(inventoryPaths(env, f.inventories.Value())) == 0 {
			return "", nil, usagef("which servers? name an inventory with -i hosts.yaml or $%s, or servers with --servers host:2181,...", inventoryEnv)
		}
		return f.inventoryTargets(env)
	}
	if f.inventories.Value() != nil {
		return "", nil, usagef("--servers and -i exclude each other")
	}
	if targets, err = parseServers(f.servers.Value()); err != nil {
		return "", nil, err
	}
	return "", targets, f.tls.bare(targets)
}

// parseServers reads host:port,... as often as it was given.
func parseServers(lists []string) ([]target, error) {
	var out []target
	seen := map[string]bool{}
	for _, s := range strings.Split(strings.Join(lists, ","), ",") {
		if s = strings.TrimSpace(s); s == "" {
			continue
		}
		address := fourletter.WithPort(s)
		host, port, err := net.SplitHostPort(address)
		if n, e := strconv.Atoi(port); err != nil || e != nil || n < 1 || n > 65535 || host == "" || strings.ContainsAny(host, " /=") {
			return nil, usagef("--servers %s: not host:port with a port of 1 to 65535", s)
		}
		if !seen[address] {
			seen[address] = true
			out = append(out, target{name: address, address: address})
		}
	}
	if len(out) == 0 {
		return nil, usagef("--servers names no server; write host:port,host:port")
	}
	return out, nil
}

func (f *targetFlags) inventoryTargets(env environment) (string, []target, error) {
	_, servers, err := loadServers(env, f.inventories.Value())
	if err != nil {
		return "", nil, err
	}
	targets := make([]target, len(servers))
	for i := range servers {
		s := &servers[i]
		address, conf, err := f.tls.endpoint(s)
		if err != nil {
			return "", nil, err
		}
		targets[i] = target{name: s.Name, address: address, tls: conf, server: s}
	}
	return servers[0].Ensemble, targets, nil
}

// loadServers reads the inventory files, or those of the environment when there
// are none.
func loadServers(env environment, paths []string) (*inventory.Inventory, []inventory.Server, error) {
	paths = inventoryPaths(env, paths)
	if len(paths) == 0 {
		return nil, nil, usagef("which hosts? name an inventory with -i hosts.yaml or $%s", inventoryEnv)
	}
	inv, err := inventory.Load(inventory.Options{
		Stdin:     env.stdin,
		LookupEnv: func(key string) (string, bool) { v := env.getenv(key); return v, v != "" },
		Home:      env.getenv("HOME"),
	}, paths...)
	if err != nil {
		return nil, nil, err
	}
	servers, err := inv.Resolve(nil)
	if err != nil {
		return nil, nil, err
	}
	if len(servers) == 0 {
		return nil, nil, errors.New("the inventory has no hosts")
	}
	return inv, servers, nil
}

func inventoryPaths(env environment, paths []string) []string {
	if len(paths) > 0 {
		return paths
	}
	return slices.DeleteFunc(strings.Split(env.getenv(inventoryEnv), ":"), func(p string) bool { return p == "" })
}
