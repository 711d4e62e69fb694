package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/olekukonko/tablewriter"
	"github.com/olekukonko/tablewriter/renderer"
	"github.com/olekukonko/tablewriter/tw"
	"github.com/urfave/cli/v2"
	"golang.org/x/term"
	"gopkg.in/yaml.v3"
)

// output is the form a command answers in: the value of -o.
type output string

// The forms of an answer. What json and yaml hold is documented at the type
// that is printed, and does not change between releases.
const (
	outputTable output = "table"
	outputJSON  output = "json"
	outputYAML  output = "yaml"
)

// flag binds o to -o; forms are those the command knows, the first is the default.
func (o *output) flag(forms ...output) cli.Flag {
	names := make([]string, len(forms))
	for i, f := range forms {
		names[i] = string(f)
	}
	list := strings.Join(names, ", ")
	return &cli.StringFlag{
		Name: "output", Aliases: []string{"o"}, Value: names[0], Destination: (*string)(o),
		Usage: "answer as `FORM`: " + list,
		Action: func(_ *cli.Context, v string) error {
			if !contains(names, v) {
				return usagef("-o %s: one of %s", v, list)
			}
			return nil
		},
	}
}

// print writes value as json or yaml, or calls table for what people read.
func (o output) print(w io.Writer, value any, table func(io.Writer) error) error {
	var buf bytes.Buffer
	var err error
	switch o {
	case outputJSON:
		err = printJSON(&buf, value)
	case outputYAML:
		err = printYAML(&buf, value)
	default:
		err = table(&buf)
	}
	if err != nil {
		return err
	}
	_, err = w.Write(buf.Bytes())
	return err
}

func printJSON(w io.Writer, value any) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(value)
}

// printYAML takes the way by JSON, so that both have the same fields.
func printYAML(w io.Writer, value any) error {
	text, err := json.Marshal(value)
	if err != nil {
		return err
	}
	var doc yaml.Node
	if err := yaml.Unmarshal(text, &doc); err != nil {
		return err
	}
	plain(&doc)
	e := yaml.NewEncoder(w)
	e.SetIndent(2)
	if err := e.Encode(&doc); err != nil {
		return err
	}
	return e.Close()
}

// plain takes the braces and quotes of JSON off where YAML needs none.
func plain(n *yaml.Node) {
	n.Style = 0
	for _, sub := range n.Content {
		plain(sub)
	}
}

// screen is what a table is written on.
type screen struct {
	width int  // columns of characters; 0: without bound
	color bool // escape sequences are understood and wanted
	live  bool // a terminal, which can be drawn on again
}

// screen tells what standard output is. COLUMNS sets the width in a pipe too:
// watch(1) hands it over.
func (e environment) screen() screen {
	width, _ := strconv.Atoi(e.getenv("COLUMNS"))
	s := screen{width: max(width, 0)}
	f, ok := e.stdout.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return s
	}
	s.live = e.getenv("TERM") != "dumb"
	s.color = s.live && e.getenv("NO_COLOR") == ""
	if w, _, err := term.GetSize(int(f.Fd())); err == nil && w > 0 {
		s.width = w
	}
	return s
}

// tone is how a line stands out where there is colour; it never says anything
// that the words do not.
type tone string

const (
	toneNone tone = ""
	toneGood tone = "\x1b[32m" // green
	toneWarn tone = "\x1b[33m" // yellow
	toneBad  tone = "\x1b[31m" // red
	toneLead tone = "\x1b[1m"  // bold
)

// paint gives s its tone, where there is colour.
func (s screen) paint(t tone, text string) string {
	if !s.color || t == toneNone {
		return text
	}
	return string(t) + text + "\x1b[0m"
}

// column is one column of a table.
type column struct {
	title string
	right bool // figures stand at the right
	drop  int  // columns are left out on a narrow screen, the highest first; 0: never
}

// table is rows of words: no borders, two blanks between columns and a "-" where
// there is nothing to say, so that grep, cut and awk can read it.
type table struct {
	columns []column
	rows    [][]string
	tones   []tone
}

func (t *table) add(tone tone, cells ...string) {
	for i, c := range cells {
		if c == "" {
			cells[i] = "-"
		}
	}
	t.rows = append(t.rows, cells)
	t.tones = append(t.tones, tone)
}

