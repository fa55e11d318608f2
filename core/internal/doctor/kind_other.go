//go:build !linux

package doctor

import "syscall"

// kind is not known: each system tells it in a way of its own.
func kind(*syscall.Statfs_t) string { return "" }
