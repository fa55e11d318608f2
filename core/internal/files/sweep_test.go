package files_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/keboola/duckdb-storage/core/internal/fixture"
	"github.com/keboola/duckdb-storage/core/internal/registry"
	"github.com/keboola/duckdb-storage/sdk"
)

const (
	staging = "staging/7-x.csv"
	final   = "2026/01/02/7-x.csv"
)

// Each case is what a crash may leave: a row in some state and bytes in some place.
func TestSweep(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name        string
		state, path string
		bytes       []string // where there are some
		wantState   string   // empty: the row is gone
		wantBytes   []string
		swept       int
	}{
		{"prepared", sdk.FilePrepared, staging, nil, sdk.FilePrepared, nil, 0},
		{"prepared, bytes put by other means", sdk.FilePrepared, staging, []string{staging}, sdk.FilePrepared, []string{staging}, 0},
		{"uploaded", sdk.FileUploaded, staging, []string{staging}, sdk.FileUploaded, []string{staging}, 0},
		{"registered", sdk.FileRegistered, final, []string{final}, sdk.FileRegistered, []string{final}, 0},
		{"export before its first byte", registry.FileWriting, staging, nil, "", nil, 1},
		{"export half written", registry.FileWriting, staging, []string{staging}, "", nil, 1},
		{"replacing", registry.FileReplacing, staging, []string{staging}, sdk.FileUploaded, []string{staging}, 1},
		{"replacing, bytes removed by hand", registry.FileReplacing, staging, nil, sdk.FilePrepared, nil, 1},
		{"registering, not yet renamed", registry.FileRegistering, final, []string{staging}, sdk.FileRegistered, []string{final}, 1},
		{"registering, renamed", registry.FileRegistering, final, []string{final}, sdk.FileRegistered, []string{final}, 1},
		{"registering, bytes removed by hand", registry.FileRegistering, final, nil, registry.FileRegistering, nil, 1},
		{"deleting, bytes there", registry.FileDeleting, final, []string{final}, "", nil, 1},
		{"deleting, bytes gone", registry.FileDeleting, final, nil, "", nil, 1},
		{"upload that never ended", sdk.FilePrepared, staging, []string{"staging/.upload-7-123"}, sdk.FilePrepared, nil, 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			root := t.TempDir()
			before := fixture.Open(t, root)
			before.CreateProject("1")
			for _, path := range append(tc.bytes, final) {
				if err := os.MkdirAll(filepath.Join(before.Layout.Files("1"), filepath.Dir(path)), 0o700); err != nil {
					t.Fatal(err)
				}
			}
			for _, path := range tc.bytes {
				if err := os.WriteFile(filepath.Join(before.Layout.Files("1"), path), []byte("x"), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			row := registry.File{ID: "7", Project: "1", Name: "x.csv", Created: time.Date(2026, 1, 2, 0, 0, 0, 0, time.UTC), State: tc.state, Path: tc.path, Tags: []string{}}
			if err := before.Files.Registry.Put(t.Context(), row); err != nil {
				t.Fatal(err)
			}
			before.Close()

			h := fixture.Open(t, root)
			swept, err := h.Files.Sweep(t.Context())
			if err != nil || swept != tc.swept {
				t.Errorf("swept %d, %v; want %d", swept, err, tc.swept)
			}
			f, err := h.Files.Registry.Get(t.Context(), "1", "7")
			switch {
			case tc.wantState == "" && !errors.Is(err, sdk.ErrFileNotFound):
				t.Errorf("the row is there: %+v, %v", f, err)
			case tc.wantState != "" && (err != nil || f.State != tc.wantState):
				t.Errorf("the row is %+v, %v; want state %s", f, err, tc.wantState)
			}
			if f.State == sdk.FileUploaded && tc.state == registry.FileReplacing && (f.SHA256 != hash("x") || f.SizeBytes != 1) {
				t.Errorf("the row does not say what the bytes are: %+v", f)
			}
			if diff := cmp.Diff(append([]string{}, tc.wantBytes...), onDisk(t, h)); diff != "" {
				t.Error(diff)
			}
			if tc.name == "registering, bytes removed by hand" {
				return
			}
			if again, err := h.Files.Sweep(t.Context()); err != nil || again != 0 {
				t.Errorf("a second sweep found %d, %v", again, err)
			}
		})
	}
}
