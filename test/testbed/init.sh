#!/bin/bash
# Process 1 of a testbed host without systemd. It mounts what a kernel would
# leave to init, starts what /etc/rc2.d and /etc/rc.local name, reaps orphans,
# and ends on SIGUSR1 (power off) or SIGUSR2 (reboot; the status tells).
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export HOME=/ RUNLEVEL=2 PREVLEVEL=N
readonly REBOOT=133

mount -t proc -o nosuid,nodev,noexec proc /proc
# Of the kernel's settings only the network's are this host's own.
mount --bind /proc/sys /proc/sys
mount --bind /proc/sys/net /proc/sys/net
mount --bind /run/boot_id /proc/sys/kernel/random/boot_id
mount -o remount,bind,ro /proc/sys
hostname "$(cat /etc/hostname)"

leave=
trap 'leave=0' USR1
trap 'leave=$REBOOT' USR2 INT
trap : TERM HUP

for script in /etc/rcS.d/S* /etc/rc2.d/S*; do
	[ -x "$script" ] && "$script" start </dev/null
done
# Where a package has no script for init, start its daemon by hand.
compgen -G '/etc/rc2.d/S??ssh' >/dev/null || { mkdir -p /run/sshd && /usr/sbin/sshd; }
compgen -G '/etc/rc2.d/S??cron' >/dev/null || ! command -v cron >/dev/null || cron
[ -x /etc/rc.local ] && /etc/rc.local </dev/null
: >/run/booted

while [ -z "$leave" ]; do
	sleep 2147483 &
	wait $!
done

for script in $(ls -r /etc/rc2.d/S* 2>/dev/null); do
	[ -x "$script" ] && timeout 10 "$script" stop </dev/null
done
kill -TERM -1
for _ in {1..20}; do
	set -- /proc/[0-9]*
	[ $# -le 1 ] && break
	sleep 0.1
done
kill -KILL -1 2>/dev/null
exit "$leave"
