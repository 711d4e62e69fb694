package pipeline

import (
	"github.com/zkctl/zkctl/pkg/server/jute"
	"github.com/zkctl/zkctl/pkg/server/proto"
	"github.com/zkctl/zkctl/pkg/server/watch"
)

// setWatches registers again what a client watched on its last connection,
// and tells at once what it has missed since.
//
// Source: DataTree.java (setWatches).
func (c *Conn) setWatches(op proto.Op, d *jute.Decoder) error {
	var r proto.SetWatches
	r.Decode(d, op)
	if d.Err() != nil {
		return d.Err()
	}
	for _, l := range []struct {
		wish  watch.Wish
		paths []string
	}{{watch.WishData, r.Data}, {watch.WishExist, r.Exist}, {watch.WishChild, r.Child}} {
		if l.paths == nil { // a NullPointerException there, when those before are done
			return proto.ErrMarshalling
		}
		c.catchUp(r.RelativeZxid, l.wish, l.paths)
	}
	if op == proto.OpSetWatches2 && (r.Persistent == nil || r.PersistentRecursive == nil) {
		return proto.ErrMarshalling
	}
	for _, path := range r.Persistent {
		c.p.watches.AddPersistent(path, c, false)
	}
	for _, path := range r.PersistentRecursive {
		c.p.watches.AddPersistent(path, c, true)
	}
	return nil
}

// catchUp tells of each path what was missed since a zxid, or leaves a watch.
func (c *Conn) catchUp(since int64, wish watch.Wish, paths []string) {
	for _, path := range paths {
		n, exists := c.p.tree.Get(path)
		var mzxid, pzxid int64
		if exists {
			mzxid, pzxid = n.Mzxid(), n.Pzxid()
		}
		if typ, missed := wish.Missed(since, exists, mzxid, pzxid); missed {
			c.event(typ, path, -1)
		} else {
			c.p.watches.Add(path, c, wish.Table())
		}
	}
}

func (c *Conn) addWatch(d *jute.Decoder) (body, error) {
	var r proto.PathMode
	r.Decode(d)
	if d.Err() != nil {
		return nil, d.Err()
	}
	switch r.Mode {
	case proto.WatchPersistent, proto.WatchPersistentRecursive:
		c.p.watches.AddPersistent(r.Path, c, r.Mode == proto.WatchPersistentRecursive)
	default:
		return nil, proto.ErrMarshalling // the answer to any exception there
	}
	return func(b []byte) []byte { return jute.AppendInt(b, 0) }, nil
}

// removeWatches serves checkWatches and removeWatches.
func (c *Conn) removeWatches(op proto.Op, d *jute.Decoder) error {
	var r proto.PathMode
	r.Decode(d)
	if d.Err() != nil {
		return d.Err()
	}
	kind := watch.Kind(r.Mode)
	if !kind.Valid() {
		return proto.ErrMarshalling
	}
	found := false
	if op == proto.OpCheckWatches {
		found = c.p.watches.Contains(r.Path, c, kind)
	} else {
		found = c.p.watches.Remove(r.Path, c, kind)
	}
	if !found {
		return proto.ErrNoWatcher
	}
	return nil
}
