package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strconv"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/zkctl/zkctl/pkg/server/proto"
	"github.com/zkctl/zkctl/pkg/server/storage"
	"github.com/zkctl/zkctl/pkg/server/tree"
	"github.com/zkctl/zkctl/pkg/server/txn"
)

// tornLog writes a log with the transactions 0x1 to 0x3, and the first bytes of a
// record as an Apache server that was killed leaves them.
func tornLog(ts *testscript.TestScript, _ bool, args []string) {
	path := ts.MkAbs(args[0])
	dir := filepath.Join(filepath.Dir(path), "made")
	s, err := storage.Open(storage.Options{DataDir: dir, PreAllocKB: 0})
	ts.Check(err)
	_, err = s.Recover(context.Background())
	ts.Check(err)
	t := tree.New(tree.Options{})
	for _, x := range []*txn.Txn{
		{Header: txn.Header{ClientID: 7, Zxid: 1, Time: 1, Type: proto.OpCreateSession}, Body: &txn.CreateSession{Timeout: 1000}},
		{Header: txn.Header{ClientID: 7, Zxid: 2, Time: 2, Type: proto.OpCreate}, Body: &txn.Create{Path: "/a", Data: []byte("a"), ACL: proto.WorldAnyone(), ParentCVersion: 1}},
		{Header: txn.Header{ClientID: 7, Zxid: 3, Time: 3, Type: proto.OpCreate}, Body: &txn.Create{Path: "/b", ACL: proto.WorldAnyone(), ParentCVersion: 2}},
	} {
		t.Apply(x)
		t.SetLastZxid(x.Zxid)
		x.Digest = &txn.Digest{Version: txn.DigestVersion, Tree: t.Digest()}
		ts.Check(s.Append([]storage.Record{{Zxid: x.Zxid, Data: x.Append(nil)}}))
	}
	ts.Check(s.Close())
	text, err := os.ReadFile(filepath.Join(dir, storage.VersionDir, "log.1"))
	ts.Check(err)
	ts.Check(os.RemoveAll(dir))
	clear(text[8:16]) // the mark, which Apache's logs do not have
	end := bytes.LastIndexByte(text, 'B') + 1
	text = append(text[:end], text[16:40]...)
	ts.Check(os.WriteFile(path, text, 0o644))
}

// flipBit damages a file.
func flipBit(ts *testscript.TestScript, _ bool, args []string) {
	at, err := strconv.Atoi(args[1])
	ts.Check(err)
	path := ts.MkAbs(args[0])
	text, err := os.ReadFile(path)
	ts.Check(err)
	text[at] ^= 4
	ts.Check(os.WriteFile(path, text, 0o644))
}
