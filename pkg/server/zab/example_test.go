package zab_test

import (
	"fmt"

	"github.com/zkctl/zkctl/pkg/server/zab"
)

// A driver collects work after every input. This one has the smallest ensemble
// there is, a disk that is always done at once, and nobody to send to.
func Example() {
	peer, err := zab.New(zab.Config{Self: 1, Ensemble: zab.Ensemble{Voters: []zab.Sid{1}}})
	if err != nil {
		fmt.Println(err)
		return
	}
	work := func() {
		for peer.HasReady() {
			r := peer.Ready()
			if r.Epochs != nil {
				fmt.Println("write epochs", r.Epochs.Accepted, r.Epochs.Current)
			}
			for _, p := range r.Append {
				fmt.Printf("log %s %s\n", p.Zxid, p.Data)
			}
			for _, p := range r.Commit {
				fmt.Printf("apply %s %s\n", p.Zxid, p.Data)
			}
			if r.Role != nil {
				fmt.Println(r.Role.Role, r.Role.Phase, r.Role.Serving)
			}
			if r.NeedsDisk() {
				peer.Durable(r.Mark)
			}
		}
	}
	work()
	if err := peer.Propose(zab.Proposal{Zxid: peer.NextZxid(), Data: []byte("hello")}); err != nil {
		fmt.Println(err)
	}
	work()
	// Output:
	// write epochs 1 0
	// leading discovery false
	// write epochs 1 1
	// leading synchronization false
	// leading broadcast true
	// log 0x100000001 hello
	// apply 0x100000001 hello
}
