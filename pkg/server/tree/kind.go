package tree

import "math"

// Kind is what sort of znode a stored ephemeralOwner makes.
type Kind uint8

// The kinds of znodes (EphemeralType.java).
const (
	Persistent Kind = iota
	Ephemeral       // goes with its session
	Container       // goes when its last child has gone
	TTL             // goes when it has no children and was not written for a while
)

// ContainerOwner is the stored owner of containers.
const ContainerOwner int64 = math.MinInt64

// MaxTTL is the longest time to live of a znode, in ms.
const MaxTTL int64 = 1<<40 - 1

const (
	ttlMask    uint64 = 0xff << 56   // marks the owner of a TTL znode
	ttlFeature uint64 = 0xffff << 40 // 0 in the owner of a TTL znode
)

// TTLOwner is the stored owner of a znode that lives ttl ms, and whether ttl
// is in range (1 to [MaxTTL]).
func TTLOwner(ttl int64) (int64, bool) {
	if ttl <= 0 || ttl > MaxTTL {
		return 0, false
	}
	return int64(ttlMask | uint64(ttl)), true
}

// Options change how stored znodes are read.
type Options struct {
	// ExtendedTypes is zookeeper.extendedTypesEnabled: owners that start with
	// 0xff are times to live. Without it they are sessions, as in Apache.
	ExtendedTypes bool
	// Emulate353TTL is zookeeper.emulate353TTLNodes, which counts only with
	// ExtendedTypes: every negative owner but [ContainerOwner] is a time to
	// live, as release 3.5.3 wrote it.
	Emulate353TTL bool
}

// KindOf tells what a stored owner means.
func (o Options) KindOf(owner int64) Kind {
	switch {
	case owner == 0:
		return Persistent
	case owner == ContainerOwner:
		return Container
	case o.isTTL(owner):
		return TTL
	}
	return Ephemeral
}

func (o Options) isTTL(owner int64) bool {
	if !o.ExtendedTypes {
		return false
	}
	if o.Emulate353TTL {
		return owner < 0
	}
	return uint64(owner)&(ttlMask|ttlFeature) == ttlMask
}

// ttlOf is the time to live, in ms, that the owner of a TTL znode stands for.
// Of a longer one that release 3.5.3 wrote the same bits count (EphemeralType.java,
// getExtendedFeatureValue).
func ttlOf(owner int64) int64 { return owner & MaxTTL }
