package main

import "slices"

const (
	quorum = "./pkg/server/quorum"
	tree   = "./pkg/server/tree"
	purge  = "./pkg/purge"
)

// ofApache are the bugs that Apache ZooKeeper had, as far as a change of a few lines
// makes them ours; docs/reliability.md names each beside its issues. Each is put to
// the one test that the list there gives.
func ofApache() []mutant {
	return slices.Concat(ofJoining(), ofFiles(), ofServers(), ofRequests())
}

// ofJoining: what a learner does before it serves.
func ofJoining() []mutant {
	const following, apply = zab + "/following.go", zab + "/apply.go"
	return []mutant{
		{"what came with a DIFF is logged at UPTODATE", following, "\tp.takeReady()\n\tp.takeMembers(in.Members)", "\tp.takeMembers(in.Members)", zab, "^TestJoinInOrder$"},
		{"NEWLEADER is acknowledged before the disk has the history", following,
			"p.whenDurable(func() {\n\t\tf.stage = joined", "func(do func()) { do() }(func() {\n\t\tf.stage = joined", zab, "^TestJoinInOrder$"},
		{"currentEpoch goes to the disk before the transactions", following,
			"\tp.takeReady()\n\tp.takeMembers(in.Members)\n\tp.setEpochs(Epochs{Accepted: p.epochs.Accepted, Current: f.epoch})",
			"\tp.setEpochs(Epochs{Accepted: p.epochs.Accepted, Current: f.epoch})\n\tp.takeReady()\n\tp.takeMembers(in.Members)", zab, "^TestJoinInOrder$"},
		{"currentEpoch is written before the transactions are synced", quorum + "/disk.go",
			"\tif j.epochs == nil {\n\t\treturn nil\n\t}\n\tif err := d.sync(); err != nil {\n\t\treturn err\n\t}\n", "\tif j.epochs == nil {\n\t\treturn nil\n\t}\n", quorum, "^TestDiskOrder$"},
		{"proposals are acknowledged before NEWLEADER", apply, "\tif f.stage == inService {\n\t\tp.logAndAck(pr)", "\tif f.stage >= catchingUp {\n\t\tp.logAndAck(pr)", zab, "^TestJoinInOrder$"},
		{"an early acknowledgement ends the link", zab + "/broadcast.go", "case l.stage < syncing:\n\t\treturn p.drop", "case l.stage < synced && in.Zxid.Counter() != 0:\n\t\treturn p.drop", zab, "^TestEarlyAck$"},
		{"what is not committed at NEWLEADER is forgotten", following, "f.queue, f.ready = f.queue[f.ready:], 0", "f.queue, f.ready = nil, 0", zab, "^TestJoinInOrder$"},
		{"the window lacks what came while joining", following, "\t\tp.log(pr)\n\t\tp.commitNext()\n",
			"\t\tp.log(pr)\n\t\tp.history.pending, p.history.committed = nil, pr.Zxid\n\t\tp.out.commit(pr)\n", zab, "^TestJoinInOrder$"},
		{"what follows a TRUNC counts before NEWLEADER", apply, "f.queue = append(f.queue, pr)\n\t}\n\treturn nil", "f.queue, p.history.logged = append(f.queue, pr), pr.Zxid\n\t}\n\treturn nil", zab, "^TestInterruptedSync$"},
		{"memory stays ahead of a TRUNC", following, "\t\tp.history.truncate(in.Zxid)\n", "", zab, "^TestInterruptedSync$"},
		{"the tree stays ahead of a TRUNC", pipeline + "/apply.go", "p.replaceTree(r.Tree)", "_ = r.Tree", pipeline, "^TestTruncate$"},
		{"a role's proposals are forgotten though the log has them", zab + "/peer.go",
			"\tfor len(p.history.pending) > 0 {\n\t\tp.commitNext()\n\t}\n\tp.adoptLoggedEpoch()", "\tp.history.pending, p.history.logged = nil, p.history.committed\n\tp.adoptLoggedEpoch()", zab, "^TestSlowDiskBetweenRoles$"},
		{"what an ended role had to say is said later", zab + "/peer.go", "p.leading, p.following, p.after, p.sync = nil, nil, nil, SyncNone", "p.leading, p.following, p.sync = nil, nil, SyncNone", zab, "^TestSlowDiskBetweenRoles$"},
		{"a leader's snapshot is not saved", pipeline + "/apply.go", "err := p.store.Install(t.Snapshot(), nil)", "err := error(nil)", pipeline, "^TestInstallIsOnDisk$"},
		{"NEWLEADER goes out ahead of the snapshot", zab + "/leader.go", "\tp.send(l.sid, Packet{Kind: kind, Zxid: plan.zxid,", "\tdefer p.send(l.sid, Packet{Kind: kind, Zxid: plan.zxid,", zab, "^TestTraces$/^snap_far_behind$"},
		{"a snapshot is newer than its zxid", zab + "/ready.go", "return r.Mark == o.snap", "return r.Mark == 0", zab, "^TestOutbox$"},
		{"clients are served before what is committed is applied", quorum + "/execute.go", "if r.Role != nil && !r.Role.Serving {", "if r.Role != nil {", quorum, "^TestServesWhatWasCommitted$"},
		{"a DIFF moves the last zxid before it is there", following, "\t\tp.sync = SyncDiff\n", "\t\tp.sync = SyncDiff\n\t\tp.history.logged, p.history.committed = in.Zxid, in.Zxid\n", zab, "^TestInterruptedSync$"},
		{"who has more than the leader keeps it", zab + "/sync.go", "case last == newest:", "case last >= newest:", zab, "^TestTraces$/^new_epoch_truncates_follower$"},
		{"who has what nobody knows gets a DIFF", zab + "/sync.go", "} else if !newEpoch {", "} else if i < 0 {", zab, "^TestPlan$"},
	}
}

