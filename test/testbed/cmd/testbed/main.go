// Command testbed lets a developer play with the hosts of package testbed by
// hand: it boots some, takes orders from the terminal, and removes everything
// when it ends.
package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/zkctl/zkctl/test/testbed"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, unix.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdin, os.Stdout)
	stop()
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "testbed:", err)
		os.Exit(1)
	}
}

const usage = `usage: testbed [-n HOSTS] [-flavour systemd|plain] [-v]   boot hosts and take orders
       testbed packages                                   list the Debian packages it needs
`

func run(ctx context.Context, args []string, in io.Reader, out io.Writer) error {
	if len(args) == 1 && args[0] == "packages" {
		_, err := fmt.Fprintln(out, strings.Join(testbed.Requirements(), " "))
		return err
	}
	flags := flag.NewFlagSet("testbed", flag.ContinueOnError)
	flags.Usage = func() { fmt.Fprint(flags.Output(), usage); flags.PrintDefaults() }
	hosts := flags.Int("n", 3, "number of hosts")
	flavour := flags.String("flavour", string(testbed.Plain), "process 1 of the hosts: systemd or plain")
	verbose := flags.Bool("v", false, "say more")
	if err := flags.Parse(args); err != nil {
		return err
	}
	level := slog.LevelInfo
	if *verbose {
		level = slog.LevelDebug
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level}))
	tb, err := testbed.New(ctx, testbed.Options{Hosts: *hosts, Flavour: testbed.Flavour(*flavour), Log: log})
	if err != nil {
		return err
	}
	c := console{tb: tb, in: in, out: out}
	return errors.Join(c.loop(ctx), tb.Close())
}

// A console takes orders, one a line, until "quit" or the end of the input.
type console struct {
	tb  *testbed.Testbed
	in  io.Reader
	out io.Writer
}

func (c *console) loop(ctx context.Context) error {
	c.greet()
	lines := make(chan string)
	go func() {
		defer close(lines)
		for scanner := bufio.NewScanner(c.in); scanner.Scan(); {
			select {
			case lines <- scanner.Text():
			case <-ctx.Done():
				return
			}
		}
	}()
	for {
		fmt.Fprint(c.out, "testbed> ")
		select {
		case <-ctx.Done():
			return nil
		case line, ok := <-lines:
			words := strings.Fields(line)
			if !ok || len(words) == 1 && words[0] == "quit" {
				return nil
			}
			if len(words) == 0 {
				continue
			}
			if err := c.order(ctx, words[0], words[1:]); err != nil {
				fmt.Fprintln(c.out, "error:", err)
			}
		}
	}
}

func (c *console) greet() {
	for _, h := range c.tb.Hosts() {
		fmt.Fprintf(c.out, "%s %s\n", h.Name, h.Addr)
	}
	enter := strings.Join(c.tb.Controller().Command(context.Background()).Args, " ")
	fmt.Fprintf(c.out, "from another terminal:\n  %s ssh -F %s h1\n", enter, c.tb.SSHConfig())
	fmt.Fprintf(c.out, "users, all with that key: %s/%s, %s/%s (sudo without a password), %s/%s (sudo with it)\n%s",
		testbed.RootUser, testbed.RootPassword, testbed.SudoUser, testbed.SudoPassword,
		testbed.SudoPasswordUser, testbed.SudoPasswordPassword, help)
}
