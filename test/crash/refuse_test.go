package crash_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/keboola/duckdb-storage/sdk/sdktest/service"
	"github.com/keboola/duckdb-storage/test/faults"
)

// always fails every operation of some kinds, or of all.
func always(errno syscall.Errno, kinds ...faults.Kind) func(faults.Op, string) faults.Verdict {
	return func(op faults.Op, _ string) faults.Verdict {
		for _, k := range kinds {
			if op.Kind == k {
				return faults.Fail(errno)
			}
		}
		if len(kinds) == 0 {
			return faults.Fail(errno)
		}
		return faults.GoOn
	}
}

// writes are requests that need the disk, each for something of its own.
func writes(p service.Project, fileID string) map[string]func(context.Context) error {
	return map[string]func(context.Context) error{
		"import": func(ctx context.Context) error {
			_, err := p.Import(ctx, "in.c-main", "orders", fileID)
			return err
		},
		"upload": func(ctx context.Context) error {
			_, err := p.Upload(ctx, "more.csv", bytes.NewReader(orders(100_000)))
			return err
		},
		"export": func(ctx context.Context) error {
			_, err := p.Do(ctx, http.MethodPost, p.Path("tables", "in.c-main", "orders", "export"), map[string]any{}, nil)
			return err
		},
		"bucket": func(ctx context.Context) error { return p.CreateBucket(ctx, "in.c-more") },
		"insert": func(ctx context.Context) error {
			_, err := p.Query(ctx, `INSERT INTO "in.c-main".orders (id, name) VALUES ('more', 'more')`)
			return err
		},
	}
}

// stage is a service with a table of ten rows.
type stage struct {
	service *service.Service
	control *control
	dir     string
	project service.Project
	file    string // the last one that was registered
}

func newStage(t *testing.T) *stage {
	t.Helper()
	faults.Need(t)
	ctx := t.Context()
	st := &stage{dir: dataDir(t)}
	st.service, st.control = supervised(t, st.dir)
	var err error
	if st.project, err = st.service.Admin().CreateProject(ctx, mainProject); err != nil {
		t.Fatal(err)
	}
	if err := st.project.CreateBucket(ctx, "in.c-main"); err != nil {
		t.Fatal(err)
	}
	if err := st.project.CreateTable(ctx, "in.c-main", "orders", []string{"id", "name"}); err != nil {
		t.Fatal(err)
	}
	st.upload(t, 10)
	if _, err := st.project.Import(ctx, "in.c-main", "orders", st.file); err != nil {
		t.Fatal(err)
	}
	return st
}

// upload registers a file with so many rows.
func (st *stage) upload(t *testing.T, rows int) {
	t.Helper()
	f, err := st.project.Upload(t.Context(), "orders.csv", bytes.NewReader(orders(rows)))
	if err != nil {
		t.Fatal(err)
	}
	st.file = f.ID
}

// rows compares the number of rows.
func (st *stage) rows(ctx context.Context, want int) error {
	got, err := st.project.Query(ctx, `SELECT count(*) FROM "in.c-main".orders`)
	if diff := cmp.Diff([][]any{{float64(want)}}, got); err == nil && diff != "" {
		return fmt.Errorf("rows (-want +got):\n%s", diff)
	}
	return err
}

// refuses lets the disk be bad for a while. Every write is answered with the problem
// and changes nothing, reads go on; then everything works again.
func (st *stage) refuses(t *testing.T, slug string, rule func(faults.Op, string) faults.Verdict) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), requestTimeout)
	defer cancel()
	st.upload(t, 300_000)
	st.control.follow(rule)
	for name, write := range writes(st.project, st.file) {
		var p *service.Problem
		if err := write(ctx); !errors.As(err, &p) || p.Status != http.StatusServiceUnavailable || !p.Retryable || p.Type != "/problems/"+slug {
			t.Errorf("%s: %v, want 503 %s, retryable", name, err, slug)
		}
		if err := st.rows(ctx, 10); err != nil {
			t.Errorf("after %s: %v", name, err)
		}
	}
	if _, err := st.service.Admin().CreateProject(ctx, "more"); !service.IsProblem(err, slug) {
		t.Errorf("a new project: %v, want %s", err, slug)
	}
	st.control.follow(nil)
	for _, name := range []string{"bucket", "upload", "export", "insert", "import"} {
		if _, err := recovery(ctx, func() error { return writes(st.project, st.file)[name](ctx) }); err != nil {
			t.Errorf("%s on a good disk: %v", name, err)
		}
	}
	if err := st.rows(ctx, 300_000); err != nil {
		t.Error(err)
	}
	if _, err := st.service.Admin().CreateProject(ctx, "more"); err != nil {
		t.Errorf("a new project on a good disk: %v", err)
	}
	if err := st.service.Stop(); err != nil {
		t.Error(err)
	}
}

// A disk that is full refuses writes and changes nothing; reads go on. When there is
// space again, everything works.
func TestDiskFull(t *testing.T) {
	t.Parallel()
	newStage(t).refuses(t, "disk-full", always(syscall.ENOSPC, faults.Create, faults.Write, faults.Allocate, faults.Mkdir))
}

