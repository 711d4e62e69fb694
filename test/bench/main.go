package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"text/tabwriter"
	"time"

	"github.com/zkctl/zkctl/pkg/server/proto"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// options are the flags.
type options struct {
	clients, servers []int
	depth, size      int
	duration         time.Duration
	json             string
	withJava         bool
}

// A result is one line of the table. Latencies are in µs, CPU is of all
// servers in µs a request, RSS of all servers in bytes.
type result struct {
	Server   string  `json:"server"`
	Servers  int     `json:"servers"`
	Op       string  `json:"op"`
	Clients  int     `json:"clients"`
	Depth    int     `json:"depth"`
	Requests int     `json:"requests"`
	Rate     float64 `json:"perSecond"`
	P50      int64   `json:"p50us"`
	P99      int64   `json:"p99us"`
	Max      int64   `json:"maxus"`
	CPU      float64 `json:"cpuusPerRequest"`
	RSS      int64   `json:"rss"`
}

// A report is what is written as JSON.
type report struct {
	Results []result `json:"results"`
	// Failover is how long no write succeeded after the leader of three was
	// killed, in ms, and Start how long the servers took to serve.
	Failover map[string]int64 `json:"failoverMs"`
	Start    map[string]int64 `json:"startMs"`
	IdleRSS  map[string]int64 `json:"idleRSS"`
}

func parse(args []string, errOut io.Writer) (options, error) {
	var o options
	var clients, servers string
	f := flag.NewFlagSet("bench", flag.ContinueOnError)
	f.SetOutput(errOut)
	f.StringVar(&clients, "clients", "1,16,64", "numbers of clients")
	f.StringVar(&servers, "servers", "1,3", "numbers of servers")
	f.IntVar(&o.depth, "depth", 1, "requests a client keeps under way")
	f.IntVar(&o.size, "size", 100, "bytes of data in a znode")
	f.DurationVar(&o.duration, "duration", 3*time.Second, "how long each measurement takes")
	f.StringVar(&o.json, "json", "", "also write the figures to this file")
	f.BoolVar(&o.withJava, "java", true, "measure Apache's server too")
	if err := f.Parse(args); err != nil {
		return o, err
	}
	var err1, err2 error
	o.clients, err1 = numbers(clients)
	o.servers, err2 = numbers(servers)
	return o, errors.Join(err1, err2)
}

func numbers(text string) (out []int, err error) {
	for _, t := range strings.Split(text, ",") {
		n, err := strconv.Atoi(t)
		if err != nil || n < 1 {
			return nil, fmt.Errorf("%q is no list of numbers above 0", text)
		}
		out = append(out, n)
	}
	return out, nil
}

