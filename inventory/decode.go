package inventory

import (
	"maps"
	"reflect"
	"regexp"
	"slices"
	"sort"
	"strconv"
	"strings"
	"time"
)

// places remembers where each value of an inventory stands, by its path, such as hosts[1].ports.client.
type places struct {
	values map[string]*node
	keys   map[string]*node
}

// at returns the first of paths that stands in a file, or nil. It is safe on a nil receiver.
func (p *places) at(paths ...string) *node {
	if p == nil {
		return nil
	}
	for _, path := range paths {
		if n := p.values[path]; n != nil {
			return n
		}
	}
	return nil
}

// decoder fills an Inventory from a tree by the yaml and jsonschema tags of its types.
type decoder struct {
	r      *report
	places *places
	homes  map[string][]string // key -> the places the format has it at
	zoo    *keySet
}

// treeDecoder is a type that reads itself from a node.
type treeDecoder interface {
	decodeTree(d *decoder, n *node, path string)
}

func newDecoder(r *report) *decoder {
	d := &decoder{
		r:      r,
		places: &places{values: make(map[string]*node), keys: make(map[string]*node)},
		homes:  make(map[string][]string),
		zoo:    newKeySet(),
	}
	d.learn(reflect.TypeFor[Inventory](), "")
	return d
}

// field is one key of a mapping: its name, tags and where its value goes.
type field struct {
	name  string
	rules []string // of the jsonschema tag
	value reflect.Value
}

// fields lists the keys a struct takes, inlined ones included.
func fields(v reflect.Value) []field {
	var out []field
	for i := range v.NumField() {
		f := v.Type().Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		switch {
		case f.Anonymous:
			out = append(out, fields(v.Field(i))...)
		case f.IsExported() && name != "-":
			out = append(out, field{name, strings.Split(f.Tag.Get("jsonschema"), ","), v.Field(i)})
		}
	}
	return out
}

// learn notes the home of every key below t.
func (d *decoder) learn(t reflect.Type, prefix string) {
	for _, f := range fields(reflect.New(t).Elem()) {
		path := prefix + f.name
		d.homes[f.name] = append(d.homes[f.name], path)
		ft := f.value.Type()
		if ft.Kind() == reflect.Slice && ft.Elem().Kind() == reflect.Struct && ft != reflect.TypeFor[Config]() {
			ft, path = ft.Elem(), path+"[]"
		}
		if ft.Kind() == reflect.Struct {
			d.learn(ft, path+".")
		}
	}
}

// value decodes n into v, which must be settable.
func (d *decoder) value(n *node, path string, rules []string, v reflect.Value) {
	d.places.values[path] = n
	if own, ok := v.Addr().Interface().(treeDecoder); ok {
		own.decodeTree(d, n, path)
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		d.mapping(n, path, v)
	case reflect.Slice:
		d.list(n, path, v)
	case reflect.Pointer:
		target := reflect.New(v.Type().Elem())
		d.value(n, path, rules, target.Elem())
		v.Set(target)
	case reflect.Int:
		d.number(n, path, rules, v)
	case reflect.Bool:
		d.boolean(n, path, v)
	case reflect.String:
		d.text(n, path, rules, v)
	}
}

func (d *decoder) mapping(n *node, path string, v reflect.Value) {
	if n.kind == null {
		return
	}
	if n.kind != mapping {
		d.r.fault(n, "", "%s takes a mapping of keys, not %s", orTop(path), n.what())
		return
	}
	known := make(map[string]field)
	var names []string
	for _, f := range fields(v) {
		known[f.name] = f
		names = append(names, f.name)
	}
	for _, p := range n.pairs {
		f, ok := known[p.key.text]
		if !ok {
			d.unknown(p.key, path, names)
			continue
		}
		at := join(path, f.name)
		d.places.keys[at] = p.key
		d.value(p.value, at, f.rules, f.value)
	}
}

