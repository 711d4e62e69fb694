package config

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/zkctl/zkctl/pkg/spelling"
)

// Load reads zoo.cfg at path and the dynamicConfigFile it names, and checks both.
// The file myid is not read: a server calls [Config.ReadMyID] afterwards.
//
// When the configuration was read but is wrong, the error is a [Faults] with all
// that is wrong and the Config holds what could be understood, which is enough
// for a tool that only needs, say, the data directory.
//
// The sources set what Apache takes as Java system properties; see [Source].
func Load(path string, sources ...Source) (*Config, []Warning, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, nil, fmt.Errorf("read configuration: %w", err)
	}
	defer f.Close()
	return Parse(path, f, sources...)
}

// Parse is [Load] for text that is already open; name stands in its findings. A
// dynamicConfigFile in it is read from disk.
func Parse(name string, in io.Reader, sources ...Source) (*Config, []Warning, error) {
	text, err := io.ReadAll(in)
	if err != nil {
		return nil, nil, fmt.Errorf("read configuration %s: %w", name, err)
	}
	r := newReader(name)
	r.outside(sources)
	for _, p := range r.settle(r.properties(text, r.plain)) {
		r.key(p)
	}
	if r.cfg.DynamicConfigFile != "" {
		r.dynamicFile()
	}
	r.complete()
	r.validate()
	return r.cfg, r.warnings, r.faults.asError()
}

// reader gathers a Config and what is to be said about it.
type reader struct {
	cfg        *Config
	file       string // the file being read
	keys       *catalogue
	defaults   *Config
	serverLine map[int64]int
	outer      []string // keys that sources set, in their order
	faults     Faults
	warnings   []Warning
}

func newReader(name string) *reader {
	r := &reader{cfg: defaults(), file: name, keys: newCatalogue(), defaults: defaults(), serverLine: map[int64]int{}}
	r.cfg.File = name
	return r
}

func (r *reader) fault(line int, key, problem, do string) {
	file, line := r.place(line, key)
	r.faults = append(r.faults, Fault{file, line, key, problem, do})
}

func (r *reader) warn(line int, key, problem, do string) {
	file, line := r.place(line, key)
	r.warnings = append(r.warnings, Warning{file, line, key, problem, do})
}

// properties gives the trimmed keys of a file, each as named makes of it, and of a
// key that stands twice only the last.
func (r *reader) properties(text []byte, named func(Property) Property) []Property {
	props, bad := ParseProperties(text)
	for _, e := range bad {
		r.fault(e.Line, "", e.Problem, `write \\ for a backslash, or \u and four hexadecimal digits`)
	}
	last := map[string]int{}
	for i := range props {
		props[i] = named(Property{trim(props[i].Key), trim(props[i].Value), props[i].Line})
		if j, twice := last[props[i].Key]; twice {
			r.warn(props[j].Line, props[j].Key, fmt.Sprintf("stands again in line %d, which wins", props[i].Line), "remove one of the two lines")
			props[j].Line = 0
		}
		last[props[i].Key] = i
	}
	return slices.DeleteFunc(props, func(p Property) bool { return p.Line == 0 })
}

// key handles one key of zoo.cfg.
func (r *reader) key(p Property) {
	r.cfg.Raw[p.Key] = p.Value
	r.cfg.lines[p.Key] = p.Line
	if s, ok := r.keys.settings[p.Key]; ok {
		r.apply(s, p)
		return
	}
	switch reason := r.keys.withoutEffect(p.Key); {
	case isMemberKey(p.Key):
		r.member(p)
	case reason != "":
		r.warn(p.Line, p.Key, "has no effect: "+reason, "")
	case !isCollected(p.Key):
		r.unknown(p)
	}
}

func (r *reader) apply(s setting, p Property) {
	bad := s.set(r.cfg, p.Value)
	switch {
	case bad == nil:
		r.checkEffect(s, p)
	case s.lenient:
		r.warn(p.Line, p.Key, bad.problem, bad.do)
		r.checkEffect(s, p)
	default:
		r.fault(p.Line, p.Key, bad.problem, bad.do)
	}
}

// checkEffect warns of a key that was understood and that this
// server does not honour, unless it says what is so anyway.
func (r *reader) checkEffect(s setting, p Property) {
	reason := r.keys.withoutEffect(p.Key)
	switch {
	case reason == "" || s.get(r.cfg) == s.get(r.defaults) || p.Key == "admin.enableServer" && !r.cfg.Admin.Enabled:
	default:
		r.warn(p.Line, p.Key, "has no effect: "+reason, "")
	}
}

func (r *reader) unknown(p Property) {
	do := didYouMean(p.Key, "remove the line, or look for the name in the Administrator's Guide")
	if bare, ok := strings.CutPrefix(p.Key, javaPrefix); ok {
		do = fmt.Sprintf("in this file the name goes without the prefix: %s", bare)
	}
	r.warn(p.Line, p.Key, "is no key of zoo.cfg and is ignored", do)
}

