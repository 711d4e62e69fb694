package inspect

import (
	"context"
	"errors"
	"fmt"
	"io"
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
	return fmt.Sprintf("%s: %s: %s at offset %d, after zxid %v", f.Grade, f.File, f.What, f.Offset, f.Zxid)
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
	Files    []LogFile `json:"files"`
	Findings []Finding `json:"findings"`
}

// Worst is the gravest grade found, "" when there is nothing.
func (r *LogReport) Worst() Grade { return worst(r.Findings) }

func worst(list []Finding) Grade {
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
	ctx    context.Context
	files  Files
	report LogReport
	last   int64 // zxid
	any    bool  // there was a record
}

// VerifyLogs reads all of the log files: checksums, what the records hold, and
// that zxids go on without a gap. Two files given by name only need not be one
// history; the files of a directory must be, but for what a snapshot bridges.
// The error is that of the disk; what is wrong with the files is in the report.
func VerifyLogs(ctx context.Context, files Files) (*LogReport, error) {
	v := &verifier{ctx: ctx, files: files}
	v.report.Findings = []Finding{}
	for i, path := range files.Logs {
		if err := v.file(path, v.newest(i)); err != nil {
			return nil, err
		}
	}
	return &v.report, nil
}

// newest tells whether no file behind that one has a record.
func (v *verifier) newest(i int) bool {
	for _, path := range v.files.Logs[i+1:] {
		l, err := storage.OpenLog(path)
		if err != nil {
			return false // found again later
		}
		_, err = l.Next()
		l.Close()
		if !errors.Is(err, io.EOF) {
			return false
		}
	}
	return true
}

func (v *verifier) file(path string, newest bool) error {
	l, err := storage.OpenLog(path)
	if err != nil {
		return err
	}
	defer l.Close()
	in := LogFile{File: path, Bytes: l.Size()}
	for err == nil {
		err = v.ctx.Err()
		if err == nil {
			err = v.next(l, &in)
		}
	}
	in.End = l.Offset()
	v.report.Files = append(v.report.Files, in)
	var d *storage.DamageError
	switch {
	case errors.Is(err, io.EOF):
		if in.Records == 0 {
			v.find(Note, path, 0, "the file holds no transaction", "")
		}
		return nil
	case errors.As(err, &d):
		return v.damaged(l, d, newest)
	}
	return err
}

// next reads and judges one record.
func (v *verifier) next(l *storage.LogReader, in *LogFile) error {
	at := l.Offset()
	rec, err := l.Next()
	if err != nil {
		return err
	}
	if in.Records == 0 {
		in.First = Zxid(rec.Zxid)
		v.checkName(in, at)
	}
	v.order(in, at, rec.Zxid)
	x, err := txn.Decode(rec.Data)
	switch {
	case err != nil:
		v.find(Damage, in.File, at, fmt.Sprintf("a record that no server up to 3.9 writes (%v)", err), adviceDamage)
	case x.Digest != nil:
		in.Digests++
	}
	in.Records++
	in.Last, v.last, v.any = Zxid(rec.Zxid), rec.Zxid, true
	return nil
}

const (
	adviceTorn   = "nothing: the server cuts it at its next start"
	adviceDamage = "in an ensemble: zkctl server rejoin; standalone: restore a backup, or zkctl txnlog cut at the last good zxid and lose what follows"
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

func (v *verifier) damaged(l *storage.LogReader, d *storage.DamageError, newest bool) error {
	what := string(d.Flaw)
	if !newest {
		switch d.Flaw {
		case storage.FlawShort, storage.FlawMarker: // how an Apache server leaves a file; the next must go on
			v.find(Note, d.Path, d.Offset, what, "")
		default:
			v.find(Damage, d.Path, d.Offset, what+"; newer log files follow", adviceDamage)
		}
		return nil
	}
	why, err := l.Torn(d)
	if err != nil {
		return err
	}
	if why == "" {
		v.find(Torn, d.Path, d.Offset, what, adviceTorn)
		return nil
	}
	v.find(Damage, d.Path, d.Offset, what+"; this is no torn end, since "+why, adviceDamage)
	return nil
}

func (v *verifier) find(g Grade, file string, at int64, what, do string) {
	v.report.Findings = append(v.report.Findings, Finding{Grade: g, File: file, Offset: at, Zxid: Zxid(v.last), What: what, Do: do})
}
