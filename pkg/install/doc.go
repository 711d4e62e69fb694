// Package install brings the hosts of an inventory to the state that the inventory describes, and keeps an ensemble
// serving meanwhile. To read it, follow a run:
//
//	session.go    connect: one connection a machine, what it is, which ids its servers have
//	preflight.go  what would keep an installation from working, found before anything changes
//	plan.go       what is, what should be, and the changes between; reads only
//	steps.go      the steps of an installation and of its removal, as tables of contents
//	apply.go      the changes, machine by machine, under a lock
//	roll.go       starts and restarts: never two servers of a quorum down at once
//	verify.go     until a leader serves and every server follows
//
// Every change is computed before it is made and may be made twice. What fails half way is finished by running again,
// which plans from what is there. A server that runs with older files than those on disk is known by a record beside
// its zoo.cfg, so an interrupted restart is made up for.
package install
