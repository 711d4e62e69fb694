// Package templates renders every file that zkctl puts on a host besides itself:
//
//	ZooCfg.Render       zoo.cfg
//	MyID                myid
//	Unit.Render         the server's systemd unit
//	Purge.Service       the purge's systemd unit, and
//	Purge.Timer         the timer that starts it
//	Purge.CronFile      the purge as a file of /etc/cron.d
//	Purge.CrontabLine   the purge as a line of a user's crontab
//	Boot.InitScript     /etc/init.d/NAME, for hosts without systemd
//	Boot.CronFile       the same as a @reboot line of /etc/cron.d
//	Boot.CrontabLine    the same as a @reboot line of a user's crontab
//	Boot.LocalBlock     the same as a block of rc.local
//	Profile.Render      /etc/profile.d/zkctl.sh
//
// A renderer takes a struct that says all there is to say, refuses values that the format cannot carry,
// quotes the rest as the format asks, and returns the same bytes for the same values. The package
// touches no file and may be used from several goroutines at once.
package templates
