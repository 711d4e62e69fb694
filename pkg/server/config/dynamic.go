package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"unicode/utf16"
)

// The dynamic files stand beside zoo.cfg and are named after it:
//
//	zoo.cfg.dynamic.next    a list that was proposed, with its version
//	zoo.cfg.dynamic.<hex>   a list that counted once; zoo.cfg names the one that counts now
//
// Apache reads and writes the same ones (QuorumPeerConfig.java,
// writeDynamicConfig and editStaticConfig).
const (
	dynamicSuffix = ".dynamic"
	nextSuffix    = dynamicSuffix + ".next"
)

// WriteNextMembership keeps a list that was proposed, so that a server which
// stops before it is decided knows of it (see [ReadNextMembership]). cfgFile is
// the name of zoo.cfg. It also fails when [ActivateMembership] could not write
// its files, so that this is found before anything is decided. When it returns
// without error the file is durable.
func WriteNextMembership(cfgFile string, m Membership) error {
	return writer{}.writeNext(cfgFile, m)
}

// ReadNextMembership reads the list that [WriteNextMembership] kept; false when
// there is none. cfgFile is the name of zoo.cfg.
func ReadNextMembership(cfgFile string) (Membership, bool, error) {
	name := cfgFile + nextSuffix
	f, err := os.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return Membership{}, false, nil
	}
	if err != nil {
		return Membership{}, false, fmt.Errorf("read the proposed member list: %w; make it a file that this user can read", err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxMembershipText+1))
	if err != nil {
		return Membership{}, false, fmt.Errorf("read the proposed member list: %w", err)
	}
	m, err := ParseMembership(string(text))
	if err != nil {
		return Membership{}, false, fmt.Errorf("read the proposed member list %s: %w; remove the file if it was not written by a server", name, err)
	}
	return m, true, nil
}

// ActivateMembership makes m the list that a start reads: it writes
// zoo.cfg.dynamic.<version>, makes zoo.cfg (cfgFile) name it in
// dynamicConfigFile, and removes a proposed list that is not newer. self is this
// server's id.
//
// Out of zoo.cfg go server., group and weight keys, peerType, and clientPort with
// clientPortAddress where self's line says for clients to come elsewhere. Every
// other line stays as it is. When members were in zoo.cfg itself, a copy is left
// in zoo.cfg.bak, as Apache does.
//
// Each file is replaced as a whole and keeps its mode and, where this user may
// do that, its owner. Whatever is left when the server stops half way, zoo.cfg
// names a complete list, the new or the one before, and calling again finishes
// the work. Called twice it changes nothing.
func ActivateMembership(cfgFile string, m Membership, self int64) error {
	return writer{}.activate(cfgFile, m, self)
}

// NameDynamicFile is what [ActivateMembership] makes of the text of zoo.cfg: it names the
// dynamic file and has none of the keys that stand there; clients says that this
// server's line there has the client port. The text is not changed.
func NameDynamicFile(text []byte, dynamic string, clients bool) []byte {
	return editStatic(text, dynamic, clients).text
}

// DynamicFile is the dynamic file that the text of a zoo.cfg names, and the version in
// that name, as servers write it; version 0 stands for any other name. It is "" when none is named.
func DynamicFile(text []byte) (name string, version int64) {
	props, _ := ParseProperties(text) // lines that are wrong name nothing
	for _, p := range props {
		if trim(p.Key) == "dynamicConfigFile" {
			name = trim(p.Value)
		}
	}
	if _, hex, ok := strings.Cut(filepath.Base(name), dynamicSuffix+"."); ok {
		if v, err := strconv.ParseInt(hex, 16, 64); err == nil && v > 0 {
			version = v
		}
	}
	return name, version
}

// writer changes files. Each step that changes something (create, write, sync,
// rename, remove, syncdir) goes through around, when it is set: tests make steps
// fail there, and let them be done by halves.
type writer struct {
	around func(op, name string, act func() error) error
}

func (w writer) step(op, name string, act func() error) error {
	if w.around == nil {
		return act()
	}
	return w.around(op, name, act)
}

