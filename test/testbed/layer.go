package testbed

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// plainInit is process 1 of a host without systemd.
//
//go:embed init.sh
var plainInit string

// keptTop are the folders at the machine's root that hosts see; all others are
// hidden and made anew where a host needs them.
const keptTop = "bin sbin lib lib32 lib64 libx32 etc usr var dev proc sys run boot"

// keptLib are the folders of /var/lib that belong to the installed packages a
// host uses, not to what the machine does with its own.
const keptLib = "dpkg apt systemd pam misc ucf logrotate dbus sudo python shells.state ca-certificates xml-core sgml-base"

// keptServices are the services of the machine that hosts start as well.
const keptServices = "ssh cron dbus sudo procps README"

// hiddenPaths are the machine's own settings and data. Shell patterns.
func hiddenPaths() []string {
	return []string{
		"/usr/local", "/usr/sbin/policy-rc.d",
		"/etc/profile.d", "/etc/environment", "/etc/resolv.conf", "/etc/machine-id", "/etc/fstab",
		"/etc/sudoers.d", "/etc/ssh", "/etc/systemd/system", "/etc/rc.local", "/etc/zookeeper",
		"/etc/cron.d/*", "/etc/cron.hourly/*", "/etc/cron.daily/*", "/etc/cron.weekly/*", "/etc/cron.monthly/*",
		"/var/log", "/var/tmp", "/var/cache", "/var/backups", "/var/mail", "/var/spool/cron",
	}
}

// systemdPaths are hidden from hosts without systemd. Shell patterns.
func systemdPaths() []string {
	return []string{
		"/usr/bin/systemctl", "/usr/bin/systemd*", "/usr/bin/journalctl", "/usr/bin/loginctl",
		"/usr/bin/hostnamectl", "/usr/bin/timedatectl", "/usr/lib/systemd/systemd",
		"/usr/sbin/init", "/usr/sbin/telinit", "/usr/sbin/runlevel",
		"/usr/sbin/reboot", "/usr/sbin/halt", "/usr/sbin/poweroff", "/usr/sbin/shutdown",
	}
}

// hide makes whiteouts in an overlay's upper folder for everything of the
// machine that hosts must not see. The overlay is not mounted yet.
func hide(upper string, flavour Flavour) error {
	patterns := hiddenPaths()
	if flavour == Plain {
		patterns = append(patterns, systemdPaths()...)
	}
	paths, err := glob(patterns)
	if err != nil {
		return err
	}
	for _, rule := range []struct{ pattern, kept string }{
		{"/*", keptTop}, {"/.*", ""}, {"/var/lib/*", keptLib}, {"/etc/init.d/*", keptServices},
	} {
		paths = append(paths, allBut(rule.pattern, rule.kept)...)
	}
	scripts, err := glob([]string{"/etc/rc[0-6S].d/[SK]*"})
	if err != nil {
		return err
	}
	for _, path := range scripts { // S01cron
		if service := filepath.Base(path)[3:]; !slices.Contains(strings.Fields(keptServices), service) {
			paths = append(paths, path)
		}
	}
	for _, path := range paths {
		if err := whiteout(upper, path); err != nil {
			return fmt.Errorf("hide %s: %w", path, err)
		}
	}
	return nil
}

func glob(patterns []string) ([]string, error) {
	var paths []string
	for _, pattern := range patterns {
		found, err := filepath.Glob(pattern)
		if err != nil {
			return nil, err
		}
		paths = append(paths, found...)
	}
	return paths, nil
}

// allBut lists what matches pattern, but for the names in kept.
func allBut(pattern, kept string) []string {
	paths, _ := filepath.Glob(pattern) // the patterns are ours and well formed
	return slices.DeleteFunc(paths, func(path string) bool {
		return slices.Contains(strings.Fields(kept), filepath.Base(path))
	})
}

// whiteout hides one path of the lower layer.
func whiteout(upper, path string) error {
	if _, err := os.Lstat(path); err != nil {
		return nil // it is not there
	}
	target := filepath.Join(upper, path)
	if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
		return err
	}
	err := unix.Mknod(target, unix.S_IFCHR, 0)
	if errors.Is(err, fs.ErrExist) || errors.Is(err, unix.ENOTDIR) {
		return nil // hidden already, alone or with its folder
	}
	return err
}

// folders are made empty in place of hidden ones.
func folders() map[string]os.FileMode {
	m := map[string]os.FileMode{
		"root": 0o700, "tmp": 0o777 | os.ModeSticky, "var/tmp": 0o777 | os.ModeSticky,
		"var/spool/cron/crontabs": 0o730 | os.ModeSticky,
	}
	for _, dir := range strings.Fields(`home opt srv mnt media dev proc sys run
		usr/local/bin usr/local/sbin usr/local/lib usr/local/share usr/local/etc
		etc/profile.d etc/sudoers.d etc/ssh etc/systemd/system/multi-user.target.wants
		var/log var/cache/apt/archives/partial var/mail`) {
		m[dir] = 0o755
	}
	return m
}

// sshdConfig is the hosts' /etc/ssh/sshd_config; the rest is sshd's default.
const sshdConfig = `PermitRootLogin yes
PasswordAuthentication yes
KbdInteractiveAuthentication no
UsePAM yes
UseDNS no
PrintMotd no
AcceptEnv LANG LC_*
Subsystem sftp /usr/lib/openssh/sftp-server
`

