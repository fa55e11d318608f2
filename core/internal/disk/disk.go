// Package disk owns the paths below the data directory and the file operations
// that make a change durable.
//
// Start with [Layout]. A file appears under its name complete or not at all:
// bytes go to a temporary name, are synced, renamed, and the folder is synced
// ([Rename]). One process owns a data directory at a time ([Layout.Lock]).
package disk

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/keboola/duckdb-storage/sdk"
)

// Layout names everything the service keeps on disk.
type Layout struct {
	// Root is the data directory, absolute.
	Root string
	// Runtime is a folder of this run, mode 0700: sockets, pipes. Nothing in it
	// survives the process.
	Runtime string
}

// Open makes the folders of the layout. An existing layout is left as it is, but
// for what an earlier run left: spilled data and unfinished copies are removed.
func (l Layout) Open() error {
	// Whoever made Temp a link to elsewhere sees to what is there.
	if info, err := os.Lstat(l.Temp()); err == nil && info.IsDir() {
		if err := os.RemoveAll(l.Temp()); err != nil {
			return fmt.Errorf("clean the spill folder: %w", err)
		}
	}
	if err := removeCopies(l.catalogs()); err != nil {
		return fmt.Errorf("remove unfinished copies: %w", err)
	}
	for _, dir := range []string{l.catalogs(), l.metadata(), l.allFiles(), l.Temp(), l.Pipes()} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return fmt.Errorf("prepare the data directory: %w", err)
		}
	}
	return SyncDir(l.Root)
}

// SyncFiles makes durable which projects have a folder of files.
func (l Layout) SyncFiles() error { return SyncDir(l.allFiles()) }

// Catalog is the DuckDB file of a project's branch; "default" is the main one.
func (l Layout) Catalog(project, branch string) string {
	return filepath.Join(l.catalogs(), CatalogName(project, branch)+".duckdb")
}

// CatalogName is the name under which a project's branch is attached.
func CatalogName(project, branch string) string {
	if branch == "default" {
		return "project_" + project + "_main"
	}
	return "project_" + project + "_branch_" + branch
}

// Registry is the DuckDB file of projects and keys.
func (l Layout) Registry() string { return filepath.Join(l.metadata(), "registry.duckdb") }

// FileRegistry is the DuckDB file of storage files.
func (l Layout) FileRegistry() string { return filepath.Join(l.metadata(), "files.duckdb") }

// Metadata is the folder of both registries.
func (l Layout) Metadata() string { return l.metadata() }

// Files is the folder of a project's storage files.
func (l Layout) Files(project string) string {
	return filepath.Join(l.allFiles(), "project_"+project)
}

// Staging is where a project's uploads in progress are.
func (l Layout) Staging(project string) string { return filepath.Join(l.Files(project), "staging") }

// Temp is where DuckDB spills.
func (l Layout) Temp() string { return filepath.Join(l.Root, "tmp") }

// Pipes is where result streams leave DuckDB.
func (l Layout) Pipes() string { return filepath.Join(l.Runtime, "pipes") }

// ProjectsOnDisk lists the projects that have a folder of files.
func (l Layout) ProjectsOnDisk() ([]string, error) {
	entries, err := os.ReadDir(l.allFiles())
	if err != nil {
		return nil, err
	}
	var out []string
	for _, e := range entries {
		if id, ok := strings.CutPrefix(e.Name(), "project_"); ok && e.IsDir() {
			out = append(out, id)
		}
	}
	return out, nil
}

func (l Layout) catalogs() string { return filepath.Join(l.Root, "duckdb") }
func (l Layout) metadata() string { return filepath.Join(l.Root, "metadata") }
func (l Layout) allFiles() string { return filepath.Join(l.Root, "files") }

// Lock takes the data directory for this process. A second service on the same
// directory is told who holds it. The kernel drops the lock with the process.
func (l Layout) Lock() (*os.File, error) {
	if err := os.MkdirAll(l.Root, 0o700); err != nil {
		return nil, err
	}
	path := filepath.Join(l.Root, "lock")
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		holder, _ := os.ReadFile(path)
		f.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("data directory %s is in use by process %s; stop it or choose another --data-dir", l.Root, strings.TrimSpace(string(holder)))
		}
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	if err := f.Truncate(0); err != nil {
		f.Close()
		return nil, err
	}
	if _, err := fmt.Fprintf(f, "%d\n", os.Getpid()); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// Rename gives a file its final name durably. Both folders exist. They are
// synced, so that after a power cut the file is under one of the names.
func Rename(from, to string) error {
	if err := os.Rename(from, to); err != nil {
		return err
	}
	if err := SyncDir(filepath.Dir(to)); err != nil {
		return err
	}
	return SyncDir(filepath.Dir(from))
}

// MkdirBelow makes a folder and its parents below root, durably. It fails with
// fs.ErrNotExist if root itself is not there: it never brings back a folder that
// was removed.
func MkdirBelow(root, dir string) error {
	r, err := os.OpenRoot(root)
	if err != nil {
		return err
	}
	defer r.Close()
	if err := r.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	for ; dir != "."; dir = filepath.Dir(dir) {
		if err := SyncDir(filepath.Join(root, filepath.Dir(dir))); err != nil {
			return err
		}
	}
	return nil
}

// machineFaults are errors of the machine: the same request may succeed once it is
// put right.
var machineFaults = []syscall.Errno{syscall.EROFS, syscall.EACCES, syscall.EPERM, syscall.EIO, syscall.ESTALE, syscall.EMFILE, syscall.ENFILE}

// Explain turns an error of the file system into one that says what to do, and
// keeps the error itself for the log. What it does not know stays as it is.
func Explain(err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return fmt.Errorf("%w: %w", sdk.ErrDiskFull.Errorf("the disk is full; free space and repeat the request"), err)
	}
	for _, fault := range machineFaults {
		if errors.Is(err, fault) {
			known := sdk.ErrUnavailable.Errorf("a file of the data directory cannot be read or written (%s); the log says which; repeat the request when that is put right", fault)
			return fmt.Errorf("%w: %w", known, err)
		}
	}
	return err
}

// Sync makes the bytes of a file durable.
func Sync(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Sync()
}

// SyncDir makes the names in a folder durable.
func SyncDir(dir string) error { return Sync(dir) }

// Remove removes a file durably; a file that is not there is fine.
func Remove(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if err := SyncDir(filepath.Dir(path)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// RemoveCatalog removes a DuckDB file with its write-ahead logs.
func RemoveCatalog(path string) error {
	for _, p := range CatalogFiles(path) {
		if err := Remove(p); err != nil {
			return err
		}
	}
	return nil
}

// CatalogFiles lists the names that DuckDB 1.5 uses for one database file: its
// checkpoint moves the log through .checkpoint and .recovery, and fails and
// invalidates the database if it may not (measured).
func CatalogFiles(path string) []string {
	return []string{path, path + ".wal", path + ".wal.checkpoint", path + ".wal.recovery"}
}
