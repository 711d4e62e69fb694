package testbed

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"
)

// makeGoldenDisk makes the disk image that every host starts with: an ext4 file
// system holding the overlay's upper folder.
func (tb *Testbed) makeGoldenDisk(ctx context.Context) error {
	image := tb.path("golden.img")
	f, err := os.Create(image)
	if err != nil {
		return err
	}
	if err := errors.Join(f.Truncate(tb.opts.DiskSize), f.Close()); err != nil {
		return err
	}
	err = run(command(ctx, "mkfs.ext4", "-q", "-F", "-m", "0",
		"-E", "lazy_itable_init=1,lazy_journal_init=1,nodiscard", image))
	if err != nil {
		return err
	}
	err = onThread(func() error {
		if err := privateMounts(); err != nil {
			return err
		}
		d := disk{image, tb.path("golden")}
		if err := d.mountImage(ctx); err != nil {
			return err
		}
		if err := hide(d.upper(), tb.opts.Flavour); err != nil {
			return err
		}
		if err := d.mountOverlay(); err != nil {
			return err
		}
		return fill(ctx, d.root(), tb.opts.Flavour, tb.key.public)
	})
	if err != nil {
		return fmt.Errorf("make the disk: %w", err)
	}
	return waitLoopsGone(ctx, image)
}

// A disk is a host's image and the folder it is mounted under, in the host's
// mount namespace.
type disk struct{ image, dir string }

func (d disk) upper() string { return filepath.Join(d.dir, "disk/upper") }
func (d disk) root() string  { return filepath.Join(d.dir, "root") }

// mountImage mounts the ext4 image. The loop device goes with the mount.
func (d disk) mountImage(ctx context.Context) error {
	mountpoint := filepath.Join(d.dir, "disk")
	if err := os.MkdirAll(mountpoint, 0o755); err != nil {
		return err
	}
	if err := run(command(ctx, "mount", "-t", "ext4", "-o", "loop,noatime", d.image, mountpoint)); err != nil {
		return err
	}
	for _, dir := range []string{d.upper(), filepath.Join(d.dir, "disk/work"), d.root()} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	return nil
}

// mountOverlay mounts the machine's own files with the host's changes on top.
func (d disk) mountOverlay() error {
	options := fmt.Sprintf("lowerdir=/,upperdir=%s,workdir=%s", d.upper(), filepath.Join(d.dir, "disk/work"))
	if err := unix.Mount("overlay", d.root(), "overlay", 0, options); err != nil {
		return fmt.Errorf("mount an overlay (%s): %w", options, err)
	}
	return nil
}

// runInit boots the host once and returns when its process 1 has ended, with
// true when it ended to be booted again. Everything mounted here ends with the
// thread; process 1 ends with the thread as well.
func (h *Host) runInit(ctx context.Context, ns *netns, group cgroup, console *os.File) (again bool, err error) {
	err = onThread(func() error {
		if err := errors.Join(privateMounts(), ns.enter()); err != nil {
			return err
		}
		folder, err := os.Open(string(group))
		if err != nil {
			return err
		}
		defer folder.Close()
		cmd, err := h.initCommand(ctx, ns)
		if err != nil {
			return err
		}
		cmd.Stdout, cmd.Stderr = console, console
		cmd.SysProcAttr.UseCgroupFD, cmd.SysProcAttr.CgroupFD = true, int(folder.Fd())
		cmd.SysProcAttr.Pdeathsig = unix.SIGKILL
		cmd.SysProcAttr.Setsid = true
		if err := cmd.Start(); err != nil {
			return fmt.Errorf("start process 1: %w", err)
		}
		again = wantsReboot(cmd.Wait())
		return nil
	})
	return again, err
}

// initCommand mounts the host's root on the calling thread and prepares its
// process 1.
func (h *Host) initCommand(ctx context.Context, ns *netns) (*exec.Cmd, error) {
	d := disk{h.image(), h.dir}
	if err := d.mountImage(ctx); err != nil {
		return nil, err
	}
	if err := d.mountOverlay(); err != nil {
		return nil, err
	}
	if !h.personal {
		if err := h.personalise(d.root()); err != nil {
			return nil, err
		}
		h.personal = true
	}
	if h.tb.opts.Flavour == Plain {
		return plainCommand(d.root())
	}
	return h.systemdCommand(ns, d.root())
}

// rebootStatus is how systemd-nspawn, and our own process 1, ask to be booted
// again.
const rebootStatus = 133

// wantsReboot reads how process 1 ended. The reboot system call in a pid
// namespace ends its process 1 with SIGHUP, poweroff with SIGINT.
func wantsReboot(err error) bool {
	var exit *exec.ExitError
	if !errors.As(err, &exit) {
		return false
	}
	if exit.ExitCode() == rebootStatus {
		return true
	}
	status, ok := exit.Sys().(syscall.WaitStatus)
	return exit.ExitCode() == 128+int(unix.SIGHUP) || ok && status.Signaled() && status.Signal() == unix.SIGHUP
}

