package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/zkctl/zkctl/inventory"
	fourletter "github.com/zkctl/zkctl/pkg/four-letter"
)

// ensembleReport is what status tells with -o json and -o yaml. Fields are added
// in later releases, never renamed or taken away.
type ensembleReport struct {
	Ensemble string         `json:"ensemble"` // the inventory's name; "" with --servers
	Verdict  string         `json:"verdict"`  // healthy, degraded or not_serving
	Reasons  []string       `json:"reasons"`  // why it is not healthy, the gravest first
	Try      []string       `json:"try"`      // what to do about the reasons
	Notes    []string       `json:"notes"`    // what is odd and harms nobody
	Leader   *string        `json:"leader"`   // name of the server that leads; null when none answered
	Servers  []serverReport `json:"servers"`  // in the order of the inventory or of --servers
}

// serverReport is one server; what it did not tell is null.
type serverReport struct {
	Name          string   `json:"name"`    // as the inventory calls it, else the address
	Address       string   `json:"address"` // host:port that was asked
	ID            *int     `json:"id"`      // the number in its myid
	Role          *string  `json:"role"`    // leader, follower, observer, standalone or read-only
	Leader        bool     `json:"leader"`  // leads the ensemble
	State         string   `json:"state"`   // serving, not_serving, unreachable or unknown
	Error         *string  `json:"error"`   // why it is not serving
	Zxid          *string  `json:"zxid"`    // last transaction, in hexadecimal with 0x
	Epoch         *uint32  `json:"epoch"`   // that of the zxid
	Lag           *int64   `json:"lag"`     // transactions the leader was ahead; may be below 0, they are not asked in one instant
	Connections   *int64   `json:"connections"`
	Outstanding   *int64   `json:"outstanding"`    // requests that wait
	LatencyMin    *int64   `json:"latency_min_ms"` // since the server's start, as the next two
	LatencyAvg    *float64 `json:"latency_avg_ms"`
	LatencyMax    *int64   `json:"latency_max_ms"`
	Received      *int64   `json:"packets_received"`
	Sent          *int64   `json:"packets_sent"`
	Znodes        *int64   `json:"znodes"`
	Ephemerals    *int64   `json:"ephemerals"` // this one and the next five need mntr in the whitelist
	Watches       *int64   `json:"watches"`
	DataBytes     *int64   `json:"data_bytes"` // paths and data of all znodes
	UptimeSeconds *int64   `json:"uptime_seconds"`
	Learners      *int64   `json:"learners"`         // of a leader: followers and observers connected to it
	Synced        *int64   `json:"synced_followers"` // of a leader
	Version       *string  `json:"version"`          // as the server writes it
}

type statusOptions struct {
	env     environment
	targets targetFlags
	output  output
	wide    bool
	watch   watchInterval
}

func statusCommand(env environment) *cli.Command {
	o := &statusOptions{env: env}
	return &cli.Command{
		Name: "status", Category: groupOnCall, Usage: "show every server of the ensemble, and whether it is healthy",
		Description: "Exits 0 when the ensemble is healthy, 3 when it serves and something is wrong, 4 when it does not serve.",
		Flags: append(o.targets.flags(), o.output.flag(outputTable, outputJSON, outputYAML),
			&cli.BoolFlag{Name: "wide", Usage: "show all columns, on a narrow terminal too", Destination: &o.wide},
			&cli.GenericFlag{Name: "watch", Aliases: []string{"w"}, Value: &o.watch, Usage: "show it again and again until Ctrl-C, each `INTERVAL` (--watch=5s; 2s when only --watch is given)"}),
		Action: func(c *cli.Context) error {
			if c.Args().Present() {
				return usagef("status takes no arguments; name servers with --servers %s", strings.Join(c.Args().Slice(), ","))
			}
			return o.run(c.Context)
		},
	}
}

func (o *statusOptions) run(ctx context.Context) error {
	name, targets, err := o.targets.targets(o.env)
	if err != nil {
		return err
	}
	survey := func(ctx context.Context) *survey { return ask(ctx, name, targets, o.targets.timeout) }
	if o.watch > 0 {
		return o.repeat(ctx, survey)
	}
	s := survey(ctx)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err := o.output.print(o.env.stdout, s.report(), func(w io.Writer) error { return s.write(w, o.screen()) }); err != nil {
		return err
	}
	return s.exit()
}

func (o *statusOptions) screen() screen {
	s := o.env.screen()
	if o.wide {
		s.width = 0
	}
	return s
}

// survey is an ensemble as its servers told it.
type survey struct {
	name    string
	targets []target
	ids     []int // by target; 0 when not known
	fourletter.Ensemble
}

