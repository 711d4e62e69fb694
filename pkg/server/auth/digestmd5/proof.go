package digestmd5

import (
	"crypto/md5"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
)

const (
	firstUse = "00000001" // the nonce count; there is no second use
	qopAuth  = "auth"
)

// newNonce is 240 bits by chance, in base64.
func newNonce() string {
	var raw [30]byte
	_, _ = rand.Read(raw[:]) // does not fail
	return base64.StdEncoding.EncodeToString(raw[:])
}

// A proof is what both sides put into their responses.
type proof struct {
	username, realm, password string
	nonce, cnonce, uri        string
	authzid                   []byte // nil when the client names none
}

// response is what the side that says method proves with: the client says
// AUTHENTICATE, the server nothing (RFC 2831, 2.1.2.1 and 2.1.3).
func (p *proof) response(method string) []byte {
	secret := md5.New()
	secret.Write(latin1(p.username))
	secret.Write([]byte{':'})
	secret.Write(latin1(p.realm))
	secret.Write([]byte{':'})
	secret.Write(latin1(p.password))
	a1 := append(secret.Sum(nil), ":"+p.nonce+":"+p.cnonce...)
	if p.authzid != nil {
		a1 = append(append(a1, ':'), p.authzid...)
	}
	ha1, ha2 := md5.Sum(a1), md5.Sum([]byte(method+":"+p.uri))
	kd := md5.Sum([]byte(hex.EncodeToString(ha1[:]) + ":" + p.nonce + ":" + firstUse + ":" + p.cnonce + ":" + qopAuth + ":" + hex.EncodeToString(ha2[:])))
	return hex.AppendEncode(nil, kd[:])
}

// latin1 is s in ISO 8859-1 if that has all its characters, and else in UTF-8
// (RFC 2831, 2.1.2.1).
func latin1(s string) []byte {
	out := make([]byte, 0, len(s))
	for _, r := range s {
		if r > 0xff {
			return []byte(s)
		}
		out = append(out, byte(r))
	}
	return out
}
