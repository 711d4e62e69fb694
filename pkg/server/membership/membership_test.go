package membership

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/zkctl/zkctl/pkg/server/config"
	"github.com/zkctl/zkctl/pkg/server/proto"
	"github.com/zkctl/zkctl/pkg/server/quorum"
	"github.com/zkctl/zkctl/pkg/server/tree"
	"github.com/zkctl/zkctl/pkg/server/txn"
	"github.com/zkctl/zkctl/pkg/server/zab"
)

const three = "server.1=a:2888:3888:participant;0.0.0.0:2181\n" +
	"server.2=b:2888:3888:participant;0.0.0.0:2181\n" +
	"server.3=c:2888:3888:participant;0.0.0.0:2181\n"

// ids tells a membership in words: voters, observers behind "o", groups and weights.
func ids(m quorum.Membership) string {
	var words []string
	for _, s := range m.Members {
		word := fmt.Sprint(s.Sid)
		if s.Observer {
			word += "o"
		}
		if len(m.Groups) > 0 {
			group, grouped := m.Groups[s.Sid]
			word += fmt.Sprintf("(%d %v*%d)", group, grouped, m.Weights[s.Sid])
		}
		words = append(words, word)
	}
	return strings.Join(words, " ")
}

// TestParse: who is in, who decides, and where each is reached.
func TestParse(t *testing.T) {
	for _, tt := range []struct {
		name, text, want string
		version          zab.Zxid
	}{
		{"majorities", three + "version=100000007", "1 2 3", 0x100000007},
		{"without a version", three, "1 2 3", 0},
		{"nobody", "version=0", "", 0},
		{"in order", "server.10=a:1:2\nserver.9=b:1:2", "9 10", 0},
		{"observers have no vote", "server.1=a:1:2\nserver.2=b:1:2:observer", "1 2o", 0},
		{"groups, and a weight left out is 1", "server.1=a:1:2\nserver.2=b:1:2\nserver.3=c:1:2\ngroup.1=1:2\ngroup.2=3\nweight.3=5",
			"1(1 true*1) 2(1 true*1) 3(2 true*5)", 0},
		{"no weight", "server.1=a:1:2\nserver.2=b:1:2\ngroup.1=1:2\nweight.2=0", "1(1 true*1) 2(1 true*0)", 0},
		{"an observer beside the groups", "server.1=a:1:2\nserver.2=b:1:2:observer\ngroup.1=1", "1(1 true*1) 2o(0 false*0)", 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m, err := Parse(tt.text)
			if err != nil {
				t.Fatal(err)
			}
			if got := ids(m); got != tt.want || m.Version != tt.version {
				t.Errorf("%s of version %v, want %s of %v", got, m.Version, tt.want, tt.version)
			}
			if strings.Contains(m.Text, "version") {
				t.Errorf("the text has a version: %s", m.Text)
			}
		})
	}
}

// TestStrangersCount: who is in a group without being a member counts in what the group
// needs, so the group of one server and a heavier stranger has no quorum.
func TestStrangersCount(t *testing.T) {
	m, err := Parse("server.1=a:1:2\nserver.2=b:1:2\ngroup.1=1:9\ngroup.2=2\nweight.9=3")
	if err != nil {
		t.Fatal(err)
	}
	if got := fmt.Sprint(m.Groups, m.Weights); got != "map[1:1 2:2 9:1] map[1:1 2:1 9:3]" {
		t.Error(got)
	}
	if got := m.Zab().Voters; !reflect.DeepEqual(got, []zab.Sid{1, 2}) {
		t.Errorf("voters %v", got)
	}
}

func TestParseRefuses(t *testing.T) {
	for _, text := range []string{
		"server.1=a:1", "clientPort=2181", three + "version=x", "server.1=a:1:2:observer", three + "group.1=1:2", three + "group.1=1:2:3\ngroup.2=3",
	} {
		if m, err := Parse(text); err == nil || !reflect.DeepEqual(m, quorum.Membership{}) {
			t.Errorf("%q is read as %+v, %v", text, m, err)
		}
	}
}

// TestAddresses: each address of a server has both ports, an IPv6 host brackets.
func TestAddresses(t *testing.T) {
	m, err := Parse("server.1=a:2888:3888|[::1]:2889:3889;2181")
	if err != nil {
		t.Fatal(err)
	}
	want := quorum.Member{Sid: 1, Quorum: []string{"a:2888", "[::1]:2889"}, Election: []string{"a:3888", "[::1]:3889"}}
	if len(m.Members) != 1 || !reflect.DeepEqual(m.Members[0], want) {
		t.Errorf("%+v, want %+v", m.Members, want)
	}
}

