package transport

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
)

// sshServer is OpenSSH's sshd on a free loopback port, with host keys of its own.
type sshServer struct {
	host, port string
	hostKeys   map[string]ssh.Signer // by type
	log        *lockedBuffer
	cmd        *exec.Cmd
	dir        string
	bin        string // first in PATH of the sessions
}

func (s *sshServer) addr() string { return net.JoinHostPort(s.host, s.port) }

func (s *sshServer) portNumber() int {
	n, _ := strconv.Atoi(s.port)
	return n
}

// lockedBuffer is a buffer for several goroutines.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// lookTool finds a program or skips the test, naming the package.
func lookTool(t *testing.T, name, pkg string) string {
	t.Helper()
	for _, dir := range append(filepath.SplitList(os.Getenv("PATH")), "/usr/sbin", "/usr/bin") {
		if p := filepath.Join(dir, name); isExecutable(p) {
			return p
		}
	}
	t.Skipf("%s is not installed; on Debian it is in the package %s", name, pkg)
	return ""
}

func isExecutable(p string) bool {
	fi, err := os.Stat(p)
	return err == nil && fi.Mode().IsRegular() && fi.Mode()&0o111 != 0
}

// startSSHD starts sshd for the user who runs the tests; keys may log in. Extra lines go to its configuration.
func startSSHD(t *testing.T, keys []ssh.PublicKey, extra ...string) *sshServer {
	t.Helper()
	sshd := lookTool(t, "sshd", "openssh-server")
	if os.Geteuid() == 0 { // sshd locks itself in there; Debian's service makes it when it starts
		must(t, os.MkdirAll("/run/sshd", 0o755))
	}
	dir := t.TempDir()
	s := &sshServer{host: "127.0.0.1", hostKeys: make(map[string]ssh.Signer), log: &lockedBuffer{}, dir: dir, bin: filepath.Join(dir, "bin")}
	must(t, os.Mkdir(s.bin, 0o755))
	var auth strings.Builder
	for _, k := range keys {
		auth.Write(ssh.MarshalAuthorizedKey(k))
	}
	must(t, os.WriteFile(filepath.Join(dir, "authorized_keys"), []byte(auth.String()), 0o600))
	conf := []string{"UsePAM no", "StrictModes no", "PermitRootLogin yes", "PasswordAuthentication no", "KbdInteractiveAuthentication no",
		"PidFile none", "LogLevel VERBOSE", "AuthorizedKeysFile " + filepath.Join(dir, "authorized_keys"),
		"SetEnv HOME=" + dir + " PATH=" + s.bin + ":/usr/local/bin:/usr/bin:/bin", "MaxStartups 100"}
	if !strings.Contains(strings.Join(extra, "\n"), "Subsystem") {
		conf = append(conf, "Subsystem sftp internal-sftp")
	}
	for name, key := range map[string]any{"ed25519": newEd25519(t), "ecdsa": newECDSA(t)} {
		file := filepath.Join(dir, "host_"+name)
		signer := writeKey(t, file, key, "")
		s.hostKeys[signer.PublicKey().Type()] = signer
		conf = append(conf, "HostKey "+file)
	}
	conf = append(extra, conf...) // the first value counts
	for attempt := 0; ; attempt++ {
		s.port = freePort(t)
		all := append(conf, "ListenAddress "+s.addr())
		file := filepath.Join(dir, "sshd_config")
		must(t, os.WriteFile(file, []byte(strings.Join(all, "\n")+"\n"), 0o600))
		s.cmd = exec.Command(sshd, "-D", "-e", "-f", file)
		s.cmd.Stderr = s.log
		must(t, s.cmd.Start())
		ended := make(chan struct{})
		go func() { _ = s.cmd.Wait(); close(ended) }()
		if s.listens(ended) {
			t.Cleanup(func() { _ = s.cmd.Process.Signal(syscall.SIGTERM); <-ended })
			return s
		}
		if attempt == 3 {
			t.Fatalf("sshd does not start:\n%s", s.log)
		}
	}
}

func (s *sshServer) listens(ended <-chan struct{}) bool {
	deadline := time.After(20 * time.Second)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		if strings.Contains(s.log.String(), "Server listening on") {
			return true
		}
		select {
		case <-ended:
			return false
		case <-deadline:
			return false
		case <-tick.C:
		}
	}
}

// tool puts a script first in PATH of the sessions.
func (s *sshServer) tool(t *testing.T, name, script string) {
	t.Helper()
	must(t, os.WriteFile(filepath.Join(s.bin, name), []byte(script), 0o755))
}

// known is a known_hosts line for one of the server's keys.
func (s *sshServer) known(keyType string) string {
	return fmt.Sprintf("[%s]:%s %s", s.host, s.port, ssh.MarshalAuthorizedKey(s.hostKeys[keyType].PublicKey()))
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	return port
}

func newEd25519(t testing.TB) ed25519.PrivateKey {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	must(t, err)
	return key
}

func newECDSA(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	return key
}

// writeKey writes a private key in OpenSSH's format, under a passphrase if there is one.
func writeKey(t testing.TB, file string, key any, passphrase string) ssh.Signer {
	t.Helper()
	var block *pem.Block
	var err error
	if passphrase == "" {
		block, err = ssh.MarshalPrivateKey(key, "")
	} else {
		block, err = ssh.MarshalPrivateKeyWithPassphrase(key, "", []byte(passphrase))
	}
	must(t, err)
	must(t, os.MkdirAll(filepath.Dir(file), 0o700))
	must(t, os.WriteFile(file, pem.EncodeToMemory(block), 0o600))
	signer, err := ssh.NewSignerFromKey(key)
	must(t, err)
	return signer
}

func me(t testing.TB) string {
	t.Helper()
	u, err := user.Current()
	must(t, err)
	return u.Username
}

// client is a user's side: a home with a key and known_hosts.
type client struct {
	home string
	key  ssh.Signer
	opts Options
}

func newClient(t *testing.T) *client {
	t.Helper()
	c := &client{home: t.TempDir()}
	c.key = writeKey(t, filepath.Join(c.home, ".ssh", "id_ed25519"), newEd25519(t), "")
	c.opts = Options{Home: c.home, LocalUser: me(t), KnownHosts: []string{filepath.Join(c.home, ".ssh", "known_hosts")}, ConnectTimeout: 30 * time.Second}
	return c
}

func (c *client) knownHosts() string { return c.opts.KnownHosts[0] }

func (c *client) know(t *testing.T, lines ...string) {
	t.Helper()
	must(t, os.WriteFile(c.knownHosts(), []byte(strings.Join(lines, "")), 0o600))
}

// dial connects with the client's options and closes all at the end of the test.
func (c *client) dial(t *testing.T, target Target) (Host, error) {
	t.Helper()
	d := NewDialer(c.opts)
	t.Cleanup(func() { d.Close() })
	h, err := d.Dial(testContext(t), target)
	if err == nil {
		t.Cleanup(func() { h.Close() })
	}
	return h, err
}

func testContext(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// connected is a host over real SSH.
func connected(t *testing.T, extra ...string) (Host, *sshServer) {
	t.Helper()
	c := newClient(t)
	s := startSSHD(t, []ssh.PublicKey{c.key.PublicKey()}, extra...)
	c.know(t, s.known(ssh.KeyAlgoED25519))
	h, err := c.dial(t, Target{Name: "zk1", Address: s.host, Port: s.portNumber()})
	must(t, err)
	return h, s
}

// endless is input that never ends.
type endless struct{}

func (endless) Read(b []byte) (int, error) { return len(b), nil }

var _ io.Reader = endless{}
