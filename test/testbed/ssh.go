package testbed

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/crypto/ssh"
)

// The users of every host. All of them take the key of [Testbed.KeyFile] and
// their password.
const (
	RootUser     = "root"
	RootPassword = "root-pass"

	SudoUser     = "ops" // sudo asks for nothing
	SudoPassword = "ops-pass"

	SudoPasswordUser     = "opspw" // sudo asks for the password
	SudoPasswordPassword = "opspw-pass"
)

// A keyPair is an ed25519 key in the formats of OpenSSH.
type keyPair struct {
	private []byte // PEM
	public  string // "ssh-ed25519 AAAA…", no comment, no newline
}

func newKeyPair(comment string) (keyPair, error) {
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return keyPair{}, err
	}
	block, err := ssh.MarshalPrivateKey(private, comment)
	if err != nil {
		return keyPair{}, err
	}
	signer, err := ssh.NewSignerFromKey(private)
	if err != nil {
		return keyPair{}, err
	}
	public := strings.TrimSpace(string(ssh.MarshalAuthorizedKey(signer.PublicKey())))
	return keyPair{pem.EncodeToMemory(block), public}, nil
}

// writeSSHFiles writes what the controller's ssh needs into <home>/.ssh: key,
// known_hosts with exactly these hosts, and config.
func (tb *Testbed) writeSSHFiles() error {
	if err := os.MkdirAll(filepath.Dir(tb.SSHConfig()), 0o700); err != nil {
		return err
	}
	var known, config strings.Builder
	for _, h := range tb.hosts {
		fmt.Fprintf(&known, "%s,%s %s\n", h.Name, h.Addr, h.key.public)
		fmt.Fprintf(&config, "Host %s\n  HostName %s\n  HostKeyAlias %s\n", h.Name, h.Addr, h.Name)
	}
	fmt.Fprintf(&config, `Host *
  User root
  IdentityFile %s
  IdentitiesOnly yes
  UserKnownHostsFile %s
  GlobalKnownHostsFile /dev/null
  StrictHostKeyChecking yes
  ConnectTimeout 10
  LogLevel ERROR
`, tb.KeyFile(), tb.KnownHosts())
	return writeFiles(map[string]string{
		tb.KeyFile():          string(tb.key.private),
		tb.KeyFile() + ".pub": tb.key.public + "\n",
		tb.KnownHosts():       known.String(),
		tb.SSHConfig():        config.String(),
	}, 0o600)
}

// writeFiles writes text files, with missing folders; the content decides
// nothing, perm is the same for all.
func writeFiles(files map[string]string, perm os.FileMode) error {
	for path, text := range files {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, []byte(text), perm); err != nil {
			return err
		}
		if err := os.Chmod(path, perm); err != nil { // whatever umask and an older file say
			return err
		}
	}
	return nil
}