// unknown reports a key that its mapping does not take, with the likeliest right one.
func (d *decoder) unknown(key *node, path string, names []string) {
	hint := didYouMean(firstOf(synonym(key.text), key.text), names)
	if hint == "" {
		hint = d.home(key.text)
	}
	if hint == "" {
		sorted := append([]string(nil), names...)
		sort.Strings(sorted)
		hint = "known here: " + strings.Join(sorted, ", ")
	}
	if path == "" {
		d.r.fault(key, hint, "unknown key %q", key.text)
		return
	}
	d.r.fault(key, hint, "unknown key %q under %s", key.text, shown(path))
}

// home says where a key belongs that stands in the wrong place, or "".
func (d *decoder) home(key string) string {
	if home := closest(key, slices.Sorted(maps.Keys(d.homes))); home != "" && len(key) > 1 {
		return "it belongs at " + d.homes[home][0]
	}
	switch near := closest(key, d.zoo.withOwn()); {
	case near == "":
		return ""
	case elsewhere(near) != "":
		return elsewhere(near)
	default:
		return "zoo.cfg's " + near + " belongs under config"
	}
}

// synonym is the key that a word of another tool stands for, or "".
func synonym(word string) string {
	switch strings.ToLower(word) {
	case "myid", "serverid", "sid":
		return "id"
	case "host", "hostname", "ip":
		return "address"
	case "servers", "nodes", "members":
		return "hosts"
	case "proxyjump", "jumphost", "jump", "bastion":
		return "bastions"
	case "keypath", "keyfile", "privatekey", "identityfile":
		return "identityFiles"
	case "type", "peertype":
		return "role"
	case "snapretaincount", "retain":
		return "keep"
	case "cluster", "ensemble":
		return "name"
	}
	return ""
}

func (d *decoder) list(n *node, path string, v reflect.Value) {
	if n.kind == null {
		return
	}
	if n.kind != sequence {
		d.r.fault(n, "start each entry with a dash", "%s takes a list, not %s", shown(path), n.what())
		return
	}
	for i, item := range n.items {
		element := reflect.New(v.Type().Elem()).Elem()
		d.value(item, path+"["+strconv.Itoa(i)+"]", nil, element)
		v.Set(reflect.Append(v, element))
	}
}

// scalarText returns the text of a value that must be a single one.
func (d *decoder) scalarText(n *node, path, want string) (string, bool) {
	switch n.kind {
	case scalar:
		return n.text, !n.bad
	case null:
		d.r.fault(n, "leave the key out for the default", "%s has no value", shown(path))
	default:
		d.r.fault(n, "", "%s takes %s, not %s", shown(path), want, n.what())
	}
	return "", false
}

func (d *decoder) number(n *node, path string, rules []string, v reflect.Value) {
	text, ok := d.scalarText(n, path, "a whole number")
	if !ok {
		return
	}
	i, err := strconv.Atoi(text)
	if err != nil {
		d.r.fault(n, "", "%s takes a whole number, not %q", shown(path), text)
		return
	}
	low, hasLow := rule(rules, "minimum")
	high, hasHigh := rule(rules, "maximum")
	switch l, h := atoi(low), atoi(high); {
	case hasLow && hasHigh && (i < l || i > h):
		d.r.fault(n, "", "%s is %s to %s, not %d", shown(path), low, high, i)
	case hasLow && i < l:
		d.r.fault(n, "", "%s is at least %s, not %d", shown(path), low, i)
	default:
		v.SetInt(int64(i))
	}
}

func (d *decoder) boolean(n *node, path string, v reflect.Value) {
	text, ok := d.scalarText(n, path, "true or false")
	if !ok {
		return
	}
	switch text {
	case "true", "True", "TRUE":
		v.SetBool(true)
	case "false", "False", "FALSE":
		v.SetBool(false)
	default:
		hint := ""
		switch strings.ToLower(text) {
		case "yes", "on", "y", "1":
			hint = "did you mean true?"
		case "no", "off", "n", "0":
			hint = "did you mean false?"
		}
		d.r.fault(n, hint, "%s takes true or false, not %q", shown(path), text)
	}
}