// readyUnit tells waitReady that systemd has started everything.
const readyUnit = `[Unit]
Description=Testbed: boot finished
After=multi-user.target
[Service]
Type=oneshot
ExecStart=/usr/bin/touch /run/booted
`

// fill writes what all hosts of a flavour share into the mounted overlay.
func fill(ctx context.Context, root string, flavour Flavour, key string) error {
	for dir, perm := range folders() {
		path := filepath.Join(root, dir)
		if err := os.MkdirAll(path, 0o755); err != nil {
			return err
		}
		if err := os.Chmod(path, perm); err != nil {
			return err
		}
	}
	files := map[string]string{
		"etc/resolv.conf":     "",
		"etc/fstab":           "",
		"etc/environment":     "",
		"etc/ssh/sshd_config": sshdConfig,
		"etc/ssh/ssh_config":  "Host *\n    SendEnv LANG LC_*\n",
	}
	if flavour == Systemd {
		files["etc/systemd/system/testbed-ready.service"] = readyUnit
	}
	if err := writeFiles(below(root, files), 0o644); err != nil {
		return err
	}
	programs := plainPrograms()
	if flavour == Systemd {
		programs = nil
		if err := enableUnits(root); err != nil {
			return err
		}
	}
	if err := writeFiles(below(root, programs), 0o755); err != nil {
		return err
	}
	return addUsers(ctx, root, key)
}

// below puts a folder before every path.
func below(root string, files map[string]string) map[string]string {
	m := make(map[string]string, len(files))
	for path, text := range files {
		m[filepath.Join(root, path)] = text
	}
	return m
}

// plainPrograms are process 1 of the plain flavour and what talks to it.
func plainPrograms() map[string]string {
	const off, again = "#!/bin/sh\nexec kill -USR1 1\n", "#!/bin/sh\nexec kill -USR2 1\n"
	return map[string]string{
		"usr/sbin/init":     plainInit,
		"usr/sbin/poweroff": off,
		"usr/sbin/halt":     off,
		"usr/sbin/reboot":   again,
		"usr/sbin/shutdown": "#!/bin/sh\ncase \" $* \" in *' -r '*) exec kill -USR2 1 ;; *) exec kill -USR1 1 ;; esac\n",
	}
}

// enableUnits starts at boot what a freshly installed Debian server starts.
func enableUnits(root string) error {
	dir := filepath.Join(root, "etc/systemd/system")
	links := map[string]string{
		filepath.Join(dir, "multi-user.target.wants/ssh.service"):           "/lib/systemd/system/ssh.service",
		filepath.Join(dir, "multi-user.target.wants/cron.service"):          "/lib/systemd/system/cron.service",
		filepath.Join(dir, "multi-user.target.wants/testbed-ready.service"): "../testbed-ready.service",
		filepath.Join(dir, "sshd.service"):                                  "/lib/systemd/system/ssh.service",
	}
	for path, target := range links {
		if err := os.Symlink(target, path); err != nil {
			return err
		}
	}
	return nil
}

// addUsers makes the users with key, password and sudo rights.
func addUsers(ctx context.Context, root, key string) error {
	script := fmt.Sprintf(`set -e
for user in %[1]s %[2]s; do id "$user" >/dev/null 2>&1 || useradd -m -s /bin/bash "$user"; done
usermod -aG sudo %[2]s
printf '%%s\n' 'root:%[3]s' '%[1]s:%[4]s' '%[2]s:%[5]s' | chpasswd -c SHA512
chgrp crontab /var/spool/cron/crontabs
printf '%%s ALL=(ALL:ALL) NOPASSWD: ALL\n' %[1]s >/etc/sudoers.d/90-testbed
chmod 440 /etc/sudoers.d/90-testbed
cp /etc/skel/.[!.]* /root/ 2>/dev/null || true
for user in root %[1]s %[2]s; do
	home=$(getent passwd "$user" | cut -d: -f6)
	mkdir -p "$home" "$home/.ssh" && chmod 700 "$home/.ssh"
	echo '%[6]s' >"$home/.ssh/authorized_keys" && chmod 600 "$home/.ssh/authorized_keys"
	chown -R "$user:" "$home"
done
`, SudoUser, SudoPasswordUser, RootPassword, SudoPassword, SudoPasswordPassword, key)
	cmd := exec.CommandContext(ctx, "/bin/sh", "-c", script)
	cmd.Dir, cmd.Env = "/", []string{"PATH=" + systemPath}
	cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: root}
	if err := run(cmd); err != nil {
		return fmt.Errorf("add the users: %w", err)
	}
	return nil
}

// personalise writes what makes a host itself: name, neighbours, host key,
// machine id. It does so once, so that what a test changes there stays.
func (h *Host) personalise(root string) error {
	neighbours := "127.0.0.1 localhost\n" + address(0).String() + " " + ControllerName + "\n"
	for _, other := range h.tb.hosts {
		neighbours += other.Addr.String() + " " + other.Name + "\n"
	}
	if err := writeFiles(below(root, map[string]string{
		"etc/hostname":                     h.Name + "\n",
		"etc/hosts":                        neighbours,
		"etc/machine-id":                   h.machineID + "\n",
		"etc/ssh/ssh_host_ed25519_key.pub": h.key.public + "\n",
	}), 0o644); err != nil {
		return err
	}
	return writeFiles(below(root, map[string]string{"etc/ssh/ssh_host_ed25519_key": string(h.key.private)}), 0o600)
}
