package testbed

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// requirements are the programs a testbed uses, on the machine or in the hosts
// that share its files, and the Debian package of each.
func requirements() []requirement {
	return []requirement{
		{"cron", "cron"},
		{"dbus-daemon", "dbus"},
		{"mkfs.ext4", "e2fsprogs"},
		{"ip", "iproute2"},
		{"tc", "iproute2"},
		{"ping", "iputils-ping"},
		{"ssh", "openssh-client"},
		{"sshd", "openssh-server"},
		{"useradd", "passwd"},
		{"ps", "procps"},
		{"sudo", "sudo"},
		{"systemctl", "systemd"},
		{"systemd-nspawn", "systemd-container"},
		{"mount", "mount"},
		{"nsenter", "util-linux"},
		{"setpriv", "util-linux"},
	}
}

type requirement struct{ command, pkg string }

// Requirements returns the names of the Debian packages that must be installed,
// sorted.
func Requirements() []string {
	var pkgs []string
	for _, r := range requirements() {
		pkgs = append(pkgs, r.pkg)
	}
	slices.Sort(pkgs)
	return slices.Compact(pkgs)
}

// Check returns an error that says what keeps this machine from booting hosts,
// and how to mend it; nil when nothing does. Tests skip with its text.
func Check() error {
	var errs []error
	if os.Geteuid() != 0 {
		errs = append(errs, errors.New("root is needed to make namespaces and mounts: run as root"))
	}
	var missing []string
	for _, r := range requirements() {
		if _, err := lookPath(r.command); err != nil && !slices.Contains(missing, r.pkg) {
			missing = append(missing, r.pkg)
		}
	}
	if len(missing) > 0 {
		errs = append(errs, fmt.Errorf("programs are missing: apt-get install -y %s", strings.Join(missing, " ")))
	}
	if root, err := cgroupRoot(); err != nil {
		errs = append(errs, err)
	} else if os.Geteuid() == 0 {
		errs = append(errs, testCgroup(root))
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("testbed: %w", err)
	}
	return nil
}

// testCgroup makes a cgroup, looks whether it can end all its processes, and
// removes it.
func testCgroup(root string) error {
	dir, err := os.MkdirTemp(root, "zkctl-check-")
	if err != nil {
		return fmt.Errorf("cgroups cannot be made in %s: %w", root, err)
	}
	if _, err := os.Stat(filepath.Join(dir, "cgroup.kill")); err != nil {
		return errors.Join(fmt.Errorf("the kernel is too old, Linux 5.14 is needed: %w", err), os.Remove(dir))
	}
	return os.Remove(dir)
}

// lookPath finds a program as root would, whatever PATH says.
func lookPath(name string) (string, error) {
	if path, err := exec.LookPath(name); err == nil {
		return path, nil
	}
	for _, dir := range strings.Split(systemPath, ":") {
		if path, err := exec.LookPath(dir + "/" + name); err == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("%s: %w", name, exec.ErrNotFound)
}

// command prepares a program that [Check] has found.
func command(ctx context.Context, name string, args ...string) *exec.Cmd {
	if path, err := lookPath(name); err == nil {
		name = path
	}
	return exec.CommandContext(ctx, name, args...)
}

// systemPath is where programs are looked for in hosts.
const systemPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
