package transport

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"slices"
	"strings"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
)

// maxAsk is how often a password or passphrase is asked for; ssh's NumberOfPasswordPrompts.
const maxAsk = 3

// login is one attempt to log in at one hop: which ways there are, and what became of them.
type login struct {
	ctx      context.Context
	hop      *hop
	prompter Prompter // nil to never ask; stops the hop's clock while it asks
	tried    []string // for the message when nothing helped
	agent    net.Conn // while logging in; may be nil
}

func (l *login) note(format string, args ...any) {
	l.tried = append(l.tried, fmt.Sprintf(format, args...))
}

func (l *login) close() {
	if l.agent != nil {
		l.agent.Close()
	}
}

// config sets up the ways to log in, in ssh's order: keys of the agent and of files, then
// keyboard-interactive, then the password.
func (l *login) config(cfg *ssh.ClientConfig) {
	signers := l.signers()
	cfg.Auth = []ssh.AuthMethod{publicKeys(signers)}
	if l.prompter != nil {
		cfg.Auth = append(cfg.Auth, ssh.RetryableAuthMethod(ssh.KeyboardInteractive(l.challenge()), maxAsk),
			ssh.RetryableAuthMethod(ssh.PasswordCallback(l.password()), maxAsk))
	}
	// When a key cannot sign (a wrong passphrase, an agent that refuses), ssh goes on with the next.
	from := 0
	cfg.AuthCallback = func(ctx *ssh.ClientAuthContext) (ssh.AuthMethod, error) {
		if err := l.ctx.Err(); err != nil {
			return nil, err
		}
		for i := len(signers) - 1; i >= from; i-- {
			if signers[i].spent && i+1 < len(signers) && slices.Contains(ctx.AllowedMethods, "publickey") {
				from = i + 1
				return publicKeys(signers[from:]), nil
			}
		}
		return nil, nil
	}
}

func publicKeys(keys []*keySigner) ssh.AuthMethod {
	signers := make([]ssh.Signer, len(keys))
	for i, k := range keys {
		signers[i] = k
	}
	return ssh.PublicKeys(signers...)
}

// signers gathers the keys to offer.
func (l *login) signers() []*keySigner {
	files := l.identities()
	held := l.agentKeys()
	var offer, others []*keySigner
	for _, f := range files {
		if f.pub != nil && slices.ContainsFunc(held, func(s ssh.Signer) bool { return sameKey(s.PublicKey(), f.pub) }) {
			f.inAgent = true
		}
	}
	for _, s := range held {
		k := &keySigner{login: l, pub: s.PublicKey(), what: "key of the agent", inner: s}
		switch {
		case slices.ContainsFunc(files, func(f *keySigner) bool { return f.pub != nil && sameKey(f.pub, s.PublicKey()) }):
			offer = append(offer, k)
		case !l.hop.identitiesOnly:
			others = append(others, k)
		}
	}
	offer = append(offer, others...)
	for _, f := range files {
		if !f.inAgent {
			offer = append(offer, f)
		}
	}
	return offer
}

func sameKey(a, b ssh.PublicKey) bool { return string(a.Marshal()) == string(b.Marshal()) }

func (l *login) agentKeys() []ssh.Signer {
	if l.hop.agentSocket == "" {
		return nil
	}
	conn, err := (&net.Dialer{Timeout: l.hop.timeout}).DialContext(l.ctx, "unix", l.hop.agentSocket)
	if err != nil {
		l.note("agent: %v", err)
		return nil
	}
	l.agent = conn
	context.AfterFunc(l.ctx, func() { conn.Close() }) // an agent that hangs must not hang us
	signers, err := agent.NewClient(conn).Signers()
	if err != nil {
		l.note("agent: %v", err)
	}
	return signers
}

// identities reads the key files, those named and those ssh looks for by default.
func (l *login) identities() []*keySigner {
	var keys []*keySigner
	for _, id := range l.hop.identities {
		k, err := l.identity(id.path)
		switch {
		case errors.Is(err, fs.ErrNotExist) && !id.named:
		case err != nil:
			l.note("%s: %v", id.path, err)
		default:
			keys = append(keys, k)
		}
	}
	return keys
}

func (l *login) identity(file string) (*keySigner, error) {
	k := &keySigner{login: l, file: file, what: file}
	if data, err := os.ReadFile(file + ".pub"); err == nil {
		if pub, _, _, _, err := ssh.ParseAuthorizedKey(data); err == nil {
			k.pub = pub
		}
	}
	data, err := os.ReadFile(file)
	if err != nil {
		if k.pub != nil && errors.Is(err, fs.ErrNotExist) {
			k.what += ".pub"
			return k, nil // only good for picking a key of the agent
		}
		return nil, err
	}
	signer, err := ssh.ParsePrivateKey(data)
	var locked *ssh.PassphraseMissingError
	switch {
	case err == nil:
		k.inner, k.pub = signer, signer.PublicKey()
	case errors.As(err, &locked):
		k.pem = data
		if locked.PublicKey != nil {
			k.pub = locked.PublicKey
		}
	default:
		if pub, _, _, _, perr := ssh.ParseAuthorizedKey(data); perr == nil {
			k.pub = pub // IdentityFile may name a public key, to pick one of the agent's
			return k, nil
		}
		return nil, err
	}
	return k, nil
}

