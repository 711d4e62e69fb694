package tlsconf

import (
	"bytes"
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/zkctl/zkctl/pkg/server/certname"
	"github.com/zkctl/zkctl/pkg/server/config"
)

// errPassword means that a password does not open what it should.
var errPassword = errors.New("the password is wrong")

// A FileError tells what is wrong with a file of keys or certificates.
type FileError struct {
	Key  string // of zoo.cfg, such as ssl.keyStore.location
	File string
	Err  error
	Do   string // what to do, without a full stop
}

func (e *FileError) Error() string {
	text := fmt.Sprintf("%s=%s: %v", e.Key, e.File, e.Err)
	if e.Do != "" {
		text += ": " + e.Do
	}
	return text
}

// Unwrap gives Err.
func (e *FileError) Unwrap() error { return e.Err }

// store reads one of the two stores. prefix is that of its keys, such as
// "ssl.keyStore.".
type store struct {
	prefix string
	config.Store
}

// format is how the bytes of a store are laid out.
type format string

const (
	formatPEM    format = "PEM"
	formatPKCS12 format = "PKCS12"
	formatJKS    format = "JKS"
	formatBCFKS  format = "BCFKS"
)

// format is what the type key says, else the file's extension
// (KeyStoreFileType.java; .pfx is taken here as well).
func (s store) format() (format, error) {
	if s.Type != "" {
		return format(strings.ToUpper(s.Type)), nil
	}
	switch strings.ToLower(filepath.Ext(s.Location)) {
	case ".pem":
		return formatPEM, nil
	case ".p12", ".pfx":
		return formatPKCS12, nil
	case ".jks":
		return formatJKS, nil
	case ".bcfks":
		return formatBCFKS, nil
	}
	return "", s.fault(errors.New("its kind cannot be told from its name"), "set "+s.prefix+"type to PEM, PKCS12 or JKS")
}

func (s store) fault(err error, do string) error {
	return &FileError{Key: s.prefix + "location", File: s.Location, Err: err, Do: do}
}

// files lists what the store is read from.
func (s store) files() []string {
	return slices.DeleteFunc([]string{s.Location, s.PasswordPath}, func(f string) bool { return f == "" })
}

// password is the content of passwordPath without the line's end, else password.
func (s store) password() (string, error) {
	if s.PasswordPath == "" {
		return s.Password, nil
	}
	text, err := os.ReadFile(s.PasswordPath)
	if err != nil {
		return "", &FileError{Key: s.prefix + "passwordPath", File: s.PasswordPath, Err: plain(err), Do: "name a file that the server's user may read"}
	}
	return strings.TrimRight(string(text), "\r\n"), nil
}

// contents is what was found in a store.
type contents struct {
	key   crypto.Signer
	chain []*x509.Certificate // of the key, its own first
	trust []*x509.Certificate // what others may be signed by
}

// maxStore bounds a store, in bytes.
const maxStore = 16 << 20

func (s store) read() (contents, error) {
	f, err := s.format()
	if err != nil {
		return contents{}, err
	}
	password, err := s.password()
	if err != nil {
		return contents{}, err
	}
	info, err := os.Stat(s.Location)
	if err == nil && info.Size() > maxStore {
		return contents{}, s.fault(fmt.Errorf("%d bytes are too many for a store", info.Size()), "name a file of keys or certificates")
	}
	data, err := os.ReadFile(s.Location)
	if err != nil {
		return contents{}, s.fault(plain(err), "name a file that the server's user may read")
	}
	c, err := parse(f, data, password)
	switch {
	case errors.Is(err, errPassword):
		return contents{}, s.fault(err, fmt.Sprintf("set %spassword, or %[1]spasswordPath to a file that holds it", s.prefix))
	case err != nil:
		return contents{}, s.fault(fmt.Errorf("not a readable %s file: %w", f, err), "see docs/operations.md, TLS, for how to make one")
	}
	return c, nil
}

// parse reads a store. JKS and PKCS12 are told apart by their first bytes, as
// Java does: keytool writes PKCS12 whatever the file is called.
func parse(f format, data []byte, password string) (contents, error) {
	switch {
	case f == formatPEM:
		return parsePEM(data, password)
	case f == formatBCFKS:
		return contents{}, errors.New("stores of Bouncy Castle (BCFKS) are not read here: convert it with keytool -importkeystore to PKCS12, or to PEM")
	case bytes.HasPrefix(data, jksMagic()):
		return parseJKS(data, password)
	}
	return parsePKCS12(data, password)
}

// keyPair finds the certificate and key that this server shows.
func (s store) keyPair() (tls.Certificate, error) {
	c, err := s.read()
	if err != nil {
		return tls.Certificate{}, err
	}
	pair, err := c.pair()
	if err != nil {
		return tls.Certificate{}, s.fault(err, "put the server's key, its certificate and those of its authorities into it")
	}
	return pair, nil
}

// pair is the key with its certificates, its own first.
func (c contents) pair() (tls.Certificate, error) {
	if c.key == nil {
		return tls.Certificate{}, errors.New("it holds no private key")
	}
	own := slices.IndexFunc(c.chain, func(cert *x509.Certificate) bool { return belongs(c.key, cert) })
	if own < 0 {
		return tls.Certificate{}, errors.New("no certificate in it belongs to its private key")
	}
	chain := slices.Concat(c.chain[own:own+1], c.chain[:own], c.chain[own+1:])
	out := tls.Certificate{PrivateKey: c.key, Leaf: chain[0]}
	for _, cert := range chain {
		out.Certificate = append(out.Certificate, cert.Raw)
	}
	return out, nil
}

func belongs(key crypto.Signer, cert *x509.Certificate) bool {
	public, ok := key.Public().(interface{ Equal(crypto.PublicKey) bool })
	return ok && public.Equal(cert.PublicKey)
}

// trusted finds the authorities; nil when no file is named, which stands for
// those of the system.
func (s store) trusted() (*x509.CertPool, error) {
	if s.Location == "" {
		return nil, nil
	}
	c, err := s.read()
	if err != nil {
		return nil, err
	}
	if len(c.trust) == 0 {
		return nil, s.fault(errors.New("it holds no trusted certificate"), "put the certificate of the authority into it")
	}
	pool := x509.NewCertPool()
	for _, cert := range c.trust {
		pool.AddCert(cert)
	}
	return pool, nil
}

// signer makes a parsed private key one that TLS can use.
func signer(key any) (crypto.Signer, error) {
	if s, ok := key.(crypto.Signer); ok {
		return s, nil
	}
	return nil, fmt.Errorf("a private key of type %T cannot sign", key)
}

// plain leaves the path out of an error that is told beside it.
func plain(err error) error {
	var p *os.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}

// describe is how logs call a certificate.
func describe(cert *x509.Certificate) string { return certname.Subject(cert) }
