package interop

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/go-zookeeper/zk"

	"github.com/zkctl/zkctl/test/ensemble"
)

// A reconfigCase is one request that Apache's servers and ours are to answer alike; what
// they do not is in docs/differences.md. {1} stands for the address of server 1, M1 for its
// line as a participant, O1 as an observer.
type reconfigCase struct {
	name             string
	full             bool // joining is the whole list
	joining, leaving string
	version          int64
}

// noneDecides ends the name of a request that there is no quorum for, however long it is
// repeated; another one is until the servers have taken on the change before.
const noneDecides = ": no quorum"

const (
	three   = "M1,M2,M3"
	grouped = three + ",group.1=1:2:3"
)

// reconfigCases is played in order: what one changes, the next finds.
var reconfigCases = []reconfigCase{
	{"the same again", true, three, "", -1},
	{"nothing", false, "", "", -1},
	{"no list", true, "", "", -1},
	{"only blanks", true, " ", "", -1},
	{"an unknown key", true, three + ",foo=1", "", -1},
	{"a comment and blanks", true, "#x, M1, server.2: {2}:2888:3888;{2}:2181,M3,", "", -1},
	{"a version in the list", true, three + ",version=7", "", -1},
	{"a version that is no number", true, three + ",version=x", "", -1},
	{"the last line counts", true, "server.1=foo:1:2,M1,M2,M3", "", -1},
	{"a server without a number", true, three + ",server.x={4}:2888:3888;2181", "", -1},
	{"one port", true, three + ",server.4={4}:2888", "", -1},
	{"no client port in a whole list", true, "M1,M2,server.3={3}:2888:3888", "", -1},
	{"the client port is back", true, three, "", -1},
	{"a role that is none", true, "M1,M2,server.3={3}:2888:3888:king;2181", "", -1},
	{"capital role", true, "M1,M2,server.3={3}:2888:3888:OBSERVER;{3}:2181", "", -1},
	{"role is back", true, three, "", -1},
	{"two addresses", true, "M1,M2,server.3={3}:2888:3888|{4}:2888:3888;2181", "", -1},
	{"equal ports", true, "M1,M2,server.3={3}:2888:2888;2181", "", -1},
	{"port too large", true, "M1,M2,server.3={3}:2888:70000;2181", "", -1},
	{"only observers", true, "O1,O2,O3", "", -1},
	{"one participant", true, "M1,O2,O3", "", -1},
	{"old version", true, three, "", 5},

	{"leaving no number", false, "", "x", -1},
	{"leaving nobody", false, "", "9", -1},
	{"leaving with blanks", false, "", " 9 , 8 ,", -1},
	{"joining without =", false, "server.4", "", -1},
	{"joining with two =", false, "server.4=a=b", "", -1},
	{"joining without a number", false, "server.x={4}:2888:3888;2181", "", -1},
	{"joining with a bare number", false, "3={3}:2888:3888;{3}:2181", "", -1},
	{"joining with another word", false, "foo.3={3}:2888:3888;{3}:2181", "", -1},
	{"joining without a client port", false, "server.4={4}:2888:3888", "", -1},
	{"joining with a bad port", false, "server.4={4}:x:3888;2181", "", -1},
	{"joining with a bad client port", false, "server.4={4}:2888:3888;x", "", -1},
	{"joining with two addresses", false, "server.4={4}:2888:3888|{5}:2888:3888;2181", "", -1},
	{"joining who is there", false, "M3", "", -1},
	{"joining and leaving at once", false, "M3", "3", -1},
	{"too few are left", false, "", "2,3", -1},
	{"nobody is left", false, "", "1,2,3", -1},
	{"absent joiners" + noneDecides, false, "M4,M5,server.6={6}:2888:3888;2181,server.7={7}:2888:3888;2181", "", -1},
	{"the leader's observer", false, "O3", "", -1},
	{"a participant again", false, "M3", "", -1},

	{"groups", true, grouped, "", -1},
	{"incremental among groups", false, "M3", "", -1},
	{"leaving among groups", false, "", "3", -1},
	{"odd order and weights", true, three + ",weight.3=2,group.2=3:1:2,weight.1=1", "", -1},
	{"two groups", true, three + ",group.1=1:2,group.7=3", "", -1},
	{"a group that is absent in part", true, three + ",group.1=1:2,group.7=3,group.8=3", "", -1},
	{"two groups, one without weight", true, three + ",group.1=1:2,group.7=3,weight.3=0", "", -1},
	{"all without weight" + noneDecides, true, grouped + ",weight.1=0,weight.2=0,weight.3=0", "", -1},
	{"in two groups", true, three + ",group.1=1:2:3,group.2=3", "", -1},
	{"twice in one group", true, three + ",group.1=1:2:3:3", "", -1},
	{"in no group", true, three + ",group.1=1:2", "", -1},
	{"only weights", true, three + ",weight.1=1", "", -1},
	{"a stranger in a group", true, three + ",group.1=1:2:3:9", "", -1},
	{"a stranger with weight in a group", true, three + ",group.1=1:2:3:9,weight.9=1", "", -1},
	{"strangers that outweigh a group" + noneDecides, true, three + ",group.1=1:2:3:8:9,weight.9=2,weight.8=2", "", -1},
	{"a stranger's weight", true, grouped + ",weight.9=4", "", -1},
	{"an observer in no group", true, "M1,M2,O3,group.1=1:2", "", -1},
	{"an observer in a group", true, "M1,M2,O3,group.1=1:2:3", "", -1},
	{"an observer with weight in a group", true, "M1,M2,O3,group.1=1:2:3,weight.3=1", "", -1},
	{"all back in one group", true, grouped, "", -1},
	{"an empty group", true, grouped + ",group.2=", "", -1},
	{"a group of no number", true, three + ",group.1=1:2:x", "", -1},
	{"a group without a number", true, three + ",group.x=1:2:3", "", -1},
	{"blanks in a group", true, three + ",group.1=1: 2:3", "", -1},
	{"a weight of no number", true, grouped + ",weight.1=x", "", -1},
	{"a weight without a number", true, grouped + ",weight.x=1", "", -1},
	{"absent groups" + noneDecides, true, "M1,M2,M3,M4,M5,server.6={6}:2888:3888;2181,group.1=1:2:3,group.2=4,group.3=5:6", "", -1},
	{"majorities again", true, three, "", -1},
	{"incremental again", false, "M3", "", -1},
}

