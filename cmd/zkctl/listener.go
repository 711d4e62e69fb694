package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// listener names the process of this machine that listens on a TCP port, with
// its command line, as far as /proc lets this user see it; "" otherwise.
func listener(port int) string {
	sockets := map[string]bool{}
	for _, table := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		for _, inode := range listening(table, port) {
			sockets["socket:["+inode+"]"] = true
		}
	}
	if len(sockets) == 0 {
		return ""
	}
	fds, err := filepath.Glob("/proc/[0-9]*/fd/*")
	if err != nil {
		return ""
	}
	for _, fd := range fds {
		if target, err := os.Readlink(fd); err == nil && sockets[target] {
			return processName(filepath.Dir(filepath.Dir(fd)))
		}
	}
	return "a process of another user"
}

// listening finds the inodes of the sockets that listen on port in a table of
// proc(5): field 1 is the local address, field 3 the state, field 9 the inode.
func listening(table string, port int) []string {
	const listen = "0A"
	text, err := os.ReadFile(table)
	if err != nil {
		return nil
	}
	var inodes []string
	for line := range strings.Lines(string(text)) {
		f := strings.Fields(line)
		if len(f) < 10 || f[3] != listen {
			continue
		}
		_, hexPort, _ := strings.Cut(f[1], ":")
		if n, err := strconv.ParseUint(hexPort, 16, 16); err == nil && int(n) == port {
			inodes = append(inodes, f[9])
		}
	}
	return inodes
}

// processName tells number and command line of the process in a folder of /proc.
func processName(dir string) string {
	const longest = 120
	line, _ := os.ReadFile(filepath.Join(dir, "cmdline"))
	words := strings.TrimSpace(strings.ReplaceAll(string(line), "\x00", " "))
	if len(words) > longest {
		words = words[:longest] + "..."
	}
	if words == "" {
		return "process " + filepath.Base(dir)
	}
	return fmt.Sprintf("process %s (%s)", filepath.Base(dir), words)
}
