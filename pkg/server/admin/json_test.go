package admin

import (
	"encoding/json"
	"math"
	"strings"
	"testing"
)

// TestLayout is what Jackson made of the same values in Apache's server.
func TestLayout(t *testing.T) {
	o := Object{
		{"client_port", 23100}, {"data_dir", "/d/\"x\"\n"}, {"voting", true}, {"avg", 5.0}, {"least", 48.5},
		{"connections", []Object{{{"a", int64(1)}, {"b", nil}}, {{"a", int64(2)}}}},
		{"secure", []Object{}}, {"ids", []int64{1, 2}}, {"paths", []string{"/a", "/b"}}, {"none", []string(nil)}, {"empty", Object{}},
		{"stats", Object{{"in", Object{{"er", int32(-1)}}}}},
	}
	want := `{
  "client_port" : 23100,
  "data_dir" : "/d/\"x\"\n",
  "voting" : true,
  "avg" : 5.0,
  "least" : 48.5,
  "connections" : [ {
    "a" : 1,
    "b" : null
  }, {
    "a" : 2
  } ],
  "secure" : [ ],
  "ids" : [ 1, 2 ],
  "paths" : [ "/a", "/b" ],
  "none" : [ ],
  "empty" : { },
  "stats" : {
    "in" : {
      "er" : -1
    }
  }
}`
	if got := o.String(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func FuzzText(f *testing.F) {
	f.Add("a\"\\\n\r\t\x00\x1f\x7f\xff ä 𝄞  </script>", 1.5)
	f.Add("", math.Inf(1))
	f.Fuzz(func(t *testing.T, s string, v float64) {
		text := Object{{s, s}, {"v", v}}.String()
		var back map[string]any
		if err := json.Unmarshal([]byte(text), &back); err != nil {
			t.Fatalf("%q gives %s: %v", s, text, err)
		}
		if clean := strings.ToValidUTF8(s, "\uFFFD"); s == clean && s != "v" && back[s] != s {
			t.Errorf("%q came back as %q", s, back[s])
		}
	})
}
