package config

import (
	"reflect"
	"slices"
	"strings"
	"testing"
)

// key is a line of testdata/keys.txt.
type key struct{ name, set, here, value string }

// keysOf39 is every key of Apache ZooKeeper 3.9.
func keysOf39(t *testing.T) []key {
	t.Helper()
	var keys []key
	for line := range strings.Lines(string(read(t, "testdata/keys.txt"))) {
		words := strings.Fields(line)
		if len(words) == 0 || words[0] == "#" {
			continue
		}
		if len(words) != 4 {
			t.Fatalf("not four columns: %s", line)
		}
		keys = append(keys, key{words[0], words[1], words[2], words[3]})
	}
	return keys
}

// withKey parses a zoo.cfg in which the key has its value.
func withKey(k key) (*Config, []Warning, error) {
	text := "dataDir=/d\nclientPort=2181\n"
	if k.name == "dataDir" || k.name == "clientPort" {
		text = strings.Replace(text, k.name, "#", 1)
	}
	return Parse("zoo.cfg", strings.NewReader(text+k.name+"="+k.value+"\n"))
}

// named finds what is said about a key.
func named(k key, warnings []Warning, err error) string {
	for _, w := range warnings {
		if w.Key == k.name {
			return w.Problem
		}
	}
	faults, _ := err.(Faults)
	for _, f := range faults {
		if f.Key == k.name {
			return f.Problem
		}
	}
	return ""
}

// TestEveryKey asks of each key of 3.9 that it is honoured or spoken of by name.
func TestEveryKey(t *testing.T) {
	untouched, _, err := Parse("zoo.cfg", strings.NewReader("dataDir=/d\nclientPort=2181\n"))
	if err != nil {
		t.Fatal(err)
	}
	catalogue := newCatalogue()
	for _, k := range keysOf39(t) {
		t.Run(k.name, func(t *testing.T) {
			c, warnings, err := withKey(k)
			said, reason := named(k, warnings, err), catalogue.withoutEffect(k.name)
			switch {
			case strings.Contains(said, "is no key"):
				t.Errorf("not known: %s", said)
			case reason != "":
				if said == "" && k.name != "admin.enableServer" {
					t.Errorf("has no effect, and nothing is said")
				}
			case k.here == "inert":
				t.Errorf("is honoured; mend testdata/keys.txt")
			case same(c, untouched) && k.name != "electionAlg":
				t.Errorf("changes nothing in the configuration")
			}
			if never := slices.ContainsFunc(neverHonoured(), func(g inert) bool { return g.reason == reason }); reason != "" && never != (k.here == "inert") && !yet(k.name) {
				t.Errorf("testdata/keys.txt says it %s; here it is without effect: %s", k.here, reason)
			}
		})
	}
}

// yet tells whether a key is among those that are not honoured yet.
func yet(name string) bool {
	return slices.ContainsFunc(notHonoured(), func(g inert) bool {
		return slices.ContainsFunc(g.names, func(n string) bool { return n == name || isOpen(n) && strings.HasPrefix(name, n) })
	})
}

// same compares what two configurations hold, not where it came from.
func same(a, b *Config) bool {
	x, y := *a, *b
	for _, c := range []*Config{&x, &y} {
		c.Raw, c.lines, c.given, c.member, c.derived = nil, nil, nil, nil, nil
	}
	return reflect.DeepEqual(x, y)
}

// TestEveryProperty asks of each key that the Java command line sets it where it
// does so in Apache, and only there.
func TestEveryProperty(t *testing.T) {
	for _, k := range keysOf39(t) {
		if isMemberKey(k.name) {
			continue
		}
		t.Run(k.name, func(t *testing.T) {
			name := javaPrefix + k.name
			switch {
			case k.set == "flag":
				name = k.name
			case k.name == "syncEnabled":
				name = "zookeeper.observer.syncEnabled"
			}
			c, warnings, _ := Parse("zoo.cfg", strings.NewReader(""), Source{Name: "FLAGS", Java: true, Properties: []Property{{Key: name, Value: k.value}}})
			if _, set := c.Raw[k.name]; set != (k.set != "file") {
				t.Errorf("-D%s sets it: %t; %v", name, set, warnings)
			}
			own := Source{Name: "-D", Properties: []Property{{Key: strings.TrimPrefix(name, javaPrefix), Value: k.value}}}
			if c, _, _ = Parse("zoo.cfg", strings.NewReader(""), own); k.name != "syncEnabled" && (c.Raw[k.name] != "") != (k.set != "file") {
				t.Errorf("our own -D%s does not do the same", own.Properties[0].Key)
			}
		})
	}
}

// TestEverySettingIsListed keeps testdata/keys.txt complete.
func TestEverySettingIsListed(t *testing.T) {
	listed := map[string]bool{}
	for _, k := range keysOf39(t) {
		listed[k.name] = true
	}
	for _, s := range settings() {
		if !listed[s.name] {
			t.Errorf("%s is not in testdata/keys.txt", s.name)
		}
		if s.get == nil {
			t.Errorf("%s cannot be explained", s.name)
		}
	}
}
