package server

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/zkctl/zkctl/pkg/server/config"
)

func TestQuorumSASLConfig(t *testing.T) {
	const digest = "org.apache.zookeeper.server.auth.DigestLoginModule required"
	good := "QuorumServer { " + digest + ` user_peer="s"; }; QuorumLearner { ` + digest + ` username="peer" password="s"; };`
	for name, test := range map[string]struct{ file, want string }{
		"good":     {good, ""},
		"no file":  {"", "names no file"},
		"no login": {strings.ReplaceAll(good, `username="peer"`, ""), "no username"},
		"no own":   {strings.ReplaceAll(good, "QuorumLearner", "Learner"), "quorum.auth.learner.saslLoginContext"},
		"no users": {strings.ReplaceAll(good, "QuorumServer", "Server"), "quorum.auth.server.saslLoginContext"},
		"kerberos": {strings.ReplaceAll(good, "org.apache.zookeeper.server.auth.DigestLoginModule", "com.sun.security.auth.module.Krb5LoginModule"), "Kerberos"},
	} {
		c := &config.Config{QuorumAuth: config.QuorumAuth{
			EnableSasl: true, LearnerRequireSasl: true, ServerRequireSasl: true, LearnerContext: "QuorumLearner", ServerContext: "QuorumServer",
		}}
		if test.file != "" {
			c.SASL.JAASFile = filepath.Join(t.TempDir(), "jaas.conf")
			if err := os.WriteFile(c.SASL.JAASFile, []byte(test.file), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		got, err := New(c, Options{Logger: slog.New(slog.DiscardHandler)}).newQuorumSASL()
		switch {
		case test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)):
			t.Errorf("%s: %v, want one with %q", name, err, test.want)
		case test.want == "" && (err != nil || !got.Login || !got.Require || got.User != "peer" || got.Users["peer"] != "s"):
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
}
