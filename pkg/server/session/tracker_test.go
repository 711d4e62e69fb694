
// A server that served a session before tells of it late: what it heard of neither
// keeps the session nor shortens its new timeout.
func TestTouchByFormerOwner(t *testing.T) {
	tr := NewTracker[int](100)
	tr.Add(7, 1000, 0)
	if !tr.TouchBy(1, 7, 1000, 0) {
		t.Error("a session that nobody is known to serve was not touched")
	}
	for owner := 1; owner <= 2; owner++ {
		if err := tr.SetOwner(7, owner); err != nil {
			t.Fatal(err)
		}
	}
	tr.Touch(7, 20000, 10)
	if tr.TouchBy(1, 7, 1000, 20) {
		t.Error("touched by its former server")
	}
	if gone := tr.Expired(5000); len(gone) != 0 {
		t.Errorf("expired: %v", gone)
	}
	if !tr.TouchBy(2, 7, 1000, 5000) || len(tr.Expired(7000)) != 1 {
		t.Error("its server's word does not count")
	}
}
