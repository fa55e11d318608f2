package engine_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/keboola/duckdb-storage/sdk"
	"github.com/keboola/duckdb-storage/sdk/sql"
)

// Reads that are interrupted at any moment beside a write leave no transaction
// open: the checkpoint at the end works, so that there is no log afterwards.
// (When a read committed by itself, one of about fifty rounds left one.)
func TestInterruptsLeaveNoTransactionOpen(t *testing.T) {
	t.Parallel()
	f := open(t)
	for range 150 {
		ctx, cancel := context.WithCancel(t.Context())
		var both sync.WaitGroup
		both.Go(func() { replaceTable(t, f) })
		both.Go(func() { readUntilInterrupted(ctx, t, f) })
		timer := time.NewTimer(time.Duration(rand.IntN(8000)) * time.Microsecond)
		<-timer.C
		cancel()
		both.Wait()
	}
	if err := f.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(f.main.Path + ".wal"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a log is left: %v", err)
	}
}

func readUntilInterrupted(ctx context.Context, t *testing.T, f fixture) {
	for {
		s, err := f.Session(ctx, f.main)
		if err == nil {
			_, err = s.Objects(sql.New("SELECT count(*) AS n FROM range(300000)"), 1, 100)
			s.Close()
		}
		if err != nil {
			if !errors.Is(err, sdk.ErrCancelled) {
				t.Error(err)
			}
			return
		}
	}
}

// All reads of a session see one snapshot; a failed one does not end the session.
func TestReadsOfASessionAgree(t *testing.T) {
	t.Parallel()
	f := open(t)
	w, r := f.session(t), f.session(t)
	exec(t, w, "CREATE TABLE t (a INTEGER)")
	count := func() string {
		rows, err := r.Objects(sql.New("SELECT count(*) AS n FROM t"), 1, 100)
		if err != nil {
			t.Fatal(err)
		}
		return string(rows[0])
	}
	before := count()
	exec(t, w, "INSERT INTO t VALUES (1)")
	if again := count(); again != before {
		t.Errorf("it saw %s, then %s", before, again)
	}
	if _, err := r.Objects(sql.New("SELECT 'x'::INTEGER"), 1, 100); !errors.Is(err, sdk.ErrSQL) {
		t.Errorf("got %v", err)
	}
	if after := count(); after == before {
		t.Errorf("a new snapshot does not see the write: %s", after)
	}
}

// A read advances no sequence, and is told so.
func TestReadsChangeNothing(t *testing.T) {
	t.Parallel()
	p := openProjects(t, time.Hour, 0, "1")
	for _, statement := range []string{"CREATE SEQUENCE s", "CHECKPOINT project_1_main"} {
		if err := p.exec(t.Context(), "1", statement); err != nil {
			t.Fatal(err)
		}
	}
	s, err := p.Session(t.Context(), p.catalog("1"))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for range 2 { // the first leaves a session that reads on
		if rows, err := s.Objects(sql.New("SELECT nextval('s') AS n"), 1, 100); !errors.Is(err, sdk.ErrDenied) || !strings.Contains(err.Error(), "sequence") {
			t.Errorf("got %s, %v", rows, err)
		}
		if rows, err := s.Objects(sql.New("SELECT 1 AS n"), 1, 100); err != nil || string(rows[0]) != `{"n":1}` {
			t.Errorf("got %s, %v", rows, err)
		}
	}
	if p.hasLog("1") {
		t.Error("a read left something in the log")
	}
}

// replaceTable commits a change of the catalog.
func replaceTable(t *testing.T, f fixture) {
	s, err := f.Session(t.Context(), f.main)
	if err != nil {
		t.Error(err)
		return
	}
	defer s.Close()
	if _, err := s.Exec(sql.New("CREATE OR REPLACE TABLE t AS SELECT range AS a FROM range(10000)")); err != nil {
		t.Error(err)
	}
}
