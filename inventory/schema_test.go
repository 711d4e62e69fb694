package inventory_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"

	"github.com/zkctl/zkctl/inventory"
)

// object is a part of a JSON schema.
type object = map[string]any

func schema(t *testing.T) object {
	t.Helper()
	text, err := inventory.Schema()
	if err != nil {
		t.Fatal(err)
	}
	var s object
	if err := json.Unmarshal(text, &s); err != nil {
		t.Fatal(err)
	}
	return s
}

// TestSchemaTakesExamples holds the schema against every example file, and against files with one thing wrong.
func TestSchemaTakesExamples(t *testing.T) {
	root := schema(t)
	paths, err := filepath.Glob("*.yaml")
	if err != nil || len(paths) < 4 {
		t.Fatal(paths, err)
	}
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if wrong := validate(t, root, text); wrong != "" {
			t.Errorf("%s: %s", path, wrong)
		}
	}
	var example bytes.Buffer
	if err := inventory.Example(&example, "fd00::1", "b"); err != nil {
		t.Fatal(err)
	}
	if wrong := validate(t, root, example.Bytes()); wrong != "" {
		t.Errorf("example: %s", wrong)
	}
	for text, want := range map[string]string{
		"nmae: x":                             "nmae",
		"hosts: [{address: a, myid: 1}]":      "myid",
		"hosts: [{address: a, id: 256}]":      "id",
		"hosts: [{address: a, role: leader}]": "role",
		"hosts: []":                           "hosts",
		"paths: {dataLogdir: /x}":             "dataLogdir",
		"ports: {client: 0}":                  "client",
		"config: {dataDir: /x}":               "config",
		"config: {tickTime: x}":               "tickTime",
		"config: {anything: [1]}":             "anything",
		"purge: {keep: 2}":                    "keep",
		"ssh: {bastions: [{user: x}]}":        "bastions",
	} {
		if got := validate(t, root, []byte(text)); !strings.Contains(got, want) {
			t.Errorf("%s: got %q, want something about %s", text, got, want)
		}
	}
	if wrong := validate(t, root, []byte("hosts: [{address: a, id: '${ID}'}]\nconfig: {anything: 1}")); wrong != "" {
		t.Error(wrong)
	}
}

// TestSchemaDescribesEveryKey asks for a sentence at every key but those of zoo.cfg.
func TestSchemaDescribesEveryKey(t *testing.T) {
	for name, def := range schema(t)["$defs"].(object) {
		props, _ := def.(object)["properties"].(object)
		if name == "Config" {
			continue
		}
		for key, p := range props {
			if text, _ := p.(object)["description"].(string); len(text) < 10 {
				t.Errorf("%s.%s has no description", name, key)
			}
		}
	}
}

func validate(t *testing.T, root object, text []byte) string {
	t.Helper()
	var value any
	if err := yaml.Unmarshal(text, &value); err != nil {
		t.Fatal(err)
	}
	v := &validator{defs: root["$defs"].(object)}
	return v.check(root, value, "inventory")
}

// validator knows as much of JSON schema as the inventory's uses.
type validator struct{ defs object }

// check tells what is wrong with value, or "".
func (v *validator) check(s object, value any, at string) string {
	if ref, ok := s["$ref"].(string); ok {
		return v.check(v.defs[strings.TrimPrefix(ref, "#/$defs/")].(object), value, at)
	}
	if any, ok := s["anyOf"].([]any); ok {
		var why []string
		for _, one := range any {
			wrong := v.check(one.(object), value, at)
			if wrong == "" {
				return ""
			}
			why = append(why, wrong)
		}
		return strings.Join(why, "; ")
	}
	if enum, ok := s["enum"].([]any); ok && !slices.Contains(enum, value) {
		return fmt.Sprintf("%s: %v is none of %v", at, value, enum)
	}
	kind, _ := s["type"].(string)
	switch x := value.(type) {
	case object:
		return v.object(s, kind, x, at)
	case []any:
		return v.array(s, kind, x, at)
	case string:
		if pattern, ok := s["pattern"].(string); ok && !regexp.MustCompile(pattern).MatchString(x) {
			return fmt.Sprintf("%s: %q does not match %s", at, x, pattern)
		}
		return want(kind, "string", at)
	case int:
		if low, ok := s["minimum"].(float64); ok && float64(x) < low {
			return fmt.Sprintf("%s: %d is below %g", at, x, low)
		}
		if high, ok := s["maximum"].(float64); ok && float64(x) > high {
			return fmt.Sprintf("%s: %d is above %g", at, x, high)
		}
		if kind == "number" {
			return ""
		}
		return want(kind, "integer", at)
	case bool:
		return want(kind, "boolean", at)
	default:
		return fmt.Sprintf("%s: %v", at, reflect.TypeOf(value))
	}
}

func want(kind, is, at string) string {
	if kind != "" && kind != is {
		return fmt.Sprintf("%s: a %s, not a %s", at, is, kind)
	}
	return ""
}

func (v *validator) object(s object, kind string, value object, at string) string {
	if wrong := want(kind, "object", at); wrong != "" {
		return wrong
	}
	props, _ := s["properties"].(object)
	for _, key := range slices.Sorted(maps.Keys(value)) {
		if names, ok := s["propertyNames"].(object); ok {
			if regexp.MustCompile(names["not"].(object)["pattern"].(string)).MatchString(key) {
				return fmt.Sprintf("%s: the key %s is not taken", at, key)
			}
		}
		p, known := props[key].(object)
		if more, ok := s["additionalProperties"].(object); ok && !known {
			p, known = more, true
		}
		if !known {
			return fmt.Sprintf("%s: unknown key %s", at, key)
		}
		if wrong := v.check(p, value[key], at+"."+key); wrong != "" {
			return wrong
		}
	}
	required, _ := s["required"].([]any)
	for _, key := range required {
		if _, ok := value[key.(string)]; !ok {
			return fmt.Sprintf("%s: no %s", at, key)
		}
	}
	return ""
}

func (v *validator) array(s object, kind string, value []any, at string) string {
	if wrong := want(kind, "array", at); wrong != "" {
		return wrong
	}
	if low, ok := s["minItems"].(float64); ok && len(value) < int(low) {
		return at + ": too few"
	}
	for i, item := range value {
		if wrong := v.check(s["items"].(object), item, fmt.Sprintf("%s[%d]", at, i)); wrong != "" {
			return wrong
		}
	}
	return ""
}
