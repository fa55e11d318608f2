package engine_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/keboola/duckdb-storage/core/internal/disk"
	"github.com/keboola/duckdb-storage/core/internal/engine"
	"github.com/keboola/duckdb-storage/sdk"
	"github.com/keboola/duckdb-storage/sdk/sql"
)

// A file that cannot be opened refuses its project and no other. It is left as it
// is, the problem shows no path of the host, and a good copy is served at once.
func TestBrokenFile(t *testing.T) {
	t.Parallel()
	p := openProjects(t, 10*time.Millisecond, 0, "broken", "other")
	p.waitDetached(t, "broken")
	path := p.catalog("broken").Path
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for name, bad := range map[string][]byte{
		"empty":  {},
		"text":   []byte("this is no database"),
		"half":   good[:len(good)/2],
		"header": append(bytes.Repeat([]byte("x"), 64), good[64:]...),
		"zeros":  make([]byte, len(good)),
	} {
		if err := os.WriteFile(path, bad, 0o600); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			_, err := p.Session(t.Context(), p.catalog("broken"))
			var e *sdk.Error
			if !errors.As(err, &e) || e.Slug != "catalog-broken" || e.Kind != sdk.Unavailable || e.Retryable || strings.Contains(e.Detail, p.layout.Root) {
				t.Errorf("%s: got %#v", name, err)
			}
		}
		if left, err := os.ReadFile(path); err != nil || !bytes.Equal(left, bad) {
			t.Errorf("%s: the file was changed: %v", name, err)
		}
		if got := p.rows(t, "other"); got != `{"n":1}` {
			t.Errorf("%s: the other project has %s", name, got)
		}
	}
	if err := os.WriteFile(path, good, 0o600); err != nil {
		t.Fatal(err)
	}
	if got := p.rows(t, "broken"); got != `{"n":1}` {
		t.Errorf("with a good copy it has %s", got)
	}
	if s := p.Stats(); s.Quarantined != 0 {
		t.Errorf("it has %+v", s)
	}
}

// Whatever the inside of a file lacks, its project is not said to be gone.
func TestBrokenInside(t *testing.T) {
	t.Parallel()
	layout := disk.Layout{Root: t.TempDir(), Runtime: t.TempDir()}
	if err := layout.Open(); err != nil {
		t.Fatal(err)
	}
	inside := error(nil)
	p := projects{engine.Open(engine.Config{
		Layout: layout, Logger: hclog.NewNullLogger(), Threads: 1, OnAttach: func(context.Context, *engine.Session) error { return inside },
	}), layout}
	defer p.Close(context.Background())
	for _, tc := range []struct {
		inside error
		slug   string
	}{
		{sdk.ErrTableNotFound.Errorf("no such table"), "catalog-broken"},
		{errors.New("anything"), "catalog-broken"},
		{sdk.ErrDiskFull.Errorf("full"), "disk-full"},
		{sdk.ErrUnavailable.Errorf("a newer version"), "unavailable"},
	} {
		inside = tc.inside
		var e *sdk.Error
		if err := p.Create(t.Context(), p.catalog(tc.slug)); !errors.As(err, &e) || e.Slug != tc.slug {
			t.Errorf("%v: got %v, want %s", tc.inside, err, tc.slug)
		}
		if err := p.Drop(t.Context(), p.catalog(tc.slug)); err != nil {
			t.Error(err)
		}
	}
}