func run(ctx context.Context, args []string, out, errOut io.Writer) error {
	o, err := parse(args, errOut)
	if errors.Is(err, flag.ErrHelp) {
		return nil
	} else if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "zkctl-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	ours, err := zkctl(ctx, dir)
	if err != nil {
		return err
	}
	launchers := map[string]launcher{"zkctl": ours}
	if o.withJava {
		if launchers["java"], err = java(); err != nil {
			fmt.Fprintln(errOut, err)
			delete(launchers, "java")
		}
	}
	rep := report{Failover: map[string]int64{}, Start: map[string]int64{}, IdleRSS: map[string]int64{}}
	for _, n := range o.servers {
		for _, name := range []string{"zkctl", "java"} {
			if launchers[name] == nil || ctx.Err() != nil {
				continue
			}
			if err := rep.measure(ctx, o, filepath.Join(dir, fmt.Sprintf("%s%d", name, n)), name, launchers[name], n); err != nil {
				return fmt.Errorf("%s, %d servers: %w", name, n, err)
			}
		}
	}
	rep.print(out)
	if o.json == "" {
		return ctx.Err()
	}
	b, err := json.MarshalIndent(rep, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(o.json, append(b, '\n'), 0o644)
}

// measure runs every load on n servers of one kind.
func (rep *report) measure(ctx context.Context, o options, dir, name string, launch launcher, n int) error {
	began := time.Now()
	g, err := start(dir, launch, n)
	if g != nil {
		defer g.end()
	}
	if err != nil {
		return err
	}
	key := fmt.Sprintf("%s %d", name, n)
	rep.Start[key] = time.Since(began).Milliseconds()
	_, rep.IdleRSS[key] = g.usage()
	if err := prepare(g, slices.Max(o.clients), o.size); err != nil {
		return err
	}
	for _, op := range []proto.Op{proto.OpCreate, proto.OpSetData, proto.OpGetData} {
		for _, clients := range o.clients {
			r, err := measureOne(g, o, op, clients)
			if err != nil {
				return fmt.Errorf("%v with %d clients: %w", op, clients, err)
			}
			r.Server, r.Servers = name, n
			rep.Results = append(rep.Results, r)
		}
	}
	if n > 2 {
		took, err := failover(ctx, g)
		if err != nil {
			return fmt.Errorf("fail-over: %w", err)
		}
		rep.Failover[key] = took.Milliseconds()
	}
	return nil
}

// prepare makes the znodes that are read and written.
func prepare(g *group, clients, size int) error {
	c, err := dial(g.addresses[0], patience)
	if err != nil {
		return err
	}
	defer c.close()
	for i := range clients {
		if err := c.do(proto.OpCreate, create(fmt.Sprintf("/c%d", i), make([]byte, size))); err != nil {
			return err
		}
	}
	return nil
}

func create(path string, data []byte) []byte {
	return proto.CreateRequest{Path: path, Data: data, ACL: proto.WorldAnyone()}.Append(nil, proto.OpCreate)
}

// measureOne lets clients do one operation.
func measureOne(g *group, o options, op proto.Op, clients int) (result, error) {
	r := result{Op: op.String(), Clients: clients, Depth: o.depth}
	conns := make([]*client, clients)
	for i := range conns {
		c, err := dial(g.addresses[i%len(g.addresses)], patience)
		if err != nil {
			return r, err
		}
		defer c.close()
		conns[i] = c
	}
	data := make([]byte, o.size)
	before, _ := g.usage()
	began := time.Now()
	until := began.Add(o.duration)
	var mu sync.Mutex
	var all []time.Duration
	var errs error
	var wg sync.WaitGroup
	for i, c := range conns {
		wg.Go(func() {
			took, err := c.load(o.depth, until, requests(op, i, began.UnixNano(), data))
			mu.Lock()
			defer mu.Unlock()
			all, errs = append(all, took...), errors.Join(errs, err)
		})
	}
	wg.Wait()
	took := time.Since(began)
	after, rss := g.usage()
	if len(all) == 0 {
		return r, cmp.Or(errs, errors.New("nothing was answered"))
	}
	slices.Sort(all)
	at := func(share float64) int64 { return all[int(share*float64(len(all)-1))].Microseconds() }
	r.Requests, r.Rate = len(all), float64(len(all))/took.Seconds()
	r.P50, r.P99, r.Max = at(0.5), at(0.99), at(1)
	r.CPU, r.RSS = float64((after-before).Microseconds())/float64(len(all)), rss
	return r, errs
}

// requests returns what client i sends.
func requests(op proto.Op, i int, run int64, data []byte) func() (proto.Op, []byte) {
	path, n := fmt.Sprintf("/c%d", i), 0
	return func() (proto.Op, []byte) {
		n++
		switch op {
		case proto.OpCreate:
			return op, create(fmt.Sprintf("%s/%x-%d", path, run, n), data)
		case proto.OpSetData:
			return op, proto.SetDataRequest{Path: path, Data: data, Version: -1}.Append(nil)
		}
		return op, proto.PathWatch{Path: path}.Append(nil)
	}
}

// failover kills the leader and measures until a write succeeds again at
// each of the other servers.
func failover(ctx context.Context, g *group) (time.Duration, error) {
	leader, err := g.leader(ctx)
	if err != nil {
		return 0, err
	}
	began := time.Now()
	g.kill(leader)
	for i, address := range g.addresses {
		for i != leader {
			err := write(address)
			if err == nil {
				break
			}
			if time.Since(began) > patience {
				return 0, err
			}
			time.Sleep(5 * time.Millisecond)
		}
	}
	return time.Since(began), nil
}

func write(address string) error {
	c, err := dial(address, time.Second)
	if err != nil {
		return err
	}
	defer c.close()
	return c.do(proto.OpSetData, proto.SetDataRequest{Path: "/", Version: -1}.Append(nil))
}

// print writes the table.
func (rep *report) print(out io.Writer) {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "server\tservers\top\tclients\tdepth\treq/s\tp50 µs\tp99 µs\tmax µs\tCPU µs/req\tRSS MB\t")
	for _, r := range rep.Results {
		fmt.Fprintf(w, "%s\t%d\t%s\t%d\t%d\t%.0f\t%d\t%d\t%d\t%.1f\t%d\t\n", r.Server, r.Servers, r.Op, r.Clients, r.Depth, r.Rate, r.P50, r.P99, r.Max, r.CPU, r.RSS>>20)
	}
	_ = w.Flush() // a closed pipe ends the program anyway
	for _, key := range sortedKeys(rep.Start) {
		fmt.Fprintf(out, "%s: serving after %d ms, idle with %d MB", key, rep.Start[key], rep.IdleRSS[key]>>20)
		if ms, ok := rep.Failover[key]; ok {
			fmt.Fprintf(out, ", %d ms without writes when the leader was killed", ms)
		}
		fmt.Fprintln(out)
	}
}

func sortedKeys(m map[string]int64) []string {
	var keys []string
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
