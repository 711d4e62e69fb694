package transport

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/zkctl/zkctl/pkg/install/problem"
)

// A command runs by way of a script that first prints a random mark on both outputs. What comes
// before it is noise of login shells and sudo, and no input is sent until it is there; so a
// password is never taken for input, nor input for a password.

const (
	drainIdle = 500 * time.Millisecond // after a command's end: how long its outputs may be silent before they are let go
	killGrace = 2 * time.Second        // between SIGTERM and SIGKILL
	killLimit = 10 * time.Second       // for the whole of stopping a command
)

// A starter begins command lines on a host.
type starter interface {
	// start gives line to the user's shell. An urgent one does not wait for others to end.
	start(ctx context.Context, line string, urgent bool) (*process, error)
}

// A process is a command line that was begun.
type process struct {
	stdin          io.WriteCloser
	stdout, stderr io.Reader
	exit           <-chan exitStatus // gets one value
	hangup         func()            // lets go of the process and its pipes; idempotent
}

// exitStatus is how a process ended, or err for why that is not known.
type exitStatus struct {
	code   int
	signal string
	err    error
}

// An engine runs commands of one user on one host.
type engine struct {
	host    string
	starter starter
	sudo    *sudo // nil to run as the user who logged in
}

// run runs cmd to its end, and stops it when ctx ends.
func (e *engine) run(ctx context.Context, cmd Command) (Result, error) {
	if err := checkCommand(cmd); err != nil {
		return Result{}, e.problem(cmd, err, "")
	}
	if err := ctx.Err(); err != nil {
		return Result{}, e.problem(cmd, err, "")
	}
	r := &running{mark: newMark(), started: make(chan struct{})}
	p, err := e.starter.start(ctx, e.line(cmd, r.mark), false)
	if err != nil {
		return Result{}, e.problem(cmd, err, "")
	}
	defer p.hangup()
	r.begin(ctx, p, cmd.Stdin, e.sudo)
	status, err := r.wait(ctx, p)
	if err != nil {
		r.settle(p)
		e.stop(ctx, r.group())
		p.hangup()
		return Result{}, e.problem(cmd, fmt.Errorf("stopped: %w", err), "")
	}
	r.drain(p)
	return e.result(cmd, r, status)
}

// result turns the end of a command into what Run returns.
func (e *engine) result(cmd Command, r *running, status exitStatus) (Result, error) {
	res := Result{Stdout: r.stdout.bytes(), Stderr: r.stderr.bytes(), ExitCode: status.code}
	switch {
	case status.err != nil:
		return res, e.problem(cmd, status.err, "run the command again; it picks up where this one ended")
	case !r.hasStarted() && e.sudo != nil:
		return Result{}, e.sudo.explain(e.host, int(r.prompts.Load()), status, res)
	case !r.hasStarted():
		said := lastLine(slices.Concat(res.Stdout, []byte("\n"), res.Stderr))
		return Result{}, e.problem(cmd, fmt.Errorf("the login shell did not run /bin/sh (exit status %d): %s", status.code, said),
			"check the user's shell on the host; nologin and restricted shells do not do")
	case status.code != 0 || status.signal != "":
		return res, &ExitError{Host: e.host, Command: cmd.name(), Code: status.code, Signal: status.signal,
			Stdout: res.Stdout, Stderr: res.Stderr}
	}
	return res, nil
}

func (e *engine) problem(cmd Command, err error, do string) error {
	return &problem.Problem{Op: cmd.name() + " on", On: e.host, Err: err, Do: do}
}

// stop terminates the process group, and kills it when it does not go. It outlives ctx.
func (e *engine) stop(ctx context.Context, group string) {
	if group == "" || group == "0" || group == "1" {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), killLimit)
	defer cancel()
	script := fmt.Sprintf(`kill -s TERM -- -%[1]s || exit 0; n=0; `+
		`while kill -s 0 -- -%[1]s && [ $n -lt %[2]d ]; do sleep 0.1 || sleep 1; n=$((n+1)); done; kill -s KILL -- -%[1]s; :`,
		group, int(killGrace/(100*time.Millisecond)))
	r := &running{mark: newMark(), started: make(chan struct{})}
	p, err := e.starter.start(ctx, e.line(shell("stop a command", script), r.mark), true)
	if err != nil {
		return // no connection any more: nothing to stop it with
	}
	defer p.hangup()
	r.begin(ctx, p, nil, e.sudo)
	if _, err := r.wait(ctx, p); err == nil {
		r.drain(p)
	}
}

