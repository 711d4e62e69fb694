package quorum

import "testing"

func TestElectReplicateSurviveLeaderCrash(t *testing.T) {
	e := newEnsemble(t, 3, 0)
	e.start(e.all()...)
	first := e.leader()
	e.write(first, 100, "first")
	e.halt(first)
	second := e.leader()
	e.write(second, 100, "second")
	e.start(first.self)
	e.leader()
	e.equal()
	e.write(second, 100, "third")
}
