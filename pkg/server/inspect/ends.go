package inspect

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/zkctl/zkctl/pkg/server/storage"
	"github.com/zkctl/zkctl/pkg/server/storage/disk"
)

// endings tell how the log files of one reading end.
type endings struct {
	ctx      context.Context
	fs       disk.FS
	logs     []string
	findings []Finding
	last     int64 // zxid of the last record that was read, of whichever file
}

func newEndings(ctx context.Context, logs []string) *endings {
	return &endings{ctx: ctx, fs: disk.OS{}, logs: logs, findings: []Finding{}}
}

// each calls visit with the records of file i, and returns where the last one that
// can be read ends, and the file's length. How it ends, if not well, is among the
// findings then; an error is the disk's or that of visit. errSkip from visit passes
// over the rest of the file.
func (e *endings) each(i int, visit func(at int64, rec storage.Record) error) (end, size int64, err error) {
	l, err := storage.OpenLogOn(e.fs, e.logs[i])
	if err != nil {
		return 0, 0, err
	}
	defer l.Close()
	err = eachRecordOf(e.ctx, l, func(at int64, rec storage.Record) error {
		err := visit(at, rec)
		if err == nil {
			e.last = rec.Zxid
		}
		return err
	})
	var d *storage.DamageError
	switch {
	case errors.Is(err, errSkip):
		err = nil
	case errors.As(err, &d) && d.Path == e.logs[i]:
		err = e.damaged(l, d, i)
	}
	return l.Offset(), l.Size(), err
}

// goesOn judges a torn end of an older file by the next record: Apache's servers
// leave such ends, too, but only where nothing is lost by it.
func (e *endings) goesOn(zxid int64) {
	if len(e.findings) == 0 {
		return
	}
	f := &e.findings[len(e.findings)-1]
	if f.Grade == Note && f.Zxid == Zxid(e.last) && zxid > e.last && !storage.Follows(e.last, zxid) {
		f.Grade, f.Do = Damage, adviceDamage
		f.What += fmt.Sprintf("; transactions are missing: the next file goes on with %v", Zxid(zxid))
	}
}

// find notes what is wrong at a place.
func (e *endings) find(g Grade, file string, at int64, what, do string) {
	e.findings = append(e.findings, Finding{Grade: g, File: file, Offset: at, Zxid: Zxid(e.last), What: what, Do: do})
}

// unknown notes a record whose checksum is right and whose contents are not.
func (e *endings) unknown(file string, at int64, err error) {
	e.find(Damage, file, at, fmt.Sprintf("a record that no server up to 3.9 writes (%v)", err), adviceDamage)
}

// empty notes a file without records.
func (e *endings) empty(file string, size int64) {
	what := "the file holds no transaction"
	switch {
	case size == 0:
		what = "the file is empty"
	case size < 16:
		what = "the file is shorter than the header of a log"
	}
	e.find(Note, file, 0, what, "")
}

// errSkip passes over the rest of a file.
var errSkip = errors.New("skip the rest of the file")

// damaged judges damage at the end of what can be read of file i.
func (e *endings) damaged(l *storage.LogReader, d *storage.DamageError, i int) error {
	what := string(d.Flaw)
	if d.Flaw == storage.FlawHeader {
		what, do, err := foreign(e.fs, d.Path)
		e.find(Damage, d.Path, d.Offset, what, do)
		return err
	}
	newest, err := e.newest(i)
	switch {
	case err != nil:
		return err
	case !newest && (d.Flaw == storage.FlawShort || d.Flaw == storage.FlawMarker):
		e.find(Note, d.Path, d.Offset, what, "") // how an Apache server leaves a file; the next must go on
		return nil
	case !newest:
		e.find(Damage, d.Path, d.Offset, what+"; newer log files follow", adviceDamage)
		return nil
	}
	why, err := l.Torn(d)
	switch {
	case err != nil:
		return err
	case why == "":
		e.find(Torn, d.Path, d.Offset, what, adviceTorn)
	default:
		e.find(Damage, d.Path, d.Offset, what+"; this is no torn end, since "+why, adviceDamage)
	}
	return nil
}

// newest tells whether no file behind that one has a record.
func (e *endings) newest(i int) (bool, error) {
	for _, path := range e.logs[i+1:] {
		l, err := storage.OpenLogOn(e.fs, path)
		if err != nil {
			return false, err
		}
		_, err = l.Next()
		l.Close()
		if !errors.Is(err, io.EOF) {
			return false, nil // what is wrong with it is found again
		}
	}
	return true, nil
}

// foreign says what a file is that does not start like a log.
func foreign(fsys disk.FS, path string) (what, do string, err error) {
	head, err := headOf(fsys, path)
	if err != nil {
		return "", "", err
	}
	switch {
	case bytes.HasPrefix(head, []byte("ZKSN")):
		return "it is a snapshot, not a transaction log", "zkctl snapshot dump " + path, nil
	case bytes.HasPrefix(head, []byte{0x1f, 0x8b}):
		return "it is compressed, which no server does to a log", "gunzip it first, or a snapshot: zkctl snapshot dump " + path, nil
	case bytes.HasPrefix(head, []byte("\x82SNAPPY\x00")):
		return "it is a compressed snapshot, not a transaction log", "zkctl snapshot dump " + path, nil
	}
	return string(storage.FlawHeader), adviceDamage, nil
}

// headOf is how a file starts.
func headOf(fsys disk.FS, path string) ([]byte, error) {
	f, err := fsys.OpenFile(path, 0, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b := make([]byte, 16)
	n, err := f.ReadAt(b, 0)
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return b[:n], err
}

// eachRecordOf calls visit with every record and its offset.
func eachRecordOf(ctx context.Context, l *storage.LogReader, visit func(int64, storage.Record) error) error {
	for n := 0; ; n++ {
		at := l.Offset()
		rec, err := l.Next()
		if errors.Is(err, io.EOF) {
			return ctx.Err()
		}
		if err == nil && n%256 == 0 {
			err = ctx.Err()
		}
		if err == nil {
			err = visit(at, rec)
		}
		if err != nil {
			return err
		}
	}
}