func checkCommand(cmd Command) error {
	if len(cmd.Argv) == 0 || cmd.Argv[0] == "" {
		return errors.New("no command given")
	}
	for _, a := range cmd.Argv {
		if strings.ContainsRune(a, 0) {
			return errors.New("an argument holds a NUL byte")
		}
	}
	for k, v := range cmd.Env {
		if !isVariable(k) || strings.ContainsRune(v, 0) {
			return fmt.Errorf("%q cannot be an environment variable", k)
		}
	}
	return nil
}

func isVariable(name string) bool {
	for i, r := range name {
		letter := r == '_' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z'
		if !letter && (i == 0 || r < '0' || r > '9') {
			return false
		}
	}
	return name != ""
}

// name is how messages call the command.
func (c Command) name() string {
	if c.op != "" {
		return c.op
	}
	return shorten(strings.Join(c.Argv, " "), 80)
}

// shell is a command that runs a script of ours; args are its $1, $2 and so on.
func shell(op, script string, args ...string) Command {
	return Command{Argv: append([]string{"/bin/sh", "-c", script, "sh"}, args...), op: op}
}

const searchPath = `PATH=$PATH:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin; export PATH; `

// line is the command line for the user's login shell, whichever that is.
func (e *engine) line(cmd Command, mark string) string {
	var b strings.Builder
	fmt.Fprintf(&b, `read -r a b c d g e </proc/$$/stat; printf '%%s %%s\n' %s "$g"; printf '%%s\n' %[1]s >&2; `, mark)
	b.WriteString(`umask 022; ` + searchPath + `LC_ALL=C; LANG=C; export LC_ALL LANG; `)
	names := make([]string, 0, len(cmd.Env))
	for k := range cmd.Env {
		names = append(names, k)
	}
	slices.Sort(names)
	for _, k := range names {
		fmt.Fprintf(&b, "%s=%s; export %[1]s; ", k, Quote(cmd.Env[k]))
	}
	if cmd.Dir != "" {
		fmt.Fprintf(&b, "cd -- %s || exit 1; ", Quote(cmd.Dir))
	}
	b.WriteString("exec " + QuoteAll(cmd.Argv...))
	script := b.String()
	if e.sudo != nil {
		script = searchPath + `LC_ALL=C; export LC_ALL; exec sudo -H -S -p ` + promptOf(mark) + ` -- /bin/sh -c ` + Quote(script)
	}
	return "exec /bin/sh -c " + Quote(script)
}

func newMark() string {
	b := make([]byte, 12)
	_, _ = rand.Read(b) // never fails
	return "zkctl-" + hex.EncodeToString(b)
}

// promptOf is what sudo is told to ask with; it must not contain what sawErr takes for the mark.
func promptOf(mark string) string { return mark + ":" }

// running follows a process: its outputs, its input, and whether its script has begun.
type running struct {
	mark           string
	stdout, stderr output
	readers        sync.WaitGroup
	started        chan struct{} // closed when the mark was seen on standard output
	prompts        atomic.Int32  // how often sudo asked for the password
	pgid           atomic.Pointer[string]
}

// begin starts the goroutines that serve the pipes. They end when the pipes are closed.
func (r *running) begin(ctx context.Context, p *process, stdin io.Reader, su *sudo) {
	asked := make(chan int, 1)
	r.readers.Go(func() { r.stdout.follow(p.stdout, r.sawOut) })
	r.readers.Go(func() { r.stderr.follow(p.stderr, func(b []byte) []byte { return r.sawErr(b, asked) }) })
	ended := make(chan struct{})
	go func() { r.readers.Wait(); close(ended) }()
	go r.feed(ctx, p.stdin, stdin, su, asked, ended) // not waited for: stdin may block in its own Read
}

