package disk

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// tryBytes is more than file systems put beside the name of a file, so that a full disk
// is noticed.
const tryBytes = 64 << 10

// Catalogs is the folder of the projects' DuckDB files.
func (l Layout) Catalogs() string { return l.catalogs() }

// AllFiles is the folder of the projects' storage files.
func (l Layout) AllFiles() string { return l.allFiles() }

// Snapshots is the folder of snapshots. It is there once one was taken.
func (l Layout) Snapshots() string { return filepath.Join(l.Root, "snapshots") }

// Holder is the process that uses the data directory, as text; empty when none does. It
// does not make the lock file, and holds a lock that is free for microseconds: a
// service that starts in between is refused.
func (l Layout) Holder() (pid string, err error) {
	f, err := os.Open(filepath.Join(l.Root, "lock"))
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	defer f.Close()
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_SH|syscall.LOCK_NB)
	if !errors.Is(err, syscall.EWOULDBLOCK) {
		return "", err
	}
	written := make([]byte, 32)
	n, _ := f.Read(written) // a holder that has yet to write its id
	if pid = strings.TrimSpace(string(written[:n])); pid == "" {
		pid = "unknown"
	}
	return pid, nil
}

// Try does in a folder what the service does there: it makes a file, syncs, renames
// and locks it, and syncs the folder. It returns the time that the file system gave to
// what it made. Nothing of it stays.
func Try(dir string) (stamp time.Time, err error) {
	own, err := os.MkdirTemp(dir, ".try-*")
	if err != nil {
		return time.Time{}, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(own), SyncDir(dir)) }()
	info, err := os.Stat(own)
	if err != nil {
		return time.Time{}, err
	}
	path := filepath.Join(own, "file")
	if err := Write(path, make([]byte, tryBytes), info.ModTime()); err != nil {
		return time.Time{}, err
	}
	return info.ModTime(), tryLock(path)
}

// tryLock checks that a lock keeps a second owner away. Some network file systems take
// every lock and keep nobody away.
func tryLock(path string) error {
	var owners [2]*os.File
	for i := range owners {
		f, err := os.OpenFile(path, os.O_RDWR, 0)
		if err != nil {
			return err
		}
		defer f.Close()
		owners[i] = f
	}
	if err := syscall.Flock(int(owners[0].Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return fmt.Errorf("lock %s: %w", path, err)
	}
	switch err := syscall.Flock(int(owners[1].Fd()), syscall.LOCK_EX|syscall.LOCK_NB); {
	case err == nil:
		return fmt.Errorf("two owners hold the lock of %s: the file system does not keep them apart", path)
	case !errors.Is(err, syscall.EWOULDBLOCK):
		return fmt.Errorf("lock %s: %w", path, err)
	}
	return nil
}
