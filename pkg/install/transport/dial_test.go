package transport

import (
	"context"
	"crypto/hmac"
	"crypto/sha1"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/zkctl/zkctl/pkg/install/problem"
)

// The server offers ecdsa and ed25519 keys, and only one is known (golang.org/issue/29286).
func TestOneOfTwoHostKeysKnown(t *testing.T) {
	c := newClient(t)
	s := startSSHD(t, []ssh.PublicKey{c.key.PublicKey()})
	for _, keyType := range []string{ssh.KeyAlgoED25519, ssh.KeyAlgoECDSA256} {
		line := s.known(keyType)
		name, rest, _ := strings.Cut(line, " ")
		mac := hmac.New(sha1.New, []byte("salt"))
		mac.Write([]byte(name))
		hashed := "|1|" + base64.StdEncoding.EncodeToString([]byte("salt")) + "|" + base64.StdEncoding.EncodeToString(mac.Sum(nil))
		for what, known := range map[string]string{
			"plain": line, "hashed": hashed + " " + rest, "without port": s.host + " " + rest, "pattern": "[127.*]:* " + rest,
			"after garbage": "garbage\n@weird a b c\nhost ssh-rsa AAAA\n\x00\xff\n" + line, "no newline at the end": strings.TrimSpace(line),
		} {
			c.know(t, known)
			if _, err := c.dial(t, Target{Address: s.host, Port: s.portNumber()}); err != nil {
				t.Errorf("%s %s: %v", keyType, what, err)
			}
		}
	}
}

func TestUnknownHostKey(t *testing.T) {
	c := newClient(t)
	s := startSSHD(t, []ssh.PublicKey{c.key.PublicKey()})
	_, err := c.dial(t, Target{Name: "zk1", Address: s.host, Port: s.portNumber()})
	print := ssh.FingerprintSHA256(s.hostKeys[ssh.KeyAlgoED25519].PublicKey())
	if !errors.Is(err, ErrHostKeyUnknown) || !strings.Contains(err.Error(), print) || !strings.Contains(err.Error(), "zk1") || strings.Contains(err.Error(), "\n") {
		t.Errorf("Dial = %v", err)
	}
	if do := problem.Remedy(err); !strings.Contains(do, "--accept-new-host-keys") {
		t.Errorf("remedy %q", do)
	}
	if _, err := os.Stat(c.knownHosts()); err == nil {
		t.Error("known_hosts was written")
	}
}

func TestChangedHostKey(t *testing.T) {
	c := newClient(t)
	s := startSSHD(t, []ssh.PublicKey{c.key.PublicKey()})
	other, err := ssh.NewSignerFromKey(newEd25519(t))
	must(t, err)
	line := strings.Replace(s.known(ssh.KeyAlgoED25519), base64.StdEncoding.EncodeToString(s.hostKeys[ssh.KeyAlgoED25519].PublicKey().Marshal()),
		base64.StdEncoding.EncodeToString(other.PublicKey().Marshal()), 1)
	c.know(t, "# a comment\n", line)
	for _, acceptNew := range []bool{false, true} {
		c.opts.AcceptNewHostKeys = acceptNew
		_, err := c.dial(t, Target{Name: "zk1", Address: s.host, Port: s.portNumber()})
		if !errors.Is(err, ErrHostKeyChanged) {
			t.Fatalf("Dial = %v", err)
		}
		for _, want := range []string{c.knownHosts() + ":2", ssh.FingerprintSHA256(other.PublicKey()), ssh.FingerprintSHA256(s.hostKeys[ssh.KeyAlgoED25519].PublicKey())} {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%q is not in %v", want, err)
			}
		}
		do := problem.Remedy(err)
		_, command, ok := strings.Cut(do, "then: ")
		if !ok {
			t.Fatalf("remedy %q", do)
		}
		if acceptNew { // the command that is advised does help
			lookTool(t, "ssh-keygen", "openssh-client")
			if out, err := exec.Command("/bin/sh", "-c", command).CombinedOutput(); err != nil {
				t.Fatalf("%s: %v\n%s", command, err, out)
			}
			_, err := c.dial(t, Target{Name: "zk1", Address: s.host, Port: s.portNumber()})
			must(t, err)
		}
	}
}

func TestRevokedHostKey(t *testing.T) {
	c := newClient(t)
	s := startSSHD(t, []ssh.PublicKey{c.key.PublicKey()})
	line := s.known(ssh.KeyAlgoED25519)
	_, rest, _ := strings.Cut(line, " ")
	c.know(t, line, "@revoked * "+rest)
	c.opts.AcceptNewHostKeys = true
	_, err := c.dial(t, Target{Address: s.host, Port: s.portNumber()})
	if !errors.Is(err, ErrHostKeyRevoked) || !strings.Contains(err.Error(), ":2") {
		t.Errorf("Dial = %v", err)
	}
}

