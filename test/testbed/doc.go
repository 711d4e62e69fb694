// Package testbed boots a few realistic Linux hosts on one Debian machine, for
// end-to-end tests over real SSH. It needs root, no virtual machine and no
// container engine; [Check] says what else is missing.
//
// A host has what a bare-metal machine has: an address of its own on one
// Ethernet switch, process, mount, host-name and cgroup namespaces, a disk (an
// ext4 image that fills up and survives a reboot), a real sshd, cron, sudo, and
// as process 1 either systemd ([Systemd]) or a small script in its place
// ([Plain]). Its system files are the machine's own, seen through an overlay
// which hides what is private to the machine and keeps every change on the
// host's disk.
//
// Beside the hosts stands the controller: a network namespace on the same
// switch, from which tests reach them ([Controller.Command], [Controller.Dial]).
// No packet leaves the namespaces made here: they have no route to the machine.
//
// # How it is built
//
// All namespaces are held open by this process alone, as file descriptors; none
// has a name. So any number of testbeds run side by side with the same
// addresses, and when the process ends, however it ends, the kernel takes hosts,
// mounts, loop devices and networks away with it. What the kernel cannot take
// (a folder and a cgroup) is written to a record under /run which the owner
// keeps locked; the next [New] removes what records without an owner name, and
// nothing else.
//
// # What it is not
//
// All hosts share the machine's kernel: one clock (clock faults need a
// simulation), one page cache (what a killed host wrote without fsync survives),
// no limits of memory or CPU. Packages the machine has, the hosts have.
//
// To read it, start with
//
//	testbed.go    making and removing a testbed
//	host.go       a host's life: boot, kill, pause, run a command
//	boot.go       from a disk image to process 1
//	layer.go      what a host's disk hides and adds
//	network.go    the switch, cuts; relay.go delay and loss
//	registry.go   what is left when a process dies
//	thread.go     entering namespaces from Go
package testbed
