package tree

import (
	"encoding/binary"
	"hash/crc32"
	"strings"
)

// DigestVersion is the version of the digest that this package computes: a
// znode's is the CRC-32 of path, data, and the stored values; a tree's is the
// sum over its znodes modulo 2^64 (DigestCalculator.java, AdHash.java).
const DigestVersion = 2

// NodeDigest is the digest of a znode with these values. The root's path may
// be "" or "/". Below /zookeeper digests are 0. With it a leader works out the
// tree's digest after a transaction before applying it.
func NodeDigest(path string, data []byte, p Persisted) uint64 {
	var d digester
	n := Node{data: data}
	n.setPersisted(p)
	return uint64(d.of(path, &n))
}

// digester computes digests; buf spares an allocation each.
type digester struct {
	sum uint64 // of the tree
	buf []byte
}

func (d *digester) of(path string, n *Node) uint32 {
	if strings.HasPrefix(path, SystemPath+"/") {
		return 0
	}
	if path == "/" {
		path = ""
	}
	b := append(d.buf[:0], path...)
	crc := crc32.ChecksumIEEE(b)
	crc = crc32.Update(crc, crc32.IEEETable, n.data)
	b = b[:0]
	for _, v := range [...]int64{n.czxid, n.mzxid, n.pzxid, n.ctime, n.mtime} {
		b = binary.BigEndian.AppendUint64(b, uint64(v))
	}
	for _, v := range [...]int32{n.version, n.cversion, n.aversion} {
		b = binary.BigEndian.AppendUint32(b, uint32(v))
	}
	b = binary.BigEndian.AppendUint64(b, uint64(n.owner))
	d.buf = b
	return crc32.Update(crc, crc32.IEEETable, b)
}

// rehash brings a changed znode's digest up to date, and the tree's with it.
func (t *Tree) rehash(path string, n *Node) {
	old := n.digest
	n.digest = t.digest.of(path, n)
	t.digest.sum += uint64(n.digest) - uint64(old)
}
