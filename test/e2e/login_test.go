package e2e

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/zkctl/zkctl/test/testbed"
)

// stranger is a user without a key, who trusts the hosts' keys.
func (w *world) stranger(t *testing.T) *world {
	t.Helper()
	s := *w
	s.home = t.TempDir()
	known, err := os.ReadFile(w.tb.KnownHosts())
	must(t, err)
	must(t, os.Mkdir(filepath.Join(s.home, ".ssh"), 0o700))
	must(t, os.WriteFile(s.knownHosts(), known, 0o600))
	return &s
}

func (w *world) knownHosts() string { return filepath.Join(w.home, ".ssh/known_hosts") }

// serverOwners asks that the servers run as their account although somebody else
// installed them, and that no file of zkctl belongs to who logged in.
func (w *world) serverOwners(t *testing.T, login string) {
	t.Helper()
	for _, h := range w.hosts() {
		if got := execIn(t, h, `stat -c %U /proc/$(cat $1)`, pidFile); got != "zookeeper" {
			t.Errorf("%s: the server runs as %q", h.Name, got)
		}
		if got := execIn(t, h, `find /etc /usr/local /var/lib/zkctl /var/log/zkctl /tmp /var/tmp -user "$1"; ls -A "/home/$1" | grep -i zkctl; :`, login); got != "" {
			t.Errorf("%s: these belong to %s: %s", h.Name, login, got)
		}
	}
}

// sudoLogin installs as a user with sudo that asks for nothing.
func sudoLogin(t *testing.T, w *world) {
	w.bare(t)
	inv := w.inventory(t, inventorySpec{ssh: "user: " + testbed.SudoUser})
	w.ok(t, "install", "-i", inv, "--yes")
	w.healthy(t, inv)
	w.serverOwners(t, testbed.SudoUser)
	says(t, w.ok(t, "install", "-i", inv).stdout, "nothing to do")
	w.ok(t, "purge", "-i", inv, "--dry-run")
	h := w.hosts()[0]
	pid := serverPID(t, h)
	w.ok(t, "restart", "-i", inv, "--only", "h1", "--yes")
	if now := serverPID(t, h); now == pid || now == "" {
		t.Errorf("restart left process %s for %s", now, pid)
	}
	w.healthy(t, inv)
}

// logins installs as everybody who may: each way on a terminal or without.
func logins(t *testing.T, w *world) {
	t.Run("sudo", func(t *testing.T) { sudoLogin(t, w) })
	t.Run("sudo password", func(t *testing.T) { sudoPassword(t, w) })
	t.Run("password", func(t *testing.T) { passwordLogin(t, w) })
	t.Run("nobody to ask", func(t *testing.T) { nobodyToAsk(t, w) })
	t.Run("agent", func(t *testing.T) { agentLogin(t, w) })
	t.Run("passphrase", func(t *testing.T) { passphraseLogin(t, w) })
}

// sudoPassword logs in by key; sudo asks for the password, and zkctl does once,
// after one that is wrong.
func sudoPassword(t *testing.T, w *world) {
	w.bare(t)
	inv := w.inventory(t, inventorySpec{ssh: "user: " + testbed.SudoPasswordUser})
	s := w.terminal(t, "install", "-i", inv, "--same-password")
	s.expect(t, testbed.SudoPasswordUser)
	s.expect(t, ": ")
	s.send(t, "wrong-pass")
	s.expect(t, "try again")
	s.expect(t, ": ")
	s.send(t, testbed.SudoPasswordPassword)
	s.expect(t, "[y/N]")
	s.send(t, "y")
	text := s.end(t, 0, testbed.SudoPasswordPassword, "wrong-pass")
	says(t, text, "leader", "follower")
	w.healthy(t, inv)
	w.serverOwners(t, testbed.SudoPasswordUser)
	w.runLog(t, "install")
	s = w.terminal(t, "install", "-i", inv, "--same-password")
	s.expect(t, testbed.SudoPasswordUser)
	s.send(t, testbed.SudoPasswordPassword)
	says(t, s.end(t, 0, testbed.SudoPasswordPassword), "nothing to do")
}

