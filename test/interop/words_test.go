package interop

import (
	"encoding/binary"
	"io"
	"net"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-zookeeper/zk"

	fourletter "github.com/zkctl/zkctl/pkg/four-letter"
	"github.com/zkctl/zkctl/pkg/server/metrics"
	"github.com/zkctl/zkctl/test/ensemble"
)

// TestWords asks servers of ours and of Apache's for every word, in each role and
// after the same requests, and compares the answers without their figures.
func TestWords(t *testing.T) {
	apache38 := ensemble.Java(t)
	tests := []struct {
		name   string
		apache func() ensemble.Launcher
		o      ensemble.Options
	}{
		{"3.8 standalone", func() ensemble.Launcher { return apache38 }, ensemble.Options{Servers: 1}},
		{"3.9 standalone", func() ensemble.Launcher { return java39(t) }, ensemble.Options{Servers: 1}},
		{"3.9 ensemble", func() ensemble.Launcher { return java39(t) }, ensemble.Options{Servers: 2, Observers: 1, Config: map[string]string{"tickTime": "1000", "initLimit": "8"}}},
		{"3.9 local sessions", func() ensemble.Launcher { return java39(t) },
			ensemble.Options{Servers: 2, Observers: 1, Config: map[string]string{"tickTime": "1000", "initLimit": "8", "localSessionsEnabled": "true"}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			launch := tt.apache()
			ephemerals := tt.o.Config["localSessionsEnabled"] == "" // local sessions have none
			theirs := tt.o
			theirs.Launch = func(int) ensemble.Launcher { return launch }
			want := answers(t, ensemble.Start(t, theirs), ephemerals)
			got := answers(t, ensemble.Start(t, tt.o), ephemerals)
			for role, words := range want {
				for word, answer := range words {
					if mine := got[role][word]; mine != answer {
						t.Errorf("%s of a %s:\n%s\nApache's:\n%s", word, role, mine, answer)
					}
				}
			}
		})
	}
}

// java39 runs a server of 3.9.
func java39(t *testing.T) ensemble.Launcher {
	t.Helper()
	jars := line39.jars(t)
	return func(config string) *exec.Cmd {
		return exec.Command("java", "-Xmx256m", "-XX:+UseSerialGC", "-Dzookeeper.admin.enableServer=false",
			"-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-cp", jars, "org.apache.zookeeper.server.quorum.QuorumPeerMain", config)
	}
}

// answers asks every server, after a client of it has left a watch and, if
// told so, an ephemeral; by role and word.
func answers(t *testing.T, e *ensemble.Ensemble, ephemerals bool) map[string]map[string]string {
	t.Helper()
	all := map[string]map[string]string{}
	for sid := 1; sid <= e.Len(); sid++ {
		c, events, err := zk.Connect([]string{e.Addr(sid)}, 10*time.Second, zk.WithLogger(quiet{}))
		if err != nil {
			t.Fatal(err)
		}
		for ev := range events {
			if ev.State == zk.StateHasSession {
				break
			}
		}
		if sid == 1 {
			if _, err := c.Create("/words", []byte("data"), 0, zk.WorldACL(zk.PermAll)); err != nil {
				t.Fatal(err)
			}
		} else if _, err := c.Sync("/words"); err != nil {
			t.Fatal(err)
		}
		if ephemerals {
			if _, err := c.Create("/words/e", nil, zk.FlagEphemeral|zk.FlagSequence, zk.WorldACL(zk.PermAll)); err != nil {
				t.Fatal(err)
			}
		}
		if _, _, _, err := c.GetW("/words"); err != nil {
			t.Fatal(err)
		}
		role, words := "", map[string]string{}
		for _, word := range append(fourletter.Words(), "zzzz") {
			text := rawWord(t, e.Addr(sid), word)
			if word == fourletter.Srvr {
				a, err := fourletter.ParseSrvr([]byte(text))
				if err != nil {
					t.Fatal(err)
				}
				role = a.Mode
			}
			words[word] = maskWord(word, text)
		}
		all[role] = words
		c.Close()
	}
	return all
}

type quiet struct{}

func (quiet) Printf(string, ...any) {}

// rawWord sends a word and whatever belongs to it.
func rawWord(t *testing.T, addr, word string) string {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	send := []byte(word)
	if word == fourletter.Stmk {
		send = binary.BigEndian.AppendUint64(send, 306)
	}
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Write(send); err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(c)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// maskWord replaces figures, and drops what differs with the machine, the moment
// and the kind of server: which keys mntr and envi have is looked at elsewhere.
func maskWord(word, text string) string {
	switch word {
	case fourletter.Mntr:
		return maskMntr(text)
	case fourletter.Envi:
		first, _, _ := strings.Cut(text, "\n")
		return first
	}
	masks := []struct{ of, by string }{
		{`(?m)^0 expire at .*\n`, ""},                                  // buckets that are kept though they are empty
		{`(?m)^(Zookeeper version: ).*`, "${1}V"},                      //
		{`(?m)^(data(Log)?Dir)=.*`, "${1}=D"},                          //
		{`\d+\.\d+\.\d+\.\d+:\d+(:\d+)?`, "A"},                         // addresses
		{`expire at .*:`, "expire at T:"},                              //
		{`0x[0-9a-f]+`, "0"},                                           //
		{`-?\d+(\.\d+)?`, "N"},                                         //
		{`N connections watching N paths\nTotal watches:N`, "watches"}, //
		{`(N expire at T:\n(\tip: /A sessionId: N\n)+)+`, "connections\n"},
	}
	for _, m := range masks {
		text = regexp.MustCompile(m.of).ReplaceAllString(text, m.by)
	}
	if word == fourletter.Cons || word == fourletter.Stat {
		lines := strings.Split(text, "\n") // connections come in no particular order
		slices.SortStableFunc(lines, func(a, b string) int {
			if strings.HasPrefix(a, " /") && strings.HasPrefix(b, " /") {
				return strings.Compare(a, b)
			}
			return 0
		})
		text = strings.Join(lines, "\n")
	}
	return text
}

// maskMntr keeps the keys that are this server's too, the texts and the kinds of
// numbers. Summaries are told by their prefixes.
func maskMntr(text string) string {
	known := map[string]bool{}
	for _, n := range metrics.Names() {
		known[n.Name] = !n.Key
	}
	for _, own := range []string{"fsync_threshold_exceed_count", "slow_readers_closed", "slow_arrivals_closed"} {
		delete(known, own)
	}
	for _, late := range []string{ // 3.9 has them and 3.8 has not
		"response_bytes", "watch_bytes", "restore_time", "restore_error_count", "snapshot_error_count",
		"snapshot_rate_limited_count", "restore_rate_limited_count",
	} {
		delete(known, late)
	}
	prefix := regexp.MustCompile(`^(avg|min|max|cnt|sum|p50|p95|p99|p999)_`)
	var lines []string
	for line := range strings.Lines(text) {
		key, value, ok := strings.Cut(strings.TrimSpace(line), "\t")
		if !ok {
			lines = append(lines, line)
			continue
		}
		name := strings.TrimPrefix(key, "zk_")
		switch {
		case name == "version":
			value = "V"
		case known[name] || known[prefix.ReplaceAllString(name, "")]:
			value = regexp.MustCompile(`-?\d+`).ReplaceAllString(value, "N")
		case strings.HasSuffix(name, "_state"):
		default:
			continue
		}
		lines = append(lines, key+"\t"+value)
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}