// ask asks all targets.
func ask(ctx context.Context, name string, targets []target, timeout time.Duration) *survey {
	voters := 0
	for _, t := range targets {
		if t.server != nil && t.server.Role == inventory.Participant {
			voters++
		}
	}
	s := &survey{name: name, targets: targets, ids: make([]int, len(targets))}
	var wg sync.WaitGroup
	wg.Go(func() { s.askIDs(ctx, timeout) })
	statuses := make([]fourletter.Status, len(targets))
	each(targets, func(i int, t target) {
		statuses[i] = t.client(timeout).Status(ctx, t.address)
		statuses[i].Address = t.title() // so that the reasons name it
	})
	wg.Wait()
	s.Ensemble = fourletter.Evaluate(statuses, voters)
	return s
}

// askIDs asks each server for its number; what it does not tell the inventory
// may know.
func (s *survey) askIDs(ctx context.Context, timeout time.Duration) {
	each(s.targets, func(i int, t target) {
		if t.server != nil {
			s.ids[i] = t.server.ID
		}
		answer, err := t.client(timeout).Ask(ctx, t.address, fourletter.Conf)
		if err != nil {
			return // not in the whitelist, or Status tells what is wrong
		}
		conf, _ := fourletter.ParseConf(answer)
		text, _ := conf.Get("serverId")
		if id, err := strconv.Atoi(text); err == nil && id > 0 {
			s.ids[i] = id
		}
	})
}

// exit is the error that ends the command with the status of the verdict.
func (s *survey) exit() error {
	if s.Verdict == fourletter.Healthy {
		return nil
	}
	return exitError(s.Verdict.ExitStatus())
}

// try collects what to do, each once.
func (s *survey) try() []string {
	var out []string
	var remote *inventory.Server // one that did not answer here
	for i, m := range s.Members {
		for _, do := range advice(m.Err) {
			if !contains(out, do) {
				out = append(out, do)
			}
		}
		t := s.targets[i]
		if remote == nil && m.State == fourletter.Unreachable && t.server != nil && t.server.Connection == inventory.ConnectSSH {
			remote = t.server
		}
	}
	if s.Leader < 0 && s.Verdict == fourletter.Degraded && len(s.Members) > 0 {
		out = append(out, "name all servers of the ensemble, with -i or --servers, to see the one that leads")
	}
	if remote != nil {
		out = append(out, fmt.Sprintf("if only SSH gets through to it, ask there: ssh %s %s server status --config %s", remote.SSH.Address, remote.Paths.Binary, remote.ConfigFile()))
	}
	return out
}

// notes tells what keeps figures out of the table.
func (s *survey) notes() []string {
	out := []string{}
	var blind []string
	for i, m := range s.Members {
		if errors.Is(m.MntrErr, fourletter.ErrNotWhitelisted) {
			blind = append(blind, s.targets[i].name)
		}
	}
	if len(blind) > 0 {
		out = append(out, "mntr is not in 4lw.commands.whitelist of "+strings.Join(blind, ", ")+": data size and uptime are not known")
	}
	return out
}

// token writes a phrase as a word of json.
func token(phrase string) string { return strings.ReplaceAll(phrase, " ", "_") }

func (s *survey) report() ensembleReport {
	r := ensembleReport{
		Ensemble: s.name, Verdict: token(s.Verdict.String()), Reasons: s.Reasons, Try: s.try(), Notes: s.notes(),
		Servers: make([]serverReport, len(s.Members)),
	}
	if r.Reasons == nil {
		r.Reasons = []string{}
	}
	if r.Try == nil {
		r.Try = []string{}
	}
	for i := range s.Members {
		r.Servers[i] = s.server(i)
	}
	if s.Leader >= 0 {
		r.Leader = &r.Servers[s.Leader].Name
	}
	return r
}

func (s *survey) server(i int) serverReport {
	m, t := s.Members[i], s.targets[i]
	r := serverReport{Name: t.name, Address: t.address, Leader: m.Leader, State: token(m.State.String())}
	if s.ids[i] > 0 {
		r.ID = &s.ids[i]
	}
	if m.Err != nil {
		r.Error = new(m.Err.Error())
	}
	if m.State != fourletter.Serving {
		return r
	}
	r.Role, r.Version = &m.Role, &m.Version
	r.Zxid, r.Epoch = new(m.Zxid.String()), new(m.Zxid.Epoch())
	if m.LagKnown {
		r.Lag = &m.Lag
	}
	r.Connections, r.Outstanding, r.Znodes = &m.Connections, &m.Outstanding, &m.NodeCount
	r.LatencyMin, r.LatencyAvg, r.LatencyMax = &m.Latency.Min, &m.Latency.Avg, &m.Latency.Max
	r.Received, r.Sent = &m.Received, &m.Sent
	r.Ephemerals, r.Watches, r.DataBytes = told(m.Ephemerals), told(m.Watches), told(m.DataSize)
	r.Learners, r.Synced = told(m.Followers), told(m.SyncedFollowers)
	if m.Uptime >= 0 {
		r.UptimeSeconds = told(int64(m.Uptime / time.Second))
	}
	return r
}

// told makes a figure that the server did not tell null.
func told(n int64) *int64 {
	if n == fourletter.Unknown {
		return nil
	}
	return &n
}

