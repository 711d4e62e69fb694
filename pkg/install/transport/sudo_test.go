package transport

import (
	"path/filepath"
	"strings"
	"testing"
)

// sudo's own policy cannot be set up without changing this machine, so these tests put a script
// named sudo first in the session's PATH, which prompts, refuses and runs as the real one does; and a
// script named id that makes the user an ordinary one. The end-to-end tests use the real sudo.

const fakeID = `#!/bin/sh
if [ "$FAKE_ROOT" = 1 ] || [ "$1" != -u ]; then exec /usr/bin/id "$@"; fi
echo 1000
`

// fakeSudo needs no password.
const fakeSudo = `#!/bin/sh
if [ "$1 $2 $3" != "-H -S -p" ] || [ "$5" != "--" ]; then echo "sudo: unexpected $*" >&2; exit 1; fi
shift 5
echo "We trust you have received the usual lecture" >&2
FAKE_ROOT=1; export FAKE_ROOT
exec "$@"
`

// throughFakeSudo is root's view of h, by way of the script.
func throughFakeSudo(t *testing.T, h Host, s *sshServer, script string) Host {
	t.Helper()
	s.tool(t, "id", fakeID)
	s.tool(t, "sudo", strings.ReplaceAll(script, "@DIR@", filepath.Dir(s.bin)))
	root, err := h.Root(testContext(t))
	must(t, err)
	return root
}