// passwordLogin has no key: the password is asked for once, and serves for sudo.
func passwordLogin(t *testing.T, w *world) {
	w.bare(t)
	s := w.stranger(t)
	inv := s.inventory(t, inventorySpec{ssh: "user: " + testbed.SudoPasswordUser})
	term := s.terminal(t, "install", "-i", inv, "--yes", "--same-password")
	term.expect(t, "password of "+testbed.SudoPasswordUser)
	term.send(t, testbed.SudoPasswordPassword)
	text := term.end(t, 0, testbed.SudoPasswordPassword)
	if n := strings.Count(text, "password of"); n != 1 {
		t.Errorf("it asked %d times:\n%s", n, text)
	}
	s.healthy(t, inv)
	s.runLog(t, "install")
}

// nobodyToAsk needs a password where there is no terminal.
func nobodyToAsk(t *testing.T, w *world) {
	s := w.stranger(t)
	inv := s.inventory(t, inventorySpec{ssh: "user: " + testbed.SudoPasswordUser})
	r := s.exits(t, 1, "install", "-i", inv, "--yes")
	says(t, r.all(), "h1", "h2", "h3", "try: ")
	inv = w.inventory(t, inventorySpec{ssh: "user: " + testbed.SudoPasswordUser})
	r = w.exits(t, 1, "install", "-i", inv, "--yes")
	says(t, r.all(), "sudo", "password", "try: ")
}

// agentLogin has its key in an agent and nowhere else.
func agentLogin(t *testing.T, w *world) {
	s := w.stranger(t)
	inv := s.inventory(t, inventorySpec{})
	socket := filepath.Join(t.TempDir(), "agent")
	agent := exec.CommandContext(t.Context(), "ssh-agent", "-D", "-a", socket)
	out, err := agent.StdoutPipe()
	must(t, err)
	must(t, agent.Start())
	t.Cleanup(func() { _ = agent.Process.Kill(); _ = agent.Wait() })
	_, err = bufio.NewReader(out).ReadString('\n')
	must(t, err)
	add := exec.CommandContext(t.Context(), "ssh-add", w.tb.KeyFile())
	add.Env = append(os.Environ(), "SSH_AUTH_SOCK="+socket)
	if out, err := add.CombinedOutput(); err != nil {
		t.Fatalf("ssh-add: %v\n%s", err, out)
	}
	s.exits(t, 1, "plan", "-i", inv) // without the agent
	cmd := s.command(t.Context(), "plan", "-i", inv)
	cmd.Env = append(cmd.Env, "SSH_AUTH_SOCK="+socket)
	if r := s.run(t, cmd, "plan, with an agent"); r.code != 0 {
		t.Errorf("exit status %d\n%s", r.code, r.all())
	}
}

// passphraseLogin has its key under a passphrase, which is asked for once.
func passphraseLogin(t *testing.T, w *world) {
	s := w.stranger(t)
	key := filepath.Join(s.home, "locked")
	text, err := os.ReadFile(w.tb.KeyFile())
	must(t, err)
	must(t, os.WriteFile(key, text, 0o600))
	if out, err := exec.Command("ssh-keygen", "-p", "-P", "", "-N", "open sesame", "-f", key).CombinedOutput(); err != nil {
		t.Fatalf("ssh-keygen: %v\n%s", err, out)
	}
	inv := s.inventory(t, inventorySpec{ssh: "user: root, identityFiles: [" + key + "]"})
	term := s.terminal(t, "plan", "-i", inv)
	term.expect(t, "passphrase of "+key)
	term.send(t, "open sesame")
	says(t, term.end(t, 0, "sesame"), "h1", "h2", "h3")
	if n := strings.Count(term.String(), "passphrase of"); n != 1 {
		t.Errorf("it asked %d times", n)
	}
}

// throughBastion reaches h2 and h3 only through h1.
func throughBastion(t *testing.T, w *world) {
	w.bare(t)
	for _, h := range w.hosts()[1:] {
		must(t, w.tb.Cut(t.Context(), testbed.ControllerName, h.Name))
	}
	direct := w.inventory(t, inventorySpec{ssh: "user: root, connectTimeout: 2s"})
	says(t, w.exits(t, 1, "plan", "-i", direct).all(), "h2: connect: FAILED", "h3: connect: FAILED")

	inv := w.inventory(t, inventorySpec{ssh: fmt.Sprintf("user: %s, bastions: [ops@%s]", testbed.SudoUser, w.hosts()[0].Addr)})
	r := w.ok(t, "install", "-i", inv, "--yes")
	table := r.stdout[strings.LastIndex(r.stdout, "HOST"):]
	if strings.Count(table, "serving") != 3 {
		t.Errorf("through the bastion the servers' state is not seen:\n%s", table)
	}
	t.Logf("installing through a bastion took %v", r.took.Round(time.Millisecond))
	says(t, w.ok(t, "install", "-i", inv).stdout, "nothing to do")
	w.viaSSHConfig(t)
	must(t, w.tb.Heal(t.Context()))
	w.healthy(t, inv)
}

