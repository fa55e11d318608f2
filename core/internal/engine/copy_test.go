package engine_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/keboola/duckdb-storage/core/internal/engine"
	"github.com/keboola/duckdb-storage/sdk"
	"github.com/keboola/duckdb-storage/sdk/sql"
)

// files lists what is in the folder of database files.
func (p projects) files(t *testing.T) string {
	t.Helper()
	entries, err := os.ReadDir(filepath.Dir(p.catalog("1").Path))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return strings.Join(names, " ")
}

// A copy has everything, is its own, and its views read its own data, also next to
// the original in one cell.
func TestCopy(t *testing.T) {
	t.Parallel()
	p := openProjects(t, time.Hour, 0, "1")
	branch := engine.Project(p.layout, "1", "b")
	for _, st := range []string{
		`CREATE SCHEMA "in.c-a"`, `CREATE TABLE "in.c-a".u AS SELECT range AS i, 'text ' || range AS s FROM range(10000)`,
		`CREATE VIEW "in.c-a".v AS SELECT count(*) AS n FROM "in.c-a".u`,
	} {
		if err := p.exec(t.Context(), "1", st); err != nil {
			t.Fatal(err)
		}
	}
	if err := p.Copy(t.Context(), p.catalog("1"), branch); err != nil {
		t.Fatal(err)
	}
	if err := p.Copy(t.Context(), p.catalog("1"), branch); !errors.Is(err, sdk.ErrObjectExists) {
		t.Errorf("a second copy: got %v", err)
	}
	if err := p.exec(t.Context(), "1", `DELETE FROM "in.c-a".u WHERE i < 4000`); err != nil {
		t.Fatal(err)
	}
	same := sql.New(`SELECT 1 FROM "in.c-a".u, (SELECT n FROM "in.c-a".v) HAVING count(*) = ? AND any_value(n) = ? AND sum(i) = ?`, 10000, 10000, 49995000)
	for _, linked := range []bool{false, true} {
		if linked {
			if err := p.Link(t.Context(), p.catalog("1"), branch); err != nil {
				t.Fatal(err)
			}
		}
		s, err := p.Session(t.Context(), branch)
		if err != nil {
			t.Fatal(err)
		}
		if ok, err := s.HasRows(same); err != nil || !ok {
			t.Errorf("linked %v: the copy has other rows: %v", linked, err)
		}
		s.Close()
	}
	if err := p.Copy(t.Context(), p.catalog("1"), branch); !errors.Is(err, sdk.ErrInvalid) {
		t.Errorf("over a linked catalog: got %v", err)
	}
}

// oldRead is a session that reads what a later write has changed: beside it DuckDB
// makes no checkpoint.
func (p projects) oldRead(t *testing.T, id string) *engine.Session {
	t.Helper()
	if err := p.exec(t.Context(), id, "INSERT INTO t SELECT range FROM range(100000)"); err != nil {
		t.Fatal(err)
	}
	old, err := p.Session(t.Context(), p.catalog(id))
	if err != nil {
		t.Fatal(err)
	}
	if ok, err := old.HasRows(sql.New("FROM t")); err != nil || !ok {
		t.Fatal(ok, err)
	}
	if err := p.exec(t.Context(), id, "UPDATE t SET a = a + 1 WHERE a % 3 = 0"); err != nil {
		t.Fatal(err)
	}
	return old
}

// A read that began before a change keeps DuckDB from writing the log into the file.
// The copy waits for it, and other reads go on.
func TestCopyWaitsForOldReads(t *testing.T) {
	t.Parallel()
	p := openProjects(t, time.Hour, 0, "1")
	old := p.oldRead(t, "1")
	defer old.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := p.Copy(ctx, p.catalog("1"), p.catalog("2")); !errors.Is(err, sdk.ErrTimeout) {
		t.Errorf("got %v", err)
	}
	if got := p.files(t); got != "project_1_main.duckdb project_1_main.duckdb.wal" {
		t.Errorf("left are %s", got)
	}
	copied := make(chan error, 1)
	go func() { copied <- p.Copy(t.Context(), p.catalog("1"), p.catalog("2")) }()
	p.wantCount(t, "1", "t", `{"n":100001}`)
	old.Close()
	if err := <-copied; err != nil {
		t.Error(err)
	}
	p.wantCount(t, "2", "t", `{"n":100001}`)
}

// A copy that cannot be made, or that nobody waits for any longer, leaves nothing.
func TestCopyLeavesNothing(t *testing.T) {
	t.Parallel()
	p := openProjects(t, time.Hour, 0, "1")
	if err := p.exec(t.Context(), "1", "CREATE TABLE big AS SELECT hash(range) AS a, hash(range + 1) AS b FROM range(5000000)"); err != nil {
		t.Fatal(err)
	}
	if err := p.Copy(t.Context(), p.catalog("missing"), p.catalog("2")); !errors.Is(err, sdk.ErrNotFound) {
		t.Errorf("of nothing: got %v", err)
	}
	nowhere := p.catalog("2")
	nowhere.Path = filepath.Join(p.layout.Root, "nowhere", "2.duckdb")
	if err := p.Copy(t.Context(), p.catalog("1"), nowhere); err == nil {
		t.Error("into a folder that is not there")
	}
	cancelled := false
	for attempt := 0; attempt < 20 && !cancelled; attempt++ {
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- p.Copy(ctx, p.catalog("1"), p.catalog("2")) }()
		waitFor(t, "the copy has begun", func() bool { return strings.Contains(p.files(t), ".copy-") || len(done) > 0 })
		cancel()
		err := <-done
		cancelled = errors.Is(err, sdk.ErrCancelled)
		if err != nil && !cancelled {
			t.Fatal(err)
		}
		if err := p.Drop(t.Context(), p.catalog("2")); err != nil {
			t.Fatal(err)
		}
	}
	if !cancelled {
		t.Error("no copy was cancelled")
	}
	if got := p.files(t); got != "project_1_main.duckdb" {
		t.Errorf("left are %s", got)
	}
	p.wantCount(t, "1", "big", `{"n":5000000}`)
}

// A copy does not keep its original from being moved.
func TestCopyEndsWithItsOriginal(t *testing.T) {
	t.Parallel()
	p := openProjects(t, time.Hour, 0, "1", "2")
	old := p.oldRead(t, "1")
	defer old.Close()
	copied := make(chan error, 1)
	go func() { copied <- p.Copy(t.Context(), p.catalog("1"), p.catalog("3")) }() // waits for the old read
	waitFor(t, "the copy has begun", func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		defer cancel()
		_, err := p.Session(ctx, p.catalog("3"))
		return errors.Is(err, sdk.ErrTimeout)
	})
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := p.Link(ctx, p.catalog("1"), p.catalog("2")); err != nil {
		t.Fatal(err)
	}
	wantRetryable(t, <-copied)
	if _, err := p.Session(t.Context(), p.catalog("3")); !errors.Is(err, sdk.ErrNotFound) {
		t.Errorf("the copy: got %v", err)
	}
	p.wantCount(t, "1", "t", `{"n":100001}`)
}
