package faults

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// resolve finds what a stopped call works on, and whether that is for the judge:
// something below the root, by the process itself.
func (s *Supervisor) resolve(n *notification) (Op, bool) {
	number, args := int(n.call.number), n.call.args
	c, known := s.calls[number]
	if !known {
		return Op{}, false
	}
	thread := fmt.Sprintf("/proc/%d/task/%d", s.pid, n.tid)
	op := Op{Kind: c.kindOf(number, args)}
	var below bool
	if c.fd != none {
		op.Path, below = s.below(descriptor(thread, args[c.fd]))
		return op, below
	}
	// A thread of another process has no such folder, and so no descriptors above.
	if _, err := os.Stat(thread); err != nil {
		return Op{}, false
	}
	op.Path, below = s.below(named(thread, int(n.tid), args, c.dir, c.path))
	if c.toPath == none {
		return op, below
	}
	var toBelow bool
	op.To, toBelow = s.below(named(thread, int(n.tid), args, c.toDir, c.toPath))
	return op, below || toBelow
}

// below is a path without the root; empty for one that is elsewhere.
func (s *Supervisor) below(path string) (string, bool) {
	if path == s.root {
		return ".", true
	}
	if rest, ok := strings.CutPrefix(path, s.root+"/"); ok {
		return rest, true
	}
	return "", false
}

// descriptor is the file behind a descriptor; empty if there is none. What is no
// file has a name that is no path.
func descriptor(thread string, fd uint64) string {
	path, err := os.Readlink(fmt.Sprintf("%s/fd/%d", thread, int32(fd)))
	if err != nil {
		return ""
	}
	return strings.TrimSuffix(path, " (deleted)")
}

// named is the path in an argument, made absolute.
func named(thread string, tid int, args [6]uint64, dir, path int) string {
	name := text(tid, uintptr(args[path]))
	if name == "" || strings.HasPrefix(name, "/") {
		return filepath.Clean(name)
	}
	if dir != none && int32(args[dir]) != unix.AT_FDCWD {
		return filepath.Join(descriptor(thread, args[dir]), name)
	}
	cwd, err := os.Readlink(thread + "/cwd")
	if err != nil {
		return ""
	}
	return filepath.Join(cwd, name)
}

// text reads a text that ends with a zero byte from the memory of a thread. It goes
// page by page, because the page after the text may not be there.
func text(tid int, at uintptr) string {
	const page = 4096
	var out []byte
	for len(out) < unix.PathMax {
		buf := make([]byte, page-int(at%page))
		local := []unix.Iovec{{Base: &buf[0], Len: uint64(len(buf))}}
		remote := []unix.RemoteIovec{{Base: at, Len: len(buf)}}
		n, err := unix.ProcessVMReadv(tid, local, remote, 0)
		if err != nil {
			return ""
		}
		if end := bytes.IndexByte(buf[:n], 0); end >= 0 {
			return string(append(out, buf[:end]...))
		}
		out = append(out, buf[:n]...)
		at += uintptr(n)
	}
	return ""
}

// The kernel writes a notification and reads a response of exactly these sizes.
var (
	_ [80]byte = [unsafe.Sizeof(notification{})]byte{}
	_ [24]byte = [unsafe.Sizeof(response{})]byte{}
)