func TestAcceptNewInParallel(t *testing.T) {
	c := newClient(t)
	c.opts.AcceptNewHostKeys = true
	s := startSSHD(t, []ssh.PublicKey{c.key.PublicKey()})
	c.know(t, "other.example ssh-ed25519 AAAA") // without a newline at its end
	d := NewDialer(c.opts)
	defer d.Close()
	var wg sync.WaitGroup
	errs := make([]error, 6)
	for i := range errs {
		wg.Go(func() {
			target := Target{Address: s.host, Port: s.portNumber()}
			if i%2 == 1 { // to itself through itself
				target.Bastions = []Target{{Address: s.host, Port: s.portNumber()}}
			}
			h, err := d.Dial(testContext(t), target)
			if err == nil {
				h.Close()
			}
			errs[i] = err
		})
	}
	wg.Wait()
	must(t, errors.Join(errs...))
	want := "other.example ssh-ed25519 AAAA\n" + s.known(ssh.KeyAlgoED25519)
	if got := string(mustRead(t, c.knownHosts())); got != want {
		t.Errorf("known_hosts is\n%swant\n%s", got, want)
	}
	if fi, _ := os.Stat(c.knownHosts()); fi.Mode().Perm() != 0o600 {
		t.Errorf("mode %v", fi.Mode())
	}
	// A config that insists on known keys is not overruled.
	config := filepath.Join(c.home, ".ssh", "config")
	must(t, os.WriteFile(config, []byte("StrictHostKeyChecking yes\n"), 0o600))
	c.opts.ConfigFiles, c.opts.KnownHosts = []string{config}, []string{filepath.Join(c.home, "fresh", "known_hosts")}
	if _, err := c.dial(t, Target{Address: s.host, Port: s.portNumber()}); !errors.Is(err, ErrHostKeyUnknown) {
		t.Errorf("StrictHostKeyChecking yes: %v", err)
	}
	// And one that is lax does not weaken the rule.
	must(t, os.WriteFile(config, []byte("StrictHostKeyChecking no\n"), 0o600))
	c.opts.AcceptNewHostKeys = false
	if _, err := c.dial(t, Target{Address: s.host, Port: s.portNumber()}); !errors.Is(err, ErrHostKeyUnknown) {
		t.Errorf("StrictHostKeyChecking no: %v", err)
	}
}

func TestHostCertificate(t *testing.T) {
	c := newClient(t)
	ca, err := ssh.NewSignerFromKey(newEd25519(t))
	must(t, err)
	key := newEd25519(t)
	signer, err := ssh.NewSignerFromKey(key)
	must(t, err)
	cert := &ssh.Certificate{Key: signer.PublicKey(), CertType: ssh.HostCert, KeyId: "zk", ValidPrincipals: []string{"127.0.0.1"},
		ValidBefore: uint64(time.Now().Add(time.Hour).Unix())}
	must(t, cert.SignCert(rand0{}, ca))
	dir := t.TempDir()
	writeKey(t, filepath.Join(dir, "certified"), key, "")
	must(t, os.WriteFile(filepath.Join(dir, "certified-cert.pub"), ssh.MarshalAuthorizedKey(cert), 0o600))
	s := startSSHD(t, []ssh.PublicKey{c.key.PublicKey()}, "HostKey "+filepath.Join(dir, "certified"), "HostCertificate "+filepath.Join(dir, "certified-cert.pub"))
	authority := "@cert-authority 127.0.0.* " + string(ssh.MarshalAuthorizedKey(ca.PublicKey()))
	target := Target{Address: s.host, Port: s.portNumber()}
	c.know(t, authority)
	_, err = c.dial(t, target)
	must(t, err)
	c.know(t, authority, "@revoked * "+string(ssh.MarshalAuthorizedKey(signer.PublicKey())))
	if _, err = c.dial(t, target); !errors.Is(err, ErrHostKeyRevoked) {
		t.Errorf("revoked: %v", err)
	}
	c.know(t, "@cert-authority elsewhere "+string(ssh.MarshalAuthorizedKey(ca.PublicKey())))
	if _, err = c.dial(t, target); !errors.Is(err, ErrHostKeyUnknown) {
		t.Errorf("an authority for another host: %v", err)
	}
}

