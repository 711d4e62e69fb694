package jute

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"testing"
)

func ExampleDecoder() {
	b := AppendString(AppendInt(nil, 7), "/app")
	d := NewDecoder(b)
	fmt.Println(d.Int(), d.String(), d.Err())
	// Output: 7 /app <nil>
}

func TestRoundTrip(t *testing.T) {
	var b []byte
	b = AppendBool(b, true)
	b = AppendInt(b, -5)
	b = AppendLong(b, -1<<63)
	b = AppendString(b, "zk")
	b = AppendBuffer(b, nil)
	b = AppendBuffer(b, []byte{})
	b = AppendBuffer(b, []byte{1, 2})
	b = AppendStrings(b, nil)
	b = AppendStrings(b, []string{"a", ""})
	d := NewDecoder(b)
	if v := d.Bool(); !v {
		t.Errorf("Bool = %v", v)
	}
	if v := d.Int(); v != -5 {
		t.Errorf("Int = %d", v)
	}
	if v := d.Long(); v != -1<<63 {
		t.Errorf("Long = %d", v)
	}
	if v := d.String(); v != "zk" {
		t.Errorf("String = %q", v)
	}
	if v := d.Buffer(); v != nil {
		t.Errorf("null buffer = %v, want nil", v)
	}
	if v := d.Buffer(); v == nil || len(v) != 0 {
		t.Errorf("empty buffer = %v, want empty and not nil", v)
	}
	if v := d.Buffer(); !bytes.Equal(v, []byte{1, 2}) {
		t.Errorf("buffer = %v", v)
	}
	if v := d.Strings(); v != nil {
		t.Errorf("null vector = %v, want nil", v)
	}
	if v := d.Strings(); !slices.Equal(v, []string{"a", ""}) {
		t.Errorf("Strings = %q", v)
	}
	if d.Err() != nil || d.Len() != 0 {
		t.Errorf("err %v, %d bytes left", d.Err(), d.Len())
	}
	if v := NewDecoder(AppendInt(nil, -2)).Strings(); v == nil || len(v) != 0 {
		t.Errorf("vector of -2 elements = %v, want an empty one", v)
	}
}

func TestMalformed(t *testing.T) {
	for _, c := range []struct {
		name string
		in   []byte
		read func(*Decoder)
	}{
		{"short int", []byte{0, 0, 0}, func(d *Decoder) { d.Int() }},
		{"short long", []byte{0, 0, 0, 0}, func(d *Decoder) { d.Long() }},
		{"negative length", AppendInt(nil, -2), func(d *Decoder) { d.Buffer() }},
		{"length past the end", AppendInt(nil, 1<<30), func(d *Decoder) { d.Buffer() }},
		{"count past the end", AppendInt(nil, 1<<30), func(d *Decoder) { d.Strings() }},
		{"element past the end", AppendInt(AppendInt(nil, 1), 9), func(d *Decoder) { d.Strings() }},
	} {
		d := NewDecoder(c.in)
		c.read(d)
		if !errors.Is(d.Err(), ErrMalformed) {
			t.Errorf("%s: error %v, want ErrMalformed", c.name, d.Err())
		}
		if v := d.Long(); v != 0 {
			t.Errorf("%s: read %d after an error", c.name, v)
		}
	}
}

func FuzzDecoder(f *testing.F) {
	f.Add(AppendStrings(AppendBuffer(AppendString(nil, "a"), []byte("b")), []string{"c"}))
	f.Fuzz(func(t *testing.T, in []byte) {
		d := NewDecoder(in)
		s, b, v := d.Buffer(), d.Buffer(), d.Strings()
		if d.Err() != nil {
			if !errors.Is(d.Err(), ErrMalformed) {
				t.Fatalf("error %v is not ErrMalformed", d.Err())
			}
			return
		}
		out := AppendStrings(AppendBuffer(AppendBuffer(nil, s), b), v)
		if len(v) == 0 { // which a negative count may stand for
			return
		}
		for _, e := range v { // a null string in a vector is written back as empty
			if e == "" {
				return
			}
		}
		if !bytes.Equal(out, in[:d.Offset()]) {
			t.Fatalf("%x read and written back is %x", in[:d.Offset()], out)
		}
	})
}