// TestOneSpelling: the same IPv6 address in zoo.cfg and in the list that servers tell each
// other, which has it written out, is not a move; a leader that moves would hand over.
func TestOneSpelling(t *testing.T) {
	mine, err := Parse("server.1=[FE80::1]:2888:3888\nserver.2=[::1]:2888:3888")
	if err != nil {
		t.Fatal(err)
	}
	told, err := Parse(mine.Text)
	if err != nil || !strings.Contains(mine.Text, "[fe80:0:0:0:0:0:0:1]") {
		t.Fatalf("%s: %v", mine.Text, err)
	}
	if before, after := mine.Zab().Addresses, told.Zab().Addresses; !reflect.DeepEqual(before, after) {
		t.Errorf("%v has become %v", before, after)
	}
}

// TestConfig: what package quorum hands on becomes the list of zoo.cfg again, with the
// version that its text does not have.
func TestConfig(t *testing.T) {
	for _, text := range []string{three + "version=1a", three + "group.1=1:2\ngroup.2=3\nweight.1=1\nweight.2=0\nweight.3=1\nversion=100000001"} {
		q, err := Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		if m, err := Config(q); err != nil || m.Text() != text {
			t.Errorf("%s, %v; want %s", m.Text(), err, text)
		}
	}
	if _, err := Config(quorum.Membership{Text: "server.1=?"}); err == nil {
		t.Error("a text that is no list is taken")
	}
}

// TestProposed: only a list newer than that of zoo.cfg counts.
func TestProposed(t *testing.T) {
	for _, tt := range []struct {
		name, data string
		version    zab.Zxid
		want       string // ids, "none" or "error"
	}{
		{"an ensemble that never changed", "", 0, "none"},
		{"newer", three + "version=200000001", 0x100000001, "1 2 3"},
		{"newer than a list that never changed", three + "version=1", 0, "1 2 3"},
		{"the same", three + "version=200000001", 0x200000001, "none"},
		{"older", three + "version=1", 2, "none"},
		{"without a version", three, 0, "none"},
		{"no list", "garbage", 0, "error"},
		{"no list, whatever its version", "garbage\nversion=1", 5, "error"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m, err := Proposed(holding(tt.data), tt.version)
			got := "none"
			switch {
			case err != nil:
				got = "error"
			case m != nil:
				got = ids(*m)
			}
			if got != tt.want || err != nil && m != nil {
				t.Errorf("%s (%v), want %s", got, err, tt.want)
			}
		})
	}
}

// holding is a tree whose configuration is data, as a recovered log leaves it.
func holding(data string) *tree.Tree {
	t := tree.New(tree.Options{})
	if data != "" {
		t.Apply(&txn.Txn{
			Header: txn.Header{Zxid: 1, Type: proto.OpReconfig},
			Body:   &txn.SetData{Path: tree.ConfigPath, Data: []byte(data), Version: -1},
		})
	}
	return t
}

// TestReconfigure is the rules of a request: whose version it names, who stays, and what
// the answer to one that cannot be met is.
func TestReconfigure(t *testing.T) {
	const present = three + "version=10"
	grouped := three + "group.1=1:2:3\nversion=10"
	strict, alone := Rules{Standalone: true}, Rules{}
	ask := func(joining, leaving string) proto.ReconfigRequest {
		return proto.ReconfigRequest{Joining: joining, Leaving: leaving, ConfigID: -1}
	}
	whole := func(members string) proto.ReconfigRequest {
		return proto.ReconfigRequest{Members: members, Whole: true, ConfigID: -1}
	}
	at := func(r proto.ReconfigRequest, version int64) proto.ReconfigRequest {
		r.ConfigID = version
		return r
	}
	for _, tt := range []struct {
		name    string
		rules   Rules
		present string
		ask     proto.ReconfigRequest
		want    string // ids
		err     error
	}{
		{"nothing makes a new version", strict, present, ask("", ""), "1 2 3", nil},
		{"joins", strict, present, ask("server.4=d:1:2;3", ""), "1 2 3 4", nil},
		{"leaves", strict, present, ask("", "3"), "1 2", nil},
		{"of the present version", strict, present, at(ask("", "3"), 0x10), "1 2", nil},
		{"of an older version", strict, present, at(ask("", "3"), 0xf), "", proto.ErrBadVersion},
		{"of no version", strict, present, at(ask("", "3"), 0), "", proto.ErrBadVersion},
		{"the version comes before the request", strict, present, at(ask("", "x"), 7), "", proto.ErrBadVersion},
		{"one participant", strict, present, ask("", "2,3"), "", proto.ErrBadArguments},
		{"one participant, standaloneEnabled=false", alone, present, ask("", "2,3"), "1", nil},
		{"nobody", alone, present, ask("", "1,2,3"), "", proto.ErrBadArguments},
		{"two addresses", strict, present, ask("server.4=d:1:2|e:1:2;3", ""), "", proto.ErrBadArguments},
		{"two addresses, multiAddress.enabled", Rules{MultiAddress: true, Standalone: true}, present, ask("server.4=d:1:2|e:1:2;3", ""), "1 2 3 4", nil},
		{"two addresses in a whole list", strict, present, whole(strings.ReplaceAll(three, "c:2888:3888", "c:2888:3888|d:2888:3888")), "", proto.ErrBadArguments},
		{"one by one among groups", strict, grouped, ask("", "3"), "", proto.ErrBadArguments},
		{"a whole list instead of groups", strict, grouped, whole(three), "1 2 3", nil},
		{"groups", strict, present, whole(three + "group.4=1:2:3"), "1(4 true*1) 2(4 true*1) 3(4 true*1)", nil},
		{"a participant in no group", strict, present, whole(three + "group.4=1:2"), "", proto.ErrBadArguments},
		{"a number that is none", strict, present, ask("", "x"), "", proto.ErrMarshalling},
		{"only observers", strict, present, whole("server.1=a:1:2:observer;3"), "", proto.ErrMarshalling},
		{"an empty list", strict, present, whole(""), "", proto.ErrBadArguments},
		{"no present list", strict, "", ask("", "3"), "", proto.ErrSystem},
		{"blanks for a present list", strict, " \n", ask("", "3"), "", proto.ErrSystem},
		{"a present list that cannot be read", strict, "garbage", ask("", "3"), "", proto.ErrSystem},
	} {
		t.Run(tt.name, func(t *testing.T) {
			text, err := tt.rules.Reconfigure(tt.present, tt.ask, 0x200000003)
			if !errors.Is(err, tt.err) || tt.err == nil && err != nil {
				t.Fatalf("%q, %v; want %v", text, err, tt.err)
			}
			if tt.err != nil {
				if text != "" {
					t.Errorf("refused, with the text %q", text)
				}
				return
			}
			m, err := Parse(text)
			if err != nil || ids(m) != tt.want || m.Version != 0x200000003 {
				t.Errorf("%s of version %v (%v), want %s", ids(m), m.Version, err, tt.want)
			}
		})
	}
}

