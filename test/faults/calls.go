package faults

import (
	"golang.org/x/sys/unix"
)

// call says what a system call does and which arguments name its file: either fd,
// or a path that is relative to a folder's descriptor. None is -1.
type call struct {
	kind      Kind
	fd        int
	dir, path int
	// Of a rename or link.
	toDir, toPath int
	// flags is the argument with the flags of an open; the call is of interest
	// only if it opens for writing.
	flags int
}

func onFile(kind Kind, fd int) call {
	return call{kind: kind, fd: fd, dir: none, path: none, toDir: none, toPath: none, flags: none}
}

func onPath(kind Kind, dir, path int) call {
	return call{kind: kind, fd: none, dir: dir, path: path, toDir: none, toPath: none, flags: none}
}

func (c call) to(dir, path int) call {
	c.toDir, c.toPath = dir, path
	return c
}

func (c call) opens(flags int) call {
	c.flags = flags
	return c
}

const none = -1

// forWriting are the flags of an open that may change something.
const forWriting = unix.O_WRONLY | unix.O_RDWR | unix.O_CREAT | unix.O_TRUNC

// calls are the system calls that change files, by number. Older ones, which only
// some machines have, are added by legacyCalls.
func calls() map[int]call {
	all := map[int]call{
		unix.SYS_OPENAT:          onPath(Open, 0, 1).opens(2),
		unix.SYS_WRITE:           onFile(Write, 0),
		unix.SYS_PWRITE64:        onFile(Write, 0),
		unix.SYS_WRITEV:          onFile(Write, 0),
		unix.SYS_PWRITEV:         onFile(Write, 0),
		unix.SYS_PWRITEV2:        onFile(Write, 0),
		unix.SYS_COPY_FILE_RANGE: onFile(Write, 2),
		unix.SYS_SENDFILE:        onFile(Write, 0),
		unix.SYS_FSYNC:           onFile(Sync, 0),
		unix.SYS_FDATASYNC:       onFile(Sync, 0),
		unix.SYS_SYNC_FILE_RANGE: onFile(Sync, 0),
		unix.SYS_FTRUNCATE:       onFile(Truncate, 0),
		unix.SYS_TRUNCATE:        onPath(Truncate, none, 0),
		unix.SYS_FALLOCATE:       onFile(Allocate, 0),
		unix.SYS_RENAMEAT:        onPath(Rename, 0, 1).to(2, 3),
		unix.SYS_RENAMEAT2:       onPath(Rename, 0, 1).to(2, 3),
		unix.SYS_LINKAT:          onPath(Link, 0, 1).to(2, 3),
		unix.SYS_UNLINKAT:        onPath(Unlink, 0, 1),
		unix.SYS_MKDIRAT:         onPath(Mkdir, 0, 1),
	}
	for number, c := range legacyCalls() {
		all[number] = c
	}
	return all
}

// kindOf is the kind of a call with these arguments.
func (c call) kindOf(number int, args [6]uint64) Kind {
	switch {
	case c.flags != none && args[c.flags]&(unix.O_CREAT|unix.O_TRUNC) != 0:
		return Create
	case number == unix.SYS_UNLINKAT && args[2]&unix.AT_REMOVEDIR != 0:
		return Rmdir
	}
	return c.kind
}