func (d *decoder) text(n *node, path string, rules []string, v reflect.Value) {
	text, ok := d.scalarText(n, path, "a text")
	if !ok {
		return
	}
	if text == "" {
		d.r.fault(n, "leave the key out for the default", "%s is empty", shown(path))
		return
	}
	if i := strings.IndexFunc(text, func(r rune) bool { return r < ' ' || r == 0x7f }); i >= 0 {
		d.r.fault(n, "", "%s holds a line break or control character", shown(path))
		return
	}
	if words := enum(rules); len(words) > 0 {
		if !slices.Contains(words, text) {
			d.r.fault(n, didYouMean(text, words), "%s is %s, not %q", shown(path), strings.Join(words, " or "), text)
			return
		}
	}
	if pattern, ok := rule(rules, "pattern"); ok && !regexp.MustCompile(pattern).MatchString(text) {
		d.r.fault(n, "", "%s %q has letters it may not have (it must match %s)", shown(path), text, pattern)
		return
	}
	v.SetString(text)
}

func (s *Strings) decodeTree(d *decoder, n *node, path string) {
	switch n.kind {
	case null:
	case sequence:
		for i, item := range n.items {
			var text string
			d.value(item, path+"["+strconv.Itoa(i)+"]", nil, reflect.ValueOf(&text).Elem())
			*s = append(*s, text)
		}
	default:
		var text string
		d.value(n, path+"[0]", nil, reflect.ValueOf(&text).Elem())
		*s = append(*s, text)
	}
}

func (b *Bastions) decodeTree(d *decoder, n *node, path string) {
	items := []*node{n}
	switch n.kind {
	case null:
		return
	case sequence:
		items = n.items
	}
	for i, item := range items {
		var one Bastion
		at := path + "[" + strconv.Itoa(i) + "]"
		d.places.values[at] = item
		if item.kind == scalar {
			if item.bad {
				continue
			}
			one = d.jump(item, at)
		} else {
			d.mapping(item, at, reflect.ValueOf(&one).Elem())
			if one.Address == "" && d.places.at(at+".address") == nil {
				d.r.fault(item, "", "%s has no address", shown(at))
			}
		}
		*b = append(*b, one)
	}
}

// jump reads the short form of a bastion, [user@]host[:port]; an IPv6 address with a port stands in brackets.
func (d *decoder) jump(n *node, path string) Bastion {
	var b Bastion
	rest := n.text
	if i := strings.LastIndexByte(rest, '@'); i >= 0 {
		b.User, rest = rest[:i], rest[i+1:]
	}
	b.Address = rest
	if i := strings.LastIndexByte(rest, ':'); i >= 0 && (strings.Count(rest, ":") == 1 || strings.HasPrefix(rest, "[")) {
		port, err := strconv.Atoi(rest[i+1:])
		if err == nil && port >= 1 && port <= 65535 {
			b.Port, b.Address = port, rest[:i]
		} else if !strings.HasSuffix(rest, "]") {
			d.r.fault(n, "", "%s: %q is not a port, 1 to 65535", shown(path), rest[i+1:])
			return Bastion{}
		}
	}
	b.Address = strings.TrimSuffix(strings.TrimPrefix(b.Address, "["), "]")
	return b
}

func (t *Duration) decodeTree(d *decoder, n *node, path string) {
	text, ok := d.scalarText(n, path, "a time such as 10s")
	if !ok {
		return
	}
	v, err := time.ParseDuration(text)
	switch {
	case err != nil:
		hint := ""
		if _, bare := strconv.Atoi(text); bare == nil {
			hint = "did you mean " + text + "s?"
		}
		d.r.fault(n, hint, "%s takes a time such as 10s or 1m30s, not %q", shown(path), text)
	case v < time.Second || v > 24*time.Hour:
		d.r.fault(n, "", "%s is 1s to 24h, not %s", shown(path), text)
	default:
		*t = Duration(v)
	}
}

