package inspect

import (
	"path"
	"slices"
	"strings"
	"time"
)

// Filter chooses transactions; the zero Filter takes all. All conditions must
// hold.
type Filter struct {
	From, To      Zxid      // with both ends; 0 is no bound
	After, Before time.Time // After is with its end, Before without; zero is no bound
	Session       *Zxid
	Types         []string // any of these, also as a part of a multi
	// Paths are any of these: "/a" is that znode and all below, and with *, ?
	// or [ a pattern of package path, in which * stands for one name; what is
	// below a match matches too.
	Paths []string
}

// Check tells whether the patterns are well formed.
func (f *Filter) Check() error {
	for _, p := range f.Paths {
		if _, err := path.Match(p, ""); err != nil {
			return err
		}
	}
	return nil
}

// Match tells whether e is chosen.
func (f *Filter) Match(e *Entry) bool {
	switch {
	case f.From != 0 && uint64(e.Zxid) < uint64(f.From), f.To != 0 && uint64(e.Zxid) > uint64(f.To):
		return false
	case !f.After.IsZero() && e.Time.Before(f.After), !f.Before.IsZero() && !e.Time.Before(f.Before):
		return false
	case f.Session != nil && e.Session != *f.Session:
		return false
	case len(f.Types) > 0 && !f.hasType(&e.Op):
		return false
	}
	return len(f.Paths) == 0 || slices.ContainsFunc(e.Paths(), f.MatchPath)
}

func (f *Filter) hasType(o *Op) bool {
	if slices.ContainsFunc(f.Types, func(t string) bool { return strings.EqualFold(t, o.Type) }) {
		return true
	}
	for i := range o.Parts {
		if f.hasType(&o.Parts[i]) {
			return true
		}
	}
	return false
}

// MatchPath tells whether one of Paths stands for p or for a znode above it.
func (f *Filter) MatchPath(p string) bool {
	for _, want := range f.Paths {
		depth := strings.Count(strings.TrimSuffix(want, "/"), "/")
		if ok, err := path.Match(strings.TrimSuffix(want, "/"), upTo(p, depth)); err == nil && ok {
			return true
		}
	}
	return false
}

// upTo is the first depth names of a path, all of it when it has less.
func upTo(p string, depth int) string {
	if depth == 0 || p == "/" {
		return ""
	}
	for i := 1; i < len(p); i++ {
		if p[i] != '/' {
			continue
		}
		if depth--; depth == 0 {
			return p[:i]
		}
	}
	return p
}
