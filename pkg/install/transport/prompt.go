package transport

import (
	"context"
	"sync"
)

// A Prompter asks the user. Ask may be called from several goroutines at once, for several
// hosts; see [Remember] for asking one at a time and once only.
type Prompter interface {
	Ask(ctx context.Context, q Question) (answer string, err error)
}

// QuestionKind says what a [Question] is after.
type QuestionKind int

// The kinds of questions.
const (
	Passphrase    QuestionKind = iota + 1 // of a private key file
	LoginPassword                         // of a user on a host
	SudoPassword                          // of a user on a host, for sudo
	Challenge                             // what a host asks by keyboard-interactive, such as a one-time code
)

// A Question is put to the user by a [Prompter].
type Question struct {
	Kind    QuestionKind
	User    string // who logs in; empty for Passphrase
	Host    string // where; empty for Passphrase
	File    string // the private key; only for Passphrase
	Text    string // the question itself, one line, without colon or newline at its end
	Echo    bool   // the answer may be seen while it is typed
	Attempt int    // counts from 1; above 1 the last answer was refused

	refused string // the last answer
}

// Remember wraps p: questions are asked one at a time, and what was answered once is not asked
// again, unless it was refused. A user's passwords, of login and of sudo, are taken to be the same
// on all hosts when sameEverywhere is true. Challenges are never remembered.
func Remember(p Prompter, sameEverywhere bool) Prompter {
	return &memory{prompter: p, same: sameEverywhere, known: make(map[topic]string)}
}

type memory struct {
	prompter Prompter
	same     bool

	mu    sync.Mutex
	known map[topic]string
}

// topic is what one answer is good for.
type topic struct{ file, user, host string }

func (m *memory) Ask(ctx context.Context, q Question) (string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if q.Kind == Challenge {
		return m.prompter.Ask(ctx, q)
	}
	t := topic{file: q.File, user: q.User, host: q.Host}
	if m.same {
		t.host = ""
	}
	if answer, ok := m.known[t]; ok && (q.Attempt <= 1 || answer != q.refused) {
		return answer, nil
	}
	if err := ctx.Err(); err != nil {
		return "", err
	}
	answer, err := m.prompter.Ask(ctx, q)
	if err == nil {
		m.known[t] = answer
	}
	return answer, err
}
