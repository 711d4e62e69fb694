package main

import "slices"

const (
	zab        = "./pkg/server/zab"
	storage    = "./pkg/server/storage"
	pipeline   = "./pkg/server/pipeline"
	simulation = "./test/simulation"
)

// mutants is the list. A name tells what the broken code does.
func mutants() []mutant {
	return slices.Concat(ofZab(), ofStorage(), ofState(), ofApache())
}

func ofZab() []mutant {
	const following, leader, broadcast, apply = zab + "/following.go", zab + "/leader.go", zab + "/broadcast.go", zab + "/apply.go"
	return []mutant{
		{"a follower acknowledges before its disk has it", apply,
			"p.whenDurable(func() { p.send(leader, Packet{Kind: Ack, Zxid: pr.Zxid}) })", "p.send(leader, Packet{Kind: Ack, Zxid: pr.Zxid})", zab, "."},
		{"a leader counts itself before its disk has it", broadcast, "return lead.acked >= z", "return true", zab, "."},
		{"a leader commits what a follower has not acknowledged", broadcast, "l.stage >= synced && l.acked >= z", "l.stage >= synced", zab, "."},
		{"an acknowledgement counts before the history is taken on", broadcast, "l.stage >= synced && l.acked >= z", "l.acked >= z", zab, "."},
		{"currentEpoch is not written before the ACK of NEWLEADER", following,
			"p.setEpochs(Epochs{Accepted: p.epochs.Accepted, Current: f.epoch})", "p.epochs.Current = f.epoch", zab, "."},
		{"acceptedEpoch is not written before ACKEPOCH", following,
			"p.setEpochs(Epochs{Accepted: in.Epoch, Current: p.epochs.Current})", "p.epochs.Accepted = in.Epoch", zab, "."},
		{"an epoch is promised to two leaders", following, "if in.Epoch == p.epochs.Accepted {", "if in.Epoch < 0 {", zab, "."},
		{"a gap in the proposals is accepted", apply, "case !tail.precedes(in.Zxid) || in.Zxid.Epoch()", "case in.Zxid.Epoch()", zab, "."},
		{"a TRUNC is not done on the disk", following, "p.out.truncate(in.Zxid)", "", zab, "."},
		{"a leader goes on though a learner knows more", leader, "case lead.stage != confirming || in.Epoch == -1 || !lead.knowsLess(in.Epoch, in.Zxid):", "case lead.stage <= established:", zab, "."},
		{"a leader serves before a quorum has its history", leader, "return l.stage >= synced })", "return l.stage >= confirmed })", zab, "."},
		{"a new epoch is not above those promised", leader, "lead.epoch = max(lead.epoch, in.Epoch+1)", "", zab, "."},
		{"a follower applies another than the committed proposal", apply, "case len(open) == 0 || open[0].Zxid != in.Zxid:", "case len(open) == 0:", zab, "."},
		{"a learner that cannot truncate stays where it is", following, "case in.Unable && in.Zxid < p.history.logged && p.whole != -epoch:", "case in.Unable && in.Zxid < 0:", zab, "OnlySnapshot|Traces"},
		{"a snapshot is asked for of whoever leads next", following, "if f.whole = p.whole == in.Epoch; f.whole {", "if f.whole = p.whole != 0; f.whole {", zab, "OnlySnapshot"},
		{"a new voter is overruled", leader, "case p.mayBind(l, in):", "case p.mayBind(l, in) && l == nil:", zab, "Proposed"},
		{"a new voter overrules whoever leads", leader, "if m.mayElect(l.sid) && m.HasQuorum(mayHave) && p.mayBeInForce(i) {", "if m.mayElect(l.sid) && m.HasQuorum(mayHave) && i >= 0 {", zab, "Proposed"},
		{"a new voter never stands", zab + "/election.go", "trial := !voter && p.trial && p.isVoter()", "trial := !voter && p.trial && voter", zab, "Proposed"},
		{"a new voter always stands", zab + "/election.go", "trial := !voter && p.trial && p.isVoter()", "trial := !voter && p.isVoter()", zab, "Proposed"},
		{"a late voter is answered without end", zab + "/election.go", "if e := p.election; e.late[in.From] != in.Vote {", "if e := p.election; e != nil {", zab, "LateVoters"},
		{"a server without its history votes", zab + "/peer.go", "p.mute = c.Rejoin", "", zab, "."},
		{"a learner gets the log from before where it is known to be the history", zab + "/catchup.go", "&& last < w.base:", "&& last < 0:", zab, "Walk|Traces"},
		{"a learner gets a log with a gap", zab + "/catchup.go", "case !last.precedes(next):", "case next <= last:", zab, "Walk|Traces"},
		{"a learner gets the log behind what it alone has", zab + "/catchup.go", "case last < w.After && w.After.Counter() != 0:", "case last < 0:", zab, "Walk|Traces"},
		{"a log that is not what was committed is sent", zab + "/catchup.go", "!bytes.Equal(p.Data, w.Tail[0].Data)", "len(p.Data) < 0 && bytes.Equal(p.Data, nil)", zab, "Walk|Traces"},
		{"proposals of a former term are kept", zab + "/history.go", "h.logged, h.committed = z, z\n\th.window.cut(z)", "h.logged = z", zab, "."},
	}
}

