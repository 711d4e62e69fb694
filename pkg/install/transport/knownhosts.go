package transport

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha1"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/crypto/ssh"
	"golang.org/x/sys/unix"

	"github.com/zkctl/zkctl/pkg/install/problem"
)

// Known host keys are read by rules of our own, for three reasons: one line that cannot be
// understood must not hide the others (ssh skips it), an entry without a port counts for a host
// on another port when the key is the same (as in ssh), and what the host is asked for depends
// on which of its keys are known (golang.org/issue/29286). Format: sshd(8), SSH_KNOWN_HOSTS FILE FORMAT.

// knownKey is a line of a known_hosts file.
type knownKey struct {
	hosts  []string // patterns, or one hashed name
	key    ssh.PublicKey
	marker string // "", "cert-authority" or "revoked"
	file   string
	line   int
}

func (k knownKey) place() string { return fmt.Sprintf("%s:%d", k.file, k.line) }

// parseKnownHosts returns the lines that can be understood.
func parseKnownHosts(data []byte, file string) []knownKey {
	var keys []knownKey
	n := 0
	for line := range bytes.Lines(data) {
		n++
		marker, hosts, key, _, _, err := ssh.ParseKnownHosts(line)
		if err != nil || key == nil {
			continue
		}
		if marker != "" && marker != "cert-authority" && marker != "revoked" {
			continue
		}
		keys = append(keys, knownKey{hosts: hosts, key: key, marker: marker, file: file, line: n})
	}
	return keys
}

// covers tells whether the line speaks of the host, which is "name" or "[name]:port".
func (k knownKey) covers(name string) bool {
	if len(k.hosts) == 1 && strings.HasPrefix(k.hosts[0], "|") {
		return hashedAs(k.hosts[0], name)
	}
	return matchList(name, k.hosts)
}

// hashedAs tells whether "|1|salt|hash" stands for name.
func hashedAs(hashed, name string) bool {
	f := strings.Split(hashed, "|")
	if len(f) != 4 || f[1] != "1" {
		return false
	}
	salt, err1 := base64.StdEncoding.DecodeString(f[2])
	want, err2 := base64.StdEncoding.DecodeString(f[3])
	if err1 != nil || err2 != nil {
		return false
	}
	mac := hmac.New(sha1.New, salt)
	mac.Write([]byte(name))
	return hmac.Equal(mac.Sum(nil), want)
}

// hostKeys decides on the keys of one host.
type hostKeys struct {
	on        string   // what the inventory calls it
	name      string   // what known_hosts calls it: "name" or "[name]:port"
	bare      string   // its name without port, when that counts too; else empty
	principal string   // what a certificate must be for
	files     []string // first the one that is added to
	acceptNew bool
}

// newHostKeys sets up for a host that is dialled as host:port, or known by its alias.
func newHostKeys(on, host, port, alias string, files []string, acceptNew bool) *hostKeys {
	k := &hostKeys{on: on, files: files, acceptNew: acceptNew}
	switch {
	case alias != "":
		k.name = strings.ToLower(alias)
		k.principal = k.name
	case port == "22":
		k.name = strings.ToLower(host)
		k.principal = k.name
	default:
		k.bare = strings.ToLower(host)
		k.name = "[" + k.bare + "]:" + port
		k.principal = k.bare
	}
	return k
}

// load reads the files; those that are missing count as empty.
func (h *hostKeys) load() ([]knownKey, error) {
	var all []knownKey
	for _, f := range h.files {
		data, err := os.ReadFile(f)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("read known hosts: %w", err)
		}
		all = append(all, parseKnownHosts(data, f)...)
	}
	return all, nil
}

// sort picks the lines about this host: its keys, the authorities that may vouch for it. Revoked
// keys count for every host, as a key that is lost is lost everywhere.
func (h *hostKeys) sort(all []knownKey) (exact, bare, authorities, revoked []knownKey) {
	for _, k := range all {
		switch {
		case k.marker == "revoked":
			revoked = append(revoked, k)
		case k.marker == "cert-authority" && (k.covers(h.name) || h.bare != "" && k.covers(h.bare)):
			authorities = append(authorities, k)
		case k.marker != "":
		case k.covers(h.name):
			exact = append(exact, k)
		case h.bare != "" && k.covers(h.bare):
			bare = append(bare, k)
		}
	}
	return exact, bare, authorities, revoked
}

// algorithms is what the host is asked to prove itself with: what is known of it first. The others
// follow, so that a host which has none of the known keys shows the one it has, for the message.
func (h *hostKeys) algorithms() ([]string, error) {
	all, err := h.load()
	if err != nil {
		return nil, err
	}
	exact, bare, authorities, _ := h.sort(all)
	supported := ssh.SupportedAlgorithms().HostKeys
	slices.SortStableFunc(supported, func(a, b string) int { return preference(a) - preference(b) })
	var first, rest []string
	for _, algo := range supported {
		isCert := strings.Contains(algo, "-cert-")
		switch {
		case isCert && len(authorities) > 0:
			first = append(first, algo)
		case !isCert && slices.ContainsFunc(slices.Concat(exact, bare), func(k knownKey) bool { return serves(k.key.Type(), algo) }):
			first = append(first, algo)
		case !isCert:
			rest = append(rest, algo)
		}
	}
	return append(first, rest...), nil
}