// ofFiles: snapshots, logs and their end.
func ofFiles() []mutant {
	return []mutant{
		{"a snapshot is not synced", storage + "/snapshot.go", "\tif err == nil {\n\t\terr = out.sync()\n\t}\n\treturn out.off", "\treturn out.off", storage, "^TestEveryCrashPointOfSnapshot$"},
		{"a snapshot is written under its own name", storage + "/snapshot.go", "filepath.Join(s.snapDir, partialPrefix+name)", "filepath.Join(s.snapDir, name)", storage, "^TestEveryCrashPointOfSnapshot$"},
		{"unreadable snapshots count as none", storage + "/recover.go", "if len(bad) > 0 {", "if len(bad) < 0 {", storage, "^TestDamage$"},
		{"a log without its start is a database", storage + "/replay.go", "if p.s.o.TrustEmpty {", "if p.last == 0 {", storage, "^TestDamage$"},
		{"no start without a snapshot leaves one", storage + "/recover.go", "\t\ts.firstSnapshot(p.r)\n", "", storage, "^TestTrustEmptyIsForOneStart$"},
		{"a purge counts snapshots that are none", purge + "/plan.go", "if err := test(f); err != nil {", "if err := test(f); err != nil && keep < 0 {", purge, "^TestLikeApache$"},
		{"a failed sync of the log is passed over", quorum + "/disk.go", `return fmt.Errorf("sync the log: %w", err)`, "return nil", quorum, "^TestDiskOrder$"},
		{"what a full disk cut short stays", storage + "/snapshot.go", "\t\t_ = s.fs.Remove(aside)", "\t\t_ = aside", storage, "^TestFullDisk$"},
		{"a failed truncation is passed over", quorum + "/disk.go", `return fmt.Errorf("truncate the log after %s: %w", *j.truncate, err)`, "return nil", quorum, "^TestDiskOrder$"},
		{"the log goes on after a failed truncation", storage + "/truncate.go", `return s.fail(fmt.Errorf("truncate to 0x%x: %w", zxid, err))`, `return fmt.Errorf("truncate to 0x%x: %w", zxid, err)`, storage, "^TestTruncateWithFailingDisk$"},
		{"an empty log file stops the start", storage + "/logreader.go", "\t\tl.err = io.EOF\n\t\treturn nil\n\tcase err != nil:", "\t\tl.err = l.damage(FlawHeader)\n\t\treturn nil\n\tcase err != nil:", storage, "^TestDamage$"},
		{"a truncation leaves newer snapshots", storage + "/truncate.go", "i >= 0 && snaps[i].Zxid > zxid; i--", "i >= 0 && snaps[i].Zxid > zxid && all; i--", storage, "^TestTruncate$"},
		{"a snapshot changes while it is written", tree + "/snapshot.go", "\tt.epoch.Add(1)\n", "", tree, "^TestSnapshotsWhileWriting$"},
		{"an ACL that a snapshot lacks is never repaired", tree + "/apply.go", "if n.acl == t.acls.closed {", "if n.acl == t.acls.closed && path == \"\" {", tree, "^TestReplayOverFuzzySnapshot$"},
		{"what is deleted twice leaves its parent behind", tree + "/apply.go", "\tif zxid > parent.pzxid {\n\t\tparent.pzxid = zxid", "\tif _, ok := parent.kids.get(nodeName(name)); ok && zxid > parent.pzxid {\n\t\tparent.pzxid = zxid", tree, "^TestAgainstModel$"},
		{"the log waits for a snapshot", storage + "/snapshot.go", "\tdefer s.snapshots.Unlock()\n\tif path, size", "\tdefer s.snapshots.Unlock()\n\ts.mu.Lock()\n\tdefer s.mu.Unlock()\n\tif path, size", storage, "^TestStuckSnapshotHoldsUpNothing$"},
	}
}

