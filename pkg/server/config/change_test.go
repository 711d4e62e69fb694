package config

import (
	"errors"
	"strconv"
	"strings"
	"testing"
)

// TestApply gives the answers that Apache ZooKeeper 3.8 gave to the same
// requests, but for those that say so.
func TestApply(t *testing.T) {
	const fourth = "server.4=d:2888:3888:observer;2184"
	all := strings.TrimSuffix(strings.ReplaceAll(plainThree, "\n", ","), ",version=100000000")
	tests := []struct {
		name   string
		change Change
		want   string // ids, an observer's followed by "o"; or the error
	}{
		{"nothing", Change{}, "1 2 3"},
		{"joins", Change{Joining: fourth}, "1 2 3 4o"},
		{"bare number", Change{Joining: "4=d:2888:3888:observer;2184"}, "1 2 3 4o"},
		{"changes its role", Change{Joining: "server.3=c:2888:3888:observer;2181"}, "1 2 3o"},
		{"leave, with blanks and a stranger", Change{Leaving: " 3 ,, 9"}, "1 2"},
		{"one comes for another, on its address", Change{Joining: "server.4=c:2888:3888;2181", Leaving: "3"}, "1 2 4"},
		{"joins and leaves", Change{Joining: "server.3=e:2888:3888;2181", Leaving: "3"}, "1 2 3"},
		{"several", Change{Joining: fourth + ", server.5=e:2888:3888:observer;2184,"}, "1 2 3 4o 5o"},
		{"several addresses", Change{Joining: "server.4=d:2888:3888|e:2888:3888;1", MultiAddress: true}, "1 2 3 4"},
		{"several addresses, not enabled", Change{Joining: "server.4=d:2888:3888|e:2888:3888;1"},
			"joining server.4=d:2888:3888|e:2888:3888;1: server 4 has 2 addresses, and multiAddress.enabled is false"},
		{"no client part", Change{Joining: "server.4=d:2888:3888"}, "joining server.4=d:2888:3888: the client part is missing; add ;[clientHost:]clientPort"},
		{"two signs", Change{Joining: "server.4=d=e:1:2;3"}, "joining server.4=d=e:1:2;3: it does not read server.N=host:quorumPort:electionPort[:role];[clientHost:]clientPort"},
		{"not a number", Change{Joining: "server.x=d:1:2;3"}, `joining server.x=d:1:2;3: "x" is no server or group number`},
		{"bad port", Change{Joining: "server.4=d:x:2;3"}, `joining server.4=d:x:2;3: quorum port "x" is not a number from 1 to 65535`},
		{"bad role", Change{Joining: "server.4=d:1:2:boss;3"}, `joining server.4=d:1:2:boss;3: "boss" is no role`},
		{"address of another", Change{Joining: "server.4=d:3888:2888;1,server.5=d:2888:3889;1"}, "joining server.5=d:2888:3889;1: servers 4 and 5 both use d:2888"},
		{"addresses of another that moves later", Change{Joining: "server.1=b:2888:3888;2181,server.2=a:2888:3888;2181"},
			"joining server.1=b:2888:3888;2181: servers 2 and 1 both use b:2888"},
		{"own ports clash (Apache takes it)", Change{Joining: "server.4=d:1:2;2"}, "joining server.4=d:1:2;2: server 4 has 2 for clients and for servers; choose three different ports"},
		{"leaving is not a number", Change{Leaving: "x"}, `leaving: "x" is no server or group number`},
		{"one is left", Change{Leaving: "2,3"}, "1 participants would be left; 2 is the least, or 1 with standaloneEnabled=false"},
		{"none is left", Change{Leaving: "1,2,3"}, "0 participants would be left; 2 is the least, or 1 with standaloneEnabled=false"},

		{"whole list", Change{NewMembers: all, Leaving: "x"}, "1 2 3"},
		{"an empty list", Change{Whole: true}, "0 participants would be left; 2 is the least, or 1 with standaloneEnabled=false"},
		{"newlines and blanks", Change{NewMembers: strings.ReplaceAll(all, ",", "\n ") + ", "}, "1 2 3"},
		{"no client part is needed", Change{NewMembers: all + ",server.4=d:1:2:observer"}, "1 2 3 4o"},
		{"a version is not looked at", Change{NewMembers: all + ",version=77"}, "1 2 3"},
		{"the last counts", Change{NewMembers: all + ",server.1=d:1:2;3"}, "1 2 3"},
		{"groups", Change{NewMembers: all + ",group.1=1:2:3,weight.1=2"}, "1 2 3"},
		{"no group", Change{NewMembers: all + ",group.1=1:2"}, "server 3 is in no group"},
		{"one", Change{NewMembers: "server.1=a:1:2;3"}, "1 participants would be left; 2 is the least, or 1 with standaloneEnabled=false"},
		{"observers alone", Change{NewMembers: "server.1=a:1:2:observer;3"}, "there are observers but no participant"},
		{"another key", Change{NewMembers: all + ",clientPort=1"}, "clientPort=1: a member list holds only server.N, group.N, weight.N and version"},
		{"bad line", Change{NewMembers: all + ",server.4=a:1"}, `server.4=a:1: "a:1" does not read host:quorumPort:electionPort[:role]`},
		{"two at one place (Apache takes it)", Change{NewMembers: all + ",server.4=a:1:2888;3"}, "servers 1 and 4 both use a:2888"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			before := members(t, plainThree)
			next, err := before.Apply(tt.change, true)
			if got := outcome(next, err); got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
			if before.Text() != plainThree || err == nil && next.Version != before.Version {
				t.Errorf("the list before is %s, the version after %x", before.Text(), next.Version)
			}
		})
	}
}

