package faults

import "golang.org/x/sys/unix"

const auditArch = unix.AUDIT_ARCH_AARCH64

// legacyCalls are none: the kernel has only the newer ones here.
func legacyCalls() map[int]call { return nil }
