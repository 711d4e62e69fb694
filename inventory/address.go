package inventory

import (
	"fmt"
	"net/netip"
	"strings"
)

// checkAddress tells what is wrong with a host name or IP address, or "". With wildcard set, 0.0.0.0 and :: are fine.
func checkAddress(text string, wildcard bool) string {
	switch {
	case text == "":
		return "an address is missing"
	case strings.Contains(text, "://"):
		return fmt.Sprintf("%q is a URL; give only the host name or IP address", text)
	case strings.Contains(text, "/"):
		return fmt.Sprintf("%q is a network; give the address of one host", text)
	case strings.HasPrefix(text, "["):
		return fmt.Sprintf("write the IPv6 address %s without brackets", text)
	}
	if ip, err := netip.ParseAddr(text); err == nil {
		return checkIP(ip, wildcard)
	}
	if strings.Contains(text, "@") {
		return fmt.Sprintf("%q holds a user; set it with ssh.user", text)
	}
	if name, port, ok := strings.Cut(text, ":"); ok {
		if strings.Contains(port, ":") {
			return fmt.Sprintf("%q is not an IPv6 address", text)
		}
		return fmt.Sprintf("%q holds a port; give only %q, and ports under ports or ssh.port", text, name)
	}
	return checkHostName(text)
}

func checkIP(ip netip.Addr, wildcard bool) string {
	switch {
	case ip.Zone() != "":
		return fmt.Sprintf("%s has a zone; give an address that means the same on every host", ip)
	case ip.IsUnspecified() && !wildcard:
		return fmt.Sprintf("%s is every address, not the address of one host", ip)
	case ip.IsMulticast() || ip == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
		return fmt.Sprintf("%s is not the address of one host", ip)
	}
	return ""
}

// checkHostName applies RFC 1123, and lets '_' pass since some networks use it.
func checkHostName(name string) string {
	if strings.Trim(name, "0123456789.") == "" {
		return fmt.Sprintf("%q is not an IPv4 address", name)
	}
	if len(name) > 253 {
		return "a host name has at most 253 letters"
	}
	for _, label := range strings.Split(strings.TrimSuffix(name, "."), ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return fmt.Sprintf("%q is not a host name", name)
		}
		for _, c := range []byte(label) {
			if !isAlnum(c) && c != '-' && c != '_' {
				return fmt.Sprintf("%q is not a host name", name)
			}
		}
	}
	return ""
}

func isAlnum(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}

// isLoopback tells whether address only means the machine it is used on.
func isLoopback(address string) bool {
	if strings.EqualFold(address, "localhost") {
		return true
	}
	ip, err := netip.ParseAddr(address)
	return err == nil && ip.IsLoopback()
}