func TestProxyJumpTwoHops(t *testing.T) {
	c := newClient(t)
	keys := []ssh.PublicKey{c.key.PublicKey()}
	one, two, end := startSSHD(t, keys), startSSHD(t, keys), startSSHD(t, keys)
	c.know(t, one.known(ssh.KeyAlgoED25519), two.known(ssh.KeyAlgoECDSA256), "zk-end "+string(ssh.MarshalAuthorizedKey(end.hostKeys[ssh.KeyAlgoED25519].PublicKey())))
	config := filepath.Join(c.home, ".ssh", "config")
	must(t, os.WriteFile(config, []byte(fmt.Sprintf(`
Include conf.d/*
Match exec "touch %s/never"
  User nobody
Host zk*
  HostName 127.0.0.1
  HostKeyAlias zk-end
  Port %s
  ProxyJump one,%s@127.0.0.1:%s
`, c.home, end.port, me(t), two.port)), 0o600))
	must(t, os.Mkdir(filepath.Join(c.home, ".ssh", "conf.d"), 0o700))
	must(t, os.WriteFile(filepath.Join(c.home, ".ssh", "conf.d", "one"), []byte("Host one\n  hostname=127.0.0.1\n  Port = "+one.port+"\n"), 0o600))
	c.opts.ConfigFiles = []string{config, filepath.Join(c.home, "no-such-file")}
	d := NewDialer(c.opts)
	defer d.Close()
	for _, name := range []string{"zk1", "zk2", "zk3"} {
		h, err := d.Dial(testContext(t), Target{Address: name})
		must(t, err)
		res, err := h.Run(testContext(t), Command{Argv: []string{"echo", name}})
		must(t, err)
		if string(res.Stdout) != name+"\n" {
			t.Errorf("%s: %q", name, res.Stdout)
		}
		h.Close()
	}
	for s, want := range map[*sshServer]int{one: 1, two: 1, end: 3} {
		if n := strings.Count(s.log.String(), "Accepted publickey"); n != want {
			t.Errorf("%d logins at %s, want %d", n, s.addr(), want)
		}
	}
	// The inventory's word wins: no jump, another port.
	h, err := d.Dial(testContext(t), Target{Address: "zk1", Bastions: []Target{}, Port: end.portNumber()})
	must(t, err)
	h.Close()
	if n := strings.Count(two.log.String(), "Accepted publickey"); n != 1 {
		t.Errorf("the bastion was used")
	}
	// What is behind the bastion and does not answer is named.
	_, err = d.Dial(testContext(t), Target{Name: "zk9", Address: "zk9", Port: number(freePort(t))})
	if err == nil || !strings.Contains(err.Error(), "zk9") || !strings.Contains(err.Error(), "through "+"127.0.0.1") {
		t.Errorf("Dial = %v", err)
	}
}

func TestDialErrors(t *testing.T) {
	c := newClient(t)
	config := filepath.Join(c.home, ".ssh", "config")
	must(t, os.WriteFile(config, []byte("Host loop\n ProxyJump loop2\nHost loop2\n ProxyJump loop\nHost cmd\n ProxyCommand nc %h %p\nHost bad\n Port none\n"), 0o600))
	c.opts.ConfigFiles = []string{config}
	quiet, err := net.Listen("tcp", "127.0.0.1:0") // accepts, and never says a word
	must(t, err)
	defer quiet.Close()
	_, quietPort, _ := net.SplitHostPort(quiet.Addr().String())
	tests := []struct {
		target Target
		want   string
	}{
		{Target{Name: "zk1", Address: "127.0.0.1", Port: number(freePort(t))}, "connection refused"},
		{Target{Name: "zk1", Address: "127.0.0.1", Port: number(quietPort), ConnectTimeout: 50 * time.Millisecond}, "no answer within 50ms"},
		{Target{Name: "zk1", Address: "loop"}, "more than 8 hosts"},
		{Target{Name: "zk1", Address: "cmd"}, "ProxyCommand"},
		{Target{Name: "zk1", Address: "bad"}, `"none" is not a port`},
	}
	for _, tt := range tests {
		_, err := c.dial(t, tt.target)
		var p *problem.Problem
		if !errors.As(err, &p) || !strings.Contains(err.Error(), tt.want) || p.On == "" || strings.Contains(err.Error(), "\n") {
			t.Errorf("%+v: %v", tt.target, err)
		}
	}
	_, err = c.dial(t, tests[1].target)
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a timeout: %v", err)
	}
}

