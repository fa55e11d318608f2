package plan_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/keboola/duckdb-storage/core/internal/fixture"
	"github.com/keboola/duckdb-storage/sdk"
	"github.com/keboola/duckdb-storage/sdk/sql"
)

const (
	catalog  = "project_1_main"
	deadline = 10 * time.Second
)

// rowsAndLeftovers counts the rows of t and the tables that are staged.
const rowsAndLeftovers = "SELECT count(*), (SELECT count(*) FROM duckdb_tables() WHERE contains(table_name, '/')) FROM t"

// replacing puts a new table of n rows in the place of t.
func replacing(n int) sdk.Unit {
	return sdk.Unit{
		Lock: "table t",
		Stage: []sql.Statement{
			sql.New(`CREATE TABLE "t/new" (a INTEGER)`),
			sql.New(`INSERT INTO "t/new" FROM range(?)`, n),
		},
		Require: []sdk.Precondition{sdk.Refuse(sql.New("FROM duckdb_tables() WHERE table_name = 'no'"), sdk.ErrObjectExists.Errorf("no"))},
		Do:      []sql.Statement{sql.New("DROP TABLE t"), sql.New(`ALTER TABLE "t/new" RENAME TO t`)},
		Answer:  sql.New(`SELECT ?::INTEGER AS filled, (SELECT count(*) FROM t) AS "left"`, sql.RowsAffected(1)),
	}
}

// outcome is how a write ended.
type outcome struct {
	answer string
	err    error
}

// start begins a write and returns where its end will be told.
func start(t *testing.T, h *fixture.Host, u sdk.Unit) <-chan outcome {
	t.Helper()
	ended := make(chan outcome, 1)
	go func() {
		answer, err := write(t, h, u)
		ended <- outcome{answer, err}
	}()
	return ended
}

// waitFor waits until so many writes wait behind the holder of a lock, or of the
// turn for no lock.
func waitFor(t *testing.T, h *fixture.Host, lock string, waiting int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), deadline)
	defer cancel()
	poll := time.NewTicker(time.Millisecond)
	defer poll.Stop()
	for {
		for _, l := range h.Executor.Queue.Lines() {
			if l.Catalog == catalog && l.Lock == lock && l.Waiting == waiting {
				return
			}
		}
		select {
		case <-poll.C:
		case <-ctx.Done():
			t.Fatalf("no %d writes wait for %q: %+v", waiting, lock, h.Executor.Queue.Lines())
		}
	}
}

// turn takes the catalog's turn.
func turn(t *testing.T, h *fixture.Host) (release func()) {
	t.Helper()
	release, err := h.Executor.Queue.Acquire(t.Context(), catalog)
	if err != nil {
		t.Fatal(err)
	}
	return release
}

func must(t *testing.T, h *fixture.Host, statements ...string) {
	t.Helper()
	var u sdk.Unit
	for _, s := range statements {
		u.Do = append(u.Do, sql.Raw(s))
	}
	if _, err := write(t, h, u); err != nil {
		t.Fatal(err)
	}
}

// What is staged is done before the turn comes, and seen by nobody until then.
func TestStageNeedsNoTurn(t *testing.T) {
	t.Parallel()
	h := open(t)
	must(t, h, "CREATE TABLE t AS SELECT 1 AS a", "CREATE VIEW v AS SELECT count(*) AS n FROM t")
	release := turn(t, h)
	ended := start(t, h, replacing(5))
	waitFor(t, h, "", 1) // so the stage has ended
	if rows := query(t, h, rowsAndLeftovers); rows != "[[1,0]]" {
		t.Errorf("meanwhile t has rows, and staged tables there are: %s", rows)
	}
	release()
	if got := <-ended; got.err != nil || got.answer != `{"filled":5,"left":5}` {
		t.Errorf("got %+v", got)
	}
	if rows := query(t, h, "FROM v"); rows != "[[5]]" {
		t.Errorf("the view over the new table: %s", rows)
	}
}

// Two units stage side by side, and those of one lock do not.
func TestLock(t *testing.T) {
	t.Parallel()
	h := open(t)
	must(t, h, "CREATE TABLE t AS SELECT 1 AS a", "CREATE TABLE u AS SELECT 1 AS a")
	release := turn(t, h)
	first := start(t, h, replacing(5))
	waitFor(t, h, "", 1)
	second := start(t, h, replacing(6))
	waitFor(t, h, "table t", 1)
	other := replacing(7)
	other.Lock = "table u"
	other.Stage = []sql.Statement{sql.New(`CREATE TABLE "u/new" AS FROM range(7) AS r(a)`), sql.New("SELECT 1")}
	other.Do = []sql.Statement{sql.New("DROP TABLE u"), sql.New(`ALTER TABLE "u/new" RENAME TO u`)}
	third := start(t, h, other)
	waitFor(t, h, "", 2) // it passed the second
	release()
	for i, ended := range []<-chan outcome{first, second, third} {
		if got := <-ended; got.err != nil {
			t.Errorf("unit %d: %v", i+1, got.err)
		}
	}
	if rows := query(t, h, "SELECT (SELECT count(*) FROM t), (SELECT count(*) FROM u)"); rows != "[[6,7]]" {
		t.Errorf("rows of t and u: %s", rows)
	}
	if lines := h.Executor.Queue.Lines(); len(lines) > 0 {
		t.Errorf("somebody still holds %+v", lines)
	}
}

