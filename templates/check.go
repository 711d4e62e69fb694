package templates

import (
	"errors"
	"fmt"
	"net/netip"
	"path"
	"strings"
)

// checks collects what is wrong with a struct of parameters.
type checks struct {
	what   string // what is being rendered
	faults []error
}

func (c *checks) addf(format string, args ...any) {
	c.faults = append(c.faults, fmt.Errorf(c.what+": "+format, args...))
}

// err returns all faults, or nil.
func (c *checks) err() error { return errors.Join(c.faults...) }

// text refuses what breaks out of a line in every format.
func (c *checks) text(name, value string) bool {
	if i := strings.IndexFunc(value, func(r rune) bool { return r < ' ' || r == 0x7f || r == '\ufffd' }); i >= 0 {
		c.addf("%s %q holds a line break, control character or broken UTF-8", name, value)
		return false
	}
	if strings.TrimSpace(value) != value {
		c.addf("%s %q starts or ends with a space", name, value)
		return false
	}
	return true
}

// phrase is a text that must say something and may not end in a backslash, which would join the next line to it.
func (c *checks) phrase(name, value string) {
	if value == "" {
		c.addf("%s is empty", name)
	} else if c.text(name, value) && strings.HasSuffix(value, `\`) {
		c.addf("%s %q ends with a backslash", name, value)
	}
}

// path wants an absolute path without oddities such as /../.
func (c *checks) path(name, value string) {
	if !c.text(name, value) {
		return
	}
	if !strings.HasPrefix(value, "/") || path.Clean(value) != value {
		c.addf("%s %q is not a clean absolute path", name, value)
	}
}

// program wants a path that systemd takes as a program: it looks for no escapes there.
func (c *checks) program(name, value string) {
	c.path(name, value)
	if strings.ContainsAny(value, "$\\\"'") {
		c.addf("%s %q holds a $, backslash or quote, which systemd does not take in a program's path", name, value)
	}
}

// word wants letters, digits and some of the punctuation that file and account names have.
func (c *checks) word(name, value string) {
	if value == "" {
		c.addf("%s is empty", name)
		return
	}
	for i, r := range value {
		plain := r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r == '_'
		if !plain && (i == 0 || r != '.' && r != '-') {
			c.addf("%s %q holds %q; letters, digits, '_', '.' and '-' may be used", name, value, r)
			return
		}
	}
}

// account is a user or group; empty means whoever runs it.
func (c *checks) account(name, value string) {
	if value != "" {
		c.word(name, value)
	}
}

func (c *checks) between(name string, value, low, high int) {
	if value < low || value > high {
		c.addf("%s is %d to %d, not %d", name, low, high, value)
	}
}

func (c *checks) paths(name string, values []string) {
	for _, v := range values {
		c.path(name, v)
	}
}

// variables checks names, and that each stands once.
func (c *checks) variables(list []Variable) {
	seen := make(map[string]bool)
	for _, v := range list {
		c.word("variable", v.Name)
		if strings.ContainsAny(v.Name, ".-") || v.Name != "" && v.Name[0] >= '0' && v.Name[0] <= '9' {
			c.addf("variable %q is not a name a shell takes", v.Name)
		}
		if seen[v.Name] {
			c.addf("variable %s is given twice", v.Name)
		}
		seen[v.Name] = true
		c.text("variable "+v.Name, v.Value)
	}
}

// host wants a host name or an IP address without brackets.
func (c *checks) host(name, value string) {
	if _, err := netip.ParseAddr(value); err == nil {
		return
	}
	if value == "" || strings.Trim(value, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.") != "" {
		c.addf("%s %q is not a host name or IP address", name, value)
	}
}
