package tlsconf

import (
	"bytes"
	"crypto/sha1"
	"crypto/x509"
	"errors"
	"fmt"
	"unicode/utf16"

	keystore "github.com/pavlo-v-chernykh/keystore-go/v4"
	"software.sslmate.com/src/go-pkcs12"
)

// jksMagic is what a store of Java's own format starts with.
func jksMagic() []byte { return []byte{0xfe, 0xed, 0xfe, 0xed} }

// parseJKS reads a store of Java's own format. It has one password for the
// store and its keys, as Apache wants it.
func parseJKS(data []byte, password string) (c contents, err error) {
	if err := checkJKS(data, password); err != nil {
		return contents{}, err
	}
	secret, err := latin1(password)
	if err != nil {
		return contents{}, err
	}
	ks := keystore.New(keystore.WithCaseExactAliases(), keystore.WithOrderedAliases())
	if err := ks.Load(bytes.NewReader(data), secret); err != nil {
		return contents{}, err
	}
	for _, alias := range ks.Aliases() {
		if ks.IsTrustedCertificateEntry(alias) {
			err = c.addTrusted(ks, alias)
		} else {
			err = c.addKey(ks, alias, secret)
		}
		if err != nil {
			return contents{}, fmt.Errorf("entry %q: %w", alias, err)
		}
	}
	return c, nil
}

func (c *contents) addTrusted(ks keystore.KeyStore, alias string) error {
	e, err := ks.GetTrustedCertificateEntry(alias)
	if err != nil {
		return err
	}
	cert, err := x509.ParseCertificate(e.Certificate.Content)
	if err != nil {
		return err
	}
	c.trust = append(c.trust, cert)
	return nil
}

func (c *contents) addKey(ks keystore.KeyStore, alias string, password []byte) error {
	if c.key != nil {
		return errors.New("it is a second private key, and only one can be used")
	}
	e, err := ks.GetPrivateKeyEntry(alias, password)
	if err != nil {
		return fmt.Errorf("its key needs the password of the store: %w", errPassword)
	}
	key, err := x509.ParsePKCS8PrivateKey(e.PrivateKey)
	if err != nil {
		return err
	}
	if c.key, err = signer(key); err != nil {
		return err
	}
	for _, raw := range e.CertificateChain {
		cert, err := x509.ParseCertificate(raw.Content)
		if err != nil {
			return err
		}
		c.chain = append(c.chain, cert)
	}
	if len(c.chain) > 0 {
		c.trust = append(c.trust, c.chain[0]) // what Java trusts of a key's entry (TrustStoreUtil)
	}
	return nil
}

// latin1 is the password for package keystore, which makes a character of each
// byte where Java takes each half of UTF-16.
func latin1(password string) ([]byte, error) {
	var out []byte
	for _, r := range password {
		if r > 0xff {
			return nil, fmt.Errorf("its password holds the letter %q, beyond Latin-1: convert it with keytool -importkeystore to PKCS12", r)
		}
		out = append(out, byte(r))
	}
	return out, nil
}

// checkJKS verifies the digest at the end of the store before its lengths are
// believed: SHA-1 of the password, a fixed text and all that stands before.
func checkJKS(data []byte, password string) error {
	if len(data) < len(jksMagic())+sha1.Size {
		return errors.New("it is cut short")
	}
	h := sha1.New()
	for _, unit := range utf16.Encode([]rune(password)) {
		h.Write([]byte{byte(unit >> 8), byte(unit)})
	}
	h.Write([]byte("Mighty Aphrodite"))
	body, digest := data[:len(data)-sha1.Size], data[len(data)-sha1.Size:]
	h.Write(body)
	if !bytes.Equal(h.Sum(nil), digest) {
		return fmt.Errorf("%w, or the file is damaged", errPassword)
	}
	return nil
}

// parsePKCS12 reads what openssl pkcs12 and keytool write: a key with its
// certificates, or a store of certificates that are marked as trusted.
func parsePKCS12(data []byte, password string) (contents, error) {
	key, cert, others, err := pkcs12.DecodeChain(data, password)
	if err == nil {
		return keyContents(key, append([]*x509.Certificate{cert}, others...))
	}
	if errors.Is(err, pkcs12.ErrIncorrectPassword) || errors.Is(err, pkcs12.ErrDecryption) {
		return contents{}, errPassword
	}
	trusted, terr := pkcs12.DecodeTrustStore(data, password)
	if terr != nil {
		return contents{}, errors.Join(fmt.Errorf("as a key's store: %w", err), fmt.Errorf("as a trust store: %w", terr))
	}
	return contents{trust: trusted}, nil
}

// keyContents is a key with its certificates in any order. As of a key's entry
// in JKS, only the key's own certificate is trusted.
func keyContents(key any, chain []*x509.Certificate) (contents, error) {
	s, err := signer(key)
	if err != nil {
		return contents{}, err
	}
	c := contents{key: s, chain: chain}
	for _, cert := range chain {
		if belongs(s, cert) {
			c.trust = append(c.trust, cert)
		}
	}
	return c, nil
}
