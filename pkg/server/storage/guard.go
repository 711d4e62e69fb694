package storage

import (
	"bytes"
	"fmt"
	"hash/crc32"
	"strings"
)

// The small text files of this package (epochs, intent, reached) end with a line of
// their own: a checksum of the file's name and of the text before it,
//
//	zkctl 1a2b3c4d
//
// so that a bit that flips in them is noticed. Apache's servers read the first line
// of an epoch file and nothing else (QuorumPeer.readLongFromFile), and write no
// checksum: a text without one is taken as it is.
const guardWord = "\nzkctl "

func guard(name, text string) []byte {
	sum := crc32.Checksum([]byte(name+"\n"+text), crc32.MakeTable(crc32.Castagnoli))
	return fmt.Appendf(nil, "%s%s%08x\n", text, guardWord, sum)
}

// unguard returns the text of a file, and whether a checksum stands behind it. An
// error wraps [ErrCorrupt]: text and checksum do not belong together.
func unguard(name string, content []byte) (text string, guarded bool, err error) {
	at := bytes.LastIndex(content, []byte(guardWord))
	if at < 0 {
		return string(content), false, nil
	}
	text = string(content[:at])
	if !bytes.Equal(guard(name, text), content) {
		return text, true, fmt.Errorf("%w: its checksum is not that of what it holds, %q", ErrCorrupt, text)
	}
	return text, true, nil
}

// oneLine is the only line of a text that nobody guards.
func oneLine(text string) (line string, ok bool) {
	line, rest, _ := strings.Cut(text, "\n")
	return strings.TrimSuffix(line, "\r"), rest == ""
}
