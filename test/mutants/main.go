// Command mutants breaks zkctl on purpose, one way after the other, and sees
// whether the tests notice: a net that lets a fish through has a hole. It runs in
// the repository's root.
//
//	go run ./test/mutants [-run REGEXP]
//
// No file is changed: the compiler is handed other contents (go build -overlay). A
// mutant that survives, or that does not compile, or whose place in the code is not
// there any more, is a failure.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

func main() {
	run := flag.String("run", "", "only the mutants whose names match this expression")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := all(ctx, *run); err != nil {
		fmt.Fprintln(os.Stderr, "mutants:", err)
		os.Exit(1)
	}
}

func all(ctx context.Context, run string) error {
	wanted, err := regexp.Compile(run)
	if err != nil {
		return fmt.Errorf("-run: %w", err)
	}
	list := slices.DeleteFunc(mutants(), func(m mutant) bool { return !wanted.MatchString(m.name) })
	if len(list) == 0 {
		return fmt.Errorf("no mutant's name matches %q", run)
	}
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	var alive []string
	for r := range tryAll(ctx, list) {
		switch {
		case ctx.Err() != nil:
			continue
		case r.err != nil:
			stop(fmt.Errorf("%s: %w", r.name, r.err))
			continue
		case r.by == "":
			alive = append(alive, r.name)
			r.by = "NOBODY"
		}
		fmt.Printf("%-60s caught by %s (%v)\n", r.name, r.by, r.took.Round(time.Second))
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if len(alive) > 0 {
		return fmt.Errorf("%d mutants were not noticed: %s", len(alive), strings.Join(alive, "; "))
	}
	fmt.Printf("%d mutants, all of them noticed\n", len(list))
	return nil
}

// outcome is what became of a mutant.
type outcome struct {
	mutant
	by   string // the test that noticed; "" for none
	err  error  // why it could not be tried
	took time.Duration
}

// tryAll tries mutants, two at a time: most of the time is the linker's, which uses
// one processor. When ctx ends those that are left fail at once.
func tryAll(ctx context.Context, list []mutant) <-chan outcome {
	todo, done := make(chan mutant), make(chan outcome, len(list))
	var workers sync.WaitGroup
	for range 2 {
		workers.Go(func() {
			for m := range todo {
				began := time.Now()
				by, err := m.try(ctx)
				done <- outcome{m, by, err, time.Since(began)}
			}
		})
	}
	go func() {
		for _, m := range list {
			todo <- m
		}
		close(todo)
		workers.Wait()
		close(done)
	}()
	return done
}

// A mutant is one way to break the code, and a suite that should notice.
type mutant struct {
	name     string
	file     string // from the root
	old, new string // old stands there once
	pkg      string // whose tests notice
	test     string // which of them
}

// try gives the test that noticed, or "".
func (m mutant) try(ctx context.Context) (string, error) {
	dir, err := os.MkdirTemp("", "zkctl-mutant-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(dir)
	overlay, err := m.overlay(dir)
	if err != nil {
		return "", err
	}
	binary := filepath.Join(dir, "mutant.test")
	if out, err := exec.CommandContext(ctx, "go", "test", "-c", "-ldflags", "-s -w", "-o", binary, "-overlay", overlay, m.pkg).CombinedOutput(); err != nil {
		return "", fmt.Errorf("it does not compile: %w\n%s", err, out)
	}
	cmd := exec.CommandContext(ctx, binary, "-test.run", m.test, "-test.failfast", "-test.timeout", "5m")
	cmd.Dir = m.pkg
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	switch {
	case err == nil:
		return "", nil
	case !errors.As(err, &exit):
		return "", err
	}
	return firstFailure(out), nil
}

// overlay writes the broken file and what tells the compiler of it.
func (m mutant) overlay(dir string) (string, error) {
	path, err := filepath.Abs(m.file)
	if err != nil {
		return "", err
	}
	src, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	if n := bytes.Count(src, []byte(m.old)); n != 1 {
		return "", fmt.Errorf("%s has %q %d times, want once: the code has changed, change the mutant", m.file, m.old, n)
	}
	broken := filepath.Join(dir, "broken.go")
	if err := os.WriteFile(broken, bytes.Replace(src, []byte(m.old), []byte(m.new), 1), 0o600); err != nil {
		return "", err
	}
	text, err := json.Marshal(map[string]map[string]string{"Replace": {path: broken}})
	if err != nil {
		return "", err
	}
	overlay := filepath.Join(dir, "overlay.json")
	return overlay, os.WriteFile(overlay, text, 0o600)
}

var failed = regexp.MustCompile(`(?m)^\s*--- FAIL: (\S+)`)

// firstFailure is the name of the test that failed, or how the tests ended else.
func firstFailure(out []byte) string {
	names := failed.FindAllSubmatch(out, -1)
	if len(names) == 0 {
		line, _, _ := strings.Cut(string(out), "\n")
		return line
	}
	return string(names[len(names)-1][1])
}