// A file that could not be opened is not opened again until it changes or somebody
// asks for it: that costs time, and may cost a cell.
func TestQuarantine(t *testing.T) {
	t.Parallel()
	var attempts atomic.Int64
	var inside atomic.Pointer[sdk.Error]
	p := openWith(t, engine.Config{Threads: 1, OnAttach: func(_ context.Context, s *engine.Session) error {
		if s.Alias() != "project_1_main" {
			return nil
		}
		attempts.Add(1)
		if err := inside.Load(); err != nil {
			return err
		}
		return nil
	}})
	wantBroken := func(attempt int64) {
		t.Helper()
		changes := uint64(0)
		for range 5 {
			var e *sdk.Error
			if err := p.exec(t.Context(), "1", "SELECT 1"); !errors.As(err, &e) || e.Slug != "catalog-broken" || e.Retryable {
				t.Errorf("got %v", err)
			}
			if changes == 0 { // the first may have opened the file
				waitFor(t, "the other project has all the memory again", func() bool { return p.Stats().MemoryLimits == 1<<30 })
				changes = p.Stats().LimitChanges
			}
		}
		if after := p.Stats().LimitChanges; after != changes {
			t.Errorf("they took memory from the other project %d times", after-changes)
		}
		if n := attempts.Load(); n != attempt {
			t.Errorf("opened %d times, want %d", n, attempt)
		}
		if s := p.Stats(); s.Quarantined != 1 || s.Cells != 1 {
			t.Errorf("it has %+v", s)
		}
	}
	p.create(t, "1")
	p.create(t, "2")
	if err := p.Reopen(t.Context(), p.catalog("1")); err != nil {
		t.Fatal(err)
	}
	inside.Store(sdk.ErrTableNotFound.Errorf("a table is gone"))
	wantBroken(2)
	if err := p.Reopen(t.Context(), p.catalog("1")); err != nil {
		t.Fatal(err)
	}
	wantBroken(3)
	if err := os.Chtimes(p.catalog("1").Path, time.Time{}, time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	wantBroken(4)
	inside.Store(nil)
	wantBroken(4)
	if err := p.Reopen(t.Context(), p.catalog("1")); err != nil {
		t.Fatal(err)
	}
	p.wantCount(t, "1", "t", `{"n":1}`)
	if s := p.Stats(); s.Quarantined != 0 {
		t.Errorf("it has %+v", s)
	}
}

// A healthy project can be reopened, too: its sessions may end first.
func TestReopen(t *testing.T) {
	t.Parallel()
	p := openProjects(t, time.Hour, 0, "1")
	s, err := p.Session(t.Context(), p.catalog("1"))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := p.Reopen(ctx, p.catalog("1")); err != nil {
		t.Fatal(err)
	}
	_, err = s.HasRows(sql.New("FROM t"))
	wantRetryable(t, err)
	p.wantCount(t, "1", "t", `{"n":1}`)
}

// A folder that cannot be written is none of a project's faults. (The owner of all,
// root, can write anywhere.)
func TestReadOnlyFolder(t *testing.T) {
	t.Parallel()
	if os.Geteuid() == 0 {
		t.Skip("root can write anywhere")
	}
	p := openProjects(t, time.Hour, 0, "1")
	if err := p.Reopen(t.Context(), p.catalog("1")); err != nil {
		t.Fatal(err)
	}
	folder := filepath.Dir(p.catalog("1").Path)
	for _, path := range []string{p.catalog("1").Path, folder} {
		if err := os.Chmod(path, 0o500); err != nil {
			t.Fatal(err)
		}
	}
	wantRetryable(t, p.exec(t.Context(), "1", "INSERT INTO t VALUES (2)"))
	wantRetryable(t, p.Create(t.Context(), p.catalog("2")))
	for _, path := range []string{p.catalog("1").Path, folder} {
		if err := os.Chmod(path, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := p.exec(t.Context(), "1", "INSERT INTO t VALUES (2)"); err != nil {
		t.Error(err)
	}
}

// What a newer DuckDB wrote is not said to be broken.
func TestNewerFileFormat(t *testing.T) {
	t.Parallel()
	p := openProjects(t, 10*time.Millisecond, 0, "1")
	waitFor(t, "it is closed", func() bool { return p.Stats().Cells == 0 })
	path := p.catalog("1").Path
	file, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if header := file[:4096]; binary.LittleEndian.Uint64(header) != checksum(header[8:]) {
		t.Fatal("this is not how DuckDB 1.5 sums its headers")
	}
	file[12]++ // the version of the format, after the sum and DUCK
	binary.LittleEndian.PutUint64(file, checksum(file[8:4096]))
	if err := os.WriteFile(path, file, 0o600); err != nil {
		t.Fatal(err)
	}
	var e *sdk.Error
	if _, err := p.Session(t.Context(), p.catalog("1")); !errors.As(err, &e) || !strings.Contains(e.Detail, "newer version of DuckDB") || e.Kind != sdk.Unavailable || e.Retryable {
		t.Errorf("got %v", err)
	}
}

// checksum is DuckDB's, of a part of a file whose length is a multiple of 8.
func checksum(b []byte) uint64 {
	sum := uint64(5381)
	for ; len(b) > 0; b = b[8:] {
		sum ^= binary.LittleEndian.Uint64(b) * 0xbf58476d1ce4e5b9
	}
	return sum
}

// A folder that is gone, as when a disk is not mounted, is not a project that is
// gone. It is served again when the folder is back.
func TestFolderIsGone(t *testing.T) {
	t.Parallel()
	p := openProjects(t, time.Hour, 0, "open", "closed")
	if err := p.Reopen(t.Context(), p.catalog("closed")); err != nil {
		t.Fatal(err)
	}
	if err := p.exec(t.Context(), "open", "CHECKPOINT project_open_main"); err != nil {
		t.Fatal(err)
	}
	folder := filepath.Dir(p.catalog("open").Path)
	if err := os.Rename(folder, folder+".away"); err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{"open", "closed"} {
		err := p.exec(t.Context(), id, "INSERT INTO t VALUES (2)")
		wantRetryable(t, err)
		if err != nil && strings.Contains(err.Error(), p.layout.Root) {
			t.Errorf("the problem shows a path: %v", err)
		}
	}
	p.wantCount(t, "open", "t", `{"n":1}`)
	if err := os.Rename(folder+".away", folder); err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{"open", "closed"} {
		if err := p.exec(t.Context(), id, "INSERT INTO t VALUES (2)"); err != nil {
			t.Errorf("project %s: %v", id, err)
		}
		p.wantCount(t, id, "t", `{"n":2}`)
	}
}

// A file whose inside is damaged answers what it can, and says so for the rest.
func TestDamagedBlock(t *testing.T) {
	t.Parallel()
	p := openProjects(t, time.Hour, 0, "1")
	if err := p.exec(t.Context(), "1", "CREATE TABLE big AS SELECT hash(range) AS a FROM range(500000)"); err != nil {
		t.Fatal(err)
	}
	if err := p.Reopen(t.Context(), p.catalog("1")); err != nil {
		t.Fatal(err)
	}
	file, err := os.OpenFile(p.catalog("1").Path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	info, err := file.Stat()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := file.WriteAt(bytes.Repeat([]byte("x"), 64), info.Size()/2); err != nil {
		t.Fatal(err)
	}
	file.Close()
	p.wantCount(t, "1", "t", `{"n":1}`)
	var e *sdk.Error
	if err := p.exec(t.Context(), "1", "SELECT sum(a) FROM big"); !errors.As(err, &e) || e.Slug != "catalog-broken" || strings.Contains(e.Detail, p.layout.Root) {
		t.Errorf("got %v", err)
	}
	p.wantCount(t, "1", "t", `{"n":1}`)
}

// A cell that cannot be set up says why, and is tried again by the next request.
func TestCellThatCannotOpen(t *testing.T) {
	t.Parallel()
	p := openProjects(t, time.Hour, 0, "1")
	if err := p.Reopen(t.Context(), p.catalog("1")); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(p.layout.Temp()); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(p.layout.Temp(), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Session(t.Context(), p.catalog("1")); !errors.Is(err, syscall.ENOTDIR) {
		t.Errorf("got %v", err)
	}
	if s := p.Stats(); s.Cells != 0 || s.FatalErrors != 0 || s.Quarantined != 0 {
		t.Errorf("it has %+v", s)
	}
	if err := os.Remove(p.layout.Temp()); err != nil {
		t.Fatal(err)
	}
	p.wantCount(t, "1", "t", `{"n":1}`)
}
