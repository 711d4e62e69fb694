package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/urfave/cli/v2"

	"github.com/zkctl/zkctl/inventory"
	"github.com/zkctl/zkctl/pkg/install/problem"
)

func initCommand(env environment) *cli.Command {
	var file string
	return &cli.Command{
		Name: "init", Category: groupSetup, Usage: "write a commented inventory to start from", ArgsUsage: "[ADDRESS ...]",
		Flags: []cli.Flag{&cli.StringFlag{Name: "file", Aliases: []string{"f"}, Usage: "write to `FILE`, which must not exist yet (default: standard output)", Destination: &file, TakesFile: true}},
		Action: func(c *cli.Context) error {
			var text bytes.Buffer
			if err := inventory.Example(&text, c.Args().Slice()...); err != nil {
				return usageError{err}
			}
			if file == "" {
				_, err := env.stdout.Write(text.Bytes())
				return err
			}
			return writeNew(env, file, text.Bytes())
		},
	}
}

// writeNew writes a file that must not be there yet.
func writeNew(env environment, file string, text []byte) error {
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if errors.Is(err, fs.ErrExist) {
		return &problem.Problem{Op: "write " + file, Err: errors.New("it is there already"), Do: "name another file, or remove that one"}
	}
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	_, err = fmt.Fprintf(env.stderr, "wrote %s; edit it, then: zkctl install -i %s\n", file, file)
	return err
}
