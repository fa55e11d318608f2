package plan_test

import (
	"bytes"
	"context"
	"testing"
	"time"

	"github.com/keboola/duckdb-storage/core/internal/fixture"
	"github.com/keboola/duckdb-storage/core/internal/plan"
	"github.com/keboola/duckdb-storage/sdk"
	"github.com/keboola/duckdb-storage/sdk/sql"
)

var morning = time.Date(2026, 12, 31, 8, 0, 0, 0, time.UTC)

// newMark is a mark whose answers are sealed by turning them around.
func newMark(key string, at time.Time) *plan.Mark {
	return &plan.Mark{Key: key, Fingerprint: "print of " + key, RequestID: "r1", Time: at, Seal: reversed}
}

func reversed(b []byte) []byte {
	out := bytes.Clone(b)
	for i, j := 0, len(out)-1; i < j; i, j = i+1, j-1 {
		out[i], out[j] = out[j], out[i]
	}
	return append([]byte("sealed "), out...)
}

func unsealed(b []byte) []byte {
	return reversed(bytes.TrimPrefix(b, []byte("sealed ")))[len("sealed "):]
}

func writeMarked(t *testing.T, h *fixture.Host, m *plan.Mark, last bool, u sdk.Unit) (string, error) {
	t.Helper()
	a, err := h.Executor.Run(plan.WithMark(t.Context(), m, last), target, "application/json", respond(t, u))
	return string(a.JSON), err
}

func findMark(t *testing.T, h *fixture.Host, key string, now time.Time) (plan.Marked, bool) {
	t.Helper()
	found, ok, err := h.Executor.FindMark(t.Context(), target, key, now)
	if err != nil {
		t.Fatal(err)
	}
	return found, ok
}

// A write under a key can be answered again, with what its statements did, and what
// is there now.
func TestMarkMakesTheAnswerAgain(t *testing.T) {
	t.Parallel()
	h := open(t)
	if _, err := write(t, h, sdk.Unit{Do: []sql.Statement{sql.New("CREATE TABLE t (a INTEGER)")}}); err != nil {
		t.Fatal(err)
	}
	insert := func(n int) sdk.Unit {
		return sdk.Unit{
			Do: []sql.Statement{sql.New("INSERT INTO t FROM range(?)", n)},
			Answer: sql.New(`SELECT ?::BIGINT AS inserted, ?::DOUBLE >= 0 AS took, (SELECT count(*) FROM t) AS rows, ? AS text, ?::BIGINT AS large`,
				sql.RowsAffected(0), sql.Elapsed(0), "é'\x00", int64(9007199254740993)),
		}
	}
	for name, u := range map[string]sdk.Unit{"in the turn": insert(3), "staged": replacing(3), "no answer": {Do: []sql.Statement{sql.New("DELETE FROM t")}}} {
		m := newMark(name, morning)
		first, err := writeMarked(t, h, m, true, u)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		found, ok := findMark(t, h, name, morning.Add(time.Hour))
		if !ok || !m.Left() || found.Fingerprint != m.Fingerprint || found.RequestID != "r1" || !bytes.HasPrefix(found.Answer, []byte("sealed ")) {
			t.Fatalf("%s: found %v %+v", name, ok, found)
		}
		again, err := h.Executor.AnswerAgain(t.Context(), target, unsealed(found.Answer))
		if err != nil || string(again) != first {
			t.Errorf("%s: answered %s, and again %s, %v", name, first, again, err)
		}
	}
	if _, err := writeMarked(t, h, newMark("later", morning), true, insert(2)); err != nil {
		t.Fatal(err)
	}
	if _, err := write(t, h, sdk.Unit{Do: []sql.Statement{sql.New("DROP TABLE t")}}); err != nil {
		t.Fatal(err)
	}
	found, _ := findMark(t, h, "later", morning)
	if _, err := h.Executor.AnswerAgain(t.Context(), target, unsealed(found.Answer)); err == nil {
		t.Error("an answer about a table that is gone is no error")
	}
}

// A mark is there if and only if what it marks is.
func TestMarkIsPartOfItsWrite(t *testing.T) {
	t.Parallel()
	h := open(t)
	fails := sdk.Unit{Do: []sql.Statement{sql.New("CREATE TABLE t (a INTEGER)"), sql.New("SELECT 1 / 'x'::INTEGER")}}
	if _, err := writeMarked(t, h, newMark("k", morning), true, fails); err == nil {
		t.Fatal("a wrong statement is no error")
	}
	refused := sdk.Unit{
		Require: []sdk.Precondition{sdk.Refuse(sql.New("SELECT 1"), sdk.ErrObjectExists.Errorf("no"))},
		Do:      []sql.Statement{sql.New("CREATE TABLE t (a INTEGER)")},
	}
	if _, err := writeMarked(t, h, newMark("k", morning), true, refused); err == nil {
		t.Fatal("a precondition that does not hold is no error")
	}
	if found, ok := findMark(t, h, "k", morning); ok {
		t.Errorf("what was rolled back has a mark: %+v", found)
	}
	done := sdk.Unit{Do: []sql.Statement{sql.New("CREATE TABLE t (a INTEGER)")}}
	if _, err := write(t, h, done); err != nil {
		t.Fatal(err)
	}
	if got := query(t, h, "SELECT count(*) FROM __storage.committed"); got != "[[0]]" {
		t.Errorf("a write without a key left %s marks", got)
	}
}

