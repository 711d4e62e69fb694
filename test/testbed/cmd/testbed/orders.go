package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"

	"github.com/zkctl/zkctl/test/testbed"
)

const help = `orders:
  kill H | boot H | reboot H | pause H | resume H     power
  unplug H | plug H | cut A B | cutoneway A B         network; A, B: a host or ctl
  shape A B DELAY [LOSS%] | heal                      for example: shape h1 h2 20ms 1
  exec H COMMAND… | ssh H COMMAND… | ctl COMMAND…     inside; over ssh; on the controller
  fill H DIR | free H DIR | logs H | status | help | quit
`

var errUsage = errors.New("wrong number of words: see help")

// order carries out one order.
func (c *console) order(ctx context.Context, verb string, args []string) error {
	switch verb {
	case "help":
		_, err := fmt.Fprint(c.out, help)
		return err
	case "status":
		return c.status()
	case "heal":
		return c.tb.Heal(ctx)
	case "cut", "cutoneway", "shape":
		return c.fault(ctx, verb, args)
	case "ctl":
		return c.onController(ctx, args)
	}
	if len(args) == 0 {
		return errUsage
	}
	for _, h := range c.tb.Hosts() {
		if h.Name == args[0] {
			return c.onHost(ctx, verb, h, args[1:])
		}
	}
	return fmt.Errorf("there is no host %q", args[0])
}

func (c *console) status() error {
	for _, h := range c.tb.Hosts() {
		state := "off"
		if h.On() {
			state = "on"
		}
		if _, err := fmt.Fprintf(c.out, "%s %s %s\n", h.Name, h.Addr, state); err != nil {
			return err
		}
	}
	return nil
}

func (c *console) fault(ctx context.Context, verb string, args []string) error {
	if len(args) < 2 || len(args) > 4 {
		return errUsage
	}
	switch verb {
	case "cut":
		return c.tb.Cut(ctx, args[0], args[1])
	case "cutoneway":
		return c.tb.CutOneWay(ctx, args[0], args[1])
	}
	var s testbed.Shape
	var err error
	if len(args) > 2 {
		if s.Delay, err = time.ParseDuration(args[2]); err != nil {
			return err
		}
	}
	if len(args) > 3 {
		percent, err := strconv.ParseFloat(args[3], 64)
		if err != nil {
			return err
		}
		s.Loss = percent / 100
	}
	return c.tb.Shape(ctx, args[0], args[1], s)
}

func (c *console) onController(ctx context.Context, args []string) error {
	if len(args) == 0 {
		return errUsage
	}
	cmd := c.tb.Controller().Command(ctx, args...)
	cmd.Stdout, cmd.Stderr = c.out, os.Stderr
	return cmd.Run()
}

func (c *console) onHost(ctx context.Context, verb string, h *testbed.Host, args []string) error {
	power := map[string]func(context.Context) error{
		"kill": h.Kill, "boot": h.Boot, "reboot": h.Reboot, "pause": h.Pause, "resume": h.Resume,
		"unplug": h.Unplug, "plug": h.Plug,
	}
	if do := power[verb]; do != nil {
		return do(ctx)
	}
	switch {
	case verb == "logs":
		_, err := fmt.Fprint(c.out, h.Logs())
		return err
	case len(args) == 0:
		return fmt.Errorf("what is %q, or what of %s? see help", verb, h.Name)
	case verb == "exec":
		text, err := h.Exec(ctx, args...)
		fmt.Fprint(c.out, text)
		return err
	case verb == "ssh":
		cmd := c.tb.SSH(ctx, testbed.RootUser, h, args...)
		cmd.Stdout, cmd.Stderr = c.out, os.Stderr
		return cmd.Run()
	case verb == "fill":
		return h.FillDisk(ctx, args[0])
	case verb == "free":
		return h.FreeDisk(ctx, args[0])
	}
	return fmt.Errorf("what is %q? see help", verb)
}
