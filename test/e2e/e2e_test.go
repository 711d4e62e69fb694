package e2e

import (
	"flag"
	"os"
	"testing"

	"github.com/zkctl/zkctl/test/ensemble"
	"github.com/zkctl/zkctl/test/testbed"
)

var (
	given  = flag.String("zkctl", "", "test this zkctl `binary` instead of building one")
	chatty = flag.Bool("transcript", false, "print what zkctl and the hosts said in scenes that pass, too")
)

// binary is the zkctl under test.
func binary(t *testing.T) string {
	t.Helper()
	if *given != "" {
		return *given
	}
	return ensemble.Binary(t)
}

func TestMain(m *testing.M) { os.Exit(ensemble.Main(m)) }

// scene is one story on the hosts of a world.
type scene struct {
	name string
	run  func(*testing.T, *world)
	long bool // left out with -short
}

func play(t *testing.T, flavour testbed.Flavour, scenes []scene) {
	w := boot(t, flavour)
	for _, s := range scenes {
		t.Run(s.name, func(t *testing.T) {
			if s.long && testing.Short() {
				t.Skip("a long scene")
			}
			s.run(t, w.scene(t))
		})
	}
}

// common are the scenes of both flavours.
func common() []scene {
	return []scene{
		{"install", installFromNothing, false},
		{"again", installAgain, false},
		{"status", statusWords, false},
		{"purge", purgeAndSchedule, true},
		{"profile", loginProfile, true},
		{"logs", logFiles, true},
		{"kill", killLeader, false},
		{"cut", cutFollower, true},
		{"cut leader", cutLeader, true},
		{"power", powerCut, true},
		{"reboot", rebootLeader, true},
		{"roll", rollingChange, true},
		{"upgrade", upgradeBinary, true},
		{"members", changeMembers, true},
		{"interrupt", interrupted, true},
		{"disk full", diskFull, true},
		{"uninstall", uninstall, true},
		{"binary there", installWithBinary, true},
	}
}

func TestPlain(t *testing.T) {
	t.Parallel() // scenes wait more than they work
	play(t, testbed.Plain, append(common(),
		scene{"login", logins, true},
		scene{"bastion", throughBastion, true},
		scene{"host keys", hostKeys, true},
		scene{"away", hostAway, true},
		scene{"power cut in install", powerCutMidway, true},
		scene{"ports", portTaken, true},
		scene{"foreign", foreignData, true},
	))
}

func TestSystemd(t *testing.T) {
	if testing.Short() {
		t.Skip("the smoke test is TestPlain")
	}
	t.Parallel()
	play(t, testbed.Systemd, append(common(),
		scene{"sudo", sudoLogin, true},
		scene{"hang", hungServer, true},
	))
}
