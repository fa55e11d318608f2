//go:build unix && !linux

package service

import "syscall"

// attributes are none: only Linux ends a process together with its parent.
func attributes() *syscall.SysProcAttr { return nil }
