package transport

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"

	"github.com/zkctl/zkctl/pkg/install/problem"
)

// oracle is a prompter with its answers laid down.
type oracle struct {
	mu      sync.Mutex
	answers map[QuestionKind][]string // the last one again and again
	asked   []Question
}

func (o *oracle) Ask(_ context.Context, q Question) (string, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.asked = append(o.asked, q)
	a := o.answers[q.Kind]
	if len(a) == 0 {
		return "", fmt.Errorf("unexpected question: %s", q.Text)
	}
	if len(a) > 1 {
		o.answers[q.Kind] = a[1:]
	}
	return a[0], nil
}

func (o *oracle) count() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.asked)
}

func TestPassphraseOnlyWhenTheKeyIsWanted(t *testing.T) {
	c := newClient(t)
	right := writeKey(t, filepath.Join(c.home, ".ssh", "right"), newECDSA(t), "open sesame")
	writeKey(t, filepath.Join(c.home, ".ssh", "other"), newEd25519(t), "never asked")
	ask := &oracle{answers: map[QuestionKind][]string{Passphrase: {"wrong", "open sesame"}}}
	c.opts.Prompter = ask
	s := startSSHD(t, []ssh.PublicKey{right.PublicKey()})
	c.know(t, s.known(ssh.KeyAlgoED25519))
	_, err := c.dial(t, Target{Address: s.host, Port: s.portNumber(), IdentityFiles: []string{"~/.ssh/other", "~/.ssh/right"}})
	must(t, err)
	if len(ask.asked) != 2 || !strings.HasSuffix(ask.asked[0].File, "/right") || ask.asked[1].Attempt != 2 {
		t.Errorf("asked %+v", ask.asked)
	}
}

// oldPEM is a key in the format of OpenSSL, whose public half cannot be seen without the passphrase.
func oldPEM(t *testing.T, file, passphrase string) ssh.PublicKey {
	t.Helper()
	key := newECDSA(t)
	der, err := x509.MarshalECPrivateKey(key)
	must(t, err)
	//lint:ignore SA1019 the old format is what is tested
	block, err := x509.EncryptPEMBlock(rand0{}, "EC PRIVATE KEY", der, []byte(passphrase), x509.PEMCipherAES128) //nolint:staticcheck // likewise
	must(t, err)
	must(t, os.WriteFile(file, pem.EncodeToMemory(block), 0o600))
	signer, err := ssh.NewSignerFromKey(key)
	must(t, err)
	return signer.PublicKey()
}

type rand0 struct{}

func (rand0) Read(b []byte) (int, error) { clear(b); return len(b), nil }

func TestOldPEM(t *testing.T) {
	c := newClient(t)
	file := filepath.Join(c.home, ".ssh", "id_old")
	pub := oldPEM(t, file, "secret")
	s := startSSHD(t, []ssh.PublicKey{pub, c.key.PublicKey()})
	c.know(t, s.known(ssh.KeyAlgoED25519))
	ask := &oracle{answers: map[QuestionKind][]string{Passphrase: {"secret"}}}
	c.opts.Prompter = ask
	_, err := c.dial(t, Target{Address: s.host, Port: s.portNumber(), IdentityFiles: []string{file}})
	must(t, err)
	// A wrong passphrase leaves the other keys in play, and an earlier key that fits asks nothing.
	ask.answers[Passphrase] = []string{"wrong"}
	_, err = c.dial(t, Target{Address: s.host, Port: s.portNumber(), IdentityFiles: []string{file, "~/.ssh/id_ed25519"}})
	must(t, err)
	n := ask.count()
	_, err = c.dial(t, Target{Address: s.host, Port: s.portNumber(), IdentityFiles: []string{"~/.ssh/id_ed25519", file}})
	must(t, err)
	if ask.count() != n {
		t.Error("a passphrase was asked for in vain")
	}
}

