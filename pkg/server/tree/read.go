package tree

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/zkctl/zkctl/pkg/server/jute"
	"github.com/zkctl/zkctl/pkg/server/proto"
)

// ErrMalformed is wrapped by the errors of [Read] about bytes that no server
// writes. A stream that ends early gives io.ErrUnexpectedEOF instead.
var ErrMalformed = errors.New("malformed snapshot")

const (
	readStep   = 1 << 16 // most that is allocated before its bytes have come
	maxLoadACL = 1 << 62 // highest ACL id taken from a snapshot
	maxACLs    = 1 << 16 // entries of one ACL
)

// Read reads the stream that [Snapshot.WriteTo] and Java servers write, up to
// and with its terminator and not a byte further. Its reads are small: hand in
// a bufio.Reader or the like. The caller sets the zxid ([Tree.SetLastZxid]).
//
// A znode whose ACL is not listed, as in fuzzy snapshots of Java servers, is
// closed to all but the super user until its create transaction is replayed
// (see [Tree.ClosedCount]). System znodes that are missing are added. Errors
// tell the offset, from where r stood, and the path.
func Read(r io.Reader, o Options) (*Tree, error) {
	d := &reader{r: r, t: newTree(o), acls: make(map[int64]*aclEntry)}
	err := d.sessions()
	if err == nil {
		err = d.aclTable()
	}
	if err == nil {
		err = d.nodes()
	}
	if err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return nil, fmt.Errorf("snapshot at byte %d, in %s: %w", d.offset, d.place(), err)
	}
	t := d.t
	t.acls.purge(t.epoch.Load())
	t.ensureSystem()
	t.loadQuotas()
	return t, nil
}

// reader reads a snapshot into t.
type reader struct {
	r      io.Reader
	t      *Tree
	acls   map[int64]*aclEntry // as listed
	offset int64
	where  string // what is being read, for errors: a part,
	path   string // the znode read last,
	whole  bool   // and whether all of it was read
	rooted bool   // the root was read
	fixed  [storedSize]byte

	parentPath string // of the znode read last, and where it is
	parent     *Node
}

// place says in which part of the stream the reader is.
func (d *reader) place() string {
	switch {
	case d.where != "znode":
		return d.where
	case d.whole:
		return fmt.Sprintf("what follows znode %q", d.path)
	}
	return fmt.Sprintf("znode %q", d.path)
}

func (d *reader) sessions() error {
	d.where = "session table"
	n, err := d.count()
	for ; err == nil && n > 0; n-- {
		var b []byte
		if b, err = d.take(12); err == nil {
			d.t.addSession(session{
				id:      int64(binary.BigEndian.Uint64(b)),
				timeout: int32(binary.BigEndian.Uint32(b[8:])),
			})
		}
	}
	return err
}

func (d *reader) aclTable() error {
	d.where = "ACL table"
	n, err := d.count()
	for ; err == nil && n > 0; n-- {
		err = d.aclEntry()
	}
	return err
}

func (d *reader) aclEntry() error {
	b, err := d.take(8)
	if err != nil {
		return err
	}
	id := int64(binary.BigEndian.Uint64(b))
	n, err := d.count()
	if err != nil {
		return err
	}
	if n > maxACLs {
		return fmt.Errorf("%w: ACL %d has %d entries", ErrMalformed, id, n)
	}
	list := make([]proto.ACL, 0, min(n, 16))
	for range n {
		b, err := d.take(4)
		if err != nil {
			return err
		}
		a := proto.ACL{Perms: int32(binary.BigEndian.Uint32(b))}
		if a.ID.Scheme, err = d.string(); err != nil {
			return err
		}
		if a.ID.ID, err = d.string(); err != nil {
			return err
		}
		list = append(list, a)
	}
	if _, twice := d.acls[id]; twice || id < 1 || id > maxLoadACL {
		return fmt.Errorf("%w: ACL id %d is out of range or listed twice", ErrMalformed, id)
	}
	d.acls[id] = d.t.acls.load(d.t.epoch.Load(), id, list)
	return nil
}

