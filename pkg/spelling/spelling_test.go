package spelling

import "testing"

func TestNearest(t *testing.T) {
	words := []string{"srvr", "stat", "snapCount", "tickTime", "statt"}
	tests := []struct {
		name, word string
		limit      int
		want       string
	}{
		{"the word itself", "stat", 0, "stat"},
		{"case", "SNAPCOUNT", 0, "snapCount"},
		{"a letter missing", "tickTme", 1, "tickTime"},
		{"a letter too many", "tickTimee", 1, "tickTime"},
		{"another letter", "tackTime", 1, "tickTime"},
		{"neighbours swapped", "srrv", 1, "srvr"},
		{"too far", "tckTme", 1, ""},
		{"within two", "tckTme", 2, "tickTime"},
		{"the first of equals", "sta", 2, "stat"},
		{"nothing near", "xyzzy", 2, ""},
		{"no word", "", 2, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := Nearest(tt.word, words, tt.limit); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
	if got := Nearest("a", nil, 5); got != "" {
		t.Errorf("of no words: %q", got)
	}
}

// FuzzDistance asks for the rules of a distance.
func FuzzDistance(f *testing.F) {
	f.Add("snapCount", "snapcuont")
	f.Fuzz(func(t *testing.T, a, b string) {
		if len(a) > 100 || len(b) > 100 {
			t.Skip("long")
		}
		d := distance(a, b)
		if d != distance(b, a) || (d == 0) != (a == b) || d > max(len(a), len(b)) || d < max(len(a)-len(b), len(b)-len(a)) {
			t.Fatalf("%q and %q: %d and %d", a, b, d, distance(b, a))
		}
	})
}
