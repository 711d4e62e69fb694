package portuse

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"testing"
)

func TestExplain(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	address := ln.Addr().String()
	_, err = net.Listen("tcp", address)
	got := Explain(err, address)
	if want := fmt.Sprintf("held by process %d (", os.Getpid()); !errors.Is(got, err) || !strings.Contains(got.Error(), want) || !strings.Contains(got.Error(), address) {
		t.Errorf("%v does not tell of %s and %s", got, address, want)
	}
}

func TestExplainOther(t *testing.T) {
	other := errors.New("no such host")
	if got := Explain(other, "x:1"); got != other {
		t.Errorf("%v became %v", other, got)
	}
	if Explain(nil, "x:1") != nil {
		t.Error("nil became an error")
	}
}

func TestHolderUnknown(t *testing.T) {
	for _, address := range []string{"", "127.0.0.1", "127.0.0.1:x", "127.0.0.1:99999", "127.0.0.1:0"} {
		if got := Holder(address); got != "" {
			t.Errorf("Holder(%q) = %q", address, got)
		}
	}
}
