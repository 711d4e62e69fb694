package main

import (
	"bytes"
	"strings"
	"testing"
	"time"
)

func TestHumanFigures(t *testing.T) {
	for n, want := range map[int64]string{0: "0B", 1023: "1023B", 1024: "1.0KiB", 1536: "1.5KiB", 20 << 20: "20MiB", 3 << 30: "3.0GiB", 2 << 50: "2048TiB"} {
		if got := humanBytes(n); got != want {
			t.Errorf("%d bytes: %s, want %s", n, got, want)
		}
	}
	for d, want := range map[time.Duration]string{
		0: "0s", 59 * time.Second: "59s", 61 * time.Second: "1m01s", 2*time.Hour + 5*time.Minute: "2h05m", 76 * time.Hour: "3d04h",
	} {
		if got := humanAge(d); got != want {
			t.Errorf("%v: %s, want %s", d, got, want)
		}
	}
}

// TestTable: words stay what they are, nothing is wrapped, and no line ends in blanks.
func TestTable(t *testing.T) {
	grid := &table{columns: []column{{title: "Name"}, {title: "n", right: true}, {title: "rest", drop: 1}}}
	grid.add(toneNone, "a_b.c", "1", "")
	grid.add(toneBad, "zürich-1", "1000", strings.Repeat("long words ", 20)+"end")
	var out bytes.Buffer
	dropped, err := grid.write(&out, screen{})
	if err != nil || dropped != nil {
		t.Fatal(dropped, err)
	}
	want := "Name         n  rest\na_b.c        1  -\nzürich-1  1000  " + strings.Repeat("long words ", 20) + "end\n"
	if out.String() != want {
		t.Errorf("got:\n%s\nwant:\n%s", out.String(), want)
	}
	out.Reset()
	if dropped, err = grid.write(&out, screen{width: 20, color: true}); err != nil || len(dropped) != 1 || dropped[0] != "rest" {
		t.Fatal(dropped, err)
	}
	if want := "Name         n\na_b.c        1\n\x1b[31mzürich-1  1000\x1b[0m\n"; out.String() != want {
		t.Errorf("got:\n%q\nwant:\n%q", out.String(), want)
	}
}

func TestEmptyTableShowsItsTitles(t *testing.T) {
	var out bytes.Buffer
	if _, err := (&table{columns: []column{{title: "A"}, {title: "B"}}}).write(&out, screen{}); err != nil || out.String() != "A  B\n" {
		t.Errorf("%q, %v", out.String(), err)
	}
}

// TestYAMLHasTheFieldsOfJSON and keeps texts texts.
func TestYAMLHasTheFieldsOfJSON(t *testing.T) {
	var out bytes.Buffer
	value := struct {
		A string   `json:"a_b"`
		N *int     `json:"n"`
		L []string `json:"l"`
	}{A: "0x10", L: []string{"true", "x: y"}}
	if err := outputYAML.print(&out, value, nil); err != nil {
		t.Fatal(err)
	}
	if want := "a_b: \"0x10\"\nn: null\nl:\n  - \"true\"\n  - 'x: y'\n"; out.String() != want {
		t.Errorf("got:\n%s\nwant:\n%s", out.String(), want)
	}
}
