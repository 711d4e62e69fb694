package inspect

import (
	"context"
	"fmt"
	"path/filepath"

	"github.com/zkctl/zkctl/pkg/server/storage"
	"github.com/zkctl/zkctl/pkg/server/txn"
)

// Grade is how bad a finding is.
type Grade string

// The grades.
const (
	Note   Grade = "note"   // odd, and harmless
	Torn   Grade = "torn"   // the next start of a server cuts it; nothing acknowledged is lost
	Damage Grade = "damage" // a server refuses to start, or has lost transactions
)

// Finding is what is wrong at one place.
type Finding struct {
	Grade  Grade  `json:"grade"`
	File   string `json:"file"`
	Offset int64  `json:"offset"`         // in the file, in bytes
	Zxid   Zxid   `json:"zxid,omitempty"` // last good one before that place; 0x0 when there is none
	What   string `json:"what"`
	Do     string `json:"do,omitempty"`
}

// String is one line without the advice.
func (f Finding) String() string {
	place := ""
	switch {
	case f.Zxid != 0:
		place = fmt.Sprintf(" at offset %d, after zxid %v", f.Offset, f.Zxid)
	case f.Offset != 0:
		place = fmt.Sprintf(" at offset %d, before any transaction", f.Offset)
	}
	return fmt.Sprintf("%s: %s%s: %s", f.Grade, f.File, place, f.What)
}

// LogFile is what verification saw of one file.
type LogFile struct {
	File    string `json:"file"`
	Records int64  `json:"records"`
	First   Zxid   `json:"first"` // zxids; 0x0 in a file without records
	Last    Zxid   `json:"last"`
	End     int64  `json:"end"`     // offset behind the last record, in bytes
	Bytes   int64  `json:"bytes"`   // of the file
	Digests int64  `json:"digests"` // records that carry a digest of the tree
}

// LogReport is the result of VerifyLogs.
type LogReport struct {
	Files    []LogFile    `json:"files"`
	Digests  *DigestCheck `json:"digest_check,omitempty"` // absent when they were not to be compared
	Findings []Finding    `json:"findings"`
}

// VerifyOptions say what VerifyLogs leaves out.
type VerifyOptions struct {
	NoDigests bool // what needs the tree in memory
}

// Worst is the gravest grade found, "" when there is nothing.
func (r *LogReport) Worst() Grade { return Worst(r.Findings) }

// Worst is the gravest grade in a list, "" when it is empty.
func Worst(list []Finding) Grade {
	var w Grade
	for _, f := range list {
		if f.Grade == Damage || w != Damage && f.Grade == Torn || w == "" {
			w = f.Grade
		}
	}
	return w
}

// verifier follows a history over several files.
type verifier struct {
	*endings
	files  Files
	report LogReport
	any    bool // there was a record
	digest *digestCheck
}

// VerifyLogs reads all of the log files: checksums, what the records hold, that
// zxids go on without a gap, and the digests of the tree that they carry, by
// replaying them on one of the snapshots. Two files given by name only need not be one
// history; the files of a directory must be, but for what a snapshot bridges.
// The error is that of the disk; what is wrong with the files is in the report.
func VerifyLogs(ctx context.Context, files Files, o VerifyOptions) (*LogReport, error) {
	v := &verifier{endings: newEndings(ctx, files.Logs), files: files}
	if !o.NoDigests {
		v.digest = newDigestCheck(files)
	}
	for i, path := range files.Logs {
		in := LogFile{File: path}
		var err error
		in.End, in.Bytes, err = v.each(i, func(at int64, rec storage.Record) error { return v.record(&in, at, rec) })
		if err != nil {
			return nil, err
		}
		if n := len(v.findings); in.Records == 0 && (n == 0 || v.findings[n-1].File != path) {
			v.empty(path, in.Bytes)
		}
		v.report.Files = append(v.report.Files, in)
	}
	if v.digest != nil {
		v.report.Digests = v.digest.end()
	}
	v.report.Findings = v.findings
	return &v.report, nil
}

// record judges one record.
func (v *verifier) record(in *LogFile, at int64, rec storage.Record) error {
	if in.Records == 0 {
		in.First = Zxid(rec.Zxid)
		v.checkName(in, at)
	}
	v.order(in, at, rec.Zxid)
	x, err := txn.Decode(rec.Data)
	switch {
	case err != nil:
		v.unknown(in.File, at, err)
	case x.Digest != nil:
		in.Digests++
	}
	if err == nil && v.digest != nil {
		if err := v.digest.record(v.endings, in.File, at, x); err != nil {
			return err
		}
	}
	in.Records++
	in.Last, v.any = Zxid(rec.Zxid), true
	return nil
}

const (
	adviceTorn   = "nothing: the server cuts it at its next start"
	adviceDamage = "in an ensemble: zkctl server rejoin --config zoo.cfg --yes; a server alone: restore a backup, or zkctl txnlog cut at the last good zxid and lose what follows"
)

func (v *verifier) checkName(in *LogFile, at int64) {
	kind, zxid := storage.ParseName(filepath.Base(in.File))
	if kind == storage.KindLog && zxid != int64(in.First) {
		v.find(Note, in.File, at, fmt.Sprintf("the file is named after %v, but starts with %v", Zxid(zxid), in.First), "")
	}
}

// order judges a zxid by the one before.
func (v *verifier) order(in *LogFile, at, zxid int64) {
	sameHistory := v.files.Dir || in.Records > 0
	switch {
	case !v.any || !sameHistory || storage.Follows(v.last, zxid):
	case zxid == v.last:
		v.find(Note, in.File, at, fmt.Sprintf("zxid %v is there twice", Zxid(zxid)), "")
	case zxid < v.last:
		v.find(Damage, in.File, at, fmt.Sprintf("zxids go back from %v to %v", Zxid(v.last), Zxid(zxid)), adviceDamage)
	case v.bridged(zxid):
		v.find(Note, in.File, at, fmt.Sprintf("zxids go on with %v after %v; a snapshot holds what is between", Zxid(zxid), Zxid(v.last)), "")
	default:
		v.find(Damage, in.File, at, fmt.Sprintf("transactions are missing between %v and %v", Zxid(v.last), Zxid(zxid)), adviceDamage)
	}
}

// bridged tells whether a snapshot holds all before zxid, as after a server
// copied its state from a leader.
func (v *verifier) bridged(zxid int64) bool {
	for _, path := range v.files.Snapshots {
		_, at := storage.ParseName(filepath.Base(path))
		if (at >= zxid || storage.Follows(at, zxid)) && storage.VerifySnapshot(path) == nil {
			return true
		}
	}
	return false
}