// viaSSHConfig names the hosts and the bastion as ~/.ssh/config does.
func (w *world) viaSSHConfig(t *testing.T) {
	t.Helper()
	s := w.stranger(t)
	config := fmt.Sprintf("Host zk*\n  User root\n  IdentityFile %s\n  ProxyJump h1\nHost h1\n  HostName %s\n  User ops\n  IdentityFile %s\n",
		w.tb.KeyFile(), w.hosts()[0].Addr, w.tb.KeyFile())
	for i, h := range w.hosts() {
		config += fmt.Sprintf("Host zk%d\n  HostName %s\n", i+1, h.Addr)
	}
	must(t, os.WriteFile(filepath.Join(s.home, ".ssh/config"), []byte(config), 0o600))
	text := "name: e2e\nhosts:\n"
	for i, h := range w.hosts() {
		text += fmt.Sprintf("  - {name: %s, address: %s, ssh: {address: zk%d}}\n", h.Name, h.Addr, i+1)
	}
	inv := filepath.Join(t.TempDir(), "hosts.yaml")
	must(t, os.WriteFile(inv, []byte(text), 0o600))
	says(t, s.ok(t, "plan", "-i", inv).all(), "h1: connected", "h2: connected", "h3: connected")
}

// hostKeys has a host whose key changed, then hosts that nobody knows.
func hostKeys(t *testing.T, w *world) {
	s := w.stranger(t)
	inv := s.inventory(t, inventorySpec{ssh: fmt.Sprintf("user: root, identityFiles: [%s]", w.tb.KeyFile())})
	s.ok(t, "plan", "-i", inv)
	known, err := os.ReadFile(s.knownHosts())
	must(t, err)

	// Another key in place of h2's, which stands in the second line.
	lines := strings.Split(strings.TrimSpace(string(known)), "\n")
	first, second := strings.Fields(lines[0]), strings.Fields(lines[1])
	lines[1] = strings.Join([]string{second[0], first[1], first[2]}, " ")
	must(t, os.WriteFile(s.knownHosts(), []byte(strings.Join(lines, "\n")+"\n"), 0o600))
	for _, more := range [][]string{nil, {"--accept-new-host-keys"}} {
		r := s.exits(t, 1, append([]string{"plan", "-i", inv}, more...)...)
		says(t, r.all(), "h1: connected", "h3: connected", "h2", s.knownHosts()+":2", "changed", "ssh-keygen", "-R "+w.hosts()[1].Addr.String())
	}
	if now, err := os.ReadFile(s.knownHosts()); err != nil || string(now) != strings.Join(lines, "\n")+"\n" {
		t.Errorf("known_hosts was changed: %v\n%s", err, now)
	}

	// Nobody knows h2 and h3.
	must(t, os.WriteFile(s.knownHosts(), []byte(lines[0]+"\n"), 0o600))
	r := s.exits(t, 1, "plan", "-i", inv)
	says(t, r.all(), "h1: connected", "h2", "h3", "--accept-new-host-keys", "SHA256:")
	s.ok(t, "plan", "-i", inv, "--accept-new-host-keys")
	now, err := os.ReadFile(s.knownHosts())
	must(t, err)
	for _, h := range w.hosts() {
		says(t, string(now), h.Addr.String()+" ssh-ed25519 ")
	}
	s.ok(t, "plan", "-i", inv) // strict again, and known
	// ssh takes what zkctl wrote.
	ssh := w.tb.Controller().Command(t.Context(), "ssh", "-F", "/dev/null", "-i", w.tb.KeyFile(), "-o", "UserKnownHostsFile="+s.knownHosts(),
		"-o", "StrictHostKeyChecking=yes", "-o", "BatchMode=yes", "root@"+w.hosts()[2].Addr.String(), "true")
	if out, err := ssh.CombinedOutput(); err != nil {
		t.Errorf("ssh does not accept the known_hosts that zkctl wrote: %v\n%s", err, out)
	}
}
