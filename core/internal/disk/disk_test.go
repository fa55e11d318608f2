package disk_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/keboola/duckdb-storage/core/internal/disk"
	"github.com/keboola/duckdb-storage/sdk"
)

func write(t *testing.T, path, text string) string {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func names(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	out := []string{}
	for _, e := range entries {
		out = append(out, e.Name())
	}
	return out
}

func TestOpenKeepsDataAndDropsSpill(t *testing.T) {
	t.Parallel()
	l := disk.Layout{Root: t.TempDir(), Runtime: t.TempDir()}
	if err := l.Open(); err != nil {
		t.Fatal(err)
	}
	write(t, l.Catalog("1", "default"), "data")
	write(t, filepath.Join(l.Temp(), "spill"), "x")
	if err := l.Open(); err != nil {
		t.Fatal(err)
	}
	if b, err := os.ReadFile(l.Catalog("1", "default")); err != nil || string(b) != "data" {
		t.Errorf("the catalog: %q, %v", b, err)
	}
	if left := names(t, l.Temp()); len(left) > 0 {
		t.Errorf("spill: %v", left)
	}
	if diff := cmp.Diff([]string{"duckdb", "files", "metadata", "tmp"}, names(t, l.Root)); diff != "" {
		t.Error(diff)
	}
}

func TestLockHasOneHolder(t *testing.T) {
	t.Parallel()
	l := disk.Layout{Root: filepath.Join(t.TempDir(), "not", "yet")}
	held, err := l.Lock()
	if err != nil {
		t.Fatal(err)
	}
	_, err = l.Lock()
	if err == nil || !strings.Contains(err.Error(), "in use by process "+strconv.Itoa(os.Getpid())) {
		t.Errorf("second lock: %v", err)
	}
	if err := held.Close(); err != nil {
		t.Fatal(err)
	}
	again, err := l.Lock()
	if err != nil {
		t.Fatal(err)
	}
	again.Close()
}

func TestMkdirBelow(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	for range 2 {
		if err := disk.MkdirBelow(root, "a/b/c"); err != nil {
			t.Fatal(err)
		}
	}
	if info, err := os.Stat(filepath.Join(root, "a/b/c")); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("%v, %v", info, err)
	}
	gone := filepath.Join(root, "gone")
	if err := disk.MkdirBelow(gone, "a"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("below a folder that is gone: %v", err)
	}
	if _, err := os.Stat(gone); err == nil {
		t.Error("the folder is back")
	}
	for _, dir := range []string{"../x", "/abs", "a/../../x"} {
		if err := disk.MkdirBelow(root, dir); err == nil {
			t.Errorf("%q led out", dir)
		}
	}
}

func TestRenameAndRemove(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	to := filepath.Join(dir, "to")
	if err := disk.Rename(write(t, filepath.Join(dir, "from"), "x"), to); err != nil {
		t.Fatal(err)
	}
	if err := disk.Rename(filepath.Join(dir, "from"), to); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a second rename: %v", err)
	}
	for range 2 {
		if err := disk.Remove(to); err != nil {
			t.Error(err)
		}
	}
	if err := disk.Remove(filepath.Join(dir, "no", "folder")); err != nil {
		t.Errorf("a file in a folder that is gone: %v", err)
	}
}

func TestRemoveCatalogTakesItsLogsAndNothingElse(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, name := range []string{"p.duckdb", "p.duckdb.wal", "p.duckdb.wal.checkpoint", "p.duckdb.wal.recovery", "p.duckdb2", "pp.duckdb"} {
		write(t, filepath.Join(dir, name), "x")
	}
	for range 2 {
		if err := disk.RemoveCatalog(filepath.Join(dir, "p.duckdb")); err != nil {
			t.Error(err)
		}
	}
	if diff := cmp.Diff([]string{"p.duckdb2", "pp.duckdb"}, names(t, dir)); diff != "" {
		t.Error(diff)
	}
}

func TestExplain(t *testing.T) {
	t.Parallel()
	plain := errors.New("plain")
	for _, tc := range []struct{ err, want error }{
		{nil, nil},
		{plain, plain},
		{fmt.Errorf("write: %w", syscall.ENOSPC), sdk.ErrDiskFull},
		{&fs.PathError{Op: "write", Path: "x", Err: syscall.EDQUOT}, sdk.ErrDiskFull},
		{&fs.PathError{Op: "open", Path: "x", Err: syscall.EROFS}, sdk.ErrUnavailable},
		{&fs.PathError{Op: "open", Path: "x", Err: syscall.EACCES}, sdk.ErrUnavailable},
		{&fs.PathError{Op: "sync", Path: "x", Err: syscall.EIO}, sdk.ErrUnavailable},
		{&fs.PathError{Op: "sync", Path: "x", Err: syscall.EIO}, syscall.EIO}, // for the log
	} {
		if got := disk.Explain(tc.err); !errors.Is(got, tc.want) {
			t.Errorf("%v: got %v, want %v", tc.err, got, tc.want)
		}
	}
}

func TestProjectsOnDisk(t *testing.T) {
	t.Parallel()
	l := disk.Layout{Root: t.TempDir(), Runtime: t.TempDir()}
	if err := l.Open(); err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{"1", "a_b"} {
		if err := os.MkdirAll(l.Staging(id), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	write(t, l.Files("plain"), "not a folder")
	got, err := l.ProjectsOnDisk()
	if diff := cmp.Diff([]string{"1", "a_b"}, got); err != nil || diff != "" {
		t.Errorf("%v %s", err, diff)
	}
}