// feed answers sudo's prompts and, once the script has begun, sends the input.
func (r *running) feed(ctx context.Context, to io.WriteCloser, stdin io.Reader, su *sudo, asked <-chan int, ended <-chan struct{}) {
	defer to.Close()
	for {
		select {
		case <-r.started:
			if stdin != nil {
				_, _ = io.Copy(to, stdin) // a command may well end before it has read all
			}
			return
		case n := <-asked:
			if su == nil || su.answer(ctx, to, n) != nil {
				return // closes the input: sudo gives up
			}
		case <-ended:
			return
		}
	}
}

// sawOut looks for the mark on standard output and returns what comes after it.
func (r *running) sawOut(b []byte) []byte {
	i := bytes.Index(b, []byte(r.mark+" "))
	if i < 0 {
		return nil
	}
	line, rest, ok := bytes.Cut(b[i:], []byte("\n"))
	if !ok {
		return nil
	}
	group := string(bytes.TrimSpace(line[len(r.mark):]))
	if strings.Trim(group, "0123456789") == "" {
		r.pgid.Store(&group)
	}
	close(r.started)
	return append([]byte{}, rest...)
}

// sawErr looks for sudo's prompts and the mark on standard error.
func (r *running) sawErr(b []byte, asked chan<- int) []byte {
	n := bytes.Count(b, []byte(promptOf(r.mark)))
	if n > int(r.prompts.Swap(int32(n))) {
		select {
		case asked <- n:
		default: // sudo never asks again before it was answered
		}
	}
	i := bytes.Index(b, []byte(r.mark+"\n"))
	if i < 0 {
		return nil
	}
	return append([]byte{}, b[i+len(r.mark)+1:]...)
}

func (r *running) hasStarted() bool {
	select {
	case <-r.started:
		return true
	default:
		return false
	}
}

func (r *running) group() string {
	if g := r.pgid.Load(); g != nil {
		return *g
	}
	return ""
}

// wait waits for the end of the process or of ctx.
func (r *running) wait(ctx context.Context, p *process) (exitStatus, error) {
	select {
	case s := <-p.exit:
		return s, nil
	case <-ctx.Done():
		return exitStatus{}, context.Cause(ctx)
	}
}

// settle gives a command that is to be stopped the time to say what its process group is; without
// that, it could only be left alone.
func (r *running) settle(p *process) {
	timer := time.NewTimer(killGrace)
	defer timer.Stop()
	select {
	case <-r.started:
	case <-p.exit:
	case <-timer.C:
	}
}

// drain waits for the ends of both outputs, but not for a daemon that keeps them open and silent.
func (r *running) drain(p *process) {
	done := make(chan struct{})
	go func() { r.readers.Wait(); close(done) }()
	tick := time.NewTicker(drainIdle)
	defer tick.Stop()
	for seen := r.seen(); ; {
		select {
		case <-done:
			return
		case <-tick.C:
			now := r.seen()
			if now == seen {
				return
			}
			seen = now
		}
	}
}

func (r *running) seen() int64 { return r.stdout.total.Load() + r.stderr.total.Load() }

// output collects one output of a process.
type output struct {
	mu    sync.Mutex
	buf   []byte
	clean bool // the mark was seen: buf holds what the command itself said
	total atomic.Int64
}

// follow reads to the end. Until find returns what follows the mark, all read so far is shown to it.
func (o *output) follow(src io.Reader, find func([]byte) []byte) {
	chunk := make([]byte, 32<<10)
	for {
		n, err := src.Read(chunk)
		if n > 0 {
			o.add(chunk[:n], find)
			o.total.Add(int64(n))
		}
		if err != nil {
			return
		}
	}
}

func (o *output) add(b []byte, find func([]byte) []byte) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.buf = append(o.buf, b...)
	if o.clean {
		return
	}
	if rest := find(o.buf); rest != nil {
		o.buf, o.clean = rest, true
	}
}

func (o *output) bytes() []byte {
	o.mu.Lock()
	defer o.mu.Unlock()
	return append([]byte(nil), o.buf...)
}