// preference orders algorithms as ssh does: ed25519, ecdsa, rsa.
func preference(algo string) int {
	for i, part := range []string{"ed25519", "ecdsa", "rsa-sha2-512", "rsa-sha2-256"} {
		if strings.Contains(algo, part) {
			return i
		}
	}
	return 9
}

// serves tells whether a key of the type makes signatures of the algorithm.
func serves(keyType, algo string) bool {
	return keyType == algo || keyType == ssh.KeyAlgoRSA && (algo == ssh.KeyAlgoRSASHA256 || algo == ssh.KeyAlgoRSASHA512)
}

// check accepts or refuses the key that the host showed; it has proven to own it.
func (h *hostKeys) check(_ string, _ net.Addr, key ssh.PublicKey) error {
	all, err := h.load()
	if err != nil {
		return err
	}
	exact, bare, authorities, revoked := h.sort(all)
	if r := findKey(revoked, bareKey(key)); r != nil {
		return h.problem(fmt.Errorf("%w: %s %s, see %s", ErrHostKeyRevoked, key.Type(), ssh.FingerprintSHA256(bareKey(key)), r.place()),
			"do not connect; ask who runs the host for its new key")
	}
	if cert, ok := key.(*ssh.Certificate); ok {
		return h.checkCert(cert, authorities, revoked)
	}
	if findKey(exact, key) != nil || findKey(bare, key) != nil {
		return nil
	}
	if len(exact) > 0 {
		return h.changed(exact, key)
	}
	if !h.acceptNew {
		return h.unknown(key)
	}
	return h.record(key)
}

func findKey(keys []knownKey, key ssh.PublicKey) *knownKey {
	blob := key.Marshal()
	for i := range keys {
		if bytes.Equal(keys[i].key.Marshal(), blob) {
			return &keys[i]
		}
	}
	return nil
}

// bareKey is the key itself, without the certificate round it.
func bareKey(key ssh.PublicKey) ssh.PublicKey {
	if cert, ok := key.(*ssh.Certificate); ok {
		return cert.Key
	}
	return key
}

func (h *hostKeys) checkCert(cert *ssh.Certificate, authorities, revoked []knownKey) error {
	checker := ssh.CertChecker{
		IsHostAuthority: func(ca ssh.PublicKey, _ string) bool { return findKey(authorities, ca) != nil },
		IsRevoked:       func(c *ssh.Certificate) bool { return findKey(revoked, c.SignatureKey) != nil },
	}
	if err := checker.CheckHostKey(net.JoinHostPort(h.principal, "22"), nil, cert); err != nil {
		return h.problem(fmt.Errorf("host certificate %q: %w", cert.KeyId, err),
			"renew the host's certificate, or correct the @cert-authority line in known_hosts")
	}
	return nil
}

func (h *hostKeys) problem(err error, do string) error {
	return &problem.Problem{Op: "verify host key of", On: h.on, Err: err, Do: do}
}

// changed refuses a key although others of the host are known.
func (h *hostKeys) changed(known []knownKey, key ssh.PublicKey) error {
	k := known[0]
	for _, other := range known {
		if other.key.Type() == key.Type() {
			k = other
			break
		}
	}
	return h.problem(fmt.Errorf("%w: it shows %s %s, but %s has %s %s for %s; somebody may be in between",
		ErrHostKeyChanged, key.Type(), ssh.FingerprintSHA256(key), k.place(), k.key.Type(), ssh.FingerprintSHA256(k.key), h.name),
		fmt.Sprintf("if the host was reinstalled, compare the fingerprint on its console (ssh-keygen -lf /etc/ssh/ssh_host_*_key.pub), "+
			"then: ssh-keygen -f %s -R %s", Quote(k.file), Quote(h.name)))
}

func (h *hostKeys) unknown(key ssh.PublicKey) error {
	return h.problem(fmt.Errorf("%w: %s shows %s %s", ErrHostKeyUnknown, h.name, key.Type(), ssh.FingerprintSHA256(key)),
		"compare the fingerprint and log in once with ssh, or accept new keys with --accept-new-host-keys")
}

// record adds the key to the first file, unless another connection just did. Whoever adds holds
// the file's lock, so that no line is lost, doubled or mixed with another.
func (h *hostKeys) record(key ssh.PublicKey) error {
	if len(h.files) == 0 {
		return h.problem(fmt.Errorf("%w, and there is no known_hosts file to add it to", ErrHostKeyUnknown), "name a known_hosts file")
	}
	file := h.files[0]
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return h.problem(fmt.Errorf("record the key: %w", err), "")
	}
	f, err := os.OpenFile(file, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return h.problem(fmt.Errorf("record the key: %w", err), "")
	}
	defer f.Close()
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX); err != nil {
		return h.problem(fmt.Errorf("lock %s: %w", file, err), "")
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return h.problem(fmt.Errorf("record the key: %w", err), "")
	}
	if exact, _, _, _ := h.sort(parseKnownHosts(data, file)); len(exact) > 0 {
		if findKey(exact, key) == nil {
			return h.changed(exact, key)
		}
		return nil
	}
	line := h.name + " " + string(ssh.MarshalAuthorizedKey(key))
	if len(data) > 0 && data[len(data)-1] != '\n' {
		line = "\n" + line
	}
	_, err = f.WriteString(line) // one write of a file opened for appending
	if err = errors.Join(err, f.Sync()); err != nil {
		return h.problem(fmt.Errorf("record the key: %w", err), "")
	}
	return nil
}
