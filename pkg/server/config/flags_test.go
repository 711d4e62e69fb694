package config

import (
	"fmt"
	"os/exec"
	"strings"
	"testing"
)

func TestParseJVMFlags(t *testing.T) {
	tests := []struct{ name, text, want string }{
		{"none", "", "[]"},
		{"other words", "-Xmx1g -XX:+UseG1GC -javaagent:/a.jar=7000 -cp x @args", "[]"},
		{"plain", "-Xms1g -Dzookeeper.snapCount=7\t-Djute.maxbuffer=1\n-Dx", "[{zookeeper.snapCount 7 0} {jute.maxbuffer 1 0} {x  0}]"},
		{"equals sign in the value", "-Dzookeeper.DigestAuthenticationProvider.superDigest=super:ab=", "[{zookeeper.DigestAuthenticationProvider.superDigest super:ab= 0}]"},
		{"quotes", `-Da="b c" '-Dd=e  f' -Dg=h\ i -Dj='k"l' -Dm="n\"o\x"`, `[{a b c 0} {d e  f 0} {g h i 0} {j k"l 0} {m n"o\x 0}]`},
		{"nothing is expanded", "-Da=$HOME -Db=`id` -Dc=*", "[{a $HOME 0} {b `id` 0} {c * 0}]"},
		{"line continued", "-Da=1 \\\n-Db=2", "[{a 1 0} {b 2 0}]"},
		{"no name", "-D -D=1 -Da=2", "[{a 2 0}]"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			props, err := ParseJVMFlags(tt.text)
			if got := fmt.Sprint(props); err != nil || got != tt.want {
				t.Errorf("got %s, %v; want %s", got, err, tt.want)
			}
		})
	}
	props, err := ParseJVMFlags("-Da=1 -Db='2")
	if err == nil || err.Error() != "the ' at character 11 is not closed" || fmt.Sprint(props) != "[{a 1 0}]" {
		t.Errorf("a quotation that is open: %v, %v", props, err)
	}
}

func TestParseDefinition(t *testing.T) {
	for text, want := range map[string]string{"a=b": "{a b 0}", "a": "{a  0}", "a=b=c": "{a b=c 0}", " a =b": "{a b 0}"} {
		if p, err := ParseDefinition(text); err != nil || fmt.Sprint(p) != want {
			t.Errorf("%q: %v, %v; want %s", text, p, err, want)
		}
	}
	if _, err := ParseDefinition("=b"); err == nil {
		t.Error("a definition without a name was taken")
	}
}

// TestShellWordsLikeShell compares with what sh makes of the same words.
func TestShellWordsLikeShell(t *testing.T) {
	sh, err := exec.LookPath("sh")
	if err != nil {
		t.Skip("no sh on this host")
	}
	for _, text := range []string{`a  b`, `'a b'"c d"e`, `a\ b \\ \'`, `"a\\b\"c\d"`, `'' "" a`, `a'b\c'd`, "a\tb", `"it's"`} {
		out, err := exec.Command(sh, "-c", `printf '[%s]' `+text).Output()
		if err != nil {
			t.Fatal(err)
		}
		words, err := shellWords(text)
		if got := "[" + strings.Join(words, "][") + "]"; err != nil || got != string(out) {
			t.Errorf("%s: got %s, %v; sh has %s", text, got, err, out)
		}
	}
}

// FuzzJVMFlags asks that nothing panics, that no property lacks a name, and that
// words which are quoted again come back as they were.
func FuzzJVMFlags(f *testing.F) {
	f.Add(`-Xmx1g -Dzookeeper.snapCount=7 -Da="b \"c" '-Dd=e  f' \`)
	f.Fuzz(func(t *testing.T, text string) {
		props, err := ParseJVMFlags(text)
		for _, p := range props {
			if p.Key == "" || strings.Contains(p.Key, "=") {
				t.Fatalf("a property is called %q", p.Key)
			}
		}
		if err != nil {
			return
		}
		var b strings.Builder
		for _, p := range props {
			b.WriteString(" '-D" + strings.ReplaceAll(p.Key+"="+p.Value, "'", `'\''`) + "'")
		}
		if again, err := ParseJVMFlags(b.String()); err != nil || fmt.Sprint(again) != fmt.Sprint(props) {
			t.Fatalf("%v became %v: %v", props, again, err)
		}
	})
}
