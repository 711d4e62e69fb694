package config

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Effective is one setting as the server goes by it.
type Effective struct {
	Key string
	// Value in the words of zoo.cfg; [Masked] when it is a secret.
	Value string
	// Origin is where the value was given.
	Origin Origin
	// Overridden are the values that were given elsewhere too and lost, the first
	// to lose last.
	Overridden []Overridden
	// Note says why the key has no effect here, or "".
	Note string
}

// Overridden is a value that lost against another.
type Overridden struct {
	Value  string
	Origin Origin
}

// Masked stands in the place of a secret.
const Masked = "********"

// Explain lists the effective configuration: every key that has an effect, in
// the order of this package's tables, with its default when none was given; the
// member list; and after them the keys that were given and have no effect, by
// name. Before [Config.ReadMyID] the client port of the member list is not in it.
func (c *Config) Explain() []Effective {
	var out []Effective
	keys, shown := newCatalogue(), map[string]bool{}
	for _, s := range settings() {
		if keys.withoutEffect(s.name) != "" || s.get == nil {
			continue
		}
		shown[s.name] = true
		out = append(out, c.effective(s.name, s.get(c)))
	}
	out = append(out, c.explainMembers()...)
	for _, key := range slices.Sorted(maps.Keys(c.Raw)) {
		switch reason := keys.withoutEffect(key); {
		case shown[key] || isMemberKey(key):
		case reason == "" && isCollected(key):
			out = append(out, c.effective(key, c.Raw[key]))
		default:
			e := c.effective(key, c.Raw[key])
			if e.Note = reason; reason == "" {
				e.Note = "no key of ZooKeeper"
			}
			out = append(out, e)
		}
	}
	return out
}

func (c *Config) effective(key, value string) Effective {
	e := Effective{Key: key, Value: mask(key, value)}
	if from, ok := c.derived[key]; ok {
		e.Origin = from
		return e
	}
	values := c.given[key]
	for i, g := range slices.Backward(values) {
		if i == len(values)-1 {
			e.Origin = g.origin
			continue
		}
		e.Overridden = append(e.Overridden, Overridden{mask(key, g.value), g.origin})
	}
	return e
}

func (c *Config) explainMembers() []Effective {
	var out []Effective
	add := func(key, value string) { out = append(out, Effective{Key: key, Value: value, Origin: c.member[key]}) }
	for _, s := range c.Servers {
		add(fmt.Sprintf("server.%d", s.ID), s.String())
	}
	for _, g := range c.Groups {
		add(fmt.Sprintf("group.%d", g.ID), strings.Trim(strings.ReplaceAll(fmt.Sprint(g.Servers), " ", ":"), "[]"))
	}
	for _, id := range slices.Sorted(maps.Keys(c.Weights)) {
		add(fmt.Sprintf("weight.%d", id), fmt.Sprint(c.Weights[id]))
	}
	return out
}

// mask hides the value of a key that is a secret, or whose name says that it is.
func mask(key, value string) string {
	if value == "" {
		return ""
	}
	if Secret(key) {
		return Masked
	}
	return value
}

// Secret tells whether the value of a key is not to be shown.
func Secret(key string) bool {
	name := strings.ToLower(key)
	if strings.HasSuffix(name, "passwordpath") {
		return false
	}
	return strings.Contains(name, "password") || strings.Contains(name, "secret") || strings.Contains(name, "superdigest")
}
