package faults

import (
	"fmt"
	"maps"
	"runtime"
	"slices"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Where the kernel's description of a system call has its parts, in bytes.
const (
	numberOffset = 0
	archOffset   = 4
	argsOffset   = 16 // 8 bytes each; the lower half comes first
)

// program is the filter: it stops the calls of calls() and lets all others go. An
// open is stopped only if it may change something.
func program() []unix.SockFilter {
	load := func(offset int) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: uint32(offset)}
	}
	jump := func(test uint16, k uint32, yes, no uint8) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_JMP | test | unix.BPF_K, K: k, Jt: yes, Jf: no}
	}
	answer := func(action uint32) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: action}
	}
	p := []unix.SockFilter{
		load(archOffset), jump(unix.BPF_JEQ, auditArch, 1, 0), answer(unix.SECCOMP_RET_ALLOW),
		load(numberOffset),
	}
	all := calls()
	for _, number := range slices.Sorted(maps.Keys(all)) {
		c := all[number]
		if c.flags == none {
			p = append(p, jump(unix.BPF_JEQ, uint32(number), 0, 1), answer(unix.SECCOMP_RET_USER_NOTIF))
			continue
		}
		p = append(p, jump(unix.BPF_JEQ, uint32(number), 0, 4),
			load(argsOffset+8*c.flags), jump(unix.BPF_JSET, forWriting, 0, 1),
			answer(unix.SECCOMP_RET_USER_NOTIF), answer(unix.SECCOMP_RET_ALLOW))
	}
	return append(p, answer(unix.SECCOMP_RET_ALLOW))
}

// install puts the calling thread, and all that it becomes or starts, under the
// filter. The caller has locked the thread. It returns the descriptor from which
// the stopped calls are read.
func install() (listener int, err error) {
	// Without this only a process with privileges may filter itself.
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return 0, fmt.Errorf("no_new_privs: %w", err)
	}
	filter := program()
	prog := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	// Go interrupts its threads with signals all the time. A call that such a signal
	// interrupted would be stopped, judged and counted again: once it was read, only
	// a kill interrupts it.
	const flags = unix.SECCOMP_FILTER_FLAG_NEW_LISTENER | unix.SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV
	fd, _, errno := unix.RawSyscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, flags, uintptr(unsafe.Pointer(&prog)))
	runtime.KeepAlive(filter)
	if errno != 0 {
		return 0, fmt.Errorf("seccomp with user notification: %w", errno)
	}
	return int(fd), nil
}
