package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"strconv"
	"strings"
	"sync"

	"github.com/zkctl/zkctl/inventory"
	"github.com/zkctl/zkctl/pkg/install"
	"github.com/zkctl/zkctl/pkg/install/problem"
	"github.com/zkctl/zkctl/pkg/install/transport"
)

// parallelPurges bounds how many machines are worked on at a time.
const parallelPurges = 10

// hostPurge is one server's part of a purge with -i, an element of the list that
// -o json and -o yaml tell.
type hostPurge struct {
	Name  string       `json:"name"`  // as the inventory calls the host
	Error *string      `json:"error"` // why the purge failed, wholly or in part; null when it did not
	Purge *purgeReport `json:"purge"` // null when the host gave no answer

	err error
}

// onHosts runs the purge of each host of the inventory on that host. One that
// fails keeps no other from its own.
func (o *purgeOptions) onHosts(ctx context.Context) error {
	_, servers, err := loadServers(o.env, o.inventories.Value())
	if err != nil {
		return err
	}
	h := hostOptions{env: o.env, acceptNew: o.acceptNew}
	w := &work{env: o.env, console: newConsole(o.env, o.output)}
	dialer := h.dialer(w, slog.New(slog.DiscardHandler))
	defer dialer.Close()
	connect := install.Connector{Dialer: dialer, Prompter: w.console.prompter(false)}.Connect
	results := make([]hostPurge, len(servers))
	var wg sync.WaitGroup
	slots := make(chan struct{}, parallelPurges)
	for _, group := range byMachine(servers) {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			o.onMachine(ctx, connect, servers, group, results)
		})
	}
	wg.Wait()
	errs := []error{o.output.print(o.env.stdout, results, func(w io.Writer) error { return writeHostPurges(w, o.env.screen(), results) })}
	for _, r := range results {
		errs = append(errs, r.err)
	}
	return errors.Join(errs...)
}

// byMachine groups the indexes of servers that share a machine.
func byMachine(servers []inventory.Server) [][]int {
	var groups [][]int
	at := map[string]int{}
	for i, s := range servers {
		g, ok := at[s.Machine()]
		if !ok {
			g = len(groups)
			at[s.Machine()] = g
			groups = append(groups, nil)
		}
		groups[g] = append(groups[g], i)
	}
	return groups
}

// onMachine connects once and purges the machine's servers one after the other.
func (o *purgeOptions) onMachine(ctx context.Context, connect install.Connect, servers []inventory.Server, group []int, results []hostPurge) {
	host, err := connect(ctx, servers[group[0]], servers[group[0]].Name)
	for _, i := range group {
		results[i] = hostPurge{Name: servers[i].Name, err: err}
		if err == nil {
			results[i].Purge, results[i].err = o.onHost(ctx, host, servers[i])
		}
		if results[i].err != nil {
			results[i].Error = new(results[i].err.Error())
		}
	}
	if err == nil {
		host.Close()
	}
}

// onHost runs zkctl purge on the host.
func (o *purgeOptions) onHost(ctx context.Context, host transport.Host, s inventory.Server) (*purgeReport, error) {
	keep := o.keep
	if keep == 0 {
		keep = s.Purge.Keep
	}
	argv := []string{s.Paths.Binary, "purge", "--config", s.ConfigFile(), "--keep", strconv.Itoa(keep), "--output", string(outputJSON)}
	if o.dryRun {
		argv = append(argv, "--dry-run")
	}
	result, err := host.Run(ctx, transport.Command{Argv: argv})
	report := new(purgeReport)
	if e := json.Unmarshal(result.Stdout, report); e != nil {
		report = nil
		if err == nil {
			err = fmt.Errorf("%s did not answer as zkctl purge does: %w", s.Paths.Binary, e)
		}
	}
	return report, remoteProblem(s, err)
}

// remoteProblem makes what zkctl said on the host an error here.
func remoteProblem(s inventory.Server, err error) error {
	var exit *transport.ExitError
	switch {
	case err == nil:
		return nil
	case errors.Is(err, fs.ErrNotExist), errors.As(err, &exit) && exit.Code == 127:
		return &problem.Problem{Op: "purge", On: s.Name, Err: fmt.Errorf("there is no %s", s.Paths.Binary), Do: "zkctl install puts it there; see zkctl plan"}
	case exit == nil:
		return &problem.Problem{Op: "purge", On: s.Name, Err: err}
	}
	said, do := parseComplaint(string(exit.Stderr))
	if said == "" {
		return &problem.Problem{Op: "purge", On: s.Name, Err: err}
	}
	return &problem.Problem{Op: "purge", On: s.Name, Err: errors.New(said), Do: do}
}

// parseComplaint reads what printError wrote.
func parseComplaint(text string) (said, do string) {
	var lines []string
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		switch try, ok := strings.CutPrefix(line, "try: "); {
		case ok && do == "":
			do = try
		case !ok && line != "":
			lines = append(lines, strings.TrimPrefix(strings.TrimPrefix(line, "zkctl: "), "purge: "))
		}
	}
	return strings.Join(lines, "; "), do
}

// writeHostPurges prints a line a host. Why one failed is said below, on
// standard error.
func writeHostPurges(w io.Writer, to screen, results []hostPurge) error {
	t := &table{columns: []column{
		{title: "HOST"}, {title: "RESULT"}, {title: "FILES", right: true}, {title: "FREED", right: true}, {title: "SKIPPED", right: true}, {title: "BROKEN", right: true}, {title: "DATA DIR", drop: 1},
	}}
	for _, r := range results {
		if r.Purge == nil {
			t.add(toneBad, r.Name, "FAILED", "", "", "", "", "")
			continue
		}
		p := r.Purge
		result, tone := "purged", toneNone
		switch {
		case r.err != nil:
			result, tone = "FAILED IN PART", toneBad
		case p.Nothing != "":
			result = "nothing to purge"
		case p.DryRun:
			result = "would purge"
		}
		if len(p.Broken) > 0 && tone == toneNone {
			tone = toneWarn
		}
		t.add(tone, r.Name, result, strconv.Itoa(len(p.Removed)), humanBytes(p.Bytes), strconv.Itoa(len(p.Skipped)), strconv.Itoa(len(p.Broken)), p.DataDir)
	}
	_, err := t.write(w, to)
	return err
}
