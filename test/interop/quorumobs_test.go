package interop

import (
	"fmt"
	"regexp"
	"testing"

	fourletter "github.com/zkctl/zkctl/pkg/four-letter"
)

// Observers and voters that demand SASL of each other find together, of whichever
// kind. An observer that 3.8 has to dial, because of its smaller sid, is left out: there
// 3.8 does not authenticate, and its own observers are not heard either (ZOOKEEPER-4886).
func TestQuorumSASLObserver(t *testing.T) {
	for _, tc := range []struct {
		name     string
		of       []kind
		observer int
	}{
		{"ours of Apache's", []kind{apache, apache, ours}, 3},
		{"Apache's of ours, dialled", []kind{ours, apache, ours}, 2},
		{"ours of ours, dialled", []kind{ours, ours, ours}, 2},
	} {
		t.Run(tc.name, func(t *testing.T) {
			keys := saslKeys()
			keys["java.security.auth.login.config"] = writeLogins(t, "secret", "secret")
			_, e := prepared(t, keys, tc.of...)
			line := regexp.MustCompile(fmt.Sprintf(`(?m)^(server\.%d=[^;\n]*?)(:participant)?(;.*)?$`, tc.observer))
			for sid := 1; sid <= e.Len(); sid++ {
				rewrite(t, e, sid, func(cfg string) string { return line.ReplaceAllString(cfg, "$1:observer$3") })
			}
			e.RestartAll()
			if st := e.Status(tc.observer); st.Role != fourletter.ModeObserver {
				t.Fatalf("server %d is %v", tc.observer, st.Role)
			}
			c := dial(t, e.Addr(tc.observer))
			c.create("/seen", "", 0)
			c.sync()
		})
	}
}