// ofServers: elections, memberships, connections.
func ofServers() []mutant {
	const election, read = quorum + "/election.go", quorum + "/correspondent.go"
	return []mutant{
		{"a host that does not answer is dialled under a lock", election, "\tconn, err := dialAny(e.ctx, e.cfg.CnxTimeout, addresses, e.cfg.TLS)\n",
			"\te.mu.Lock()\n\tconn, err := dialAny(e.ctx, e.cfg.CnxTimeout, addresses, e.cfg.TLS)\n\te.mu.Unlock()\n", quorum, "^TestElectionDeadHost$"},
		{"a short message ends the server", read, "\t\tcase err != nil:\n\t\t\treturn err\n\t\t}\n\t\tp.From", "\t\tcase err != nil:\n\t\t\tpanic(err)\n\t\t}\n\t\tp.From", quorum, "^TestElectionOutlivesBadMessages$"},
		{"a wildcard is told as an address", quorum + "/notification.go", `return host == "" || ip != nil && ip.IsUnspecified()`, `return host == "" && ip == nil`, quorum, "^TestElectionGreetsWithoutWildcard$"},
		{"memberships are taken on though they are fixed", zab + "/membership.go", "if !p.cfg.Reconfig || m == nil || m.Version <= p.newest().Version {", "if m == nil || m.Version <= p.newest().Version {", zab, "^TestFixedMembership$"},
		{"old servers get a greeting that they do not know", quorum + "/notification.go", "jute.AppendLong(b, greetingV1)", "jute.AppendLong(b, greetingV2)", quorum, "^TestGreetings$"},
		{"the counter of an epoch runs over", zab + "/broadcast.go", "case next.Counter() > p.cfg.EpochSize:", "case next.Counter() == 0:", zab, "^TestCounterRunsOut$"},
		{"an election writes a snapshot", pipeline + "/pipeline.go", "\tp.touched.Drain(nil)\n\tif !t.ReadOnly {", "\tp.touched.Drain(nil)\n\tp.writeSnapshot(p.tree.Snapshot())\n\tif !t.ReadOnly {", pipeline, "^TestElectionsLeaveTheDiskAlone$"},
		{"a connection that is refused stays open", election, "\t\t_ = raw.Close()\n\t\treturn\n\t}\n\tif c := e.place(g)", "\t\treturn\n\t}\n\tif c := e.place(g)", quorum, "^TestVainDialsLeaveNothing$"},
	}
}

// ofRequests: what clients can ask for.
func ofRequests() []mutant {
	return []mutant{
		{"a read-only server takes writes", pipeline + "/alive.go", "case cur.ReadOnly && kindOf(w.Op) == writeOp:", "case cur.ReadOnly && kindOf(w.Op) == unknownOp:", pipeline, "^TestReadOnly$"},
		{"a path is not looked at", pipeline + "/prepare.go", "func (p *preparer) znode(path string) (*change, error) {\n\tif err := validatePath(path); err != nil {", "func (p *preparer) znode(path string) (*change, error) {\n\tif err := validatePath(path); err != nil && path == \"/\" {", pipeline, "^TestValidation$"},
		{"a check outside a multi becomes a transaction", pipeline + "/prepare.go", "\tcase proto.OpDelete:\n\t\tr := new(proto.PathVersion)", "\tcase proto.OpDelete, proto.OpCheck:\n\t\tr := new(proto.PathVersion)", pipeline, "^TestForwardedCheck$"},
		{"the tokens for connections run over", pipeline + "/bucket.go", "passed > math.MaxInt64/int64(max(b.FillCount, 1)) || ", "", pipeline, "^TestBucket$"},
	}
}
