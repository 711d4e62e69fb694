package transport

import (
	"context"
	"strconv"
	"strings"
	"time"
)

// Facts is what a host says of itself, as the acting user sees it.
type Facts struct {
	User         string // the acting user
	UID, GID     int
	Home         string
	OS           string // as GOOS: "linux"
	Arch         string // as GOARCH: "amd64", "arm64"; what uname -m says when Go has no name for it
	Hostname     string
	Kernel       string            // release, such as "6.1.0-18-amd64"
	Distribution string            // PRETTY_NAME of os-release; may be empty
	Init         string            // name of process 1, such as "systemd"; may be empty
	Systemd      bool              // systemd runs the host, not merely is installed
	CronDir      bool              // /etc/cron.d is there
	MaxOpenFiles int64             // the hard limit of the session; -1 for none
	Tools        map[string]string // where the tools of interest are; those missing are left out
	Memory       int64             // bytes of RAM; 0 when unknown

	// ClockAhead is how far the host's clock is ahead of this machine's, wrong by at most
	// ClockError.
	ClockAhead, ClockError time.Duration
}

// tools are the programs that an installation may use.
const tools = "sudo systemctl crontab cron crond sha256sum useradd adduser groupadd addgroup runuser su setpriv " +
	"java ss ip nc chronyc timedatectl logrotate restorecon firewall-cmd ufw rc-update update-rc.d"

const factsScript = `echo "user=$(id -un)"; echo "uid=$(id -u)"; echo "gid=$(id -g)"; echo "home=$HOME"
echo "os=$(uname -s)"; echo "machine=$(uname -m)"; echo "hostname=$(uname -n)"; echo "kernel=$(uname -r)"
[ -r /etc/os-release ] && echo "distribution=$(. /etc/os-release; echo "$PRETTY_NAME")"
[ -r /proc/1/comm ] && read -r c </proc/1/comm && echo "init=$c"
[ -d /run/systemd/system ] && echo systemd=1
[ -d /etc/cron.d ] && echo crondir=1
echo "nofile=$(ulimit -H -n)"
while read -r k v u; do [ "$k" = MemTotal: ] && echo "memory=$v"; done </proc/meminfo
for t in ` + tools + `; do p=$(command -v $t) && echo "tool=$t=$p"; done; :`

func (m *machine) Facts(ctx context.Context) (Facts, error) {
	res, err := m.engine.run(ctx, shell("gather facts", factsScript))
	if err != nil {
		return Facts{}, err
	}
	f := parseFacts(string(res.Stdout))
	before := time.Now()
	res, err = m.engine.run(ctx, shell("read the clock", "exec date +%s.%N"))
	if err != nil {
		return Facts{}, err
	}
	after := time.Now()
	there, exact := parseClock(string(res.Stdout))
	half := after.Sub(before) / 2
	f.ClockAhead, f.ClockError = there.Sub(before.Add(half)), half+exact
	return f, nil
}

func parseFacts(out string) Facts {
	f := Facts{UID: -1, GID: -1, Tools: make(map[string]string)}
	for line := range strings.Lines(out) {
		key, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "=")
		switch key {
		case "user":
			f.User = value
		case "uid":
			f.UID = number(value)
		case "gid":
			f.GID = number(value)
		case "home":
			f.Home = value
		case "os":
			f.OS = strings.ToLower(value)
		case "machine":
			f.Arch = goArch(value)
		case "hostname":
			f.Hostname = value
		case "kernel":
			f.Kernel = value
		case "distribution":
			f.Distribution = value
		case "init":
			f.Init = value
		case "systemd":
			f.Systemd = true
		case "crondir":
			f.CronDir = true
		case "nofile":
			f.MaxOpenFiles = int64(number(value))
		case "memory":
			f.Memory = int64(max(number(value), 0)) << 10
		case "tool":
			tool, where, _ := strings.Cut(value, "=")
			f.Tools[tool] = where
		}
	}
	return f
}

// number is the integer in s, or -1.
func number(s string) int {
	n, err := strconv.Atoi(s)
	if err != nil {
		return -1
	}
	return n
}

// goArch is Go's name for what uname -m says.
func goArch(machine string) string {
	switch machine {
	case "x86_64":
		return "amd64"
	case "aarch64":
		return "arm64"
	case "i386", "i486", "i586", "i686":
		return "386"
	case "armv6l", "armv7l", "armv8l":
		return "arm"
	case "loongarch64":
		return "loong64"
	}
	return machine // ppc64le, s390x and riscv64 are called the same
}

// parseClock reads "seconds.nanoseconds", and says how far off it may be: busybox has no nanoseconds.
func parseClock(s string) (time.Time, time.Duration) {
	sec, frac, _ := strings.Cut(strings.TrimSpace(s), ".")
	nsec := number(frac)
	if len(frac) != 9 || nsec < 0 {
		return time.Unix(int64(number(sec)), int64(time.Second/2)), time.Second / 2
	}
	return time.Unix(int64(number(sec)), int64(nsec)), 0
}
