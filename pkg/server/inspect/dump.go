package inspect

import (
	"context"

	"github.com/zkctl/zkctl/pkg/server/storage"
	"github.com/zkctl/zkctl/pkg/server/storage/disk"
)

// DumpOptions say what of a log is wanted.
type DumpOptions struct {
	Filter Filter
	Data   bool // with the content of znodes
}

// Dump reads log files in order and calls visit with each transaction that the
// filter chooses. It holds one record at a time. What cannot be read is among the
// findings, not skipped: a torn end, as the newest file of a running or a killed
// server may have it, damage, or that there was no transaction at all. After damage it
// goes on with the next file. The error is the disk's, or that of visit.
func Dump(ctx context.Context, logs []string, o DumpOptions, visit func(*Entry) error) ([]Finding, error) {
	ends, sizes, any := newEndings(ctx, logs), make([]int64, len(logs)), false
	for i, path := range logs {
		_, size, err := ends.each(i, func(at int64, rec storage.Record) error {
			any = true
			ends.goesOn(rec.Zxid)
			if to := o.Filter.To; to != 0 && uint64(rec.Zxid) > uint64(to) {
				return errSkip // zxids rise in a file
			}
			e, err := newEntry(path, at, rec, o.Data)
			if err != nil {
				ends.unknown(path, at, err)
				return nil
			}
			if !o.Filter.Match(&e) {
				return nil
			}
			return visit(&e)
		})
		if err != nil {
			return ends.findings, err
		}
		sizes[i] = size
	}
	if !any && len(ends.findings) == 0 {
		for i, path := range logs {
			ends.empty(path, sizes[i])
		}
	}
	return ends.findings, nil
}

// eachRecordOn calls visit with every record of a file and its offset.
func eachRecordOn(ctx context.Context, fsys disk.FS, path string, visit func(int64, storage.Record) error) error {
	l, err := storage.OpenLogOn(fsys, path)
	if err != nil {
		return err
	}
	defer l.Close()
	return eachRecordOf(ctx, l, visit)
}
