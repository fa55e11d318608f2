package disk_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/keboola/duckdb-storage/core/internal/disk"
)

func TestHolder(t *testing.T) {
	t.Parallel()
	l := disk.Layout{Root: t.TempDir()}
	holder := func(want string) {
		t.Helper()
		if got, err := l.Holder(); got != want || err != nil {
			t.Errorf("held by %q, %v, want %q", got, err, want)
		}
	}
	holder("")
	if _, err := os.Stat(filepath.Join(l.Root, "lock")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("asking made the lock: %v", err)
	}
	lock, err := l.Lock()
	if err != nil {
		t.Fatal(err)
	}
	holder(strconv.Itoa(os.Getpid()))
	holder(strconv.Itoa(os.Getpid())) // asking does not end it
	if err := lock.Truncate(0); err != nil {
		t.Fatal(err)
	}
	holder("unknown")
	lock.Close()
	holder("")
	again, err := l.Lock() // asking does not keep it
	if err != nil {
		t.Fatal(err)
	}
	again.Close()
}

func TestTry(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	stamp, err := disk.Try(dir)
	if age := time.Since(stamp); err != nil || age < -time.Minute || age > time.Minute {
		t.Errorf("%s, %v", stamp, err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("left %v, %v", left, err)
	}
	if _, err := disk.Try(filepath.Join(dir, "none")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a folder that is not there: %v", err)
	}
}