func TestConnectionCut(t *testing.T) {
	c := newClient(t)
	s := startSSHD(t, []ssh.PublicKey{c.key.PublicKey()})
	for what, cut := range map[string]func(*wire){"closed": func(w *wire) { w.conns.closeAll() }, "silent": func(w *wire) { close(w.silent) }} {
		t.Run(what, func(t *testing.T) {
			w := startWire(t, s.addr())
			c.opts.KeepAlive, c.opts.Patience = 20*time.Millisecond, 500*time.Millisecond
			c.know(t, fmt.Sprintf("[%s]:%s %s", w.host, w.port, ssh.MarshalAuthorizedKey(s.hostKeys[ssh.KeyAlgoED25519].PublicKey())))
			h, err := c.dial(t, Target{Name: "zk1", Address: w.host, Port: number(w.port)})
			must(t, err)
			marker := filepath.Join(t.TempDir(), "pid")
			done := make(chan error, 1)
			go func() {
				_, err := h.Run(testContext(t), Command{Argv: []string{"/bin/sh", "-c", `echo $$ >"$1"; exec sleep 20`, "sh", marker}})
				done <- err
			}()
			waitForPid(t, marker)
			cut(w)
			err = <-done
			if !errors.Is(err, ErrConnectionLost) || !strings.Contains(err.Error(), "zk1") || !strings.Contains(err.Error(), "/bin/sh -c echo") {
				t.Errorf("Run = %v", err)
			}
			for op, err := range map[string]error{
				"write":  h.WriteFile(testContext(t), "/tmp/never", nil, FileMeta{}),
				"remove": h.Remove(testContext(t), "/tmp/never"),
			} {
				if !errors.Is(err, ErrConnectionLost) || !strings.Contains(err.Error(), "zk1") {
					t.Errorf("%s = %v", op, err)
				}
			}
		})
	}
}

func TestUploadCut(t *testing.T) {
	c := newClient(t)
	s := startSSHD(t, []ssh.PublicKey{c.key.PublicKey()})
	w := startWire(t, s.addr())
	c.know(t, fmt.Sprintf("[%s]:%s %s", w.host, w.port, ssh.MarshalAuthorizedKey(s.hostKeys[ssh.KeyAlgoED25519].PublicKey())))
	h, err := c.dial(t, Target{Name: "zk1", Address: w.host, Port: number(w.port)})
	must(t, err)
	p := filepath.Join(t.TempDir(), "zkctl")
	must(t, os.WriteFile(p, []byte("old"), 0o755))
	data := noise(30 << 20)
	err = h.Upload(testContext(t), p, Source{Reader: strings.NewReader(string(data)), Size: int64(len(data))}, FileMeta{Mode: 0o755},
		func(n int64) {
			if n > 5<<20 {
				w.conns.closeAll()
			}
		})
	if !errors.Is(err, ErrConnectionLost) || !strings.Contains(err.Error(), p) {
		t.Errorf("Upload = %v", err)
	}
	if got := string(mustRead(t, p)); got != "old" {
		t.Errorf("the file is half written")
	}
}

func TestManyAtOnce(t *testing.T) {
	h, s := connected(t)
	var wg sync.WaitGroup
	errs := make([]error, 40) // sshd allows 10 sessions a connection
	for i := range errs {
		wg.Go(func() { _, errs[i] = h.Run(testContext(t), Command{Argv: []string{"sleep", "0.05"}}) })
	}
	wg.Wait()
	must(t, errors.Join(errs...))
	if n := strings.Count(s.log.String(), "Accepted publickey"); n != 1 {
		t.Errorf("%d connections", n)
	}
}

func TestNoisyAndBrokenShells(t *testing.T) {
	noisy := startFake(t, &ssh.ServerConfig{NoClientAuth: true}, func(ch ssh.Channel, line string) {
		_, _ = ch.Write([]byte("Welcome!\nno newline"))
		_, _ = ch.Stderr().Write([]byte("stty: not a terminal\n"))
		runHere(ch, line)
	})
	broken := startFake(t, &ssh.ServerConfig{NoClientAuth: true}, func(ch ssh.Channel, _ string) {
		_, _ = ch.Write([]byte("This account is currently not available.\n"))
		sendStatus(ch, 1)
		ch.Close()
	})
	c := newClient(t)
	c.know(t, noisy.known(), broken.known())
	h, err := c.dial(t, Target{Address: noisy.host, Port: number(noisy.port)})
	must(t, err)
	res, err := h.Run(testContext(t), Command{Argv: []string{"/bin/sh", "-c", "echo out; echo err >&2"}})
	must(t, err)
	if string(res.Stdout) != "out\n" || string(res.Stderr) != "err\n" {
		t.Errorf("%q %q", res.Stdout, res.Stderr)
	}
	h, err = c.dial(t, Target{Address: broken.host, Port: number(broken.port)})
	must(t, err)
	_, err = h.Run(testContext(t), Command{Argv: []string{"true"}})
	if err == nil || !strings.Contains(err.Error(), "not available") || problem.Remedy(err) == "" {
		t.Errorf("Run = %v", err)
	}
}
