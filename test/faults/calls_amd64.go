package faults

import "golang.org/x/sys/unix"

const auditArch = unix.AUDIT_ARCH_X86_64

// legacyCalls are those that newer machines left out; a C library may use them.
func legacyCalls() map[int]call {
	return map[int]call{
		unix.SYS_OPEN:   onPath(Open, none, 0).opens(1),
		unix.SYS_CREAT:  onPath(Create, none, 0),
		unix.SYS_RENAME: onPath(Rename, none, 0).to(none, 1),
		unix.SYS_LINK:   onPath(Link, none, 0).to(none, 1),
		unix.SYS_UNLINK: onPath(Unlink, none, 0),
		unix.SYS_MKDIR:  onPath(Mkdir, none, 0),
		unix.SYS_RMDIR:  onPath(Rmdir, none, 0),
	}
}
