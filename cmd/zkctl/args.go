package main

import (
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"
)

// completionFlag is what a shell's completion puts last on the command line.
const completionFlag = "--generate-bash-completion"

// arrange puts the flags of a command before its arguments, where urfave/cli
// wants them, so that "zkctl 4lw ruok -i hosts.yaml" is understood as well.
// What follows "--" stays an argument.
func arrange(commands []*cli.Command, args []string) []string {
	if len(args) < 2 || args[len(args)-1] == completionFlag {
		return args
	}
	at := 1
	var command *cli.Command
	for ; at < len(args); at++ {
		next := find(commands, args[at])
		if next == nil {
			break
		}
		command, commands = next, next.Subcommands
	}
	if command == nil || len(command.Subcommands) > 0 {
		return args
	}
	flags, rest := divide(command.Flags, args[at:])
	return slices.Concat(args[:at], flags, rest)
}

func find(commands []*cli.Command, name string) *cli.Command {
	for _, c := range commands {
		if c.HasName(name) {
			return c
		}
	}
	return nil
}

// divide tells flags and their values from arguments.
func divide(known []cli.Flag, args []string) (flags, rest []string) {
	for i := 0; i < len(args); i++ {
		a := args[i]
		if a == "--" {
			return append(flags, "--"), append(rest, args[i+1:]...)
		}
		if !strings.HasPrefix(a, "-") || a == "-" {
			rest = append(rest, a)
			continue
		}
		if definition, ok := strings.CutPrefix(a, "-"+defineFlag); ok && definition != "" && definition[0] != '=' && hasFlag(known, defineFlag) {
			flags = append(flags, "-"+defineFlag, definition) // -Dname=value, as to a JVM
			continue
		}
		name, _, hasValue := strings.Cut(strings.TrimLeft(a, "-"), "=")
		takes, optional := valueOf(known, name)
		switch {
		case hasValue || !takes || i+1 == len(args):
			flags = append(flags, a)
		case !optional:
			flags = append(flags, a, args[i+1])
			i++
		case isDuration(args[i+1]):
			flags = append(flags, a+"="+args[i+1])
			i++
		default:
			flags = append(flags, a)
		}
	}
	return flags, rest
}

func hasFlag(known []cli.Flag, name string) bool {
	return slices.ContainsFunc(known, func(f cli.Flag) bool { return slices.Contains(f.Names(), name) })
}

// valueOf tells whether a flag takes a value, and whether that may be left out.
// Unknown flags are taken to stand alone: that they are unknown is said later.
func valueOf(known []cli.Flag, name string) (takes, optional bool) {
	for _, f := range known {
		if !slices.Contains(f.Names(), name) {
			continue
		}
		switch f := f.(type) {
		case *cli.BoolFlag:
			return false, false
		case *cli.GenericFlag:
			b, ok := f.Value.(interface{ IsBoolFlag() bool })
			return true, ok && b.IsBoolFlag()
		}
		return true, false
	}
	return false, false
}

func isDuration(text string) bool {
	_, err := time.ParseDuration(text)
	return err == nil
}
