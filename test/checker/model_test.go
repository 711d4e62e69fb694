package checker

import (
	"fmt"
	"testing"

	"github.com/anishathalye/porcupine"
)

// kind is what a client does to a register.
type kind int

const (
	read kind = iota
	create
	set // whatever the version
	swap
	remove
)

func (k kind) String() string {
	return [...]string{"read", "create", "set", "swap", "remove"}[k]
}

// input is an operation on a register.
type input struct {
	kind    kind
	key     string
	value   string // to be written
	version int32  // that swap expects
}

// output is what came of it.
type output struct {
	unknown bool   // the client was not told
	err     string // "", or a refusal: "no node", "node exists", "bad version"
	value   string // read
	version int32  // of the znode afterwards
}

const (
	noNode     = "no node"
	nodeExists = "node exists"
	badVersion = "bad version"
)

// register is a znode's state.
type register struct {
	exists  bool
	value   string
	version int32
}

// step is what an operation makes of a register, and what it answers.
func (r register) step(in input) (register, output) {
	switch {
	case in.kind == create && r.exists:
		return r, output{err: nodeExists}
	case in.kind == create:
		return register{true, in.value, 0}, output{}
	case !r.exists:
		return r, output{err: noNode}
	case in.kind == read:
		return r, output{value: r.value, version: r.version}
	case in.kind == remove:
		return register{}, output{}
	case in.kind == swap && in.version != r.version:
		return r, output{err: badVersion}
	}
	next := register{true, in.value, r.version + 1}
	return next, output{version: next.version}
}

// registers is the model: every key is a register that does not exist at first.
// An operation of which the client was told nothing may have been done at any
// later time. It may also never be done; that is the same as at the end of time,
// when nobody looks.
func registers() porcupine.Model {
	return porcupine.Model{
		Partition: byKey,
		Init:      func() any { return register{} },
		Step: func(state, in, out any) (bool, any) {
			next, want := state.(register).step(in.(input))
			got := out.(output)
			return got.unknown || got == want, next
		},
		DescribeOperation: func(in, out any) string { return describe(in.(input), out.(output)) },
		DescribeState:     func(state any) string { return fmt.Sprintf("%+v", state) },
	}
}

func byKey(history []porcupine.Operation) [][]porcupine.Operation {
	index := make(map[string]int)
	var parts [][]porcupine.Operation
	for _, op := range history {
		key := op.Input.(input).key
		i, ok := index[key]
		if !ok {
			i = len(parts)
			index[key] = i
			parts = append(parts, nil)
		}
		parts[i] = append(parts[i], op)
	}
	return parts
}

func describe(in input, out output) string {
	what := fmt.Sprintf("%v %s", in.kind, in.key)
	switch in.kind {
	case create, set:
		what += " " + in.value
	case swap:
		what += fmt.Sprintf(" %s if v%d", in.value, in.version)
	case read, remove:
	}
	switch {
	case out.unknown:
		return what + ": unknown"
	case out.err != "":
		return what + ": " + out.err
	}
	return fmt.Sprintf("%s: %s v%d", what, out.value, out.version)
}

// The model itself: histories that are right, and others that must be refused.
func TestModel(t *testing.T) {
	op := func(call, ret int64, in input, out output) porcupine.Operation {
		return porcupine.Operation{Input: in, Output: out, Call: call, Return: ret}
	}
	const never = 1 << 60
	made := op(1, 2, input{kind: create, value: "a"}, output{})
	lost := op(3, never, input{kind: set, value: "b"}, output{unknown: true})
	sees := func(at int64, value string, version int32) porcupine.Operation {
		return op(at, at+1, input{kind: read}, output{value: value, version: version})
	}
	for _, c := range []struct {
		name    string
		history []porcupine.Operation
		want    bool
	}{
		{"read of what was written", []porcupine.Operation{made, sees(5, "a", 0)}, true},
		{"read before it is written", []porcupine.Operation{sees(-5, "a", 0), made}, false},
		{"unknown, not done", []porcupine.Operation{made, lost, sees(5, "a", 0), sees(7, "a", 0)}, true},
		{"unknown, done late", []porcupine.Operation{made, lost, sees(5, "a", 0), sees(7, "b", 1)}, true},
		{"unknown, done and undone", []porcupine.Operation{made, lost, sees(5, "b", 1), sees(7, "a", 0)}, false},
		{"acknowledged and lost", []porcupine.Operation{made, op(3, 4, input{kind: set, value: "b"}, output{version: 1}), sees(5, "a", 0)}, false},
		{"swapped twice from one version", []porcupine.Operation{made,
			op(3, 4, input{kind: swap, value: "b"}, output{version: 1}), op(5, 6, input{kind: swap, value: "c"}, output{version: 1})}, false},
		{"refused in its turn", []porcupine.Operation{made,
			op(3, 4, input{kind: swap, value: "b"}, output{version: 1}), op(5, 6, input{kind: swap, value: "c"}, output{err: badVersion})}, true},
		{"created twice", []porcupine.Operation{made, op(3, 4, input{kind: create}, output{})}, false},
		{"created, removed, created", []porcupine.Operation{made,
			op(3, 4, input{kind: remove}, output{}), op(5, 6, input{kind: create, value: "c"}, output{}), sees(7, "c", 0)}, true},
	} {
		if got := porcupine.CheckOperations(registers(), c.history); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}