// didYouMean suggests the known key that is nearest to a word; otherwise is what
// to say when none is near.
func didYouMean(word, otherwise string) string {
	names := []string{"server.1", "group.1", "weight.1"}
	for _, s := range settings() {
		names = append(names, s.name)
	}
	slices.Sort(names)
	if guess := spelling.Nearest(word, append(names, inertNames()...), max(1, len(word)/4)); guess != "" {
		return fmt.Sprintf("did you mean %s?", guess)
	}
	return otherwise
}

// dynamicFile reads the member list from its own file, which may hold nothing else.
func (r *reader) dynamicFile() {
	name := r.cfg.DynamicConfigFile
	text, err := os.ReadFile(name)
	if err != nil {
		r.fault(r.cfg.lines["dynamicConfigFile"], "dynamicConfigFile", err.Error(),
			"name a file that this user can read, or move the server lines into zoo.cfg and remove this key")
		return
	}
	r.refuseStaticMembers()
	r.file = name
	defer func() { r.file = r.cfg.File }()
	asIs := func(p Property) Property { return p }
	for _, p := range r.properties(text, asIs) {
		switch {
		case isMemberKey(p.Key):
			r.member(p)
		case p.Key == "version":
			r.fault(p.Line, p.Key, "the version of a dynamic file is the end of its name", "remove the line")
		default:
			r.fault(p.Line, p.Key, "a dynamic file holds only server, group and weight keys", "move the line to "+r.cfg.File)
		}
	}
	suffix := strings.TrimPrefix(filepath.Ext(name), ".")
	if version, err := strconv.ParseInt(suffix, 16, 64); err == nil {
		r.cfg.Version = version
	}
}

func (r *reader) refuseStaticMembers() {
	for _, key := range r.cfg.sortedKeys() {
		if isMemberKey(key) {
			r.fault(r.cfg.lines[key], key, "dynamicConfigFile is set, so it must be in that file", "move the line to "+r.cfg.DynamicConfigFile)
		}
	}
	r.cfg.Servers, r.cfg.Groups = nil, nil
	clear(r.cfg.Weights)
	clear(r.cfg.member)
	clear(r.serverLine)
}

// ReadMyID reads DataDir/myid, the number of this server, and with it settles
// ClientPort, ClientPortAddress and PeerType, which the member list may give as
// well. A standalone server has no number: MyID stays 0 and the file is not
// looked at. Source: QuorumPeerConfig.java, setupMyId, setupClientPort, setupPeerType.
func (c *Config) ReadMyID() ([]Warning, error) {
	if !c.Distributed() {
		return nil, nil
	}
	r := &reader{cfg: c, file: filepath.Join(c.DataDir, "myid")}
	id, ok := r.readMyID()
	if !ok {
		return nil, r.faults
	}
	self, listed := c.Server(id)
	if !listed {
		r.fault(1, "", fmt.Sprintf("server %d is not in the member list (%s)", id, c.ids()),
			fmt.Sprintf("write one of these numbers, or add server.%d to %s", id, c.memberFile()))
		return nil, r.faults
	}
	c.MyID = id
	r.file = c.File
	r.settleClientPort(self)
	r.settlePeerType(self)
	r.checkOwnPorts(self)
	return r.warnings, r.faults.asError()
}

func (r *reader) readMyID() (id int64, ok bool) {
	text, err := os.ReadFile(r.file)
	if errors.Is(err, fs.ErrNotExist) {
		r.fault(0, "", "the file is missing; it holds the number of this server", fmt.Sprintf("create it with one of %s, the one whose line names this host", r.cfg.ids()))
		return 0, false
	}
	if err != nil {
		r.fault(0, "", err.Error(), "make it a file that this user can read")
		return 0, false
	}
	line, _, _ := strings.Cut(string(text), "\n")
	line = strings.TrimSuffix(line, "\r")
	id, err = strconv.ParseInt(line, 10, 64)
	switch {
	case trim(line) == "":
		r.fault(1, "", "the first line is blank", "write the number of this server, one of "+r.cfg.ids())
	case err != nil && trim(line) != line:
		r.fault(1, "", fmt.Sprintf("%q has blanks around it, which Apache ZooKeeper refuses as well", line), "write the number alone")
	case err != nil:
		r.fault(1, "", fmt.Sprintf("%q is not a number", line), "write the number of this server, one of "+r.cfg.ids())
	default:
		return id, true
	}
	return 0, false
}

func (c *Config) ids() string {
	ids := make([]string, len(c.Servers))
	for i, s := range c.Servers {
		ids[i] = strconv.FormatInt(s.ID, 10)
	}
	return strings.Join(ids, ", ")
}

func (c *Config) memberFile() string {
	if c.DynamicConfigFile != "" {
		return c.DynamicConfigFile
	}
	return c.File
}
