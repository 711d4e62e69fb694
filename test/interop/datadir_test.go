package interop

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/zkctl/zkctl/test/ensemble"
)

// Whole ensembles change from Apache's to ours and back in place, killed in between:
// logs, snapshots of each compression that a line has, both epochs, and the files of
// a membership that changed. A server of 3.5 and newer is an ensemble of its own; two
// of 3.4, which has no membership to change and no compression, are the least.
func TestDataDirectories(t *testing.T) {
	for _, x := range []struct {
		line    kind
		method  string // snapshot.compression.method
		suffix  string
		sampled bool
	}{
		{apache34, "", "", true},
		{apache, "", "", false}, {apache, "gz", ".gz", true}, {apache, "snappy", ".snappy", false},
		{apache39, "", "", false}, {apache39, "gz", ".gz", false}, {apache39, "snappy", ".snappy", true},
	} {
		if !x.sampled && !*matrix {
			continue
		}
		t.Run(string(x.line)+" "+x.method, func(t *testing.T) {
			d := newDirectories(t, x.line, x.method)
			for i, to := range []kind{ours, x.line, ours} {
				d.fill(fmt.Sprintf("/fill-%d", i), x.suffix)
				d.remember(i%2 == 0)
				d.become(to)
				d.look()
			}
			before := sameTrees(t, d.e)
			d.become(x.line)
			compareTrees(t, "the same disks before and as "+string(x.line), before, sameTrees(t, d.e))
			checkDigests(t, d.e)
		})
	}
}

// directories are those of an ensemble that changes its kind at once.
type directories struct {
	t       *testing.T
	k       *kinds
	e       *ensemble.Ensemble
	c       *rover
	dynamic bool // the membership can change

	epoch  int64  // of the leader, when it ended
	member string // what the configuration said
}

func newDirectories(t *testing.T, line kind, method string) *directories {
	t.Helper()
	d := &directories{t: t, dynamic: line != apache34}
	of := []kind{line}
	if !d.dynamic {
		of = []kind{line, line}
	}
	d.k = newKinds(t, of, ours)
	o := d.k.options(0)
	if d.dynamic {
		o.Direct = true
		o.Config["standaloneEnabled"], o.Config["reconfigEnabled"], o.Config["skipACL"] = "false", "true", "yes"
	}
	if method != "" {
		o.Config["snapshot.compression.method"] = method
	}
	d.e = ensemble.Start(t, o)
	if !d.dynamic {
		straight(t, d.e)
	}
	d.e.RestartAll()
	furnish(t, dial(t, d.e.Addr(1)), d.dynamic)
	d.c = newRover(t, d.e, 1)
	return d
}

// fill writes until this kind has written a snapshot, which has such a name.
func (d *directories) fill(dir, suffix string) {
	d.t.Helper()
	found, now := newestSnapshot(d.t, d.e), ""
	crowd(d.t, d.c.goClient, dir, 250)
	ensemble.Eventually(d.t, "a snapshot of this kind", func() bool {
		now = newestSnapshot(d.t, d.e)
		return now != found
	})
	if got := now[len("snapshot.")+len(zxidOfName(now)):]; got != suffix {
		d.t.Errorf("the snapshot is %s, want the suffix %q", now, suffix)
	}
	d.t.Logf("%s wrote %s", d.k.of(1), now)
}

// remember changes the membership, by an observer that does not exist, and notes
// what has to be there for the next kind.
func (d *directories) remember(joins bool) {
	d.t.Helper()
	if d.dynamic {
		joining, leaving := []string{"server.9=127.0.0.1:1:2:observer;127.0.0.1:3"}, []string(nil)
		if !joins {
			joining, leaving = nil, []string{"9"}
		}
		_, err := d.c.IncrementalReconfig(joining, leaving, -1)
		wantErr(d.t, "reconfig", err, nil)
		d.c.sync()
		d.member, _ = d.c.get("/zookeeper/config")
		if strings.Contains(d.member, "server.9=") != joins {
			d.t.Errorf("the configuration is %q", d.member)
		}
	}
}

// become kills all servers and starts others of a kind on their files.
func (d *directories) become(to kind) {
	d.t.Helper()
	d.epoch = int64(d.e.Status(d.e.WaitLeader()).Zxid) >> 32
	d.e.KillAll()
	for sid := 1; sid <= d.e.Len(); sid++ {
		for _, name := range []string{"acceptedEpoch", "currentEpoch"} {
			if got := d.epochFile(sid, name); got != d.epoch {
				d.t.Errorf("%s left an %s of %d on server %d that served in %d", d.k.of(sid), name, got, sid, d.epoch)
			}
		}
		d.k.set(sid, to)
	}
	d.e.RestartAll()
	d.c.waitSession()
}

func (d *directories) epochFile(sid int, name string) int64 {
	d.t.Helper()
	text, err := os.ReadFile(filepath.Join(d.e.Dir(sid), "zkdata", "version-2", name))
	if err != nil {
		d.t.Fatal(err)
	}
	line, _, _ := strings.Cut(string(text), "\n") // ours has a checksum below, which Apache's does not read
	epoch, err := strconv.ParseInt(line, 10, 64)
	if err != nil {
		d.t.Fatal(err)
	}
	return epoch
}

// look sees that what is there is what the other kind left.
func (d *directories) look() {
	d.t.Helper()
	d.c.whole()
	d.c.multi()
	if now := int64(d.e.Status(d.e.WaitLeader()).Zxid) >> 32; now <= d.epoch {
		d.t.Errorf("%s leads in epoch %d, the other kind led in %d", d.k.of(1), now, d.epoch)
	}
	checkDigests(d.t, d.e)
	if !d.dynamic {
		return
	}
	if now, _ := d.c.get("/zookeeper/config"); !slices.Equal(sortedLines(now), sortedLines(d.member)) {
		d.t.Errorf("%s has the configuration %q, the other kind had %q", d.k.of(1), now, d.member)
	}
	cfg, err := os.ReadFile(filepath.Join(d.e.Dir(1), "zoo.cfg"))
	_, version, _ := strings.Cut(d.member, "version=")
	if err != nil || !strings.Contains(string(cfg), "zoo.cfg.dynamic."+version) {
		d.t.Errorf("zoo.cfg does not name the file of version %s: %v\n%s", version, err, cfg)
	}
}

func sortedLines(text string) []string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	slices.Sort(lines)
	return lines
}
