package engine_test

import (
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/keboola/duckdb-storage/core/internal/engine"
	"github.com/keboola/duckdb-storage/sdk"
	"github.com/keboola/duckdb-storage/sdk/sql"
)

// slow is a statement of a second or more of which DuckDB knows how far it is.
const slow = "CREATE OR REPLACE TEMP TABLE slow AS SELECT DISTINCT md5(i::VARCHAR) AS h FROM numbers"

// numbers makes the table that slow reads.
func numbers(t *testing.T, f fixture) {
	t.Helper()
	exec(t, f.session(t), "CREATE TABLE numbers AS SELECT range AS i FROM range(6_000_000)")
}

// told asks a Progress every few milliseconds while fn runs, and returns each new
// answer.
func told(t *testing.T, p *engine.Progress, fn func()) []float64 {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		fn()
	}()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	var out []float64
	for {
		select {
		case <-done:
			return out
		case <-tick.C:
			if f, ok := p.Fraction(); ok && (len(out) == 0 || out[len(out)-1] != f) {
				out = append(out, f)
			}
		}
	}
}

func TestProgressGrowsAndNeverGoesBack(t *testing.T) {
	t.Parallel()
	f := open(t)
	numbers(t, f)
	p := engine.NewProgress()
	if got, ok := p.Fraction(); ok {
		t.Errorf("before the first statement: %v", got)
	}
	s, err := f.Session(p.Within(t.Context()), f.main)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	first := told(t, p, func() { exec(t, s, slow) })
	// What takes no time counts nothing, however often somebody asks.
	if short := told(t, p, func() { exec(t, s, "CREATE TABLE a (i INTEGER)", "DROP TABLE a") }); len(short) > 1 {
		t.Errorf("two short statements moved the progress: %v", short)
	}
	second := told(t, p, func() { exec(t, s, slow) })
	last := 0.0
	for _, f := range append(first, second...) {
		if f < last || f > 1 {
			t.Fatalf("went from %v to %v: %v, then %v", last, f, first, second)
		}
		last = f
	}
	if len(first) < 2 || first[len(first)-1] <= first[0] || first[len(first)-1] > .75 {
		t.Errorf("the first statement told %v", first)
	}
	if len(second) < 2 || second[len(second)-1] <= .75 || last > .9375 {
		t.Errorf("the second statement told %v", second)
	}
}

func TestOnlySessionsWithProgressAreMeasured(t *testing.T) {
	t.Parallel()
	f := open(t)
	settings := func(s *engine.Session) string {
		rows, err := s.Objects(sql.New("SELECT current_setting('enable_progress_bar') AS bar, current_setting('enable_progress_bar_print') AS print"), 1, 100)
		if err != nil {
			t.Fatal(err)
		}
		return string(rows[0])
	}
	if got := settings(f.session(t)); got != `{"bar":false,"print":true}` {
		t.Errorf("a session without: %s", got)
	}
	s, err := f.Session(engine.NewProgress().Within(t.Context()), f.main)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	// DuckDB would print to stdout, which belongs to the service.
	if got := settings(s); got != `{"bar":true,"print":false}` {
		t.Errorf("a session with: %s", got)
	}
	small := engine.Catalog{Alias: "small", Path: f.layout.Registry(), Small: true}
	if err := f.Ensure(t.Context(), small); err != nil {
		t.Fatal(err)
	}
	rows, err := f.Session(engine.NewProgress().Within(t.Context()), small)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	if got := settings(rows); got != `{"bar":false,"print":true}` {
		t.Errorf("a session of a registry: %s", got)
	}
}

// A user's statement cannot use the settings that are open for Progress.
func TestUsersCannotMakeDuckDBPrint(t *testing.T) {
	t.Parallel()
	s := open(t).session(t)
	for _, statement := range []string{"SET enable_progress_bar = true", "PRAGMA enable_progress_bar", "PRAGMA enable_print_progress_bar", "RESET enable_progress_bar"} {
		if intent, err := s.Inspect(sql.Raw(statement)); err == nil {
			t.Errorf("%s is let through as %v", statement, intent)
		}
	}
}

// Asking is safe while connections go from under their statements.
func TestProgressOutlivesItsConnections(t *testing.T) {
	t.Parallel()
	f := open(t)
	numbers(t, f)
	p := engine.NewProgress()
	const rounds = 2
	for range rounds {
		var wg sync.WaitGroup
		for range 2 {
			s, err := f.Session(p.Within(t.Context()), f.main)
			if err != nil {
				t.Fatal(err)
			}
			wg.Go(func() {
				defer s.Close()
				for {
					if _, err := s.Exec(sql.Raw(slow)); err != nil {
						var e *sdk.Error
						if !errors.As(err, &e) {
							t.Errorf("unclassified: %v", err)
						}
						return
					}
				}
			})
		}
		told(t, p, func() {
			if err := f.Reopen(t.Context(), f.main); err != nil {
				t.Error(err)
			}
		})
		wg.Wait()
	}
	before, _ := p.Fraction()
	after, _ := p.Fraction()
	if diff := cmp.Diff(before, after); diff != "" {
		t.Errorf("the progress moves although nothing runs: %s", diff)
	}
}
