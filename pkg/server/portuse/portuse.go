// Package portuse says who holds a TCP port that cannot be listened on, so
// that the error names what to end.
package portuse

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// Explain adds to err, the failure to listen on address ("host:port"), the
// process that holds the port, where that is the reason and it can be found
// out. Other errors, nil too, come back as they are.
func Explain(err error, address string) error {
	if !errors.Is(err, syscall.EADDRINUSE) {
		return err
	}
	if holder := Holder(address); holder != "" {
		return fmt.Errorf("%w: the port is held by %s", err, holder)
	}
	return fmt.Errorf("%w: by a process of another user, or one that has ended", err)
}

// Holder names the process that listens on the port of an address, such as
// "java (pid 4711)", as far as the proc file system tells; "" if it does not.
func Holder(address string) string {
	_, portText, err := net.SplitHostPort(address)
	if err != nil {
		return ""
	}
	port, err := strconv.ParseUint(portText, 10, 16)
	if err != nil {
		return ""
	}
	for _, table := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		for _, inode := range listeningInodes(table, port) {
			if holder := socketHolder(inode); holder != "" {
				return holder
			}
		}
	}
	return ""
}

// listeningInodes returns the inodes of sockets that listen on the port (proc(5):
// field 1 is the local address, field 3 the state, field 9 the inode).
func listeningInodes(table string, port uint64) []string {
	const listening = "0A"
	f, err := os.Open(table)
	if err != nil {
		return nil
	}
	defer f.Close()
	var inodes []string
	for s := bufio.NewScanner(f); s.Scan(); {
		fields := strings.Fields(s.Text())
		if len(fields) < 10 || fields[3] != listening {
			continue
		}
		_, hexPort, ok := strings.Cut(fields[1], ":")
		if n, err := strconv.ParseUint(hexPort, 16, 16); ok && err == nil && n == port {
			inodes = append(inodes, fields[9])
		}
	}
	return inodes
}

// socketHolder finds the process that has the socket of that inode open.
func socketHolder(inode string) string {
	files, err := filepath.Glob("/proc/[0-9]*/fd/*")
	if err != nil {
		return ""
	}
	for _, file := range files {
		if target, err := os.Readlink(file); err == nil && target == "socket:["+inode+"]" {
			return processName(filepath.Dir(filepath.Dir(file)))
		}
	}
	return ""
}

// processName tells number and command line of the process in a folder of
// proc(5).
func processName(dir string) string {
	const longest = 200
	line, _ := os.ReadFile(filepath.Join(dir, "cmdline")) // without it the number has to do
	words := strings.TrimSpace(strings.ReplaceAll(string(line), "\x00", " "))
	if len(words) > longest {
		words = words[:longest] + "..."
	}
	if words == "" {
		return "process " + filepath.Base(dir)
	}
	return fmt.Sprintf("process %s (%s)", filepath.Base(dir), words)
}
