package problem_test

import (
	"errors"
	"fmt"
	"io/fs"
	"testing"

	"github.com/zkctl/zkctl/pkg/install/problem"
)

func TestError(t *testing.T) {
	tests := []struct {
		p    problem.Problem
		want string
	}{
		{problem.Problem{Op: "connect", On: "zk2", Err: errors.New("refused")}, "connect zk2: refused"},
		{problem.Problem{Op: "read inventory", Err: errors.New("empty")}, "read inventory: empty"},
		{problem.Problem{On: "zk2", Err: errors.New("refused")}, "zk2: refused"},
		{problem.Problem{Op: "connect"}, "connect"},
		{problem.Problem{Err: errors.New("alone")}, "alone"},
	}
	for _, tt := range tests {
		if got := tt.p.Error(); got != tt.want {
			t.Errorf("Error() = %q, want %q", got, tt.want)
		}
	}
}

func TestRemedyAndUnwrap(t *testing.T) {
	inner := &problem.Problem{Op: "open", Err: fs.ErrNotExist, Do: "create it"}
	err := fmt.Errorf("install: %w", &problem.Problem{Op: "write", On: "zk1", Err: inner})
	if got := problem.Remedy(err); got != "create it" {
		t.Errorf("Remedy = %q", got)
	}
	if !errors.Is(err, fs.ErrNotExist) {
		t.Error("the cause is lost")
	}
	if got := problem.Remedy(errors.New("plain")); got != "" {
		t.Errorf("Remedy of a plain error = %q", got)
	}
}