func (w writer) writeNext(cfgFile string, m Membership) error {
	target, err := writable(cfgFile)
	if err != nil {
		return err
	}
	return w.replace(cfgFile+nextSuffix, []byte(m.fileText(true)), target)
}

func (w writer) activate(cfgFile string, m Membership, self int64) error {
	target, err := writable(cfgFile)
	if err != nil {
		return err
	}
	dynamic := fmt.Sprintf("%s%s.%x", cfgFile, dynamicSuffix, uint64(m.Version))
	if err := w.replace(dynamic, []byte(m.fileText(false)), target); err != nil {
		return err
	}
	old, err := os.ReadFile(target)
	if err != nil {
		return fmt.Errorf("read configuration: %w", err)
	}
	named, err := canonical(dynamic)
	if err != nil {
		return fmt.Errorf("find the full name of %s: %w", dynamic, err)
	}
	me, _ := m.Server(self)
	edit := editStatic(old, named, me.ClientPort != 0)
	if edit.hadMembers {
		if err := w.replace(cfgFile+".bak", old, target); err != nil {
			return err
		}
	}
	if err := w.replace(target, edit.text, target); err != nil {
		return err
	}
	return w.removeNext(cfgFile, m.Version)
}

// fileText is the list as dynamic files hold it: sorted lines, no newline at the end.
func (m Membership) fileText(version bool) string {
	text := m.Lines()
	if version {
		text = m.Text()
	}
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

// removeNext removes a proposed list that is decided or cannot be read. One that
// is newer than what counts now is still to be decided.
func (w writer) removeNext(cfgFile string, version int64) error {
	name := cfgFile + nextSuffix
	if next, ok, err := ReadNextMembership(cfgFile); err == nil && (!ok || next.Version > version) {
		return nil
	}
	err := w.step("remove", name, func() error { return os.Remove(name) })
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove the proposed member list: %w", err)
	}
	return w.syncDir(name)
}

// writable finds the file that cfgFile stands for, and says what to do when a
// change of members could not be written to it and its directory.
func writable(cfgFile string) (string, error) {
	const do = "let the server's user write the file and its directory, or set reconfigEnabled=false"
	target, err := filepath.EvalSymlinks(cfgFile)
	if err != nil {
		return "", fmt.Errorf("a change of members cannot be kept: %w; start the server with a configuration file", err)
	}
	f, err := os.OpenFile(target, os.O_WRONLY, 0)
	if err != nil {
		return "", fmt.Errorf("a change of members cannot be kept: %w; %s", err, do)
	}
	if err := f.Close(); err != nil {
		return "", err
	}
	for _, dir := range []string{filepath.Dir(cfgFile), filepath.Dir(target)} {
		const mayWrite = 2 // W_OK of access(2)
		if err := syscall.Access(dir, mayWrite); err != nil {
			return "", fmt.Errorf("a change of members cannot be kept beside %s: %w; %s", cfgFile, &fs.PathError{Op: "write", Path: dir, Err: err}, do)
		}
	}
	return target, nil
}

// canonical is the full name of a file, without symbolic links.
func canonical(name string) (string, error) {
	full, err := filepath.Abs(name)
	if err != nil {
		return "", err
	}
	return filepath.EvalSymlinks(full)
}

