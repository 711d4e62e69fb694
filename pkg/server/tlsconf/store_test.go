package tlsconf

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	keystore "github.com/pavlo-v-chernykh/keystore-go/v4"
	"software.sslmate.com/src/go-pkcs12"

	"github.com/zkctl/zkctl/pkg/server/config"
	"github.com/zkctl/zkctl/test/pki"
)

const password = "pass wörd 1"

// checkStores reads a key store and a trust store of the authority.
func checkStores(t *testing.T, keys, trust config.Store, leaf, ca *x509.Certificate) {
	t.Helper()
	pair, err := (store{"ssl.keyStore.", keys}).keyPair()
	if err != nil {
		t.Fatal(err)
	}
	if leaf != nil && !pair.Leaf.Equal(leaf) {
		t.Fatalf("the key store shows %s", pair.Leaf.Subject)
	}
	c, err := (store{"ssl.trustStore.", trust}).read()
	if err != nil {
		t.Fatal(err)
	}
	if len(c.trust) != 1 || ca != nil && !c.trust[0].Equal(ca) {
		t.Fatalf("%d trusted certificates", len(c.trust))
	}
}

func TestStores(t *testing.T) {
	ca := pki.NewAuthority(t, "authority")
	for _, useRSA := range []bool{false, true} {
		id := ca.Issue(t, pki.Request{Name: "zk1", RSA: useRSA})
		t.Run("PEM", func(t *testing.T) {
			dir := t.TempDir()
			checkStores(t, config.Store{Location: pki.Write(t, dir, "k.pem", id.StorePEM(t))},
				config.Store{Location: pki.Write(t, dir, "t", ca.CertPEM()), Type: "pem"}, id.Cert, ca.Cert)
		})
		t.Run("JKS", func(t *testing.T) {
			dir := t.TempDir()
			keys, trust := makeJKS(t, ca, id)
			secret := pki.Write(t, dir, "secret", []byte(password+"\n"))
			checkStores(t, config.Store{Location: pki.Write(t, dir, "k.jks", keys), PasswordPath: secret, Password: "not looked at"},
				config.Store{Location: pki.Write(t, dir, "t.JKS", trust), Password: password}, id.Cert, ca.Cert)
		})
		t.Run("PKCS12", func(t *testing.T) {
			dir := t.TempDir()
			for _, e := range []*pkcs12.Encoder{pkcs12.LegacyDES, pkcs12.Modern2023, pkcs12.Modern2026} {
				keys, err := e.Encode(id.Key, id.Cert, []*x509.Certificate{ca.Cert}, password)
				if err != nil {
					t.Fatal(err)
				}
				trust, err := e.EncodeTrustStore([]*x509.Certificate{ca.Cert}, password)
				if err != nil {
					t.Fatal(err)
				}
				// keytool writes PKCS12 whatever the name says.
				checkStores(t, config.Store{Location: pki.Write(t, dir, "k.jks", keys), Password: password},
					config.Store{Location: pki.Write(t, dir, "t.p12", trust), Password: password}, id.Cert, ca.Cert)
			}
		})
	}
}

func makeJKS(t *testing.T, ca *pki.Authority, id *pki.Identity) (keys, trust []byte) {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(id.Key)
	secret, lerr := latin1(password)
	if err := errors.Join(err, lerr); err != nil {
		t.Fatal(err)
	}
	ks, ts := keystore.New(), keystore.New()
	if err := ks.SetPrivateKeyEntry("zk1", keystore.PrivateKeyEntry{
		CreationTime: time.Now(), PrivateKey: der,
		CertificateChain: []keystore.Certificate{{Type: "X509", Content: id.Cert.Raw}, {Type: "X509", Content: ca.Cert.Raw}},
	}, secret); err != nil {
		t.Fatal(err)
	}
	if err := ts.SetTrustedCertificateEntry("ca", keystore.TrustedCertificateEntry{
		CreationTime: time.Now(), Certificate: keystore.Certificate{Type: "X509", Content: ca.Cert.Raw},
	}); err != nil {
		t.Fatal(err)
	}
	var k, s bytes.Buffer
	if err := errors.Join(ks.Store(&k, secret), ts.Store(&s, secret)); err != nil {
		t.Fatal(err)
	}
	return k.Bytes(), s.Bytes()
}

