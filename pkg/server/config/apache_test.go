package config

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
)

// TestLikeApache loads configurations that Apache's QuorumPeerConfig has judged
// (3.8.0) and asks for the same verdict, and for the same values where it accepts.
func TestLikeApache(t *testing.T) {
	const dir = "testdata/apache"
	// Apache finds out only later, when the server asks for its own entry.
	stricter := map[string]bool{"not-in-list": true}
	lines := bufio.NewScanner(bytes.NewReader(read(t, filepath.Join(dir, "apache.txt"))))
	for lines.Scan() {
		name, verdict, _ := strings.Cut(lines.Text(), ": ")
		t.Run(name, func(t *testing.T) {
			c, _, err := Load(filepath.Join(dir, name+".cfg"))
			if err == nil {
				_, err = c.ReadMyID()
			}
			values, accepted := strings.CutPrefix(verdict, "ok ")
			accepted = accepted && !stricter[name]
			var faults Faults
			if accepted != (err == nil) || err != nil && !errors.As(err, &faults) {
				t.Fatalf("got %v; Apache: %s", err, verdict)
			}
			if accepted && inApachesWords(c) != values {
				t.Errorf("got    %s\nApache %s", inApachesWords(c), values)
			}
		})
	}
}

// inApachesWords writes the values of a configuration as apache.txt does.
func inApachesWords(c *Config) string {
	client, id, members := "none", c.MyID, ""
	if c.ClientPort != 0 {
		client = fmt.Sprint(c.ClientPort)
	}
	if c.Distributed() {
		members = " " + strings.ReplaceAll(c.QuorumText(), "\n", " ")
	} else {
		id = 1 // Apache reads myid even where it has no use for it
	}
	return fmt.Sprintf("distributed=%t id=%d client=%s tick=%d min=%d max=%d type=%s retain=%d%s", c.Distributed(), id, client,
		c.TickTime.Milliseconds(), c.MinSessionTimeout.Milliseconds(), c.MaxSessionTimeout.Milliseconds(),
		strings.ToUpper(c.PeerType.String()), c.PurgeRetainCount, members)
}