// write prints the table and the verdict.
func (s *survey) write(w io.Writer, to screen) error {
	grid := s.table()
	dropped, err := grid.write(w, to)
	if err != nil {
		return err
	}
	if len(dropped) > 0 {
		fmt.Fprintf(w, "(no room for %s; --wide shows them)\n", strings.Join(dropped, ", "))
	}
	fmt.Fprintln(w)
	return s.writeVerdict(w, to)
}

// writeVerdict prints the verdict, why, and what to try.
func (s *survey) writeVerdict(w io.Writer, to screen) error {
	name := "ensemble"
	if s.name != "" {
		name = "ensemble " + s.name
	}
	verdict := [...]string{"HEALTHY", "DEGRADED, but serving", "NOT SERVING"}[s.Verdict]
	verdictTone := [...]tone{toneGood, toneWarn, toneBad}[s.Verdict]
	fmt.Fprintf(w, "%s: %s%s\n", name, to.paint(verdictTone, verdict), s.summary())
	for _, reason := range s.Reasons {
		fmt.Fprintf(w, "  - %s\n", reason)
	}
	for _, do := range s.try() {
		fmt.Fprintf(w, "  try: %s\n", do)
	}
	for _, note := range s.notes() {
		fmt.Fprintf(w, "  note: %s\n", note)
	}
	return nil
}

// summary counts who serves.
func (s *survey) summary() string {
	serving := 0
	for _, m := range s.Members {
		if m.State == fourletter.Serving {
			serving++
		}
	}
	out := fmt.Sprintf(" (%d of %d servers serve", serving, len(s.Members))
	if s.Leader >= 0 {
		out += ", " + s.targets[s.Leader].name + " leads"
	}
	return out + ")"
}

func (s *survey) table() *table {
	t := &table{columns: []column{
		{title: "HOST"}, {title: "ADDRESS", drop: 1}, {title: "ID", right: true}, {title: "ROLE"}, {title: "STATE"},
		{title: "ZXID"}, {title: "EPOCH", right: true, drop: 9}, {title: "LAG", right: true},
		{title: "CONN", right: true, drop: 2}, {title: "OUTST", right: true, drop: 3}, {title: "LATENCY", right: true, drop: 4},
		{title: "ZNODES", right: true, drop: 6}, {title: "DATA", right: true, drop: 7}, {title: "VERSION", drop: 8}, {title: "UPTIME", right: true, drop: 5},
	}}
	for i := range s.Members {
		t.add(s.tone(i), s.row(i)...)
	}
	if s.name == "" { // the address is the name
		t.columns = append(t.columns[:1:1], t.columns[2:]...)
		t.columns[0].title = "SERVER"
		for i, r := range t.rows {
			t.rows[i] = append(r[:1:1], r[2:]...)
		}
	}
	return t
}

func (s *survey) tone(i int) tone {
	m := s.Members[i]
	switch {
	case m.State == fourletter.Unreachable:
		return toneBad
	case m.State != fourletter.Serving, m.OtherEpoch, m.ReadOnly:
		return toneWarn
	case m.Leader:
		return toneLead
	}
	return toneNone
}

// row is the line of one server; the leader's role has a star.
func (s *survey) row(i int) []string {
	m, t := s.Members[i], s.targets[i]
	id, state := "", m.State.String()
	if s.ids[i] > 0 {
		id = strconv.Itoa(s.ids[i])
	}
	if m.State != fourletter.Serving {
		role := ""
		if t.server != nil {
			role = string(t.server.Role)
		}
		return []string{t.name, t.address, id, role, strings.ToUpper(state), "", "", "", "", "", "", "", "", "", ""}
	}
	role, lag, data, uptime := m.Role, "", "", ""
	if m.Leader {
		role += "*"
	}
	if m.LagKnown {
		lag = strconv.FormatInt(m.Lag, 10)
	}
	if m.DataSize != fourletter.Unknown {
		data = humanBytes(m.DataSize)
	}
	if m.Uptime >= 0 {
		uptime = humanAge(m.Uptime)
	}
	latency := fmt.Sprintf("%d/%s/%d", m.Latency.Min, strconv.FormatFloat(m.Latency.Avg, 'f', -1, 64), m.Latency.Max)
	return []string{
		t.name, t.address, id, role, state, m.Zxid.String(), strconv.FormatUint(uint64(m.Zxid.Epoch()), 10), lag,
		strconv.FormatInt(m.Connections, 10), strconv.FormatInt(m.Outstanding, 10), latency,
		strconv.FormatInt(m.NodeCount, 10), data, shortVersion(m.Version), uptime,
	}
}

// shortVersion leaves the commit and the date out: "3.8.0-<hash>, built on <date>".
func shortVersion(v string) string {
	v, _, _ = strings.Cut(v, ",")
	if i := strings.LastIndexByte(v, '-'); i > 0 {
		v = v[:i]
	}
	return v
}
