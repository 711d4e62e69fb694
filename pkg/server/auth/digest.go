package auth

import (
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha3"
	"crypto/sha512"
	"encoding/base64"
	"hash"
	"strings"

	"github.com/zkctl/zkctl/pkg/server/proto"
)

// hashes are the algorithms of the digest scheme by their Java names.
func hashes(name string) (hash.Hash, bool) {
	switch strings.ToUpper(name) {
	case "", "SHA1", "SHA-1", "SHA":
		return sha1.New(), true
	case "SHA-224":
		return sha256.New224(), true
	case "SHA-256":
		return sha256.New(), true
	case "SHA-384":
		return sha512.New384(), true
	case "SHA-512":
		return sha512.New(), true
	case "SHA-512/224":
		return sha512.New512_224(), true
	case "SHA-512/256":
		return sha512.New512_256(), true
	case "SHA3-224":
		return sha3.New224(), true
	case "SHA3-256":
		return sha3.New256(), true
	case "SHA3-384":
		return sha3.New384(), true
	case "SHA3-512":
		return sha3.New512(), true
	}
	return nil, false
}

// KnownHash tells whether [Config.DigestAlg] may have this value.
func KnownHash(name string) bool {
	_, ok := hashes(name)
	return ok
}

// Digest is the identity that the digest scheme makes of "user:password"; alg is
// a value of [Config.DigestAlg].
func Digest(alg, userPassword string) string {
	h, ok := hashes(alg)
	if !ok {
		h = sha1.New()
	}
	h.Write([]byte(userPassword))
	user, _, _ := strings.Cut(userPassword, ":")
	return user + ":" + base64.StdEncoding.EncodeToString(h.Sum(nil))
}

// digested gives the identities of who sends "user:password". No user and no
// password are wrong: what counts is whether an ACL names the digest.
func (p *Policy) digested(data []byte) []proto.ID {
	id := Digest(p.cfg.DigestAlg, javaText(data))
	if p.cfg.SuperDigest != "" && id == p.cfg.SuperDigest {
		return []proto.ID{{Scheme: "super"}, {Scheme: "digest", ID: id}}
	}
	return []proto.ID{{Scheme: "digest", ID: id}}
}

// validDigest accepts "user:hash": Java's split on ':' must give two parts,
// and drops empty ones only at the end.
func validDigest(id string) bool {
	parts := strings.Split(id, ":")
	for len(parts) > 0 && parts[len(parts)-1] == "" {
		parts = parts[:len(parts)-1]
	}
	return len(parts) == 2
}