// keySigner is a key to offer. One under a passphrase is unlocked only when the host has said
// that it would take the key; or, in the old PEM format without a .pub file, when its turn has come.
type keySigner struct {
	login   *login
	what    string // for messages
	file    string
	pub     ssh.PublicKey // nil until unlocked
	inner   ssh.Signer    // nil until unlocked
	pem     []byte        // when locked
	inAgent bool
	spent   bool // could not sign: not to be offered again
}

var _ ssh.AlgorithmSigner = (*keySigner)(nil)

// PublicKey is called when the key's turn has come.
func (k *keySigner) PublicKey() ssh.PublicKey {
	if k.pub == nil {
		if err := k.unlock(); err != nil {
			k.spent = true
			return noKey{}
		}
	}
	return k.pub
}

// Sign is part of [ssh.Signer].
func (k *keySigner) Sign(rand io.Reader, data []byte) (*ssh.Signature, error) {
	return k.SignWithAlgorithm(rand, data, "")
}

// SignWithAlgorithm is called when the host would take the key.
func (k *keySigner) SignWithAlgorithm(rand io.Reader, data []byte, algorithm string) (*ssh.Signature, error) {
	sig, err := k.sign(rand, data, algorithm)
	if err != nil {
		k.spent = true
		k.login.note("%s: %v", k.what, err)
	}
	return sig, err
}

func (k *keySigner) sign(rand io.Reader, data []byte, algorithm string) (*ssh.Signature, error) {
	if err := k.unlock(); err != nil {
		return nil, err
	}
	if as, ok := k.inner.(ssh.AlgorithmSigner); ok {
		return as.SignWithAlgorithm(rand, data, algorithm)
	}
	return k.inner.Sign(rand, data)
}

func (k *keySigner) unlock() error {
	if k.inner != nil {
		return nil
	}
	if k.pem == nil {
		return errors.New("there is only a public key")
	}
	if k.login.prompter == nil {
		return fmt.Errorf("it needs a passphrase: %w", ErrNotAnswered)
	}
	last := ""
	for attempt := 1; attempt <= maxAsk; attempt++ {
		phrase, err := k.login.prompter.Ask(k.login.ctx, Question{Kind: Passphrase, File: k.file,
			Text: "passphrase of " + k.file, Attempt: attempt, refused: last})
		if err != nil {
			return err
		}
		last = phrase
		signer, err := ssh.ParsePrivateKeyWithPassphrase(k.pem, []byte(phrase))
		if err == nil {
			k.inner, k.pub = signer, signer.PublicKey()
			return nil
		}
	}
	return errors.New("wrong passphrase")
}

// noKey stands for a key that could not be unlocked; no host takes it.
type noKey struct{}

func (noKey) Type() string                        { return "none@zkctl" }
func (noKey) Marshal() []byte                     { return ssh.Marshal(struct{ Type string }{"none@zkctl"}) }
func (noKey) Verify([]byte, *ssh.Signature) error { return errors.New("no key") }
func (noKey) CryptoPublicKey() crypto.PublicKey   { return nil }

// password answers the password method; each call after the first means that it was refused.
func (l *login) password() func() (string, error) {
	attempt, last := 0, ""
	return func() (string, error) {
		attempt++
		answer, err := l.prompter.Ask(l.ctx, l.passwordQuestion(attempt, last))
		if err != nil {
			l.note("password: %v", err)
		}
		last = answer
		return answer, err
	}
}

func (l *login) passwordQuestion(attempt int, last string) Question {
	return Question{Kind: LoginPassword, User: l.hop.user, Host: l.hop.on,
		Text: fmt.Sprintf("password of %s on %s", l.hop.user, l.hop.on), Attempt: attempt, refused: last}
}

// challenge answers keyboard-interactive, which for most hosts is the password under another name.
func (l *login) challenge() ssh.KeyboardInteractiveChallenge {
	attempt, last := 0, ""
	return func(name, instruction string, questions []string, echos []bool) ([]string, error) {
		answers := make([]string, len(questions))
		for i, text := range questions {
			text = strings.TrimRight(oneLine(text), ": ")
			q := Question{Kind: Challenge, User: l.hop.user, Host: l.hop.on, Echo: echos[i], Attempt: 1,
				Text: fmt.Sprintf("%s (%s on %s)", text, l.hop.user, l.hop.on)}
			isPassword := len(questions) == 1 && !echos[i] && strings.Contains(strings.ToLower(text), "password")
			if isPassword {
				attempt++
				q = l.passwordQuestion(attempt, last)
			}
			answer, err := l.prompter.Ask(l.ctx, q)
			if err != nil {
				l.note("keyboard-interactive: %v", err)
				return nil, err
			}
			if isPassword {
				last = answer
			}
			answers[i] = answer
		}
		return answers, nil
	}
}

// oneLine makes what a host sent fit for a terminal: control characters become spaces.
func oneLine(s string) string {
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 {
			return ' '
		}
		return r
	}, s))
}
