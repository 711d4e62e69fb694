package tlsconf

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/des"
	"crypto/pbkdf2"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"hash"
)

// An encrypted private key (RFC 5958) names a scheme and holds the bytes. The
// scheme is PBES2 (RFC 8018): how a key is made of the password, and how that
// key was used.
type encryptedKey struct {
	Scheme pkix.AlgorithmIdentifier
	Data   []byte
}

type pbes2 struct {
	Derivation, Cipher pkix.AlgorithmIdentifier
}

type pbkdf2Params struct {
	Salt       []byte
	Iterations int
	KeyLength  int                      `asn1:"optional"`
	PRF        pkix.AlgorithmIdentifier `asn1:"optional"`
}

// maxIterations bounds the work that a file can ask for: a few seconds.
const maxIterations = 10_000_000

// decryptPKCS8 opens an encrypted private key, as openssl pkcs8 -topk8 makes
// it: PBES2 with PBKDF2 and AES or triple DES. The error is errPassword when
// the password does not fit.
func decryptPKCS8(der []byte, password string) ([]byte, error) {
	var info encryptedKey
	var scheme pbes2
	if _, err := asn1.Unmarshal(der, &info); err != nil {
		return nil, err
	}
	if oid := info.Scheme.Algorithm.String(); oid != "1.2.840.113549.1.5.13" {
		return nil, unsupported("encryption", oid)
	}
	if _, err := asn1.Unmarshal(info.Scheme.Parameters.FullBytes, &scheme); err != nil {
		return nil, err
	}
	size, newCipher, err := blockCipher(scheme.Cipher.Algorithm)
	if err != nil {
		return nil, err
	}
	key, err := deriveKey(scheme.Derivation, password, size)
	if err != nil {
		return nil, err
	}
	block, err := newCipher(key)
	if err != nil {
		return nil, err
	}
	var iv []byte
	if _, err := asn1.Unmarshal(scheme.Cipher.Parameters.FullBytes, &iv); err != nil {
		return nil, err
	}
	return decryptCBC(block, iv, info.Data)
}

func unsupported(what, oid string) error {
	return fmt.Errorf("its key is protected with %s %s, which is not read here: convert it with openssl pkcs8 -topk8 -v2 aes256", what, oid)
}

// blockCipher gives the length of the key in bytes, and the cipher.
func blockCipher(oid asn1.ObjectIdentifier) (int, func([]byte) (cipher.Block, error), error) {
	switch oid.String() {
	case "2.16.840.1.101.3.4.1.2":
		return 16, aes.NewCipher, nil
	case "2.16.840.1.101.3.4.1.22":
		return 24, aes.NewCipher, nil
	case "2.16.840.1.101.3.4.1.42":
		return 32, aes.NewCipher, nil
	case "1.2.840.113549.3.7":
		return 24, des.NewTripleDESCipher, nil
	}
	return 0, nil, unsupported("cipher", oid.String())
}

func deriveKey(how pkix.AlgorithmIdentifier, password string, size int) ([]byte, error) {
	if oid := how.Algorithm.String(); oid != "1.2.840.113549.1.5.12" {
		return nil, unsupported("key derivation", oid)
	}
	var p pbkdf2Params
	if _, err := asn1.Unmarshal(how.Parameters.FullBytes, &p); err != nil {
		return nil, err
	}
	if p.Iterations < 1 || p.Iterations > maxIterations {
		return nil, fmt.Errorf("%d iterations of the key derivation; 1 to %d are taken", p.Iterations, maxIterations)
	}
	newHash, err := prf(p.PRF.Algorithm)
	if err != nil {
		return nil, err
	}
	return pbkdf2.Key(newHash, password, p.Salt, p.Iterations, size)
}

// prf is the hash of PBKDF2; SHA-1 is what a file that names none means.
func prf(oid asn1.ObjectIdentifier) (func() hash.Hash, error) {
	switch oid.String() {
	case "", "1.2.840.113549.2.7":
		return sha1.New, nil
	case "1.2.840.113549.2.8":
		return sha256.New224, nil
	case "1.2.840.113549.2.9":
		return sha256.New, nil
	case "1.2.840.113549.2.10":
		return sha512.New384, nil
	case "1.2.840.113549.2.11":
		return sha512.New, nil
	}
	return nil, unsupported("hash", oid.String())
}

// decryptCBC decrypts, and takes the padding off (RFC 8018, 6.1.1).
func decryptCBC(block cipher.Block, iv, data []byte) ([]byte, error) {
	n := block.BlockSize()
	if len(iv) != n || len(data) == 0 || len(data)%n != 0 {
		return nil, errors.New("the encrypted key has an odd length")
	}
	out := make([]byte, len(data))
	cipher.NewCBCDecrypter(block, iv).CryptBlocks(out, data)
	pad := int(out[len(out)-1])
	if pad < 1 || pad > n {
		return nil, errPassword
	}
	for _, b := range out[len(out)-pad:] {
		if int(b) != pad {
			return nil, errPassword
		}
	}
	out = out[:len(out)-pad]
	// One wrong password in some hundreds leaves a padding that looks right.
	var outer asn1.RawValue
	if rest, err := asn1.Unmarshal(out, &outer); err != nil || len(rest) > 0 || outer.Tag != asn1.TagSequence {
		return nil, errPassword
	}
	return out, nil
}