// write prints the table and returns the titles that the screen had no room for.
func (t *table) write(w io.Writer, s screen) (dropped []string, err error) {
	shown, dropped := t.fit(s.width)
	var buf bytes.Buffer
	if err := t.render(&buf, shown); err != nil {
		return nil, err
	}
	lines := strings.Split(strings.TrimRight(buf.String(), "\n"), "\n")
	for i, line := range lines {
		line = strings.TrimRight(line, " ")
		if i > 0 && i <= len(t.tones) {
			line = s.paint(t.tones[i-1], line)
		}
		if _, err := fmt.Fprintln(w, line); err != nil {
			return nil, err
		}
	}
	return dropped, nil
}

// fit chooses the columns that width has room for.
func (t *table) fit(width int) (shown []int, dropped []string) {
	room := make([]int, len(t.columns))
	total := -columnGap
	for i, c := range t.columns {
		room[i] = utf8.RuneCountInString(c.title)
		for _, r := range t.rows {
			room[i] = max(room[i], utf8.RuneCountInString(r[i]))
		}
		total += room[i] + columnGap
	}
	gone := make([]bool, len(t.columns))
	for width > 0 && total > width {
		next := -1
		for i, c := range t.columns {
			if !gone[i] && c.drop > 0 && (next < 0 || c.drop > t.columns[next].drop) {
				next = i
			}
		}
		if next < 0 {
			break
		}
		gone[next] = true
		total -= room[next] + columnGap
	}
	for i, c := range t.columns {
		if gone[i] {
			dropped = append(dropped, c.title)
		} else {
			shown = append(shown, i)
		}
	}
	return shown, dropped
}

const columnGap = 2

func (t *table) render(w io.Writer, shown []int) error {
	pick := func(cell func(int) string) []string {
		out := make([]string, len(shown))
		for i, c := range shown {
			out[i] = cell(c)
		}
		return out
	}
	align := make([]tw.Align, len(shown))
	for i, c := range shown {
		align[i] = tw.AlignLeft
		if t.columns[c].right {
			align[i] = tw.AlignRight
		}
	}
	cells := tw.CellConfig{
		Formatting: tw.CellFormatting{AutoFormat: tw.Off, AutoWrap: tw.WrapNone},
		Alignment:  tw.CellAlignment{PerColumn: align},
		Padding:    tw.CellPadding{Global: tw.Padding{Right: strings.Repeat(" ", columnGap), Overwrite: true}},
	}
	grid := tablewriter.NewTable(w,
		tablewriter.WithConfig(tablewriter.Config{Header: cells, Row: cells}),
		tablewriter.WithRenderer(renderer.NewBlueprint(tw.Rendition{
			Borders:  tw.BorderNone,
			Symbols:  tw.NewSymbols(tw.StyleNone),
			Settings: tw.Settings{Lines: tw.LinesNone, Separators: tw.SeparatorsNone},
		})))
	grid.Header(pick(func(c int) string { return t.columns[c].title }))
	for _, row := range t.rows {
		if err := grid.Append(pick(func(c int) string { return row[c] })); err != nil {
			return err
		}
	}
	return grid.Render()
}

// humanBytes writes a size in at most four figures: 812B, 1.5KiB, 20MiB.
func humanBytes(n int64) string {
	if n < 1024 {
		return fmt.Sprintf("%dB", n)
	}
	v, unit := float64(n), ""
	for _, unit = range []string{"KiB", "MiB", "GiB", "TiB"} {
		if v /= 1024; v < 1024 {
			break
		}
	}
	if v < 10 {
		return fmt.Sprintf("%.1f%s", v, unit)
	}
	return fmt.Sprintf("%.0f%s", v, unit)
}

// humanAge writes a time that passed in its two largest units: 12s, 5m12s, 3d4h.
func humanAge(d time.Duration) string {
	s := int64(d / time.Second)
	switch {
	case s < 60:
		return fmt.Sprintf("%ds", s)
	case s < 3600:
		return fmt.Sprintf("%dm%02ds", s/60, s%60)
	case s < 86400:
		return fmt.Sprintf("%dh%02dm", s/3600, s%3600/60)
	}
	return fmt.Sprintf("%dd%02dh", s/86400, s%86400/3600)
}
