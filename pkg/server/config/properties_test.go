package config

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf16"
)

// TestPropertiesLikeJava compares with what java.util.Properties made of the same files.
func TestPropertiesLikeJava(t *testing.T) {
	inputs, err := filepath.Glob("testdata/properties/*.in")
	if err != nil || len(inputs) == 0 {
		t.Fatalf("no inputs: %v", err)
	}
	for _, in := range inputs {
		t.Run(filepath.Base(in), func(t *testing.T) {
			text := read(t, in)
			props, bad := ParseProperties(text)
			if len(bad) > 0 {
				t.Fatalf("bad lines: %v", bad)
			}
			want := string(read(t, strings.TrimSuffix(in, ".in")+".golden"))
			if got := dump(props); got != want {
				t.Errorf("got:\n%swant:\n%s", got, want)
			}
		})
	}
}

func read(t *testing.T, name string) []byte {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func dump(props []Property) string {
	last := map[string]string{}
	for _, p := range props {
		last[p.Key] = p.Value
	}
	var b strings.Builder
	for _, k := range slices.Sorted(maps.Keys(last)) {
		fmt.Fprintf(&b, "[%s]=[%s]\n", ascii(k), ascii(last[k]))
	}
	return b.String()
}

func ascii(s string) string {
	var b strings.Builder
	for _, u := range utf16.Encode([]rune(s)) {
		if u < 0x20 || u > 0x7e || u == '\\' {
			fmt.Fprintf(&b, "\\u%04x", u)
		} else {
			b.WriteByte(byte(u))
		}
	}
	return b.String()
}

func TestPropertyLinesAndFaults(t *testing.T) {
	props, bad := ParseProperties([]byte("# c\n\na=1\\\n  2\nb=\\u12G4\nc=\\u1\nd=4"))
	if want := "[{a 12 3} {d 4 7}]"; fmt.Sprint(props) != want {
		t.Errorf("got %v, want %s", props, want)
	}
	if len(bad) != 2 || bad[0].Line != 5 || bad[1].Line != 6 {
		t.Errorf("bad lines: %v", bad)
	}
}

// FuzzProperties asks that nothing panics, that lines count upwards and stay in
// the file, and that what was read survives being written and read again.
func FuzzProperties(f *testing.F) {
	inputs, _ := filepath.Glob("testdata/properties/*.in")
	for _, in := range inputs {
		text, err := os.ReadFile(in)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		props, bad := ParseProperties(text)
		lines, last := strings.Count(string(text), "\n")+strings.Count(string(text), "\r")+1, 0
		for _, p := range props {
			if p.Line <= last || p.Line > lines {
				t.Fatalf("property in line %d after line %d of %d", p.Line, last, lines)
			}
			last = p.Line
		}
		if len(bad) > 0 {
			return
		}
		var b strings.Builder
		for _, p := range props {
			fmt.Fprintf(&b, "%s=%s\n", escaped(p.Key), escaped(p.Value))
		}
		again, bad := ParseProperties([]byte(b.String()))
		if len(bad) > 0 || dump(again) != dump(props) {
			t.Fatalf("%q became %q", dump(props), dump(again))
		}
	})
}

func escaped(s string) string {
	var b strings.Builder
	for _, u := range utf16.Encode([]rune(s)) {
		fmt.Fprintf(&b, "\\u%04x", u)
	}
	return b.String()
}