// What others commit while a unit stages is seen by its preconditions, kept if it
// is elsewhere, and a conflict if it is in the same place.
func TestStageBesideWrites(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name, meanwhile string
		err             error
		t               string // rows of t afterwards
	}{
		{"rows in another table", "INSERT INTO other VALUES (2)", nil, "5"},
		{"rows in the table that is replaced", "INSERT INTO t VALUES (2)", nil, "5"},
		{"what a precondition refuses", "CREATE TABLE no (a INTEGER)", sdk.ErrObjectExists, "1"},
		{"a change of the table", "ALTER TABLE t ADD COLUMN b INTEGER", sdk.ErrConflict, "1"},
		{"an index on the table", "CREATE INDEX i ON t (a)", sdk.ErrConflict, "1"},
		{"another table in its place", "CREATE OR REPLACE TABLE t AS FROM range(9)", sdk.ErrConflict, "9"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			h := open(t)
			must(t, h, "CREATE TABLE t AS SELECT 1 AS a", "CREATE TABLE other AS SELECT 1 AS a")
			release := turn(t, h)
			ended := start(t, h, replacing(5))
			waitFor(t, h, "", 1)
			s, err := h.Executor.Session(t.Context(), target)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := s.Exec(sql.Raw(tc.meanwhile)); err != nil {
				t.Fatal(err)
			}
			s.Close()
			release()
			got := <-ended
			if !errors.Is(got.err, tc.err) {
				t.Errorf("got %v, want %v", got.err, tc.err)
			}
			var e *sdk.Error
			if errors.As(got.err, &e) && e.Kind == sdk.Conflict && !e.Retryable {
				t.Errorf("a repetition may help, but %v does not say so", got.err)
			}
			if rows := query(t, h, rowsAndLeftovers); rows != "[["+tc.t+",0]]" {
				t.Errorf("rows of t, and tables left over: %s", rows)
			}
		})
	}
}

// Only a unit that says so writes rows in any order.
func TestOrderOfAUnit(t *testing.T) {
	t.Parallel()
	h := open(t)
	for unordered, want := range map[bool]string{false: `{"kept":"true"}`, true: `{"kept":"false"}`} {
		got, err := write(t, h, sdk.Unit{Unordered: unordered, Answer: sql.New("SELECT current_setting('preserve_insertion_order')::VARCHAR AS kept")})
		if err != nil || got != want {
			t.Errorf("unordered %v: got %s, %v", unordered, got, err)
		}
	}
}

// A unit that fails or is cancelled while it stages or waits holds nothing and
// leaves nothing.
func TestStageFails(t *testing.T) {
	t.Parallel()
	h := open(t)
	must(t, h, "CREATE TABLE t AS SELECT 1 AS a")
	broken := replacing(5)
	broken.Stage = append(broken.Stage, sql.New("SELECT error('bad row')"))
	if _, err := write(t, h, broken); !errors.Is(err, sdk.ErrSQL) {
		t.Errorf("a statement that fails: %v", err)
	}
	release := turn(t, h)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		_, err := h.Executor.Run(ctx, target, "application/json", respond(t, replacing(5)))
		ended <- err
	}()
	waitFor(t, h, "", 1)
	cancel()
	if err := <-ended; !errors.Is(err, sdk.ErrCancelled) {
		t.Errorf("a client that left: %v", err)
	}
	release()
	if lines := h.Executor.Queue.Lines(); len(lines) > 0 {
		t.Errorf("somebody still holds %+v", lines)
	}
	if got, err := write(t, h, replacing(6)); err != nil || got != `{"filled":6,"left":6}` {
		t.Errorf("the next one: %s, %v", got, err)
	}
}

// A Unit that would end its own transaction is refused before anything of it runs.
func TestUnitEndsNoTransaction(t *testing.T) {
	t.Parallel()
	h := open(t)
	must(t, h, "CREATE TABLE t (a INTEGER)")
	add, end := sql.New("INSERT INTO t VALUES (1)"), sql.New("INSERT INTO t VALUES (2); COMMIT")
	for name, u := range map[string]sdk.Unit{
		"stage":   {Stage: []sql.Statement{add, end}},
		"require": {Require: []sdk.Precondition{sdk.Refuse(end, sdk.ErrObjectExists.Errorf("no"))}, Do: []sql.Statement{add}},
		"do":      {Do: []sql.Statement{add, sql.New("-- all is done\nCOMMIT"), sql.New("BEGIN")}},
		"answer":  {Do: []sql.Statement{add}, Answer: sql.New("ROLLBACK")},
	} {
		if _, err := write(t, h, u); !errors.Is(err, sdk.ErrInvalid) || !strings.Contains(err.Error(), "a Unit is one transaction") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if got := query(t, h, "SELECT count(*) FROM t"); got != "[[0]]" {
		t.Errorf("what was refused left rows: %s", got)
	}
	answer, err := write(t, h, sdk.Unit{
		Do: []sql.Statement{
			sql.New(`CREATE TABLE "commit" ("end" VARCHAR)`),
			sql.New("INSERT INTO commit VALUES ('begin'); INSERT INTO commit VALUES ('; rollback')"), // it cannot be prepared before the one above has run
		},
		Answer: sql.New("SELECT string_agg(\"end\", '; use') AS\nbegin FROM commit"),
	})
	if answer != `{"begin":"begin; use; rollback"}` || err != nil {
		t.Errorf("names and literals: %s, %v", answer, err)
	}
}
