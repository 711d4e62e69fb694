package tlsconf

import (
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
)

// parsePEM takes every certificate of the file, and its private key: PKCS#8,
// encrypted or not, or the older forms for RSA and elliptic curves. What
// stands between the blocks is skipped. Source: PemReader.java.
func parsePEM(data []byte, password string) (c contents, err error) {
	blocks := 0
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		blocks++
		switch {
		case block.Type == "CERTIFICATE" || block.Type == "X509 CERTIFICATE" || block.Type == "TRUSTED CERTIFICATE":
			cert, err := x509.ParseCertificate(block.Bytes)
			if err != nil {
				return contents{}, fmt.Errorf("certificate %d: %w", len(c.chain)+1, err)
			}
			c.chain = append(c.chain, cert)
		case strings.HasSuffix(block.Type, "PRIVATE KEY"):
			if c.key != nil {
				return contents{}, errors.New("it holds two private keys, and only one can be used")
			}
			if c.key, err = pemKey(block, password); err != nil {
				return contents{}, err
			}
		}
	}
	if blocks == 0 {
		return contents{}, errors.New("no -----BEGIN line in it")
	}
	c.trust = c.chain
	return c, nil
}

func pemKey(block *pem.Block, password string) (crypto.Signer, error) {
	if strings.Contains(block.Headers["Proc-Type"], "ENCRYPTED") {
		return nil, errors.New("its key is encrypted as OpenSSL did before PKCS#8: convert it with openssl pkcs8 -topk8")
	}
	var key any
	var err error
	switch block.Type {
	case "PRIVATE KEY":
		key, err = x509.ParsePKCS8PrivateKey(block.Bytes)
	case "ENCRYPTED PRIVATE KEY":
		var der []byte
		if der, err = decryptPKCS8(block.Bytes, password); err == nil {
			key, err = x509.ParsePKCS8PrivateKey(der)
		}
	case "RSA PRIVATE KEY":
		key, err = x509.ParsePKCS1PrivateKey(block.Bytes)
	case "EC PRIVATE KEY":
		key, err = x509.ParseECPrivateKey(block.Bytes)
	default:
		return nil, fmt.Errorf("a block of type %q is not understood: convert it with openssl pkcs8 -topk8", block.Type)
	}
	if err != nil {
		return nil, fmt.Errorf("private key: %w", err)
	}
	return signer(key)
}
