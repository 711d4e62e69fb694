package inventory

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// maxSize bounds one inventory file, in bytes.
const maxSize = 1 << 20

// Stdin is the path that means standard input, [Options].Stdin.
const Stdin = "-"

// Options is what an inventory may use of the world around it.
type Options struct {
	Stdin     io.Reader                   // what "-" reads; nil means "-" is refused
	LookupEnv func(string) (string, bool) // for ${NAME}, such as os.LookupEnv; nil knows no variable
	Home      string                      // what ~ stands for on this machine; empty means ~ is refused
}

// Source is the text of one inventory file.
type Source struct {
	Name string // as positions show it
	Dir  string // absolute folder that relative paths start from
	Text []byte
}

// Load reads the inventory files at paths, in order, as [Parse] does. "-" is standard input, whose relative
// paths start from the working folder.
func Load(opts Options, paths ...string) (*Inventory, error) {
	sources := make([]Source, 0, len(paths))
	for _, path := range paths {
		s, err := readSource(opts, path)
		if err != nil {
			return nil, err
		}
		sources = append(sources, s)
	}
	return Parse(opts, sources...)
}

func readSource(opts Options, path string) (Source, error) {
	if path == Stdin {
		if opts.Stdin == nil {
			return Source{}, fmt.Errorf("inventory: standard input cannot be read here; name a file instead of -")
		}
		dir, err := filepath.Abs(".")
		if err != nil {
			return Source{}, fmt.Errorf("inventory: working folder: %w", err)
		}
		return readAll(Source{Name: "<stdin>", Dir: dir}, opts.Stdin)
	}
	abs, err := filepath.Abs(path)
	if err != nil {
		return Source{}, fmt.Errorf("inventory %s: %w", path, err)
	}
	f, err := os.Open(path)
	if err != nil {
		return Source{}, fmt.Errorf("inventory: %w", err)
	}
	defer f.Close()
	return readAll(Source{Name: path, Dir: filepath.Dir(abs)}, f)
}

func readAll(s Source, r io.Reader) (Source, error) {
	text, err := io.ReadAll(io.LimitReader(r, maxSize+1))
	if err != nil {
		return s, fmt.Errorf("inventory %s: %w", s.Name, err)
	}
	s.Text = text
	return s, nil
}

// Parse makes one inventory of sources: where several set the same key the later wins, hosts of the same name
// are merged, lists are replaced. It returns every fault at once as an [*Error]. What is merely odd
// stands in Inventory.Warnings.
func Parse(opts Options, sources ...Source) (*Inventory, error) {
	if len(sources) == 0 {
		return nil, fmt.Errorf("inventory: no file given")
	}
	r := &report{}
	env := newExpander(opts.LookupEnv, r)
	order := make(map[string]int)
	var root *node
	var first *document
	for i, s := range sources {
		if len(s.Text) > maxSize {
			return nil, fmt.Errorf("inventory %s: larger than %d bytes", s.Name, maxSize)
		}
		doc := newDocument(s.Name, s.Dir, s.Text)
		if first == nil {
			first = doc
		}
		if _, again := order[s.Name]; !again {
			order[s.Name] = i
		}
		tree := parseTree(doc, s.Text, r)
		env.tree(tree)
		root = mergeTrees(root, tree)
	}
	if root == nil {
		if len(r.faults) == 0 {
			r.fault(first.at(1, 1), "zkctl init writes an example", "the inventory is empty")
		}
		return nil, r.err(order)
	}
	inv := decode(root, opts, r)
	sortProblems(r.warnings, order)
	inv.Warnings = r.warnings
	if err := r.err(order); err != nil {
		return nil, err
	}
	return inv, nil
}

// decode turns a tree into an inventory and checks it; what is wrong goes to r.
func decode(root *node, opts Options, r *report) *Inventory {
	d := newDecoder(r)
	inv := &Inventory{home: opts.Home, places: d.places}
	d.value(root, "", nil, valueOf(inv))
	if root.kind == mapping {
		if len(inv.Hosts) == 0 {
			at := d.places.at("hosts")
			if at == nil {
				at = root
			}
			if len(r.faults) == 0 || root.get("hosts") != nil {
				r.fault(at, "zkctl init writes an example", "an inventory lists at least one server under hosts")
			}
		}
		c := &checker{inv: inv, r: r}
		c.settings("", inv.Settings)
		for i := range inv.Hosts {
			c.host(i)
		}
		servers := inv.resolve(nil, r)
		c.ensemble(servers)
	}
	return inv
}