func TestWrongPassphraseGoesOnToTheNextKey(t *testing.T) {
	c := newClient(t)
	locked := writeKey(t, filepath.Join(c.home, ".ssh", "locked"), newEd25519(t), "secret")
	ask := &oracle{answers: map[QuestionKind][]string{Passphrase: {"wrong"}}}
	c.opts.Prompter = ask
	s := startSSHD(t, []ssh.PublicKey{locked.PublicKey(), c.key.PublicKey()})
	c.know(t, s.known(ssh.KeyAlgoED25519))
	target := Target{Address: s.host, Port: s.portNumber(), IdentityFiles: []string{"~/.ssh/locked", "~/.ssh/id_ed25519"}}
	_, err := c.dial(t, target)
	must(t, err)
	if len(ask.asked) != 3 {
		t.Errorf("asked %d times, want 3", len(ask.asked))
	}
	target.IdentityFiles = target.IdentityFiles[:1]
	_, err = c.dial(t, target)
	if !errors.Is(err, ErrAuth) || !strings.Contains(err.Error(), "wrong passphrase") || strings.Contains(err.Error(), "\n") {
		t.Errorf("Dial = %v", err)
	}
	c.opts.Prompter = nil
	_, err = c.dial(t, target)
	if !errors.Is(err, ErrAuth) || problem.Remedy(err) == "" {
		t.Errorf("Dial without a prompter = %v", err)
	}
}

// startAgent starts a real ssh-agent that holds the keys.
func startAgent(t *testing.T, keys ...any) string {
	t.Helper()
	program := lookTool(t, "ssh-agent", "openssh-client")
	dir, err := os.MkdirTemp("", "agent") // a socket's path must be short
	must(t, err)
	socket := filepath.Join(dir, "s")
	cmd := exec.Command(program, "-D", "-a", socket)
	must(t, cmd.Start())
	t.Cleanup(func() { _ = cmd.Process.Signal(syscall.SIGTERM); _ = cmd.Wait(); os.RemoveAll(dir) })
	var conn net.Conn
	waitUntil(t, "the agent listens", func() bool { conn, err = net.Dial("unix", socket); return err == nil })
	defer conn.Close()
	ring := agent.NewClient(conn)
	for _, k := range keys {
		must(t, ring.Add(agent.AddedKey{PrivateKey: k}))
	}
	return socket
}

func TestAgent(t *testing.T) {
	c := newClient(t)
	held, other := newECDSA(t), newEd25519(t)
	signer := writeKey(t, filepath.Join(t.TempDir(), "k"), held, "")
	c.opts.AgentSocket = startAgent(t, other, held)
	s := startSSHD(t, []ssh.PublicKey{signer.PublicKey()})
	c.know(t, s.known(ssh.KeyAlgoED25519))
	target := Target{Address: s.host, Port: s.portNumber()}
	_, err := c.dial(t, target)
	must(t, err)

	config := filepath.Join(c.home, ".ssh", "config")
	c.opts.ConfigFiles = []string{config}
	must(t, os.WriteFile(config, []byte("Host *\n IdentitiesOnly yes\n"), 0o600))
	if _, err := c.dial(t, target); !errors.Is(err, ErrAuth) {
		t.Errorf("IdentitiesOnly: %v", err)
	}
	// A public key file picks the agent's key.
	must(t, os.WriteFile(filepath.Join(c.home, ".ssh", "picked.pub"), ssh.MarshalAuthorizedKey(signer.PublicKey()), 0o600))
	must(t, os.WriteFile(config, []byte("IdentitiesOnly yes\nIdentityFile ~/.ssh/picked\n"), 0o600))
	_, err = c.dial(t, target)
	must(t, err)

	c.opts.AgentSocket = filepath.Join(c.home, "nowhere")
	if _, err := c.dial(t, target); !errors.Is(err, ErrAuth) || !strings.Contains(err.Error(), "agent: ") {
		t.Errorf("no agent: %v", err)
	}
}

func passwordServer(t *testing.T, good string) *fakeServer {
	return startFake(t, &ssh.ServerConfig{MaxAuthTries: -1, PasswordCallback: func(_ ssh.ConnMetadata, pw []byte) (*ssh.Permissions, error) {
		if string(pw) == good {
			return nil, nil
		}
		return nil, errors.New("no")
	}}, nil)
}

