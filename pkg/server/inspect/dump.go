package inspect

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/zkctl/zkctl/pkg/server/storage"
	"github.com/zkctl/zkctl/pkg/server/storage/disk"
)

// DumpOptions say what of a log is wanted.
type DumpOptions struct {
	Filter Filter
	Data   bool // with the content of znodes
}

// Dump reads log files in order and calls visit with each transaction that the
// filter chooses. It holds one record at a time. An error wraps
// [storage.ErrCorrupt] where a file is damaged; a file that ends inside a record,
// as the newest one of a running server may, is that too.
func Dump(ctx context.Context, logs []string, o DumpOptions, visit func(*Entry) error) error {
	for _, path := range logs {
		err := eachRecord(ctx, path, func(at int64, rec storage.Record) error {
			if to := o.Filter.To; to != 0 && uint64(rec.Zxid) > uint64(to) {
				return nil // need not be decoded
			}
			e, err := newEntry(path, at, rec, o.Data)
			if err != nil {
				return fmt.Errorf("%s: %w at offset %d: %w", path, storage.ErrCorrupt, at, err)
			}
			if !o.Filter.Match(&e) {
				return nil
			}
			return visit(&e)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// eachRecord calls visit with every record of a file and its offset.
func eachRecord(ctx context.Context, path string, visit func(int64, storage.Record) error) error {
	return eachRecordOn(ctx, disk.OS{}, path, visit)
}

func eachRecordOn(ctx context.Context, fsys disk.FS, path string, visit func(int64, storage.Record) error) error {
	l, err := storage.OpenLogOn(fsys, path)
	if err != nil {
		return err
	}
	defer l.Close()
	for {
		at := l.Offset()
		rec, err := l.Next()
		if errors.Is(err, io.EOF) {
			return ctx.Err()
		}
		if err == nil {
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
