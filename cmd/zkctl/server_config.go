package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/zkctl/zkctl/pkg/server/config"
)

// effectiveConfig is the answer of zkctl server config in json and yaml.
type effectiveConfig struct {
	File     string          `json:"file"`
	Settings []effectiveJSON `json:"settings"`
}

type effectiveJSON struct {
	Key        string           `json:"key"`
	Value      string           `json:"value"`                // a secret is "********"
	From       string           `json:"from"`                 // FILE:LINE, "-D", a variable's name, or "default"
	Overridden []overriddenJSON `json:"overridden,omitempty"` // values given elsewhere that lost
	Note       string           `json:"note,omitempty"`       // why the key has no effect
}

type overriddenJSON struct {
	Value string `json:"value"`
	From  string `json:"from"`
}

func serverConfig(env environment) *cli.Command {
	o := &serverOptions{env: env, tell: true}
	var explain bool
	var form output
	return &cli.Command{
		Name: "config", Usage: "print the effective configuration; secrets are masked", ArgsUsage: "[zoo.cfg]",
		Flags: append(o.settingFlags(), form.flag(outputTable, outputJSON, outputYAML),
			&cli.BoolFlag{Name: "explain", Usage: "say where each value comes from, what it overrides, and which keys have no effect", Destination: &explain}),
		Action: func(c *cli.Context) error {
			cfg, err := o.load(c)
			if err != nil {
				return err
			}
			warnings, err := cfg.ReadMyID()
			for _, w := range warnings {
				fmt.Fprintf(env.stderr, "zkctl: warning: %s\n", w)
			}
			if err != nil { // the server would not start, but what it has of zoo.cfg is known
				fmt.Fprintf(env.stderr, "zkctl: warning: %v\n", err)
			}
			answer := newEffectiveConfig(cfg)
			return form.print(env.stdout, answer, func(w io.Writer) error {
				if explain {
					return answer.explain(w, env.screen())
				}
				return answer.plain(w)
			})
		},
	}
}

func newEffectiveConfig(cfg *config.Config) effectiveConfig {
	out := effectiveConfig{File: cfg.File}
	for _, e := range cfg.Explain() {
		j := effectiveJSON{Key: e.Key, Value: e.Value, From: e.Origin.String(), Note: e.Note}
		for _, lost := range e.Overridden {
			j.Overridden = append(j.Overridden, overriddenJSON{lost.Value, lost.Origin.String()})
		}
		out.Settings = append(out.Settings, j)
	}
	return out
}

// plain writes the keys that have an effect as lines of a zoo.cfg.
func (e effectiveConfig) plain(w io.Writer) error {
	for _, s := range e.Settings {
		if s.Note != "" {
			continue
		}
		if _, err := fmt.Fprintf(w, "%s=%s\n", s.Key, s.Value); err != nil {
			return err
		}
	}
	return nil
}

// explain writes a table with the origin of each value.
func (e effectiveConfig) explain(w io.Writer, to screen) error {
	t := &table{columns: []column{{title: "KEY"}, {title: "VALUE"}, {title: "FROM"}, {title: "NOTE", drop: 1}}}
	for _, s := range e.Settings {
		tone, note := toneNone, []string{}
		if s.Note != "" {
			tone, note = toneWarn, append(note, "no effect: "+s.Note)
		}
		for _, lost := range s.Overridden {
			note = append(note, fmt.Sprintf("overrides %s from %s", orDash(lost.Value), lost.From))
		}
		t.add(tone, s.Key, s.Value, s.From, strings.Join(note, "; "))
	}
	_, err := t.write(w, to)
	return err
}

func orDash(text string) string {
	if text == "" {
		return "-"
	}
	return text
}
