package fourletter

import (
	"fmt"
	"io"
	"strconv"
	"strings"
)

// ZxidDigest is the digest that a server's tree had after a transaction.
type ZxidDigest struct {
	Zxid   Zxid
	Digest uint64
}

// HashAnswer lists the digests that a server remembers, oldest first. Source:
// DigestCommand.java.
type HashAnswer struct{ Digests []ZxidDigest }

// Write prints the answer to hash. Java prints digests as signed numbers.
func (a HashAnswer) Write(w io.Writer) error {
	var b strings.Builder
	for _, d := range a.Digests {
		fmt.Fprintf(&b, "%x: %d\n", uint64(d.Zxid), int64(d.Digest))
	}
	return flush(w, &b)
}

// ParseHash reads the answer to hash; a young server has none to tell.
func ParseHash(answer []byte) (HashAnswer, error) {
	var a HashAnswer
	if len(answer) == 0 {
		return a, nil
	}
	s := newScan(Hash, answer)
	for s.more() {
		line := s.take()
		zxid, digest, ok := strings.Cut(line, ": ")
		z, zerr := strconv.ParseUint(zxid, 16, 64)
		d, derr := strconv.ParseInt(digest, 10, 64)
		if !ok || zerr != nil || derr != nil {
			s.fail(line)
			break
		}
		a.Digests = append(a.Digests, ZxidDigest{Zxid(z), uint64(d)})
	}
	return a, s.err
}
