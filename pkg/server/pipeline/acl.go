package pipeline

import (
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha3"
	"crypto/sha512"
	"encoding/base64"
	"hash"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/zkctl/zkctl/pkg/server/proto"
)

// Auth decides who may do what. It knows the schemes world, auth, digest and
// ip. The zero value is ready to use; it must not change while in use.
//
// Source: ZooKeeperServer.java (checkACL), PrepRequestProcessor.java
// (fixupACL), DigestAuthenticationProvider.java, IPAuthenticationProvider.java.
type Auth struct {
	// SkipACL lets everybody do everything (zoo.cfg skipACL=yes).
	SkipACL bool
	// SuperDigest is the digest identity "super:BASE64" that passes every
	// check (zoo.cfg DigestAuthenticationProvider.superDigest); empty for none.
	SuperDigest string
	// Hash is the algorithm of the digest scheme by its Java name; "" is SHA1
	// (zoo.cfg DigestAuthenticationProvider.digestAlg).
	Hash string
	// NoDigest takes the digest scheme away
	// (DigestAuthenticationProvider.enabled=false).
	NoDigest bool
}

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

// KnownHash tells whether [Auth.Hash] may have this value.
func KnownHash(name string) bool {
	_, ok := hashes(name)
	return ok
}

// digest is the identity that the digest scheme makes of "user:password".
func (a *Auth) digest(userPassword string) string {
	h, ok := hashes(a.Hash)
	if !ok {
		h = sha1.New()
	}
	h.Write([]byte(userPassword))
	user, _, _ := strings.Cut(userPassword, ":")
	return user + ":" + base64.StdEncoding.EncodeToString(h.Sum(nil))
}

// authenticate turns an auth packet into identities; remote is the client's
// address. It fails with [proto.ErrAuthFailed] for an unknown scheme.
func (a *Auth) authenticate(p proto.AuthPacket, remote string) ([]proto.ID, error) {
	switch p.Scheme {
	case "digest":
		if a.NoDigest {
			break
		}
		id := proto.ID{Scheme: "digest", ID: a.digest(string(p.Auth))}
		if a.SuperDigest != "" && id.ID == a.SuperDigest {
			return []proto.ID{id, {Scheme: "super"}}, nil
		}
		return []proto.ID{id}, nil
	case "ip":
		return []proto.ID{{Scheme: "ip", ID: remote}}, nil
	}
	return nil, proto.ErrAuthFailed
}

// allowed tells whether ids hold perm on a znode with this ACL.
func (a *Auth) allowed(acl []proto.ACL, perm int32, ids []proto.ID) bool {
	if a.SkipACL || len(acl) == 0 {
		return true
	}
	for _, id := range ids {
		if id.Scheme == "super" {
			return true
		}
	}
	for _, e := range acl {
		if e.Perms&perm == 0 {
			continue
		}
		if e.ID.Scheme == "world" && e.ID.ID == "anyone" {
			return true
		}
		for _, id := range ids {
			if id.Scheme == e.ID.Scheme && matches(id, e.ID.ID) {
				return true
			}
		}
	}
	return false
}

// check is allowed as an error: nil or [proto.ErrNoAuth].
func (a *Auth) check(acl []proto.ACL, perm int32, ids []proto.ID) error {
	if a.allowed(acl, perm, ids) {
		return nil
	}
	return proto.ErrNoAuth
}

func matches(id proto.ID, expr string) bool {
	if id.Scheme != "ip" {
		return id.ID == expr
	}
	prefix, ok := parseIP(expr)
	if !ok {
		return false
	}
	addr, err := netip.ParseAddr(id.ID)
	return err == nil && prefix.Contains(addr.Unmap())
}

// parseIP reads an ACL's "a.b.c.d" or "a.b.c.d/bits".
func parseIP(expr string) (netip.Prefix, bool) {
	host, bits, masked := strings.Cut(expr, "/")
	addr, err := netip.ParseAddr(host)
	if err != nil || !addr.Is4() {
		return netip.Prefix{}, false
	}
	n := 32
	if masked {
		if n, err = strconv.Atoi(bits); err != nil || n < 0 || n > 32 {
			return netip.Prefix{}, false
		}
	}
	return netip.PrefixFrom(addr, n), true
}

// fix turns the ACL of a create or setACL request into the one to store:
// duplicates go, "auth" becomes the client's own identities, and what no
// scheme accepts is [proto.ErrInvalidACL].
func (a *Auth) fix(acl []proto.ACL, ids []proto.ID) ([]proto.ACL, error) {
	if len(acl) == 0 {
		return nil, proto.ErrInvalidACL
	}
	out := make([]proto.ACL, 0, len(acl))
	add := func(e proto.ACL) {
		if !slices.Contains(out, e) {
			out = append(out, e)
		}
	}
	for _, e := range acl {
		switch {
		case e.ID.Scheme == "world" && e.ID.ID == "anyone":
			add(e)
		case e.ID.Scheme == "auth":
			n := len(out)
			for _, id := range ids {
				if id.Scheme == "digest" {
					add(proto.ACL{Perms: e.Perms, ID: id})
				}
			}
			if n == len(out) && !hasDigest(ids) {
				return nil, proto.ErrInvalidACL
			}
		case e.ID.Scheme == "digest" && !a.NoDigest && validDigest(e.ID.ID), e.ID.Scheme == "ip" && validIP(e.ID.ID):
			add(e)
		default:
			return nil, proto.ErrInvalidACL
		}
	}
	return out, nil
}

func hasDigest(ids []proto.ID) bool {
	return slices.ContainsFunc(ids, func(id proto.ID) bool { return id.Scheme == "digest" })
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

func validIP(id string) bool {
	_, ok := parseIP(id)
	return ok
}

// maskACL is what getACL shows to a client without ADMIN: digest hashes are
// replaced by x (CVE-2019-0201).
func maskACL(acl []proto.ACL) []proto.ACL {
	out := slices.Clone(acl)
	for i, e := range out {
		if e.ID.Scheme == "digest" {
			user, _, _ := strings.Cut(e.ID.ID, ":")
			out[i].ID.ID = user + ":x"
		}
	}
	return out
}
