package engine_test

import (
	"testing"
	"time"

	"github.com/keboola/duckdb-storage/sdk/sql"
)

// A fatal error of DuckDB ends the sessions of its cell and nobody else's. All
// catalogs of the cell are served again at once, with everything that was committed.
func TestFatalErrorEndsOneCell(t *testing.T) {
	t.Parallel()
	p := openProjects(t, time.Hour, 0, "1", "2", "3")
	p.link(t, "1", "2") // closes their cells
	p.Prepare(sql.New("SET debug_checkpoint_abort = 'before_header'"))
	beside, err := p.Session(t.Context(), p.catalog("2"))
	if err != nil {
		t.Fatal(err)
	}
	defer beside.Close()
	p.Prepare()
	other, err := p.Session(t.Context(), p.catalog("3"))
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	if err := other.Begin(); err != nil {
		t.Fatal(err)
	}
	exec(t, other, "INSERT INTO t VALUES (2)")
	if err := p.exec(t.Context(), "1", "INSERT INTO t VALUES (2)"); err != nil {
		t.Fatal(err)
	}
	if err := p.exec(t.Context(), "2", "INSERT INTO t VALUES (2)"); err != nil {
		t.Fatal(err)
	}

	start := time.Now()
	wantRetryable(t, p.exec(t.Context(), "1", "CHECKPOINT project_1_main"))
	p.wantCount(t, "1", "t", `{"n":2}`)
	p.wantCount(t, "2", "t", `{"n":2}`)
	if took := time.Since(start); took > time.Second {
		t.Errorf("served again after %s", took)
	}
	_, err = beside.HasRows(sql.New("FROM t"))
	wantRetryable(t, err)
	if err := other.Commit(); err != nil {
		t.Errorf("the other cell: %v", err)
	}
	p.wantCount(t, "3", "t", `{"n":2}`)
	if s := p.Stats(); s.FatalErrors != 1 || s.Cells != 2 || s.Catalogs != 3 {
		t.Errorf("counted are %+v", s)
	}
}
