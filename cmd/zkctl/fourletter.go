package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/urfave/cli/v2"

	fourletter "github.com/zkctl/zkctl/pkg/four-letter"
	"github.com/zkctl/zkctl/pkg/install/problem"
	"github.com/zkctl/zkctl/pkg/server/config"
	"github.com/zkctl/zkctl/pkg/spelling"
)

// wordReport is one server's answer, an element of the list that 4lw tells with
// -o json and -o yaml.
type wordReport struct {
	Name    string  `json:"name"`             // as the inventory calls it, else the address
	Address string  `json:"address"`          // host:port that was asked
	Answer  *string `json:"answer,omitempty"` // as the server wrote it
	Error   *string `json:"error,omitempty"`  // why there is no answer
}

type wordOptions struct {
	env     environment
	targets targetFlags
	output  output
	config  string // zoo.cfg of the server to ask on this host
}

// whitelistKey is the key of zoo.cfg that says which words a server answers.
const whitelistKey = "4lw.commands.whitelist"

func wordCommand(env environment) *cli.Command {
	o := &wordOptions{env: env}
	return &cli.Command{
		Name: "4lw", Category: groupOnCall, Usage: "send a four-letter word to servers and print what they answer", ArgsUsage: "WORD",
		Description: "Words: " + strings.Join(sendable(), ", ") + ".\n" +
			"One server's answer is printed as it is; of several, each below a line \"== NAME (HOST:PORT)\".\n" +
			"Exits 1 when any server gave no answer.",
		Flags: append(o.targets.flags(), o.output.flag("text", outputJSON, outputYAML),
			&cli.StringFlag{Name: "config", Aliases: []string{"c"}, Usage: "ask the server on this host whose zoo.cfg is `FILE`", Destination: &o.config, TakesFile: true}),
		BashComplete: completeWords(sendable()),
		Action: func(c *cli.Context) error {
			word, err := parseWord(c.Args().Slice())
			if err != nil {
				return err
			}
			return o.run(c.Context, word)
		},
	}
}

// sendable lists the words that are whole with four letters; stmk is followed by
// a mask.
func sendable() []string {
	var out []string
	for _, w := range fourletter.Words() {
		if w != fourletter.Stmk {
			out = append(out, w)
		}
	}
	return out
}

func parseWord(args []string) (string, error) {
	words := sendable()
	switch {
	case len(args) == 0:
		return "", usagef("which word? one of %s", strings.Join(words, ", "))
	case len(args) > 1:
		return "", usagef("one word at a time; %q is too many", strings.Join(args[1:], " "))
	case contains(words, args[0]):
		return args[0], nil
	case args[0] == fourletter.Stmk:
		return "", usagef("stmk sets a trace mask, which zkctl does not offer")
	}
	if s := nearest(args[0], words); s != "" {
		return "", usagef("no word %q; did you mean %q?", args[0], s)
	}
	return "", usagef("no word %q; one of %s", args[0], strings.Join(words, ", "))
}

// nearest finds the word that differs least, if it differs by two letters at most.
func nearest(word string, words []string) string { return spelling.Nearest(word, words, 2) }

func (o *wordOptions) run(ctx context.Context, word string) error {
	targets, err := o.which()
	if err != nil {
		return err
	}
	answers, errs := o.ask(ctx, word, targets)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	reports := make([]wordReport, len(targets))
	for i, t := range targets {
		reports[i] = wordReport{Name: t.name, Address: t.address}
		if errs[i] != nil {
			reports[i].Error = new(errs[i].Error())
		} else {
			reports[i].Answer = &answers[i]
		}
	}
	err = o.output.print(o.env.stdout, reports, func(w io.Writer) error { return writeAnswers(w, targets, reports) })
	return errors.Join(err, errors.Join(errs...))
}

// which finds the servers to ask.
func (o *wordOptions) which() ([]target, error) {
	if o.config == "" {
		_, targets, err := o.targets.targets(o.env)
		return targets, err
	}
	if o.targets.servers.Value() != nil || o.targets.inventories.Value() != nil {
		return nil, usagef("--config asks one server on this host: leave out --servers and -i")
	}
	cfg, _, err := config.Load(o.config)
	if err != nil {
		return nil, &problem.Problem{Op: "read the configuration", Err: err, Do: "mend " + o.config}
	}
	t, err := o.targets.tls.own(cfg)
	return []target{t}, err
}

// ask asks all targets at the same time; answers and errs are in their order.
func (o *wordOptions) ask(ctx context.Context, word string, targets []target) (answers []string, errs []error) {
	answers, errs = make([]string, len(targets)), make([]error, len(targets))
	each(targets, func(i int, t target) {
		answer, err := t.client(o.targets.timeout).Ask(ctx, t.address, word)
		answers[i], errs[i] = string(answer), t.explain(word, err)
	})
	return answers, errs
}

// explain adds to the error of a server what the inventory knows.
func (t target) explain(word string, err error) error {
	if t.server == nil || !errors.Is(err, fourletter.ErrNotWhitelisted) {
		return err
	}
	allowed, _ := t.server.Config.Get(whitelistKey)
	return &problem.Problem{
		Op: word, On: t.title(), Err: fourletter.ErrNotWhitelisted,
		Do: fmt.Sprintf("put \"%s: %s\" below config: in the inventory and run zkctl install, which writes %s=%s to zoo.cfg",
			whitelistKey, strings.TrimPrefix(allowed+", "+word, ", "), whitelistKey, strings.TrimPrefix(allowed+", "+word, ", ")),
	}
}

// writeAnswers prints the answers as they came; those of several servers below
// their names. Errors are not printed here.
func writeAnswers(w io.Writer, targets []target, reports []wordReport) error {
	for i, r := range reports {
		if len(reports) > 1 {
			if i > 0 {
				fmt.Fprintln(w)
			}
			fmt.Fprintf(w, "== %s\n", targets[i].title())
		}
		switch {
		case r.Answer == nil && len(reports) > 1:
			fmt.Fprintln(w, "(no answer)")
		case r.Answer != nil:
			io.WriteString(w, *r.Answer)
			if !strings.HasSuffix(*r.Answer, "\n") { // ruok and isro
				fmt.Fprintln(w)
			}
		}
	}
	return nil
}