// FuzzReconfigure: whatever a client asks for, the answer is one of Apache's codes, or a
// list that every server reads, of the version it was given, with a participant.
func FuzzReconfigure(f *testing.F) {
	f.Add(three, "server.4=d:1:2|e:1:2;3", "1, 9", "", false, int64(-1), true)
	f.Add(three+"group.1=1:2:3\nversion=5", "", "", three+"group.1=1:2:3:9\nweight.9=0", true, int64(5), false)
	f.Add("", "x", "", "server.1=a:1:2:observer", true, int64(0), false)
	f.Fuzz(func(t *testing.T, present, joining, leaving, members string, whole bool, id int64, loose bool) {
		ask := proto.ReconfigRequest{Joining: joining, Leaving: leaving, Members: members, Whole: whole, ConfigID: id}
		text, err := Rules{MultiAddress: loose, Standalone: !loose}.Reconfigure(present, ask, 0x100000002)
		if err != nil {
			for _, code := range []proto.Code{proto.ErrSystem, proto.ErrBadVersion, proto.ErrBadArguments, proto.ErrMarshalling} {
				if errors.Is(err, code) {
					return
				}
			}
			t.Fatalf("the error is no answer: %v", err)
		}
		m, err := Parse(text)
		if err != nil || m.Version != 0x100000002 {
			t.Fatalf("%q cannot be read, or is of version %v: %v", text, m.Version, err)
		}
		if len(m.Zab().Voters) == 0 {
			t.Fatalf("nobody decides: %q", text)
		}
		again, err := Config(m)
		if err != nil || again.Text() != text {
			t.Fatalf("%q becomes %q: %v", text, again.Text(), err)
		}
	})
}

// FuzzParse: a list that is taken is told to others in the same words, and each of its
// members has as many addresses for followers as for elections.
func FuzzParse(f *testing.F) {
	f.Add(three + "version=100000001")
	f.Add("server.1=[::1]:1:2|b:3:4\nserver.2=c:1:2:observer\ngroup.1=1:9\nweight.9=4")
	f.Fuzz(func(t *testing.T, text string) {
		m, err := Parse(text)
		if err != nil {
			return
		}
		again, err := Parse(m.Text)
		if again.Version = m.Version; err != nil || !reflect.DeepEqual(again, m) {
			t.Fatalf("%+v is told as %+v: %v", m, again, err)
		}
		listed, err := config.ParseMembership(text)
		if err != nil || len(listed.Servers) != len(m.Members) {
			t.Fatalf("%d members of %d: %v", len(m.Members), len(listed.Servers), err)
		}
		for _, s := range m.Members {
			if len(s.Quorum) == 0 || len(s.Quorum) != len(s.Election) {
				t.Fatalf("%+v", s)
			}
		}
	})
}
