package disk_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/keboola/duckdb-storage/core/internal/disk"
)

func TestWrite(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path, at := filepath.Join(dir, "a"), time.Date(2026, 12, 31, 8, 0, 0, 0, time.UTC)
	for _, content := range []string{"first", "second", ""} {
		if err := disk.Write(path, []byte(content), at); err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(path)
		if err != nil || string(got) != content {
			t.Errorf("read %q, %v; want %q", got, err, content)
		}
	}
	info, err := os.Stat(path)
	if err != nil || !info.ModTime().Equal(at) || info.Mode().Perm() != 0o600 {
		t.Errorf("%v %v %v", info.ModTime(), info.Mode(), err)
	}
	if err := disk.Write(filepath.Join(dir, "none", "a"), nil, at); err == nil {
		t.Error("a file in a folder that is not there was written")
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
		t.Errorf("left behind: %v, %v", entries, err)
	}
}
