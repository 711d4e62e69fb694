package transport

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/zkctl/zkctl/pkg/install/problem"
)

// sudo is how one user becomes root on one host. Until the first command went through, ask may
// be called; from then on the password that worked is used, and sudo refusing it is an error.
type sudo struct {
	user     string
	prompter Prompter // nil to never ask
	host     string

	settled  bool // written before the view of root is handed out
	password string
	asking   error // why a question got no answer
}

// answer replies to sudo's nth prompt of one command.
func (s *sudo) answer(ctx context.Context, w io.Writer, n int) error {
	if s.settled && n > 1 {
		return ErrSudoPassword
	}
	if !s.settled {
		if s.prompter == nil {
			s.asking = ErrNotAnswered
			return s.asking
		}
		password, err := s.prompter.Ask(ctx, Question{Kind: SudoPassword, User: s.user, Host: s.host,
			Text: fmt.Sprintf("sudo password of %s on %s", s.user, s.host), Attempt: n, refused: s.password})
		if err != nil {
			s.asking = err
			return err
		}
		s.password = password
	}
	_, err := io.WriteString(w, s.password+"\n")
	return err
}

// explain tells why sudo did not run the command.
func (s *sudo) explain(host string, prompts int, status exitStatus, res Result) error {
	said := string(res.Stderr)
	has := func(parts ...string) bool {
		for _, p := range parts {
			if strings.Contains(said, p) {
				return true
			}
		}
		return false
	}
	p := &problem.Problem{Op: "become root with sudo on", On: host}
	switch {
	case has("must have a tty", "a terminal is required", "no tty present"):
		p.Err, p.Do = ErrSudoTerminal, fmt.Sprintf("add \"Defaults:%s !requiretty\" with visudo", s.user)
	case has("not in the sudoers file", "not allowed to execute", "not allowed to run sudo", "may not run sudo"):
		p.Err, p.Do = fmt.Errorf("%w: %s", ErrSudoDenied, s.user), "log in as root, or let the user run all commands in sudoers"
	case has("sudo: not found", "sudo: command not found") || status.code == 127 && prompts == 0:
		p.Err, p.Do = ErrSudoMissing, "install sudo on the host, or log in as root"
	case s.asking != nil:
		p.Err, p.Do = fmt.Errorf("%w: %w", ErrSudoPassword, s.asking), "run zkctl on a terminal, or give the user NOPASSWD in sudoers"
	case prompts > 0:
		p.Err, p.Do = fmt.Errorf("%w: %s's was refused", ErrSudoPassword, s.user), "try again with the right password"
	default:
		p.Err = errors.New(lastOr(said, fmt.Sprintf("exit status %d", status.code)))
		p.Do = "run sudo -v on the host to see what it says"
	}
	return p
}

func lastOr(said, otherwise string) string {
	if last := lastLine([]byte(said)); last != "" {
		return last
	}
	return otherwise
}