func TestPassword(t *testing.T) {
	const secret = "correct horse"
	one, two := passwordServer(t, secret), passwordServer(t, secret)
	c := newClient(t)
	c.know(t, one.known(), two.known())
	ask := &oracle{answers: map[QuestionKind][]string{LoginPassword: {"wrong", secret}}}
	c.opts.Prompter = Remember(ask, true)
	h, err := c.dial(t, Target{Name: "zk1", Address: one.host, Port: number(one.port), User: "ops"})
	must(t, err)
	if _, err := h.Run(testContext(t), Command{Argv: []string{"true"}}); err != nil {
		t.Error(err)
	}
	_, err = c.dial(t, Target{Name: "zk2", Address: two.host, Port: number(two.port), User: "ops"})
	must(t, err)
	if n := ask.count(); n != 2 {
		t.Errorf("asked %d times for two hosts, want 2: one wrong, one right", n)
	}
	if q := ask.asked[0]; q.User != "ops" || q.Host != "zk1" || q.Echo {
		t.Errorf("question %+v", q)
	}

	ask.answers[LoginPassword] = []string{"hunter2"}
	c.opts.Prompter = ask
	before := ask.count()
	_, err = c.dial(t, Target{Address: one.host, Port: number(one.port), User: "ops"})
	if !errors.Is(err, ErrAuth) || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("wrong password: %v", err)
	}
	if n := ask.count() - before; n != maxAsk {
		t.Errorf("asked %d times, want %d", n, maxAsk)
	}
}

func TestKeyboardInteractive(t *testing.T) {
	s := startFake(t, &ssh.ServerConfig{KeyboardInteractiveCallback: func(_ ssh.ConnMetadata, challenge ssh.KeyboardInteractiveChallenge) (*ssh.Permissions, error) {
		a, err := challenge("", "", []string{"Password: "}, []bool{false})
		if err != nil || a[0] != "pw" {
			return nil, errors.New("no")
		}
		a, err = challenge("", "", []string{"One-time\x1b[31m code: "}, []bool{true})
		if err != nil || a[0] != "123" {
			return nil, errors.New("no")
		}
		return nil, nil
	}}, nil)
	c := newClient(t)
	c.know(t, s.known())
	ask := &oracle{answers: map[QuestionKind][]string{LoginPassword: {"pw"}, Challenge: {"123"}}}
	c.opts.Prompter = ask
	_, err := c.dial(t, Target{Name: "zk1", Address: s.host, Port: number(s.port), User: "ops"})
	must(t, err)
	if q := ask.asked[1]; !q.Echo || strings.Contains(q.Text, "\x1b") {
		t.Errorf("question %+v", q)
	}
}

func TestTypingDoesNotCount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, clock := newStopwatch(t.Context(), 10*time.Second)
		defer clock.close()
		p := pausing{clock: clock, prompter: prompterFunc(func(context.Context, Question) (string, error) {
			<-time.After(time.Hour) // a slow typist; no real time passes
			return "pw", nil
		})}
		if _, err := p.Ask(ctx, Question{}); err != nil || ctx.Err() != nil {
			t.Fatalf("Ask = %v; the context has ended: %v", err, ctx.Err())
		}
		begun := time.Now()
		<-ctx.Done()
		if took := time.Since(begun); took != 10*time.Second || !errors.Is(context.Cause(ctx), context.DeadlineExceeded) {
			t.Errorf("after %s: %v", took, context.Cause(ctx))
		}
	})
}

type prompterFunc func(context.Context, Question) (string, error)

func (f prompterFunc) Ask(ctx context.Context, q Question) (string, error) { return f(ctx, q) }

func TestRemember(t *testing.T) {
	ctx := t.Context()
	ask := &oracle{answers: map[QuestionKind][]string{LoginPassword: {"a", "b"}, SudoPassword: {"s"}, Challenge: {"1", "2"}, Passphrase: {"p"}}}
	p := Remember(ask, false)
	expect := func(q Question, want string, asked int) {
		t.Helper()
		got, err := p.Ask(ctx, q)
		if err != nil || got != want || ask.count() != asked {
			t.Errorf("%+v: %q, %v after %d questions; want %q after %d", q, got, err, ask.count(), want, asked)
		}
	}
	login := Question{Kind: LoginPassword, User: "u", Host: "h1", Attempt: 1}
	expect(login, "a", 1)
	expect(login, "a", 1)
	again := login
	again.Attempt, again.refused = 2, "a"
	expect(again, "b", 2)
	expect(again, "b", 2) // another connection of the same kind learns of the new answer
	expect(Question{Kind: SudoPassword, User: "u", Host: "h1", Attempt: 1}, "b", 2)
	expect(Question{Kind: SudoPassword, User: "u", Host: "h2", Attempt: 1}, "s", 3)
	expect(Question{Kind: Passphrase, File: "f"}, "p", 4)
	expect(Question{Kind: Challenge}, "1", 5)
	expect(Question{Kind: Challenge}, "2", 6)
}
