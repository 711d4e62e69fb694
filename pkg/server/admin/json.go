package admin

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"
)

// An Object is a JSON object whose members keep their order.
type Object []Member

// A Member is one name and value: nil, bool, string, int, int32, int64, uint64,
// float64, Object, []Object, []string or []int64.
type Member struct {
	Name  string
	Value any
}

// Add appends a member.
func (o *Object) Add(name string, value any) { *o = append(*o, Member{name, value}) }

// String is the object in the layout of Jackson's pretty printer: members on
// lines of their own, " : " between name and value, arrays on one line but for
// the objects in them.
func (o Object) String() string {
	var w writer
	w.object(o)
	return w.b.String()
}

// writer writes JSON; depth counts the objects around.
type writer struct {
	b     strings.Builder
	depth int
}

func (w *writer) newline() {
	w.b.WriteByte('\n')
	for range w.depth {
		w.b.WriteString("  ")
	}
}

func (w *writer) object(o Object) {
	if len(o) == 0 {
		w.b.WriteString("{ }")
		return
	}
	w.b.WriteByte('{')
	w.depth++
	for i, m := range o {
		if i > 0 {
			w.b.WriteByte(',')
		}
		w.newline()
		w.text(m.Name)
		w.b.WriteString(" : ")
		w.value(m.Value)
	}
	w.depth--
	w.newline()
	w.b.WriteByte('}')
}

func (w *writer) value(v any) {
	switch v := v.(type) {
	case nil:
		w.b.WriteString("null")
	case bool:
		w.b.WriteString(strconv.FormatBool(v))
	case string:
		w.text(v)
	case int, int32, int64, uint64:
		fmt.Fprintf(&w.b, "%d", v)
	case float64:
		w.b.WriteString(javaDouble(v))
	case Object:
		w.object(v)
	case []Object:
		array(w, v, w.object)
	case []string:
		array(w, v, w.text)
	case []int64:
		array(w, v, func(n int64) { w.b.WriteString(strconv.FormatInt(n, 10)) })
	default:
		w.text(fmt.Sprint(v))
	}
}

func array[T any](w *writer, list []T, one func(T)) {
	if len(list) == 0 {
		w.b.WriteString("[ ]")
		return
	}
	w.b.WriteString("[ ")
	for i, x := range list {
		if i > 0 {
			w.b.WriteString(", ")
		}
		one(x)
	}
	w.b.WriteString(" ]")
}

// javaDouble prints a number as Java's doubles print themselves, with a
// fraction; JSON has no words for those that are none.
func javaDouble(v float64) string {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return "0.0"
	}
	s := strconv.FormatFloat(v, 'f', -1, 64)
	if !strings.Contains(s, ".") {
		s += ".0"
	}
	return s
}

// text writes a string. Bytes that are no UTF-8 become the replacement
// character.
func (w *writer) text(s string) {
	w.b.WriteByte('"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			w.b.WriteByte('\\')
			w.b.WriteRune(r)
		case r == '\n':
			w.b.WriteString(`\n`)
		case r == '\r':
			w.b.WriteString(`\r`)
		case r == '\t':
			w.b.WriteString(`\t`)
		case r < ' ':
			fmt.Fprintf(&w.b, `\u%04X`, r)
		default:
			if !utf8.ValidRune(r) {
				r = utf8.RuneError
			}
			w.b.WriteRune(r)
		}
	}
	w.b.WriteByte('"')
}