// replace writes a file as a whole, durably: beside it first, then under its
// name. Mode and owner are those of the file it replaces, or of like for a new
// one. A file that holds the content already is left alone, but made durable.
func (w writer) replace(name string, content []byte, like string) error {
	if have, err := os.ReadFile(name); err == nil && bytes.Equal(have, content) {
		return w.syncDir(name)
	}
	st, err := os.Stat(name)
	if errors.Is(err, fs.ErrNotExist) {
		st, err = os.Stat(like)
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	tmp := name + ".tmp"
	err = w.writeSynced(tmp, content, st)
	if err == nil {
		err = w.step("rename", name, func() error { return os.Rename(tmp, name) })
	}
	if err != nil {
		_ = os.Remove(tmp) // the error that counts is the first
		return fmt.Errorf("write %s: %w", name, err)
	}
	return w.syncDir(name)
}

func (w writer) writeSynced(tmp string, content []byte, like fs.FileInfo) error {
	var f *os.File
	err := w.step("create", tmp, func() (err error) {
		f, err = os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
		return err
	})
	if f != nil {
		defer f.Close() // again, after all went well
	}
	if err != nil {
		return err
	}
	if err := keepOwner(f, like); err != nil {
		return err
	}
	if err := f.Chmod(like.Mode().Perm()); err != nil {
		return err
	}
	err = w.step("write", tmp, func() error {
		_, err := f.Write(content)
		return err
	})
	if err != nil {
		return err
	}
	if err := w.step("sync", tmp, f.Sync); err != nil {
		return err
	}
	return f.Close()
}

// keepOwner gives the file the owner and group of another. A user who may not
// give files away keeps what can be kept: the group, or nothing.
func keepOwner(f *os.File, like fs.FileInfo) error {
	st, ok := like.Sys().(*syscall.Stat_t)
	if !ok {
		return nil
	}
	err := f.Chown(int(st.Uid), int(st.Gid))
	if errors.Is(err, fs.ErrPermission) {
		err = f.Chown(-1, int(st.Gid))
	}
	if errors.Is(err, fs.ErrPermission) {
		return nil
	}
	return err
}

// syncDir makes the names in the directory of a file durable.
func (w writer) syncDir(name string) error {
	dir := filepath.Dir(name)
	err := w.step("syncdir", dir, func() error {
		d, err := os.Open(dir)
		if errors.Is(err, fs.ErrPermission) {
			return nil // a directory we may write but not read: its sync is the kernel's affair
		}
		if err != nil {
			return err
		}
		return errors.Join(d.Sync(), d.Close())
	})
	if err != nil {
		return fmt.Errorf("make the names in %s durable: %w", dir, err)
	}
	return nil
}

// edited is a zoo.cfg that names a dynamic file.
type edited struct {
	text       []byte
	hadMembers bool // there were server lines in it
}

// editStatic makes the text of zoo.cfg name the dynamic file, in the place where
// it named one before or else at its end, and takes out what that file says now.
func editStatic(text []byte, dynamic string, clients bool) edited {
	end := "\n"
	if bytes.Contains(text, []byte("\r\n")) {
		end = "\r\n"
	}
	pointer := "dynamicConfigFile=" + escapeValue(dynamic) + end
	var out bytes.Buffer
	var e edited
	written, copied := false, 0
	s := scanner{text: text, line: 1}
	for {
		logical, _, ok := s.next()
		if !ok {
			break
		}
		rawKey, _ := splitProperty(logical)
		key, err := unescape(rawKey)
		key = trim(key)
		isPointer := key == "dynamicConfigFile"
		gone := isMemberKey(key) || key == "peerType" || clients && (key == "clientPort" || key == "clientPortAddress")
		if err != nil || !isPointer && !gone {
			continue
		}
		e.hadMembers = e.hadMembers || strings.HasPrefix(key, "server.")
		out.Write(text[copied:s.start])
		copied = s.pos
		if isPointer && !written {
			out.WriteString(pointer)
			written = true
		}
	}
	out.Write(text[copied:])
	if !written {
		endLine(&out, end)
		out.WriteString(pointer)
	}
	e.text = out.Bytes()
	return e
}

// endLine makes sure that what is written next starts a line of its own, also
// after a backslash that joins lines.
func endLine(out *bytes.Buffer, end string) {
	text := out.Bytes()
	open := len(text) > 0 && text[len(text)-1] != '\n' && text[len(text)-1] != '\r'
	joins := continues(bytes.TrimRight(text, "\r\n"))
	if open {
		out.WriteString(end)
	}
	if joins {
		out.WriteString(end)
	}
}

// escapeValue writes a value so that reading the properties gives it back.
func escapeValue(value string) string {
	var b strings.Builder
	for i, r := range value {
		switch {
		case r == '\\' || r == ' ' && i == 0:
			b.WriteRune('\\')
			b.WriteRune(r)
		case r < ' ' || r > '~':
			for _, unit := range utf16.AppendRune(nil, r) {
				fmt.Fprintf(&b, `\u%04x`, unit)
			}
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}
