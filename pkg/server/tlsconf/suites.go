package tlsconf

import (
	"crypto/tls"
	"fmt"
	"slices"
	"strings"

	"github.com/zkctl/zkctl/pkg/server/config"
)

// versions is the range of TLS versions that is offered.
type versions struct{ low, high uint16 }

// parseVersions reads the names that Java gives to versions. Without
// enabledProtocols a protocol of TLSv1.2 means that alone, and TLSv1.3 means
// both (X509Util.java).
func parseVersions(prefix string, c config.TLS) (versions, error) {
	if len(c.EnabledProtocols) == 0 {
		switch {
		case c.Protocol == "" || strings.EqualFold(c.Protocol, "TLSv1.3") || strings.EqualFold(c.Protocol, "TLS"):
			return versions{tls.VersionTLS12, tls.VersionTLS13}, nil
		case strings.EqualFold(c.Protocol, "TLSv1.2"):
			return versions{tls.VersionTLS12, tls.VersionTLS12}, nil
		}
		return versions{}, oldProtocol(prefix+"protocol", c.Protocol)
	}
	var v versions
	for _, name := range c.EnabledProtocols {
		switch {
		case strings.EqualFold(name, "TLSv1.2"):
			v.low = tls.VersionTLS12
			v.high = max(v.high, tls.VersionTLS12)
		case strings.EqualFold(name, "TLSv1.3"):
			v.high = tls.VersionTLS13
			if v.low == 0 {
				v.low = tls.VersionTLS13
			}
		default:
			return versions{}, oldProtocol(prefix+"enabledProtocols", name)
		}
	}
	return v, nil
}

func oldProtocol(key, name string) error {
	return fmt.Errorf("%s: %s is not spoken here: write TLSv1.3, TLSv1.2 or both", key, name)
}

// suites is a choice of cipher suites.
type suites struct {
	ids  []uint16 // for TLS 1.2; nil leaves the choice to Go
	weak []string // among them, those that Go warns of
}

// parseSuites reads Java's names, which are those of the standards but for an
// old SSL_ prefix. Those of TLS 1.3 cannot be chosen one by one; when there are
// none among the names, TLS 1.3 is off, and with none but them TLS 1.2 is.
func parseSuites(key string, names []string, v versions) (suites, versions, error) {
	if len(names) == 0 {
		return suites{}, v, nil
	}
	var out suites
	var unknown []string
	modern := false
	for _, name := range names {
		s, weak := findSuite(name)
		switch {
		case s == nil:
			unknown = append(unknown, name)
		case slices.Equal(s.SupportedVersions, []uint16{tls.VersionTLS13}):
			modern = true
		default:
			out.ids = append(out.ids, s.ID)
			if weak {
				out.weak = append(out.weak, s.Name)
			}
		}
	}
	if len(unknown) > 0 {
		return suites{}, v, fmt.Errorf("%s: not known here: %s: take them out, or choose among %s", key,
			strings.Join(unknown, ", "), strings.Join(suiteNames(), ", "))
	}
	if !modern {
		v.high = min(v.high, tls.VersionTLS12)
	}
	if len(out.ids) == 0 {
		v.low = max(v.low, tls.VersionTLS13)
	}
	if v.low > v.high {
		return suites{}, v, fmt.Errorf("%s: none of these suites is of a version of TLS that is enabled: add one, or change enabledProtocols", key)
	}
	return out, v, nil
}

func findSuite(name string) (s *tls.CipherSuite, weak bool) {
	name = strings.ToUpper(name)
	if rest, old := strings.CutPrefix(name, "SSL_"); old {
		name = "TLS_" + rest
	}
	same := func(s *tls.CipherSuite) bool {
		return s.Name == name || s.Name == name+"_SHA256" && strings.Contains(name, "CHACHA20")
	}
	if i := slices.IndexFunc(tls.CipherSuites(), same); i >= 0 {
		return tls.CipherSuites()[i], false
	}
	if i := slices.IndexFunc(tls.InsecureCipherSuites(), same); i >= 0 {
		return tls.InsecureCipherSuites()[i], true
	}
	return nil, false
}

func suiteNames() []string {
	var out []string
	for _, s := range tls.CipherSuites() {
		out = append(out, s.Name)
	}
	return out
}
