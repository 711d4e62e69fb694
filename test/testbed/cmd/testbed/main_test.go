package main

import (
	"strings"
	"testing"

	"github.com/zkctl/zkctl/test/testbed"
)

func TestPackages(t *testing.T) {
	var out strings.Builder
	if err := run(t.Context(), []string{"packages"}, strings.NewReader(""), &out); err != nil {
		t.Fatal(err)
	}
	if got := strings.Fields(out.String()); len(got) != len(testbed.Requirements()) {
		t.Errorf("got %v", got)
	}
}

func TestBadFlag(t *testing.T) {
	var out strings.Builder
	if err := run(t.Context(), []string{"-hosts", "3"}, strings.NewReader(""), &out); err == nil {
		t.Error("an unknown flag is taken")
	}
}

// TestOrders plays a session and looks for each order's effect in turn.
func TestOrders(t *testing.T) {
	if err := testbed.Check(); err != nil {
		t.Skip(err)
	}
	session := []struct{ order, want string }{
		{"status", "h1 10.77.0.11 on"},
		{"exec h1 hostname", "h1"},
		{"ssh h2 hostname", "h2"},
		{"cut h1 h2", ""},
		{"exec h1 ping -c1 -W1 h2", "error:"},
		{"heal", ""},
		{"shape h1 h2 1ms 0.5", ""},
		{"ctl ping -c1 -W2 10.77.0.11", "1 received"},
		{"kill h2", ""},
		{"status", "h2 10.77.0.12 off"},
		{"boot h2", ""},
		{"fill h2 /var/tmp", ""},
		{"free h2 /var/tmp", ""},
		{"cut h1", "error: wrong number of words"},
		{"kill h7", `error: there is no host "h7"`},
		{"dance h1 now", `error: what is "dance"?`},
		{"help", "orders:"},
	}
	var orders strings.Builder
	for _, s := range session {
		orders.WriteString(s.order + "\n")
	}
	var out strings.Builder
	if err := run(t.Context(), []string{"-n", "2"}, strings.NewReader(orders.String()+"quit\n"), &out); err != nil {
		t.Fatal(err)
	}
	answers := strings.Split(out.String(), "testbed> ")[1:]
	for i, s := range session {
		if i >= len(answers) || !strings.Contains(answers[i], s.want) || s.want == "" && answers[i] != "" {
			t.Errorf("%s: want %q in the answer; all answers:\n%s", s.order, s.want, out.String())
			break
		}
	}
}
