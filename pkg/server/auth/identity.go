package auth

import (
	"cmp"
	"crypto/x509"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"unicode/utf16"

	"github.com/zkctl/zkctl/pkg/server/proto"
)

// A Peer is what the network tells of a client.
type Peer struct {
	// IP is its address.
	IP string
	// Certificates is the verified chain that it has shown, its own first; nil
	// for none.
	Certificates []*x509.Certificate
}

// ErrOtherEnsemble says that a client looks for another ensemble. It gets no
// answer, so that it tries another server (EnsembleAuthenticationProvider.java).
var ErrOtherEnsemble = errors.New("the client looks for an ensemble of another name")

// Identify gives the identities that a connection has from the start: the
// address, and the subject of the client's certificate. It fails when the
// certificate's subject cannot be read; such a client is not served.
func (p *Policy) Identify(peer Peer) ([]proto.ID, error) {
	ids := []proto.ID{{Scheme: "ip", ID: address(peer.IP)}}
	if len(peer.Certificates) == 0 {
		return ids, nil
	}
	more, err := p.certified(peer)
	return Add(ids, more...), err
}

// Authenticate turns an auth packet into identities. It fails with
// [ErrOtherEnsemble] or an error that wraps [proto.ErrAuthFailed].
func (p *Policy) Authenticate(scheme string, data []byte, peer Peer) ([]proto.ID, error) {
	if !p.Offers(scheme) {
		return nil, fmt.Errorf("%w: no scheme %q, there are %s", proto.ErrAuthFailed, scheme, p.names())
	}
	switch {
	case scheme == "ip":
		return []proto.ID{{Scheme: "ip", ID: address(peer.IP)}}, nil
	case scheme == "digest" && data != nil:
		return p.digested(data), nil
	case scheme == "x509" && len(peer.Certificates) > 0:
		return p.certified(peer)
	case scheme == "ensemble":
		if len(data) > 0 && p.cfg.EnsembleNames != nil && !slices.Contains(p.cfg.EnsembleNames, string(data)) {
			return nil, ErrOtherEnsemble
		}
		return nil, nil
	}
	return nil, proto.ErrAuthFailed // sasl has a request of its own
}

// certified gives the identities of a client with a certificate
// (X509AuthenticationProvider.java).
func (p *Policy) certified(peer Peer) ([]proto.ID, error) {
	name, err := DistinguishedName(peer.Certificates[0].RawSubject)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", proto.ErrAuthFailed, err)
	}
	id := proto.ID{Scheme: "x509", ID: name}
	if name == p.cfg.X509SuperUser && name != "" {
		return []proto.ID{{Scheme: "super", ID: name}, id}, nil
	}
	return []proto.ID{id}, nil
}

// User is the name that whoAmI tells of an identity: never a hash of a password,
// nothing for schemes that are not offered (AuthUtil.java).
func (p *Policy) User(id proto.ID) string {
	switch {
	case !p.Offers(id.Scheme):
		return ""
	case id.Scheme == "digest":
		user, _, _ := strings.Cut(id.ID, ":")
		return user
	}
	return id.ID
}

// Add gives ids with more of them, each once, in the order in which a server of
// Apache's holds them: whoAmI and the expansion of "auth" show it. It is that of
// a hash table, see [bucket], and the same for up to eleven identities. The slice
// ids is not changed.
func Add(ids []proto.ID, more ...proto.ID) []proto.ID {
	out := slices.Clone(ids)
	for _, id := range more {
		if !slices.Contains(out, id) {
			out = append(out, id)
		}
	}
	size := int32(16)
	for len(out) > int(size)/4*3-1 {
		size *= 2
	}
	slices.SortStableFunc(out, func(a, b proto.ID) int { return cmp.Compare(bucket(a, size), bucket(b, size)) })
	return out
}

// bucket is where a ConcurrentHashMap of Java's with size buckets holds id.
// Source: the documentation of ConcurrentHashMap, String.hashCode and of jute's
// generated hashCode (Id.java).
func bucket(id proto.ID, size int32) int32 {
	h := (17*37+javaHash(id.Scheme))*37 + javaHash(id.ID)
	return (h ^ int32(uint32(h)>>16)) & (size - 1)
}

func javaHash(s string) int32 {
	var h int32
	for _, unit := range utf16.Encode([]rune(s)) {
		h = 31*h + int32(unit)
	}
	return h
}

// address writes an IP address as Java does: one of version 6 in all its eight
// groups, without leading zeros.
func address(ip string) string {
	a, err := netip.ParseAddr(ip)
	if err != nil || a.Unmap().Is4() {
		return ip
	}
	var b strings.Builder
	raw := a.As16()
	for i := 0; i < len(raw); i += 2 {
		if i > 0 {
			b.WriteByte(':')
		}
		fmt.Fprintf(&b, "%x", uint16(raw[i])<<8|uint16(raw[i+1]))
	}
	if zone := a.Zone(); zone != "" {
		b.WriteString("%" + zone)
	}
	return b.String()
}
