package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestForegroundTakesFileAsArgument starts a server as "zkServer.sh
// start-foreground zoo.cfg" does, with settings of the environment, and ends it.
func TestForegroundTakesFileAsArgument(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "zoo.cfg")
	text := fmt.Sprintf("dataDir=%s\nclientPort=%d\nclientPortAddress=127.0.0.1\nadmin.enableServer=false\n", dir, freePort(t))
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	vars := map[string]string{"SERVER_JVMFLAGS": "-Dzookeeper.maxCnxns=-x- -Xmx1g"}
	r, w := io.Pipe()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	status := make(chan int, 1)
	go func() {
		env := environment{stdout: w, stderr: w, getenv: func(name string) string { return vars[name] }}
		status <- run(ctx, []string{"zkctl", "server", "start-foreground", file}, env)
		w.Close()
	}()
	var said strings.Builder
	for lines := bufio.NewScanner(r); lines.Scan(); {
		said.WriteString(lines.Text() + "\n")
		if strings.Contains(lines.Text(), "msg=started") {
			cancel()
		}
	}
	if code := <-status; code != exitOK || !strings.Contains(said.String(), "msg=stopped") {
		t.Errorf("exit status %d:\n%s", code, said.String())
	}
	if want := `SERVER_JVMFLAGS: maxCnxns: "-x-" is not a whole number, so the default is used`; !strings.Contains(said.String(), want) {
		t.Errorf("no word of %s:\n%s", want, said.String())
	}
}

// freePort is a port of the loopback that nobody has at the moment.
func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}