func ofStorage() []mutant {
	return []mutant{
		{"the log is not synced", storage + "/append.go", "if err := g.file.Sync(); err != nil {\n\t\treturn err\n\t}\n\tg.synced = g.pos", "g.synced = g.pos", storage, "^TestEveryCrashPointOfAppend$"},
		{"a failed sync is forgotten", storage + "/append.go", `return s.fail(fmt.Errorf("sync log: %w", err))`, `return fmt.Errorf("sync log: %w", err)`, storage, "^TestFailedSyncStopsAcknowledging$"},
		{"a new log's name is not made durable", storage + "/append.go", "if err := s.fs.SyncDir(s.logDir); err != nil {\n\t\treturn errors.Join(err, f.Close())\n\t}\n\tif err := s.reach", "if err := s.reach", storage, "^TestEveryCrashPointOfAppend$"},
		{"a record's checksum is not looked at", storage + "/logreader.go", "case uint64(adler32.Checksum(entry)) != sum:", "case uint64(adler32.Checksum(entry)) != sum && sum == 0:", storage, "^TestEveryByteOfLogIsGuarded$"},
		{"a gap in the log is passed over", storage + "/replay.go", "if follows(p.last, zxid) {", "if zxid > p.last {", storage, "^TestDamage$"},
		{"damage anywhere is cut like a torn end", storage + "/replay.go", "if why != \"\" {", "if why == \"never\" {", storage, "^TestDamage$"},
		{"what was synced is not noted behind it", storage + "/append.go", "return g.writeMark(mark{from: g.synced})", "return nil", storage, "^TestEveryByteOfLogIsGuarded$"},
		{"a recovered log is not noted as synced", storage + "/tail.go", "if err == nil && p.tail.mark.valid() {", "if err == nil && p.tail == nil {", storage, "^TestEveryByteOfRecoveredLogIsGuarded$"},
		{"a snapshot's seal is not looked at", storage + "/snapread.go", "case binary.BigEndian.Uint64(b) != sum:", "case binary.BigEndian.Uint64(b) != sum && sum == 0:", storage, "^TestEveryByteOfSnapshotIsGuarded$"},
		{"a half-written snapshot is accepted", storage + "/snapread.go", "case len(b) < sealSize || !bytes.Equal(b[8:], sealEnd[:]):", "case len(b) < sealSize || sum == 0 && !bytes.Equal(b[8:], sealEnd[:]):", storage, "^TestEveryByteOfSnapshotIsGuarded$"},
		{"an older snapshot serves without what came between", storage + "/recover.go", "if p.passed[s.zxid] || int32(s.zxid) == 0 && p.last >= s.zxid {", "if p.last >= s.zxid {", storage, "^TestSkippedSnapshotWasALeaders$"},
		{"a missing log file is not noticed", storage + "/recover.go", "if err := p.reaches(logs); err != nil {", "if err := p.reaches(logs); err != nil && p.last < 0 {", storage, "TestMissing"},
		{"the end of an epoch may be missing", storage + "/replay.go", "return p.comesAfter(zxid, path)", "return nil", storage, "TestMissing"},
		{"a rejoin that was interrupted forgets what was promised", storage + "/epochs.go", "e.Accepted = max(e.Accepted, promised.value)", "_ = promised", "./pkg/server/inspect", "^TestEveryCrashPointOfSetAside$"},
		{"a server starts on what an interrupted rejoin has left", storage + "/recover.go", "if err := s.unlessRejoining(); err != nil {", "if err := s.unlessRejoining(); err != nil && s.last < 0 {", "./pkg/server/inspect", "^TestEveryCrashPointOfSetAside$"},
		{"an epoch's checksum is not looked at", storage + "/guard.go", "if !bytes.Equal(guard(name, text), content) {", "if !bytes.Equal(guard(name, text), content) && len(content) == 0 {", storage, "TestEverySmallFile"},
		{"an epoch that cannot be is accepted", storage + "/epochs.go", "if e.Accepted < e.Current {", "if e.Accepted < 0 {", storage, "^TestReadEpochs$"},
	}
}

func ofState() []mutant {
	return []mutant{
		{"ephemerals outlive their session", "pkg/server/tree/apply.go", "for _, path := range t.Ephemerals(h.ClientID) {", "for _, path := range t.Ephemerals(0) {", "./pkg/server/tree", "."},
		{"a session outlives its close", "pkg/server/tree/apply.go", "t.removeSession(h.ClientID)\n}", "}", "./pkg/server/tree", "."},
		{"digests are not compared", pipeline + "/apply.go", "if have := p.tree.Digest(); have != t.Digest.Tree {", "if have := p.tree.Digest(); have == 0 {", pipeline, "^TestDigestMismatch$"},
		{"the whole: acknowledged before synced", storage + "/append.go", "if err := g.file.Sync(); err != nil {\n\t\treturn err\n\t}\n\tg.synced = g.pos", "g.synced = g.pos", simulation, "TestSimulation"},
	}
}
