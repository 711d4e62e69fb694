package inventory

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"

	"github.com/invopop/jsonschema"
)

// typesSource is this package's own description of the file; the comments of its fields are the schema's texts.
//
//go:embed types.go
var typesSource string

// Schema returns the JSON schema (draft 2020-12) of an inventory file, for editors.
func Schema() ([]byte, error) {
	s := newReflector().ReflectFromType(reflect.TypeFor[Inventory]())
	s.Title = "zkctl inventory"
	allowVariables(s)
	for _, def := range s.Definitions {
		allowVariables(def)
	}
	text, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("inventory: schema: %w", err)
	}
	return append(text, '\n'), nil
}

// newReflector knows our tags and comments.
func newReflector() *jsonschema.Reflector {
	docs := fieldDocs(typesSource)
	return &jsonschema.Reflector{
		Anonymous:    true,
		FieldNameTag: "yaml",
		LookupComment: func(t reflect.Type, field string) string {
			return docs[t.Name()+"."+field]
		},
	}
}

// allowVariables lets ${NAME} stand wherever s is narrower than any text.
func allowVariables(s *jsonschema.Schema) {
	if s.Properties == nil {
		return
	}
	for p := s.Properties.Oldest(); p != nil; p = p.Next() {
		v := p.Value
		narrow := v.Type == "integer" || v.Type == "number" || v.Type == "boolean" || v.Enum != nil || v.Pattern != ""
		if !narrow {
			continue
		}
		plain := *v
		plain.Description = ""
		p.Value = &jsonschema.Schema{
			Description: v.Description,
			AnyOf:       []*jsonschema.Schema{&plain, {Type: "string", Pattern: `\$\{`}},
		}
	}
}

// fieldDocs collects the comments of struct types and their fields from gofmt'd source, by "Type." and "Type.Field".
func fieldDocs(source string) map[string]string {
	docs := make(map[string]string)
	var comment []string
	structName := ""
	for _, line := range strings.Split(source, "\n") {
		text := strings.TrimSpace(line)
		words := strings.Fields(text)
		switch {
		case strings.HasPrefix(text, "//"):
			comment = append(comment, strings.TrimSpace(strings.TrimPrefix(text, "//")))
			continue
		case len(words) >= 3 && words[0] == "type" && words[2] == "struct":
			structName = words[1]
			docs[structName+"."] = strings.Join(comment, " ")
		case text == "}":
			structName = ""
		case structName != "" && len(words) >= 2 && len(comment) > 0:
			docs[structName+"."+words[0]] = strings.Join(comment, " ")
		}
		comment = nil
	}
	return docs
}

// JSONSchema lets one text stand for a list.
func (Strings) JSONSchema() *jsonschema.Schema {
	text := &jsonschema.Schema{Type: "string"}
	return oneOrMany(text)
}

// JSONSchema lets one bastion stand for a list, and each be user@host:port.
func (Bastions) JSONSchema() *jsonschema.Schema {
	r := newReflector()
	r.DoNotReference = true
	full := r.ReflectFromType(reflect.TypeFor[Bastion]())
	full.Version = ""
	return oneOrMany(&jsonschema.Schema{AnyOf: []*jsonschema.Schema{
		{Type: "string", Description: "[user@]host[:port]"}, full,
	}})
}

func oneOrMany(item *jsonschema.Schema) *jsonschema.Schema {
	return &jsonschema.Schema{AnyOf: []*jsonschema.Schema{item, {Type: "array", Items: item}}}
}

// JSONSchema writes a duration as Go does.
func (Duration) JSONSchema() *jsonschema.Schema {
	return &jsonschema.Schema{Type: "string", Pattern: `^([0-9.]+(h|m|s|ms))+$`, Examples: []any{"10s", "1m30s"}}
}

// JSONSchema lists the simple schedules for completion.
func (Schedule) JSONSchema() *jsonschema.Schema {
	return &jsonschema.Schema{Type: "string", Examples: []any{"daily", "hourly", "weekly", "03:30", "6h", "Mon..Fri 03:30"}}
}

// JSONSchema offers the known zoo.cfg keys, and takes others.
func (Config) JSONSchema() *jsonschema.Schema {
	props := jsonschema.NewProperties()
	keys := newKeySet()
	for _, name := range keys.names {
		props.Set(name, keys.types[name].schema())
	}
	any := &jsonschema.Schema{AnyOf: []*jsonschema.Schema{{Type: "string"}, {Type: "number"}, {Type: "boolean"}}}
	return &jsonschema.Schema{
		Type: "object", Properties: props, AdditionalProperties: any,
		PropertyNames: &jsonschema.Schema{Not: &jsonschema.Schema{
			Pattern: `^(dataDir|dataLogDir|clientPort|peerType|dynamicConfigFile|server\..*)$`,
		}},
	}
}

// schema is what a key of this type takes in YAML.
func (t keyType) schema() *jsonschema.Schema {
	switch t {
	case typeInt:
		return &jsonschema.Schema{Type: "integer"}
	case typeCount:
		return &jsonschema.Schema{Type: "integer", Minimum: "1"}
	case typePort:
		return &jsonschema.Schema{Type: "integer", Minimum: "1", Maximum: "65535"}
	case typeFloat:
		return &jsonschema.Schema{Type: "number"}
	case typeBool:
		return &jsonschema.Schema{Type: "boolean"}
	case typeYesNo:
		// In YAML 1.1 a plain yes is a truth value, so an editor may see either.
		return &jsonschema.Schema{Enum: []any{"yes", "no"}}
	default:
		return &jsonschema.Schema{AnyOf: []*jsonschema.Schema{{Type: "string"}, {Type: "number"}, {Type: "boolean"}}}
	}
}