// A file system that became read-only, as Linux makes a broken one, does the same.
func TestReadOnly(t *testing.T) {
	t.Parallel()
	newStage(t).refuses(t, "unavailable", always(syscall.EROFS))
}

// On a read-only data directory the service does not start and says why. It leaves
// everything as it was.
func TestReadOnlyStart(t *testing.T) {
	t.Parallel()
	st := newStage(t)
	if err := st.service.Stop(); err != nil {
		t.Fatal(err)
	}
	c := newControl(t, st.dir)
	c.follow(always(syscall.EROFS))
	_, err := service.Start(t.Context(), c.options(nil))
	if err == nil || !strings.Contains(err.Error(), "read-only file system") {
		t.Fatalf("the start: %v, want one that says why not", err)
	}
	st.again(t)
	if err := st.rows(t.Context(), 10); err != nil {
		t.Error(err)
	}
}

// again starts the service of a stage that was stopped.
func (st *stage) again(t *testing.T) {
	t.Helper()
	st.service, st.control = supervised(t, st.dir)
	st.project.URL = st.service.URL()
}

// What somebody removed from the data directory is missed in a problem of its
// project; the service starts, and everything else is served.
func TestMissing(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		path string
		// slugs of the problems of a read of the table and of an upload; empty for none.
		read, upload string
	}{
		"database":            {"duckdb/project_main_main.duckdb", "catalog-broken", ""},
		"folder of databases": {"duckdb", "catalog-broken", ""},
		"files":               {"files/project_main", "", "project-not-found"},
		"staging":             {"files/project_main/staging", "", "project-not-found"},
		"spill folder":        {"tmp", "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			st := newStage(t)
			other, err := st.service.Admin().CreateProject(t.Context(), otherProject)
			if err != nil {
				t.Fatal(err)
			}
			if err := st.service.Stop(); err != nil {
				t.Fatal(err)
			}
			if err := os.RemoveAll(filepath.Join(st.dir, tc.path)); err != nil {
				t.Fatal(err)
			}
			st.again(t)
			other.URL = st.service.URL()
			for what, got := range map[string]struct {
				err  error
				slug string
			}{
				"read":   {st.rows(t.Context(), 10), tc.read},
				"upload": {writes(st.project, st.file)["upload"](t.Context()), tc.upload},
			} {
				if got.slug == "" && got.err != nil || got.slug != "" && !service.IsProblem(got.err, got.slug) {
					t.Errorf("%s: %v, want %q", what, got.err, got.slug)
				}
			}
			if _, err := other.Query(t.Context(), "SELECT 1"); err != nil && tc.path != "duckdb" {
				t.Errorf("another project: %v", err)
			}
			if err := st.service.Stop(); err != nil {
				t.Error(err)
			}
		})
	}
}

// A file that a newer DuckDB wrote refuses its project with a problem that does not
// invite to repeat; others are served. The file stays as it is.
func TestNewerDatabase(t *testing.T) {
	t.Parallel()
	st := newStage(t)
	other, err := st.service.Admin().CreateProject(t.Context(), otherProject)
	if err != nil {
		t.Fatal(err)
	}
	if err := st.service.Stop(); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(st.dir, "duckdb", "project_main_main.duckdb")
	newer := age(t, path, 200)
	st.again(t)
	other.URL = st.service.URL()
	for range 2 {
		var p *service.Problem
		if err := st.rows(t.Context(), 10); !errors.As(err, &p) || p.Type != "/problems/catalog-broken" || p.Retryable {
			t.Errorf("a read: %v, want catalog-broken", err)
		}
	}
	if !strings.Contains(st.service.Log(), "version number 200") {
		t.Errorf("the log does not say why:\n%s", events(st.service))
	}
	if _, err := other.Query(t.Context(), "SELECT 1"); err != nil {
		t.Errorf("another project: %v", err)
	}
	if err := st.service.Stop(); err != nil {
		t.Error(err)
	}
	if left, err := os.ReadFile(path); err != nil || !bytes.Equal(left, newer) {
		t.Errorf("the file was changed: %v", err)
	}
}

// The start of a DuckDB file, as DuckDB's MainHeader: a checksum of the rest of the
// block, "DUCK", and the version of the format.
const (
	headerBlock   = 4096
	checksumBytes = 8
	versionOffset = 12
)

// age gives a database file another version of the format, with the right checksum,
// and returns its bytes.
func age(t *testing.T, path string, version uint64) []byte {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	header := content[:headerBlock]
	if got := binary.LittleEndian.Uint64(header); got != checksum(header[checksumBytes:]) {
		t.Fatalf("the file begins with %x, want the checksum %x of its header", got, checksum(header[checksumBytes:]))
	}
	binary.LittleEndian.PutUint64(header[versionOffset:], version)
	binary.LittleEndian.PutUint64(header, checksum(header[checksumBytes:]))
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return content
}

// checksum is DuckDB's checksum of a block whose length is a multiple of 8.
func checksum(block []byte) uint64 {
	sum := uint64(5381)
	for len(block) > 0 {
		sum ^= binary.LittleEndian.Uint64(block) * 0xbf58476d1ce4e5b9
		block = block[8:]
	}
	return sum
}
