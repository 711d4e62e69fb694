package main

import (
	"fmt"
	"io"

	"github.com/urfave/cli/v2"
)

// The scripts ask zkctl itself for what may come next, so they never grow old.
const (
	bashCompletion = `# bash completion of zkctl: source <(zkctl completion bash)
_zkctl() {
	local cur words line
	COMPREPLY=()
	cur=${COMP_WORDS[COMP_CWORD]}
	case ${COMP_WORDS[COMP_CWORD - 1]} in
	-i | --inventory | -c | --config | --pid-file | --log-file | --binary) return ;; # a file
	-o | --output) COMPREPLY=($(compgen -W 'table json yaml' -- "$cur")) && return ;;
	esac
	words=("${COMP_WORDS[@]:0:COMP_CWORD}")
	[[ $cur == -* ]] && words+=("$cur")
	while IFS= read -r line; do
		line=${line%%$'\t'*}
		[[ -n $line && $line == "$cur"* ]] && COMPREPLY+=("$line")
	done < <("${words[@]}" ` + completionFlag + ` 2>/dev/null)
}
complete -o bashdefault -o default -F _zkctl zkctl
`
	zshCompletion = `#compdef zkctl
# zsh completion of zkctl: source <(zkctl completion zsh)
_zkctl() {
	local -a replies asked
	local cur=${words[CURRENT]}
	case ${words[CURRENT-1]} in
	-i|--inventory|-c|--config|--pid-file|--log-file|--binary) _files; return ;;
	-o|--output) compadd table json yaml; return ;;
	esac
	asked=("${(@)words[1,CURRENT-1]}")
	[[ $cur == -* ]] && asked+=("$cur")
	replies=("${(@f)$("${(@)asked}" ` + completionFlag + ` 2>/dev/null)}")
	replies=("${(@)replies//$'\t'/:}")
	if [[ -n ${replies[1]} ]]; then
		_describe 'zkctl' replies
	else
		_files
	fi
}
if [[ ${funcstack[1]} == _zkctl ]]; then
	_zkctl "$@"
else
	compdef _zkctl zkctl
fi
`
	fishCompletion = `# fish completion of zkctl: zkctl completion fish | source
function __zkctl_replies
	set -l asked (commandline -opc)
	set -l cur (commandline -ct)
	string match -q -- '-*' $cur; and set -a asked $cur
	$asked ` + completionFlag + ` 2>/dev/null
end
complete -c zkctl -a '(__zkctl_replies)'
`
)

func completionCommand(env environment) *cli.Command {
	shell := func(name, script, usage string) *cli.Command {
		return &cli.Command{
			Name: name, Usage: usage,
			Action: func(c *cli.Context) error {
				if c.Args().Present() {
					return usagef("completion %s takes no arguments", name)
				}
				_, err := io.WriteString(env.stdout, script)
				return err
			},
		}
	}
	return &cli.Command{
		Name: "completion", Category: groupOther, Usage: "print the script that lets a shell complete zkctl's commands and flags",
		Subcommands: []*cli.Command{
			shell("bash", bashCompletion, "for bash: source <(zkctl completion bash)"),
			shell("zsh", zshCompletion, "for zsh: source <(zkctl completion zsh)"),
			shell("fish", fishCompletion, "for fish: zkctl completion fish | source"),
		},
	}
}

// completeWords offers a command's subcommands or its own words, and its flags
// once one is begun: a line each, with what it is for behind a tab.
func completeWords(words []string) cli.BashCompleteFunc {
	return func(c *cli.Context) {
		list := c.App.Commands
		if c.Command != nil {
			list = c.Command.Subcommands
		}
		if c.NArg() == 0 {
			for _, w := range words {
				fmt.Fprintln(c.App.Writer, w)
			}
		}
		group := false
		for _, sub := range list { // urfave/cli adds help to every command
			if !sub.Hidden && sub.Name != "help" {
				fmt.Fprintf(c.App.Writer, "%s\t%s\n", sub.Name, sub.Usage)
				group = true
			}
		}
		if !group {
			cli.DefaultCompleteWithFlags(c.Command)(c)
		}
	}
}