func outcome(m Membership, err error) string {
	if err != nil {
		return err.Error()
	}
	var words []string
	for _, s := range m.Servers {
		word := strconv.FormatInt(s.ID, 10)
		if s.Role == Observer {
			word += "o"
		}
		words = append(words, word)
	}
	return strings.Join(words, " ")
}

// TestApplyMalformed gives what Apache ZooKeeper 3.8 answers with MARSHALLINGERROR, and
// beside it what it answers with BADARGUMENTS.
func TestApplyMalformed(t *testing.T) {
	all := strings.TrimSuffix(strings.ReplaceAll(plainThree, "\n", ","), ",version=100000000")
	whole := func(more string) Change { return Change{NewMembers: all + more} }
	for _, c := range []Change{
		{Leaving: "x"}, {Joining: "server.x=d:1:2;3"}, {Joining: "server.4=d:70000:2;3"}, {Joining: "server.4=d:-1:2;3"},
		whole(",server.x=d:1:2"), whole(",version=x"), whole(",group.1=1:2:x"), whole(",group.1=1:2:3:9"), whole(",group.x=1:2:3"),
		whole(",group.1=1:2:3,weight.1=x"), whole(",group.1=1:2:3,weight.x=1"), whole(",group.1=1: 2:3"), whole(",group.1="),
		{NewMembers: "server.1=a:1:2:observer;3"}, {NewMembers: "server.1=a:1:2,server.2=b:1:2:observer"},
	} {
		if _, err := members(t, plainThree).Apply(c, true); !errors.Is(err, ErrMalformed) {
			t.Errorf("%+v: %v is not malformed", c, err)
		}
	}
	for _, c := range []Change{
		{Joining: "server.4=d:x:2;3"}, {Joining: "server.4"}, {Leaving: "1,2"}, {Whole: true}, whole(",group.1=1:2"), whole(",group.1=1:2:3:3"), whole(",x=1"),
	} {
		if _, err := members(t, plainThree).Apply(c, true); err == nil || errors.Is(err, ErrMalformed) {
			t.Errorf("%+v: %v", c, err)
		}
	}
	if _, err := members(t, plainThree).Apply(Change{Whole: true}, false); !errors.Is(err, ErrMalformed) {
		t.Error(err)
	}
}

func TestApplyWithoutStandalone(t *testing.T) {
	m := members(t, plainThree)
	if next, err := m.Apply(Change{Leaving: "1,2"}, false); outcome(next, err) != "3" {
		t.Error(outcome(next, err))
	}
	if next, err := m.Apply(Change{Leaving: "1,2,3"}, false); outcome(next, err) != "no participant would be left" {
		t.Error(outcome(next, err))
	}
}

func TestApplyToGroups(t *testing.T) {
	m := members(t, plainThree+"\ngroup.1=1:2:3")
	if next, err := m.Apply(Change{Leaving: "3"}, true); err == nil || !strings.Contains(err.Error(), "only where majorities decide") {
		t.Error(outcome(next, err))
	}
	if next, err := m.Apply(Change{NewMembers: plainThree}, true); err != nil || len(next.Groups) > 0 {
		t.Error(outcome(next, err))
	}
}

// FuzzApply asks that a list which a change led to can be written and read.
func FuzzApply(f *testing.F) {
	f.Add("server.4=d:1:2;3", "1", "")
	f.Add("", "", "server.1=a:1:2;3,server.2=b:1:2,group.1=1:2")
	f.Fuzz(func(t *testing.T, joining, leaving, whole string) {
		m := members(t, plainThree)
		next, err := m.Apply(Change{Joining: joining, Leaving: leaving, NewMembers: whole}, false)
		if err != nil {
			return
		}
		if again, err := ParseMembership(next.Text()); err != nil || again.Text() != next.Text() {
			t.Fatalf("%q is not read again: %v", next.Text(), err)
		}
	})
}
