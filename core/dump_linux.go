package core

import "golang.org/x/sys/unix"

// hide keeps other processes of the same user out of the memory and the environment of
// this one: plugins are such processes, and the admin key is in both.
func hide() error { return unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0) }
