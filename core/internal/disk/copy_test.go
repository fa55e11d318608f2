package disk_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/keboola/duckdb-storage/core/internal/disk"
	"github.com/keboola/duckdb-storage/sdk"
)

func fine() error { return nil }

// A copy is there whole or not at all, whatever goes wrong.
func TestCopyFile(t *testing.T) {
	t.Parallel()
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	changed := errors.New("changed")
	for _, tc := range []struct {
		name  string
		ctx   context.Context
		from  string
		full  bool
		check func() error
		want  error
	}{
		{"good", t.Context(), "from", false, fine, nil},
		{"the disk is full", t.Context(), "from", true, fine, sdk.ErrDiskFull},
		{"nobody waits", gone, "from", false, fine, context.Canceled},
		{"refused at the end", t.Context(), "from", false, func() error { return changed }, changed},
	} {
		dir := t.TempDir()
		from, to := write(t, filepath.Join(dir, "from"), "text"), filepath.Join(dir, "to")
		if tc.full {
			if err := os.Symlink("/dev/full", filepath.Join(dir, ".copy-to")); err != nil {
				t.Fatal(err)
			}
		}
		if err := disk.CopyFile(tc.ctx, from, to, tc.check); !errors.Is(err, tc.want) {
			t.Errorf("%s: got %v, want %v", tc.name, err, tc.want)
		}
		want := []string{"from"}
		if tc.want == nil {
			want = append(want, "to")
			if b, err := os.ReadFile(to); err != nil || string(b) != "text" {
				t.Errorf("%s: the copy has %q, %v", tc.name, b, err)
			}
		}
		if diff := cmp.Diff(want, names(t, dir)); diff != "" {
			t.Errorf("%s: %s", tc.name, diff)
		}
	}
	dir := t.TempDir()
	if err := disk.CopyFile(t.Context(), filepath.Join(dir, "missing"), filepath.Join(dir, "to"), fine); err == nil {
		t.Error("a copy of nothing")
	}
	if left := names(t, dir); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

// What a kill leaves of a copy is removed at the next start, and nothing else is.
func TestOpenRemovesUnfinishedCopies(t *testing.T) {
	t.Parallel()
	l := disk.Layout{Root: t.TempDir(), Runtime: t.TempDir()}
	if err := l.Open(); err != nil {
		t.Fatal(err)
	}
	folder := filepath.Dir(l.Catalog("1", "default"))
	for _, name := range []string{"project_1_main.duckdb", "project_1_main.duckdb.wal", ".copy-project_1_branch_b.duckdb", "copy-of-an-operator"} {
		write(t, filepath.Join(folder, name), "x")
	}
	if err := l.Open(); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"copy-of-an-operator", "project_1_main.duckdb", "project_1_main.duckdb.wal"}, names(t, folder)); diff != "" {
		t.Error(diff)
	}
}