// A key store that serves as trust store trusts the key's own certificate, and
// not the authority that signed it.
func TestKeyStoreAsTrustStore(t *testing.T) {
	ca := pki.NewAuthority(t, "authority")
	id := ca.Issue(t, pki.Request{Name: "zk1"})
	jks, _ := makeJKS(t, ca, id)
	p12, err := pkcs12.Modern.Encode(id.Key, id.Cert, []*x509.Certificate{ca.Cert}, password)
	if err != nil {
		t.Fatal(err)
	}
	for f, data := range map[format][]byte{formatJKS: jks, formatPKCS12: p12} {
		c, err := parse(f, data, password)
		if err != nil || len(c.trust) != 1 || !c.trust[0].Equal(id.Cert) {
			t.Errorf("%s: %d trusted, %v", f, len(c.trust), err)
		}
	}
}

func TestWrongPassword(t *testing.T) {
	ca := pki.NewAuthority(t, "authority")
	id := ca.Issue(t, pki.Request{Name: "zk1"})
	jks, trust := makeJKS(t, ca, id)
	p12, err := pkcs12.Modern.Encode(id.Key, id.Cert, nil, password)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for name, data := range map[string][]byte{"k.jks": jks, "t.jks": trust, "k.p12": p12} {
		s := store{"ssl.keyStore.", config.Store{Location: pki.Write(t, dir, name, data), Password: "wrong"}}
		_, err := s.keyPair()
		if !errors.Is(err, errPassword) || !strings.Contains(err.Error(), "set ssl.keyStore.password, or ssl.keyStore.passwordPath") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func run(t *testing.T, dir, name string, args ...string) {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
}

func need(t *testing.T, program string) {
	t.Helper()
	if _, err := exec.LookPath(program); err != nil {
		t.Skipf("%s is not there", program)
	}
}

// Stores as keytool makes them, in both of its formats.
func TestStoresOfKeytool(t *testing.T) {
	need(t, "keytool")
	for _, kind := range []string{"JKS", "PKCS12"} {
		t.Run(kind, func(t *testing.T) {
			dir := t.TempDir()
			common := []string{"-storetype", kind, "-storepass", "changeit"}
			run(t, dir, "keytool", append([]string{"-genkeypair", "-keystore", "k.jks", "-alias", "zk1", "-keyalg", "RSA", "-dname", "CN=zk1", "-keypass", "changeit"}, common...)...)
			run(t, dir, "keytool", append([]string{"-exportcert", "-keystore", "k.jks", "-alias", "zk1", "-file", "zk1.crt"}, common...)...)
			run(t, dir, "keytool", append([]string{"-importcert", "-noprompt", "-keystore", "t.jks", "-alias", "zk1", "-file", "zk1.crt"}, common...)...)
			checkStores(t, config.Store{Location: filepath.Join(dir, "k.jks"), Password: "changeit"},
				config.Store{Location: filepath.Join(dir, "t.jks"), Password: "changeit"}, nil, nil)
		})
	}
}

// Encrypted keys as openssl makes them.
func TestEncryptedKeys(t *testing.T) {
	need(t, "openssl")
	id := pki.NewAuthority(t, "authority").Issue(t, pki.Request{Name: "zk1"})
	for _, args := range [][]string{
		{"-v2", "aes-256-cbc"}, {"-v2", "aes-128-cbc", "-v2prf", "hmacWithSHA512"}, {"-v2", "aes-192-cbc", "-v2prf", "hmacWithSHA1"},
		{"-v2", "des3"}, {"-v2", "aes-256-cbc", "-iter", "100000", "-v2prf", "hmacWithSHA384"},
	} {
		t.Run(strings.Join(args, " "), func(t *testing.T) {
			dir := t.TempDir()
			pki.Write(t, dir, "plain.pem", id.KeyPEM(t))
			run(t, dir, "openssl", append([]string{"pkcs8", "-topk8", "-in", "plain.pem", "-out", "k.pem", "-passout", "pass:" + password}, args...)...)
			text, err := os.ReadFile(filepath.Join(dir, "k.pem"))
			if err != nil {
				t.Fatal(err)
			}
			location := pki.Write(t, dir, "k.pem", append(text, id.CertPEM()...))
			pair, err := (store{"ssl.keyStore.", config.Store{Location: location, Password: password}}).keyPair()
			if err != nil || !pair.Leaf.Equal(id.Cert) {
				t.Fatal(err)
			}
			if _, err := (store{"ssl.keyStore.", config.Store{Location: location, Password: "wrong"}}).keyPair(); !errors.Is(err, errPassword) {
				t.Fatalf("with a wrong password: %v", err)
			}
		})
	}
	t.Run("scrypt", func(t *testing.T) {
		dir := t.TempDir()
		pki.Write(t, dir, "plain.pem", id.KeyPEM(t))
		run(t, dir, "openssl", "pkcs8", "-topk8", "-in", "plain.pem", "-out", "k.pem", "-passout", "pass:x", "-scrypt")
		_, err := (store{"ssl.keyStore.", config.Store{Location: filepath.Join(dir, "k.pem"), Password: "x"}}).keyPair()
		if err == nil || !strings.Contains(err.Error(), "convert it with openssl pkcs8 -topk8 -v2 aes256") {
			t.Fatal(err)
		}
	})
}

func TestOldKeys(t *testing.T) {
	for name, block := range map[string]*pem.Block{
		"openssl pkcs8 -topk8":      {Type: "RSA PRIVATE KEY", Headers: map[string]string{"Proc-Type": "4,ENCRYPTED"}, Bytes: []byte{1}},
		`type "ODD PRIVATE KEY"`:    {Type: "ODD PRIVATE KEY", Bytes: []byte{1}},
		"private key: asn1: syntax": {Type: "ENCRYPTED PRIVATE KEY", Bytes: []byte{1}},
	} {
		if _, err := parsePEM(pem.EncodeToMemory(block), ""); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%v, want %q", err, name)
		}
	}
}

// Whatever bytes a store has, it is read or refused. PKCS12 is left out: it can
// ask for any amount of work before it is known to be broken.
func FuzzParse(f *testing.F) {
	ca := pki.NewAuthority(f, "authority")
	id := ca.Issue(f, pki.Request{Name: "zk1"})
	f.Add(id.StorePEM(f))
	ks := keystore.New()
	if err := ks.SetTrustedCertificateEntry("ca", keystore.TrustedCertificateEntry{Certificate: keystore.Certificate{Type: "X509", Content: ca.Cert.Raw}}); err != nil {
		f.Fatal(err)
	}
	var jks bytes.Buffer
	if err := ks.Store(&jks, []byte("x")); err != nil {
		f.Fatal(err)
	}
	f.Add(jks.Bytes())
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, read := range []func([]byte, string) (contents, error){parsePEM, parseJKS} {
			c, err := read(data, "x")
			if err != nil && (c.key != nil || len(c.trust) > 0) {
				t.Fatal("contents beside an error")
			}
		}
	})
}

func FuzzDecryptPKCS8(f *testing.F) {
	f.Add([]byte{0x30, 0x03, 0x02, 0x01, 0x00}, "x")
	f.Fuzz(func(t *testing.T, der []byte, password string) {
		if out, err := decryptPKCS8(der, password); err == nil && len(out) == 0 {
			t.Fatal("nothing, and no error")
		}
	})
}