func (d *reader) nodes() error {
	d.where = "znode"
	for {
		path, err := d.string()
		if err != nil {
			return err
		}
		if path == "/" {
			return nil
		}
		d.path, d.whole = path, false
		if err := d.node(path); err != nil {
			return err
		}
		d.whole = true
	}
}

func (d *reader) node(path string) error {
	data, err := d.buffer()
	if err != nil {
		return err
	}
	b, err := d.take(storedSize)
	if err != nil {
		return err
	}
	dec := jute.NewDecoder(b)
	acl := d.useACL(dec.Long())
	var p Persisted
	p.Czxid, p.Mzxid, p.Ctime, p.Mtime = dec.Long(), dec.Long(), dec.Long(), dec.Long()
	p.Version, p.Cversion, p.Aversion = dec.Int(), dec.Int(), dec.Int()
	p.Owner, p.Pzxid = dec.Long(), dec.Long()
	if path == "" {
		return d.setRoot(data, p, acl)
	}
	n := &Node{data: data}
	n.setPersisted(p)
	return d.attach(path, n, acl)
}

func (d *reader) attach(path string, n *Node, acl *aclEntry) error {
	parentPath, name, ok := split(path)
	if !ok {
		return fmt.Errorf("%w: not a path", ErrMalformed)
	}
	if d.parent == nil || parentPath != d.parentPath {
		if d.parent = d.t.edit(parentPath); d.parent == nil {
			return fmt.Errorf("%w: the znode comes before its parent", ErrMalformed)
		}
		d.parentPath = parentPath
	}
	if _, twice := d.parent.kids.get(nodeName(name)); twice {
		return fmt.Errorf("%w: the znode is there twice", ErrMalformed)
	}
	d.t.attachTo(d.parent, path, name, n, acl)
	return nil
}

func (d *reader) setRoot(data []byte, p Persisted, acl *aclEntry) error {
	t := d.t
	if d.rooted {
		return fmt.Errorf("%w: the root is there twice", ErrMalformed)
	}
	d.rooted = true
	t.acls.drop(t.epoch.Load(), t.root.acl)
	t.root.setPersisted(p)
	t.root.data, t.root.acl = data, acl
	t.dataSize += int64(len(data))
	t.rehash("", t.root)
	return nil
}

// useACL counts one more user of the ACL that is listed as id.
func (d *reader) useACL(id int64) *aclEntry {
	e, ok := d.acls[id]
	switch {
	case id == openACL:
		e = d.t.acls.open
	case !ok:
		return d.t.acls.useClosed(d.t.epoch.Load())
	}
	e.refs++
	return e
}

// take reads up to storedSize bytes; they are good until the next call.
func (d *reader) take(n int) ([]byte, error) {
	got, err := io.ReadFull(d.r, d.fixed[:n])
	d.offset += int64(got)
	return d.fixed[:n], err
}

func (d *reader) count() (int, error) {
	b, err := d.take(4)
	n := int32(binary.BigEndian.Uint32(b))
	if err == nil && n < 0 {
		err = fmt.Errorf("%w: count of %d", ErrMalformed, n)
	}
	return int(n), err
}

func (d *reader) string() (string, error) {
	b, err := d.buffer()
	return string(b), err
}

// buffer reads a buffer or string of any length and allocates as it comes.
func (d *reader) buffer() ([]byte, error) {
	b, err := d.take(4)
	n := int(int32(binary.BigEndian.Uint32(b)))
	switch {
	case err != nil || n == -1:
		return nil, err
	case n < 0:
		return nil, fmt.Errorf("%w: length of %d", ErrMalformed, n)
	}
	v := make([]byte, 0, min(n, readStep))
	for len(v) < n {
		at, step := len(v), min(n-len(v), max(len(v), readStep))
		v = slices.Grow(v, step)[:at+step]
		got, err := io.ReadFull(d.r, v[at:])
		d.offset += int64(got)
		if err != nil {
			return nil, err
		}
	}
	return v, nil
}
