package watch

import "github.com/zkctl/zkctl/pkg/server/proto"

// Wish is a list of setWatches that a path is in: what the client watched
// before it reconnected.
type Wish uint8

// The lists that may cause an event at once. Persistent watches are just left.
const (
	WishData  Wish = iota // the znode was there: getData or exists
	WishExist             // the znode was not there: exists
	WishChild             // getChildren
)

// Table is where the watch goes when there is nothing to tell.
func (w Wish) Table() Table {
	if w == WishChild {
		return Child
	}
	return Data
}

// Missed says whether a client that saw everything up to the zxid since has
// missed an event, and which. exists tells whether the znode is there; mzxid
// and pzxid are its own. When nothing was missed the watch is to be left in
// [Wish.Table] (DataTree.setWatches).
func (w Wish) Missed(since int64, exists bool, mzxid, pzxid int64) (proto.EventType, bool) {
	switch {
	case w == WishExist:
		return proto.EventCreated, exists
	case !exists:
		return proto.EventDeleted, true
	case w == WishChild:
		return proto.EventChildrenChanged, pzxid > since
	}
	return proto.EventDataChanged, mzxid > since
}