// lines writes the members that stand for numbers.
func (c reconfigCase) lines(e *ensemble.Ensemble, text string) string {
	host := func(sid int) string {
		one, _, _ := strings.Cut(e.Addr(1), ":")
		return strings.TrimSuffix(one, "1") + fmt.Sprint(sid)
	}
	for sid := 1; sid <= 9; sid++ {
		spec := fmt.Sprintf("server.%d=%s:2888:3888:%%s;%s:2181", sid, host(sid), host(sid))
		text = strings.ReplaceAll(text, fmt.Sprintf("M%d", sid), fmt.Sprintf(spec, "participant"))
		text = strings.ReplaceAll(text, fmt.Sprintf("O%d", sid), fmt.Sprintf(spec, "observer"))
		text = strings.ReplaceAll(text, fmt.Sprintf("{%d}", sid), host(sid))
	}
	return text
}

var loopback = regexp.MustCompile(`127\.\d+\.\d+\.`)

// play makes the request and tells the answer and the configuration that is then in
// force, without what differs between two ensembles.
func (c reconfigCase) play(r *reformer) string {
	r.t.Helper()
	before, _ := r.get("/zookeeper/config")
	var err error
	ensemble.Eventually(r.t, c.name, func() bool {
		if c.full {
			_, err = r.Reconfig([]string{c.lines(r.e, c.joining)}, c.version)
		} else {
			_, err = r.IncrementalReconfig([]string{c.lines(r.e, c.joining)}, []string{c.leaving}, c.version)
		}
		return !errors.Is(err, zk.ErrConnectionClosed) && !isCode(err, inProgress) && (!isCode(err, noQuorum) || strings.HasSuffix(c.name, noneDecides))
	})
	r.write()
	r.sync()
	after, _ := r.get("/zookeeper/config")
	if cutVersion(before) == cutVersion(after) {
		changed := "not changed"
		if before != after {
			changed = "a new version"
		}
		return fmt.Sprintf("%v, %s", err, changed)
	}
	return fmt.Sprintf("%v\n%s", err, loopback.ReplaceAllString(cutVersion(after), ""))
}

func cutVersion(text string) string {
	text, _, _ = strings.Cut(text, "version=")
	return text
}

// TestReconfigAnswers asks Apache's servers and ours for the same changes.
func TestReconfigAnswers(t *testing.T) {
	play := func(launch func(sid int) ensemble.Launcher) (got []string) {
		e := reconfigurable(t, launch)
		r := newReformer(t, e, 1)
		for _, c := range reconfigCases {
			got = append(got, c.play(r))
		}
		return got
	}
	java := ensemble.Java(t)
	want, got := play(func(int) ensemble.Launcher { return java }), play(nil)
	for i, c := range reconfigCases {
		if got[i] != want[i] {
			t.Errorf("%s: the answer is %s\nApache's is %s", c.name, got[i], want[i])
		}
	}
}