func (s *Schedule) decodeTree(d *decoder, n *node, path string) {
	var text string
	d.text(n, path, nil, reflect.ValueOf(&text).Elem())
	if text == "" {
		return
	}
	if err := Schedule(text).Check(); err != nil {
		d.r.fault(n, didYouMean(text, []string{"hourly", "daily", "weekly"}), "%s: %v", shown(path), err)
		return
	}
	*s = Schedule(text)
}

func (c *Config) decodeTree(d *decoder, n *node, path string) {
	switch n.kind {
	case null:
		return
	case mapping:
	default:
		d.r.fault(n, "", "%s takes a mapping of zoo.cfg keys, not %s", shown(path), n.what())
		return
	}
	for _, p := range n.pairs {
		at := join(path, p.key.text)
		d.places.values[at], d.places.keys[at] = p.value, p.key
		if s, ok := d.setting(p, at); ok {
			*c = append(*c, s)
		}
	}
}

// setting reads one zoo.cfg key.
func (d *decoder) setting(p pair, path string) (Setting, bool) {
	key := p.key.text
	if hint := elsewhere(key); hint != "" {
		d.r.fault(p.key, hint, "zkctl writes %s itself", key)
		return Setting{}, false
	}
	if !d.zoo.spelling.MatchString(key) {
		d.r.fault(p.key, "", "%q is not a zoo.cfg key", key)
		return Setting{}, false
	}
	value, ok := d.scalarText(p.value, path, "a single value")
	if !ok {
		return Setting{}, false
	}
	value = strings.TrimSpace(value)
	if strings.IndexFunc(value, func(r rune) bool { return r < ' ' || r == 0x7f }) >= 0 {
		d.r.fault(p.value, "", "%s holds a line break or control character", shown(path))
		return Setting{}, false
	}
	if !d.zoo.known(key) {
		d.unknownZooKey(p.key)
	}
	if wrong := d.zoo.check(key, value); wrong != "" {
		d.r.fault(p.value, "", "%s", wrong)
		return Setting{}, false
	}
	return Setting{key, value}, true
}

// unknownZooKey warns: Apache ZooKeeper takes any key and makes it a Java property, so it may still mean something.
func (d *decoder) unknownZooKey(key *node) {
	hint := didYouMean(strings.TrimPrefix(key.text, javaPrefix), d.zoo.withOwn())
	d.r.warn(key, hint, "%q is not a zoo.cfg key that zkctl knows; it is written as it stands", key.text)
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

// shown is a path as messages show it: the part that the caret does not tell already.
func shown(path string) string {
	if i := strings.LastIndexByte(path, ']'); i >= 0 && i < len(path)-1 {
		return strings.TrimPrefix(path[i+1:], ".")
	}
	if i := strings.LastIndexByte(path, '['); i >= 0 {
		if path[:i] == "hosts" {
			return "a host"
		}
		return "an entry of " + path[:i]
	}
	return path
}

func orTop(path string) string {
	if path == "" {
		return "an inventory"
	}
	return shown(path)
}

// rule returns the value of one rule of a jsonschema tag.
func rule(rules []string, name string) (string, bool) {
	for _, r := range rules {
		if k, v, _ := strings.Cut(r, "="); k == name {
			return v, true
		}
	}
	return "", false
}

// enum returns the words that a jsonschema tag allows.
func enum(rules []string) []string {
	var words []string
	for _, r := range rules {
		if k, v, _ := strings.Cut(r, "="); k == "enum" {
			words = append(words, v)
		}
	}
	return words
}

// atoi reads a number of a tag, which is one.
func atoi(text string) int {
	n, _ := strconv.Atoi(text)
	return n
}