// systemdCommand prepares systemd as process 1. It sees a pure cgroup version 2
// tree, whatever the machine has, and an empty /run.
func (h *Host) systemdCommand(ns *netns, root string) (*exec.Cmd, error) {
	for _, m := range []struct{ kind, target string }{{"cgroup2", "/sys/fs/cgroup"}, {"tmpfs", "/run"}} {
		if err := unix.Mount(m.kind, m.target, m.kind, 0, ""); err != nil {
			return nil, fmt.Errorf("mount %s on %s: %w", m.kind, m.target, err)
		}
	}
	program, err := lookPath("systemd-nspawn")
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(program, "--quiet", "--boot", "--directory="+root,
		"--machine="+h.tb.record.ID+"-"+h.Name, "--hostname="+h.Name,
		"--register=no", "--keep-unit", "--settings=no",
		"--network-namespace-path="+ns.path(),
		"--capability=CAP_NET_ADMIN,CAP_IPC_LOCK,CAP_SYSLOG",
		"--console=pipe", "--resolv-conf=off", "--timezone=off", "--link-journal=no")
	cmd.Env = []string{"PATH=" + systemPath, "TERM=linux", "SYSTEMD_NSPAWN_API_VFS_WRITABLE=network"}
	cmd.SysProcAttr = &syscall.SysProcAttr{}
	return cmd, nil
}

// plainCommand prepares the plain flavour's process 1 and makes the overlay the
// thread's root.
func plainCommand(root string) (*exec.Cmd, error) {
	if err := mountAPI(root); err != nil {
		return nil, err
	}
	bootID, err := randomUUID()
	if err != nil {
		return nil, err
	}
	err = writeFiles(below(root, map[string]string{"run/boot_id": bootID + "\n", "run/utmp": ""}), 0o644)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(
		unix.Chdir(root),
		unix.PivotRoot(".", "mnt"),
		unix.Chdir("/"),
		unix.Unmount("/mnt", unix.MNT_DETACH),
	); err != nil {
		return nil, fmt.Errorf("change the root: %w", err)
	}
	// The clock, modules and ports of the machine are not this host's. unshare
	// runs in the host's cgroup already, which so becomes the root it sees.
	cmd := exec.Command("/usr/bin/unshare", "--cgroup",
		"setpriv", "--bounding-set=-sys_time,-sys_module,-sys_rawio", "--inh-caps=-all", "/sbin/init")
	cmd.Env = []string{"PATH=" + systemPath, "TERM=linux"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWPID | unix.CLONE_NEWUTS | unix.CLONE_NEWIPC}
	return cmd, nil
}

// mountAPI mounts what a kernel offers to user space, but /proc, which process 1
// mounts in its own pid namespace.
func mountAPI(root string) error {
	const safe = unix.MS_NOSUID | unix.MS_NODEV
	mounts := []struct {
		kind, target string
		flags        uintptr
		options      string
	}{
		{"sysfs", "sys", safe | unix.MS_NOEXEC | unix.MS_RDONLY, ""},
		{"tmpfs", "dev", unix.MS_NOSUID, "mode=755,size=1m"},
		{"devpts", "dev/pts", unix.MS_NOSUID | unix.MS_NOEXEC, "newinstance,mode=620,gid=5,ptmxmode=666"},
		{"tmpfs", "dev/shm", safe, "mode=1777"},
		{"tmpfs", "run", safe, "mode=755"},
		{"tmpfs", "run/lock", safe | unix.MS_NOEXEC, "mode=1777,size=5m"},
		{"tmpfs", "tmp", safe, "mode=1777"},
	}
	for _, m := range mounts {
		target := filepath.Join(root, m.target)
		if err := os.MkdirAll(target, 0o755); err != nil {
			return err
		}
		if err := unix.Mount(m.kind, target, m.kind, m.flags, m.options); err != nil {
			return fmt.Errorf("mount %s on %s: %w", m.kind, target, err)
		}
	}
	return makeDevices(filepath.Join(root, "dev"))
}

// makeDevices fills a host's /dev.
func makeDevices(dev string) error {
	nodes := []struct {
		name         string
		major, minor uint32
		perm         uint32
	}{
		{"null", 1, 3, 0o666}, {"zero", 1, 5, 0o666}, {"full", 1, 7, 0o666}, {"random", 1, 8, 0o666},
		{"urandom", 1, 9, 0o666}, {"tty", 5, 0, 0o666}, {"kmsg", 1, 11, 0o600},
	}
	for _, n := range nodes {
		path := filepath.Join(dev, n.name)
		if err := unix.Mknod(path, unix.S_IFCHR|n.perm, int(unix.Mkdev(n.major, n.minor))); err != nil {
			return fmt.Errorf("make %s: %w", path, err)
		}
		if err := os.Chmod(path, fs.FileMode(n.perm)); err != nil {
			return err
		}
	}
	links := map[string]string{
		"ptmx": "pts/ptmx", "fd": "/proc/self/fd", "stdin": "fd/0", "stdout": "fd/1", "stderr": "fd/2", "console": "null",
	}
	for name, target := range links {
		if err := os.Symlink(target, filepath.Join(dev, name)); err != nil {
			return err
		}
	}
	return nil
}
