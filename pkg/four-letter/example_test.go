package fourletter_test

import (
	"fmt"
	"os"

	fourletter "github.com/zkctl/zkctl/pkg/four-letter"
)

func ExampleParseSrvr() {
	answer, err := fourletter.ParseSrvr([]byte("Zookeeper version: 3.8.0, built on 2022-02-25\n" +
		"Latency min/avg/max: 0/2.6/13\nReceived: 20\nSent: 19\nConnections: 3\nOutstanding: 0\n" +
		"Zxid: 0x100000005\nMode: follower\nNode count: 8\n"))
	fmt.Println(answer.Mode, answer.Zxid.Epoch(), err)
	// Output: follower 1 <nil>
}

func ExampleWchsAnswer_Write() {
	fourletter.WchsAnswer{Connections: 2, Paths: 3, Total: 4}.Write(os.Stdout)
	// Output:
	// 2 connections watching 3 paths
	// Total watches:4
}
