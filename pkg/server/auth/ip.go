package auth

import (
	"net/netip"
	"strconv"
	"strings"
)

// validIP accepts an address of version 4 or 6, and perhaps "/bits" behind it
// (IPAuthenticationProvider.java).
func validIP(id string) bool {
	_, ok := network(id)
	return ok
}

// matchIP tells whether an address is in the network that an ACL names.
func matchIP(id, expr string) bool {
	n, ok := network(expr)
	if !ok {
		return false
	}
	a, ok := parseAddress(id)
	return ok && n.Contains(a)
}

func network(expr string) (netip.Prefix, bool) {
	host, bits, masked := strings.Cut(expr, "/")
	a, ok := parseAddress(host)
	if !ok {
		return netip.Prefix{}, false
	}
	n := int64(a.BitLen())
	if masked {
		var err error
		if n, err = strconv.ParseInt(bits, 10, 32); err != nil || n < 0 || n > int64(a.BitLen()) {
			return netip.Prefix{}, false
		}
	}
	return netip.PrefixFrom(a, int(n)), true
}

// parseAddress reads an address as loosely as Apache does: numbers may have
// signs and leading zeros, and no address is mapped.
func parseAddress(s string) (netip.Addr, bool) {
	if strings.Contains(s, ":") {
		return parseV6(s)
	}
	parts := strings.Split(s, ".")
	var raw [4]byte
	if len(parts) != len(raw) {
		return netip.Addr{}, false
	}
	for i, part := range parts {
		n, err := strconv.ParseInt(part, 10, 32)
		if err != nil || n < 0 || n > 255 {
			return netip.Addr{}, false
		}
		raw[i] = byte(n)
	}
	return netip.AddrFrom4(raw), true
}

// parseV6 reads eight groups, or fewer around one "::".
func parseV6(s string) (netip.Addr, bool) {
	front, back, short := strings.Cut(s, "::")
	head, tail := groups(front), groups(back)
	n := len(head) + len(tail)
	if short && n >= 8 || !short && n != 8 {
		return netip.Addr{}, false
	}
	var raw [16]byte
	if !fill(raw[:], head) || !fill(raw[16-2*len(tail):], tail) {
		return netip.Addr{}, false
	}
	return netip.AddrFrom16(raw), true
}

func groups(s string) []string {
	if s == "" {
		return nil
	}
	return strings.Split(s, ":")
}

// fill writes groups of up to four hexadecimal digits into b.
func fill(b []byte, groups []string) bool {
	for i, g := range groups {
		n, err := strconv.ParseInt(g, 16, 32)
		if err != nil || len(g) > 4 {
			return false
		}
		b[2*i], b[2*i+1] = byte(n>>8), byte(n)
	}
	return true
}
