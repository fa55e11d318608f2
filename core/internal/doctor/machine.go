package doctor

import (
	"context"
	"syscall"
	"time"

	"github.com/keboola/duckdb-storage/core/internal/engine"
)

// Machine tells facts that a check cannot change.
type Machine interface {
	// Filesystem tells about the file system that holds a path.
	Filesystem(path string) (Filesystem, error)
	// OpenFiles is how many files the process may have open.
	OpenFiles() (uint64, error)
	// Library tells about DuckDB as it is linked into this program.
	Library(context.Context) (engine.Library, error)
	// Now is the time of the system.
	Now() time.Time
}

// Filesystem is a mounted file system.
type Filesystem struct {
	Kind               string // as mount(8) calls it, for example ext4; empty when it is not known
	Bytes, FreeBytes   uint64 // free for this user
	Inodes, FreeInodes uint64 // no inodes at all: they are not limited
}

// Local is this machine.
type Local struct{}

// Filesystem asks the kernel.
func (Local) Filesystem(path string) (Filesystem, error) {
	var s syscall.Statfs_t
	if err := syscall.Statfs(path, &s); err != nil {
		return Filesystem{}, err
	}
	size := uint64(s.Bsize)
	return Filesystem{Kind: kind(&s), Bytes: s.Blocks * size, FreeBytes: s.Bavail * size, Inodes: s.Files, FreeInodes: s.Ffree}, nil
}

// OpenFiles asks the kernel.
func (Local) OpenFiles() (uint64, error) {
	var limit syscall.Rlimit
	err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit)
	return limit.Cur, err
}

// Library asks DuckDB.
func (Local) Library(ctx context.Context) (engine.Library, error) { return engine.LookAtLibrary(ctx) }

// Now asks the system.
func (Local) Now() time.Time { return time.Now() }
