package session

import (
	"slices"
	"testing"
)

func TestLocal(t *testing.T) {
	l := NewLocal[string](1000)
	l.Add(1, 4000, 0)
	l.Add(2, 4000, 0)
	if !l.Touch(1, 9000, 0) {
		t.Error("a local session cannot be touched")
	}
	var tracked int32
	timeout, ok := l.Upgrade(1, func(timeout int32) {
		tracked = timeout
		if !l.Known(1) {
			t.Error("not known to anybody")
		}
	})
	if !ok || timeout != 4000 || tracked != 4000 { // that of its making, as in Apache's server
		t.Errorf("upgraded with %d, tracked with %d, %v", timeout, tracked, ok)
	}
	if l.Known(1) || !l.Upgrading(1) || l.Touch(1, 4000, 0) {
		t.Error("local while it is upgraded")
	}
	never := func(int32) { t.Error("tracked") }
	for _, id := range []int64{1, 9} {
		if _, ok := l.Upgrade(id, never); ok {
			t.Errorf("session %d upgraded twice, or without being there", id)
		}
	}
	l.Add(1, 4000, 0) // it came back while the transaction was under way
	l.Committed(1)
	if l.Known(1) || l.Upgrading(1) {
		t.Error("local after it was committed")
	}
	if got := l.Expired(5000); !slices.Equal(got, []int64{2}) {
		t.Errorf("expired %v", got)
	}
	if _, ok := l.Upgrade(2, never); ok {
		t.Error("an expired session was upgraded")
	}
}