// What a handler wrote by itself leaves one mark without an answer, and what it came
// to then counts more.
func TestMarkOfAHandlersOwnWrites(t *testing.T) {
	t.Parallel()
	h := open(t)
	m := newMark("k", morning)
	for _, table := range []string{"a", "b"} {
		if _, err := writeMarked(t, h, m, false, sdk.Unit{Do: []sql.Statement{sql.New("CREATE TABLE ? (a INTEGER)", sql.Name(table))}}); err != nil {
			t.Fatal(err)
		}
	}
	if got := query(t, h, "SELECT count(*), count(answer) FROM __storage.committed"); got != "[[1,0]]" {
		t.Errorf("two writes left marks and answers %s", got)
	}
	if found, ok := findMark(t, h, "k", morning); !ok || found.Answer != nil {
		t.Errorf("found %v %+v", ok, found)
	}
	last := sdk.Unit{Do: []sql.Statement{sql.New("CREATE TABLE c (a INTEGER)")}, Answer: sql.New("SELECT 1 AS one")}
	if _, err := writeMarked(t, h, m, true, last); err != nil {
		t.Fatal(err)
	}
	if found, ok := findMark(t, h, "k", morning); !ok || found.Answer == nil {
		t.Errorf("found %v %+v", ok, found)
	}
	if err := h.Executor.ForgetMark(t.Context(), target, m); err != nil {
		t.Fatal(err)
	}
	if found, ok := findMark(t, h, "k", morning); ok {
		t.Errorf("it was forgotten, and is found: %+v", found)
	}
}

// A transaction that is open between callbacks leaves a mark with its commit.
func TestMarkOfATransaction(t *testing.T) {
	t.Parallel()
	h := open(t)
	for key, commit := range map[string]bool{"committed": true, "closed": false} {
		tx, err := h.Executor.Transact(plan.WithMark(t.Context(), newMark(key, morning), false), target)
		if err != nil {
			t.Fatal(err)
		}
		if commit {
			err = tx.Commit()
		}
		tx.Close()
		if _, ok := findMark(t, h, key, morning); err != nil || ok != commit {
			t.Errorf("%s: found %v, %v", key, ok, err)
		}
	}
}

// A mark counts for a day. A later one removes it, whether its write is staged or not.
func TestMarksExpire(t *testing.T) {
	t.Parallel()
	for name, next := range map[string]sdk.Unit{
		"in the turn": {Do: []sql.Statement{sql.New("DELETE FROM t")}},
		"staged":      replacing(1),
	} {
		h := open(t)
		if _, err := writeMarked(t, h, newMark("old", morning), true, sdk.Unit{Do: []sql.Statement{sql.New("CREATE TABLE t (a INTEGER)")}}); err != nil {
			t.Fatal(err)
		}
		if _, ok := findMark(t, h, "old", morning.Add(plan.MarkKept)); !ok {
			t.Error("a mark is gone within its day")
		}
		later := morning.Add(plan.MarkKept + time.Second)
		if _, ok := findMark(t, h, "old", later); ok {
			t.Error("a mark is found after its day")
		}
		if _, err := writeMarked(t, h, newMark("new", later), true, next); err != nil {
			t.Fatal(err)
		}
		if got := query(t, h, "SELECT string_agg(key, ' ' ORDER BY key) FROM __storage.committed"); got != `[["new"]]` {
			t.Errorf("%s: %s are left", name, got)
		}
	}
}

// Staged writes side by side remove the same marks without a conflict.
func TestMarksExpireBesideEachOther(t *testing.T) {
	t.Parallel()
	h := open(t)
	must(t, h, "CREATE TABLE t (a INTEGER)", "CREATE TABLE u (a INTEGER)")
	if _, err := writeMarked(t, h, newMark("old", morning), true, sdk.Unit{Do: []sql.Statement{sql.New("DELETE FROM t")}}); err != nil {
		t.Fatal(err)
	}
	later := morning.Add(plan.MarkKept + time.Second)
	release := turn(t, h)
	ended := make(chan error, 2)
	for n, table := range []string{"t", "u"} {
		go func() {
			_, err := writeMarked(t, h, newMark(table, later), true, sdk.Unit{
				Lock:  "table " + table,
				Stage: []sql.Statement{sql.New("INSERT INTO ? VALUES (1)", sql.Name(table))},
			})
			ended <- err
		}()
		waitFor(t, h, "", n+1) // each has staged, and so seen the old mark
	}
	release()
	for range 2 {
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
	if got := query(t, h, "SELECT string_agg(key, ' ' ORDER BY key) FROM __storage.committed"); got != `[["t u"]]` {
		t.Errorf("%s are left", got)
	}
}

// A command of no project has no catalog to leave a mark in.
func TestNoMarkWithoutACatalog(t *testing.T) {
	t.Parallel()
	h := open(t)
	if _, ok, err := h.Executor.FindMark(context.Background(), nil, "k", morning); ok || err != nil {
		t.Errorf("found %v, %v", ok, err)
	}
}
