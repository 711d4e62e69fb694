package config

import (
	"strings"
	"testing"
)

// plainThree is a member list in the form servers exchange.
const plainThree = "server.1=a:2888:3888:participant;0.0.0.0:2181\n" +
	"server.2=b:2888:3888:participant;0.0.0.0:2181\n" +
	"server.3=c:2888:3888:participant;0.0.0.0:2181\n" +
	"version=100000000"

func members(t *testing.T, text string) Membership {
	t.Helper()
	m, err := ParseMembership(text)
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return m
}

func TestParseMembership(t *testing.T) {
	tests := []struct{ name, text, want string }{
		{"as written", plainThree, plainThree},
		{"none", "version=0", "version=0"},
		{"no version", "server.1=a:1:2", "server.1=a:1:2:participant\nversion=0"},
		{"by number", "server.10=b:1:2;3\nserver.9=a:1:2:observer\nversion=ffffffff", "server.9=a:1:2:observer\nserver.10=b:1:2:participant;0.0.0.0:3\nversion=ffffffff"},
		{"blanks and comments", "\n# a comment\n  server.1 = a:1:2 \n", "server.1=a:1:2:participant\nversion=0"},
		{"the last counts", "server.1=a:1:2\nserver.1=b:1:2\n", "server.1=b:1:2:participant\nversion=0"},
		{"several addresses, IPv6", "server.1=a:1:2|[::1]:1:2;[fe80::1%eth0]:3", "server.1=a:1:2|[0:0:0:0:0:0:0:1]:1:2:participant;[fe80:0:0:0:0:0:0:1%eth0]:3\nversion=0"},
		{"groups", "server.1=a:1:2\nserver.2=b:1:2\nserver.3=c:1:2:observer\ngroup.2=2\ngroup.1=1:3\nweight.2=5\nweight.3=0\n",
			"server.1=a:1:2:participant\nserver.2=b:1:2:participant\nserver.3=c:1:2:observer\ngroup.1=1:3\ngroup.2=2\nweight.1=1\nweight.2=5\nweight.3=0\nversion=0"},
		{"a group in any order, a stranger in it", "server.1=a:1:2\nserver.2=b:1:2\ngroup.1=9:2:1\nweight.9=2",
			"server.1=a:1:2:participant\nserver.2=b:1:2:participant\ngroup.1=1:2:9\nweight.1=1\nweight.2=1\nweight.9=2\nversion=0"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m := members(t, tt.text)
			if got := m.Text(); got != tt.want {
				t.Errorf("got:\n%s\nwant:\n%s", got, tt.want)
			}
			if again := members(t, m.Text()); again.Text() != m.Text() {
				t.Errorf("read again it is\n%s", again.Text())
			}
		})
	}
}

func TestParseMembershipRefuses(t *testing.T) {
	tests := []struct{ text, want string }{
		{"server.1=a:1", `server.1=a:1: "a:1" does not read host:quorumPort:electionPort[:role]`},
		{"server.x=a:1:2", `server.x=a:1:2: "x" is no server or group number`},
		{"server.-1=a:1:2", `server.-1=a:1:2: "-1" is no server or group number`},
		{"server=a:1:2", `server=a:1:2: "" is no server or group number`},
		{"clientPort=1", "clientPort=1: a member list holds only server.N, group.N, weight.N and version"},
		{"version=0x1", "version=0x1: the version is no hexadecimal number"},
		{"version=-1", "version=-1: the version is no hexadecimal number"},
		{"version=ffffffffffffffff", "version=ffffffffffffffff: the version is no hexadecimal number"},
		{`server.1=a\nserver.2:1:2`, "server.1=a\nserver.2:1:2: \"a\\nserver.2\" is neither a host name nor an address"},
		{"server.1=a:1:2;[b:c]:1", `server.1=a:1:2;[b:c]:1: "b:c" is neither a host name nor an address`},
		{`server.1=\u12`, `read member list: line 1: \u is not followed by four hexadecimal digits`},
		{"server.1=a:1:2:observer", "there are observers but no participant"},
		{"server.1=a:1:2\ngroup.1=x", `group.1=x: "x" is no server number`},
		{"server.1=a:1:2\ngroup.1=1\nweight.1=-1", `weight.1=-1: weight "-1" is not a whole number from 0`},
		{"server.1=a:1:2\ngroup.1=1\ngroup.2=1", "server 1 is in group 1 and in group 2"},
		{"server.1=a:1:2\nserver.2=b:1:2\ngroup.1=1", "server 2 is in no group"},
		{"server.1=a:1:2\nweight.1=1", "server 1 is in no group"},
		{"server.1=a:1:2\ngroup.1=1:2", "server 2 is in group 1, and no participant"},
		{"server.1=a:1:2\nserver.2=b:1:2:observer\ngroup.1=1:2\nweight.1=2", "server 2 is in group 1, and no participant"},
		{strings.Repeat("#", maxMembershipText+1), "the member list has 1048577 bytes; 1048576 are the most"},
	}
	for _, tt := range tests {
		m, err := ParseMembership(tt.text)
		if err == nil || err.Error() != tt.want {
			t.Errorf("%.40q was read as %+v, %v; want %s", tt.text, m, err, tt.want)
		}
	}
}

func FuzzMembership(f *testing.F) {
	f.Add(plainThree)
	f.Add("server.1=[::1%x]:1:2:observer|b:3:4:observer;[::]:2181\nserver.2=c:1:2\ngroup.1=1:2\nweight.1=0\nversion=a")
	f.Fuzz(func(t *testing.T, text string) {
		m, err := ParseMembership(text)
		if err != nil {
			return
		}
		again, err := ParseMembership(m.Text())
		if err != nil || again.Text() != m.Text() {
			t.Fatalf("%q is written %q: %+v became %+v: %v", text, m.Text(), m, again, err)
		}
	})
}
