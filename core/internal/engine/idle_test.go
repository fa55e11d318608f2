package engine_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/keboola/duckdb-storage/core/internal/disk"
	"github.com/keboola/duckdb-storage/core/internal/engine"
	"github.com/keboola/duckdb-storage/sdk/sql"
)

// projects is an engine with several projects, each with a table of one row. A
// catalog that is open has a log, because the row is not checkpointed.
type projects struct {
	*engine.Engine
	layout disk.Layout
}

func openProjects(t *testing.T, idle time.Duration, maxOpen int, ids ...string) projects {
	t.Helper()
	layout := disk.Layout{Root: t.TempDir(), Runtime: t.TempDir()}
	if err := layout.Open(); err != nil {
		t.Fatal(err)
	}
	p := projects{engine.Open(engine.Config{
		Layout: layout, Logger: hclog.NewNullLogger(), Threads: 1, Memory: 500 << 20, Idle: idle, MaxOpen: maxOpen,
	}), layout}
	t.Cleanup(func() {
		if err := p.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	for _, id := range ids {
		p.create(t, id)
	}
	return p
}

func (p projects) catalog(id string) engine.Catalog { return engine.Project(p.layout, id, "default") }

func (p projects) create(t *testing.T, id string) {
	t.Helper()
	if err := p.Create(t.Context(), p.catalog(id)); err != nil {
		t.Fatal(err)
	}
	if err := p.exec(t.Context(), id, "CREATE TABLE IF NOT EXISTS t AS SELECT 1 AS a"); err != nil {
		t.Fatal(err)
	}
}

func (p projects) exec(ctx context.Context, id, statement string) error {
	s, err := p.Session(ctx, p.catalog(id))
	if err != nil {
		return err
	}
	defer s.Close()
	_, err = s.Exec(sql.Raw(statement))
	return err
}

func (p projects) rows(t *testing.T, id string) string {
	t.Helper()
	s, err := p.Session(t.Context(), p.catalog(id))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	rows, err := s.Objects(sql.New("SELECT count(*) AS n FROM t"), 1, 100)
	if err != nil {
		t.Fatal(err)
	}
	return string(rows[0])
}

func (p projects) hasLog(id string) bool {
	_, err := os.Stat(p.catalog(id).Path + ".wal")
	return !errors.Is(err, fs.ErrNotExist)
}

// waitDetached waits until a catalog was checkpointed, which detaching does.
func (p projects) waitDetached(t *testing.T, id string) {
	t.Helper()
	deadline := time.NewTimer(10 * time.Second)
	defer deadline.Stop()
	poll := time.NewTicker(time.Millisecond)
	defer poll.Stop()
	for p.hasLog(id) {
		select {
		case <-poll.C:
		case <-deadline.C:
			t.Fatalf("project %s is still open", id)
		}
	}
}

func TestIdleCatalogsAreDetached(t *testing.T) {
	t.Parallel()
	p := openProjects(t, 20*time.Millisecond, 0, "idle", "used")
	s, err := p.Session(t.Context(), p.catalog("used"))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for range 3 {
		p.waitDetached(t, "idle")
		if got := p.rows(t, "idle"); got != `{"n":1}` {
			t.Errorf("opened again it has %s", got)
		}
		if err := p.exec(t.Context(), "idle", "CREATE OR REPLACE TABLE t AS SELECT 1 AS a"); err != nil {
			t.Error(err)
		}
	}
	// In use all the time, it was never let go of.
	if !p.hasLog("used") {
		t.Error("a catalog in use was detached")
	}
	if _, err := s.Exec(sql.New("INSERT INTO t VALUES (2)")); err != nil {
		t.Errorf("the session that was open all the time: %v", err)
	}
}

func TestLeastRecentlyUsedGoesFirst(t *testing.T) {
	t.Parallel()
	p := openProjects(t, time.Hour, 2, "1", "2")
	p.rows(t, "1")
	p.create(t, "3")
	if !p.hasLog("1") || p.hasLog("2") || !p.hasLog("3") {
		t.Errorf("open are 1: %v, 2: %v, 3: %v; want 1 and 3", p.hasLog("1"), p.hasLog("2"), p.hasLog("3"))
	}
	// All that is open is in use: another one is opened all the same.
	for _, id := range []string{"1", "3"} {
		s, err := p.Session(t.Context(), p.catalog(id))
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
	}
	if got := p.rows(t, "2"); got != `{"n":1}` {
		t.Errorf("got %s", got)
	}
	if !p.hasLog("1") || !p.hasLog("3") {
		t.Error("a catalog in use was detached")
	}
}

// Opening and letting go at any moment loses no request and no row.
func TestDetachingUnderLoad(t *testing.T) {
	t.Parallel()
	ids := []string{"1", "2", "3", "4"}
	p := openProjects(t, 4*time.Millisecond, 2, ids...)
	const clients, writes = 3, 15
	var wg sync.WaitGroup
	for _, id := range ids {
		var turn sync.Mutex // as the queue gives it
		for range clients {
			wg.Go(func() {
				for range writes {
					turn.Lock()
					err := p.exec(t.Context(), id, "INSERT INTO t VALUES (2)")
					turn.Unlock()
					if err != nil {
						t.Errorf("project %s: %v", id, err)
					}
				}
			})
		}
	}
	wg.Wait()
	for _, id := range ids {
		if got, want := p.rows(t, id), fmt.Sprintf(`{"n":%d}`, 1+clients*writes); got != want {
			t.Errorf("project %s has %s, want %s", id, got, want)
		}
	}
}

// A drop that meets a catalog on its way out removes it all the same.
func TestDropOfAnIdleCatalog(t *testing.T) {
	t.Parallel()
	p := openProjects(t, time.Millisecond, 1)
	for i := range 20 {
		id := fmt.Sprint(i)
		p.create(t, id)
		if err := p.Drop(t.Context(), p.catalog(id)); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(p.catalog(id).Path); !errors.Is(err, fs.ErrNotExist) {
			t.Fatalf("project %s is still there: %v", id, err)
		}
	}
}
