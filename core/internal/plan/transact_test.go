package plan_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/keboola/duckdb-storage/core/internal/fixture"
	"github.com/keboola/duckdb-storage/core/internal/plan"
	"github.com/keboola/duckdb-storage/sdk"
	pluginv1 "github.com/keboola/duckdb-storage/sdk/proto/duckdbstorage/plugin/v1"
	"github.com/keboola/duckdb-storage/sdk/sql"
)

func transact(ctx context.Context, t *testing.T, h *fixture.Host) *plan.Transaction {
	t.Helper()
	tx, err := h.Executor.Transact(ctx, target)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(tx.Close)
	return tx
}

func exec(t *testing.T, tx *plan.Transaction, statement string) {
	t.Helper()
	if _, err := tx.Exec(&pluginv1.Statement{Sql: statement}); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
}

// A transaction sees what it did, others see it once it is committed, and writers
// wait for their turn until then.
func TestTransaction(t *testing.T) {
	t.Parallel()
	h := open(t)
	must(t, h, "CREATE TABLE t AS SELECT 1 AS a")
	tx := transact(t.Context(), t, h)
	exec(t, tx, "INSERT INTO t VALUES (2)")
	if n, err := tx.Exec(&pluginv1.Statement{Sql: "UPDATE t SET a = a + 10"}); n != 2 || err != nil {
		t.Errorf("%d rows, %v", n, err)
	}
	rows, err := tx.Query(&pluginv1.Statement{Sql: "SELECT sum(a)::INTEGER AS a FROM t"})
	if string(rows) != `[{"a":23}]` || err != nil {
		t.Errorf("inside: %s, %v", rows, err)
	}
	if rows := query(t, h, "FROM t"); rows != "[[1]]" {
		t.Errorf("outside: %s", rows)
	}
	waits := start(t, h, sdk.Unit{Do: []sql.Statement{sql.New("INSERT INTO t VALUES (3)")}})
	waitFor(t, h, "", 1)
	with := func() ([]sql.Statement, error) { return []sql.Statement{sql.New("INSERT INTO t VALUES (100)")}, nil }
	if err := tx.Commit(with); err != nil {
		t.Fatal(err)
	}
	tx.Close()
	if got := <-waits; got.err != nil {
		t.Error(got.err)
	}
	if rows := query(t, h, "SELECT list(a ORDER BY a)::VARCHAR FROM t"); rows != `[["[3, 11, 12, 100]"]]` {
		t.Errorf("afterwards: %s", rows)
	}
}

// What does not commit leaves nothing, and the turn is free.
func TestTransactionRollsBack(t *testing.T) {
	t.Parallel()
	h := open(t)
	must(t, h, "CREATE TABLE t (a INTEGER NOT NULL)")
	for name, end := range map[string]func(tx *plan.Transaction, leave func()) error{
		"closed": func(*plan.Transaction, func()) error { return sdk.ErrConflict.Errorf("no") },
		"statement": func(tx *plan.Transaction, _ func()) error {
			_, err := tx.Exec(&pluginv1.Statement{Sql: "INSERT INTO t VALUES (NULL)"})
			return err
		},
		"too large": func(tx *plan.Transaction, _ func()) error {
			_, err := tx.Query(&pluginv1.Statement{Sql: "FROM range(1001)"})
			return err
		},
		"left": func(tx *plan.Transaction, leave func()) error {
			leave()
			<-tx.Done()
			return tx.Ended()
		},
		"left while it runs": func(tx *plan.Transaction, leave func()) error {
			time.AfterFunc(20*time.Millisecond, leave)
			_, err := tx.Query(&pluginv1.Statement{Sql: "SELECT sum(a.range * b.range) FROM range(1000000) a, range(1000000) b"})
			if !errors.Is(err, sdk.ErrCancelled) {
				t.Errorf("got %v", err)
			}
			return err
		},
		"what goes along": func(tx *plan.Transaction, _ func()) error {
			return tx.Commit(func() ([]sql.Statement, error) { return []sql.Statement{sql.New("broken")}, nil })
		},
	} {
		ctx, leave := context.WithCancel(t.Context())
		tx := transact(ctx, t, h)
		exec(t, tx, "INSERT INTO t VALUES (1)")
		if end(tx, leave) == nil {
			t.Errorf("%s: no error", name)
		}
		tx.Close()
		leave()
		if rows := query(t, h, "SELECT count(*) FROM t"); rows != "[[0]]" {
			t.Errorf("%s: %s rows are left", name, rows)
		}
		if lines := h.Executor.Queue.Lines(); len(lines) != 0 {
			t.Errorf("%s: somebody still holds %+v", name, lines)
		}
	}
}

// A transaction has a time, from its turn on, and says so when it is over.
func TestTransactionTime(t *testing.T) {
	t.Parallel()
	h := open(t)
	h.Executor.Longest = 500 * time.Millisecond
	release := turn(t, h)
	begun := make(chan *plan.Transaction)
	go func() { begun <- transact(t.Context(), t, h) }()
	waitFor(t, h, "", 1)
	time.AfterFunc(h.Executor.Longest, release)
	tx := <-begun
	exec(t, tx, "CREATE TABLE t AS SELECT 1 AS a") // the wait was not counted
	<-tx.Done()
	_, late := tx.Exec(&pluginv1.Statement{Sql: "SELECT 1"})
	for _, err := range []error{late, tx.Ended(), tx.Commit()} {
		if !errors.Is(err, plan.ErrTransactionTime) || !strings.Contains(err.Error(), "not committed within 500ms") {
			t.Errorf("got %v", err)
		}
	}
	tx.Close()
	if rows := query(t, h, "SELECT count(*) FROM duckdb_tables() WHERE table_name = 't'"); rows != "[[0]]" {
		t.Errorf("the table is there: %s", rows)
	}
}

// Inside a lease a transaction has the turn already.
func TestTransactionJoinsALease(t *testing.T) {
	t.Parallel()
	h := open(t)
	lease, err := h.Executor.Lease(t.Context(), target)
	if err != nil {
		t.Fatal(err)
	}
	defer lease.Release()
	tx := transact(lease.Within(t.Context()), t, h)
	exec(t, tx, "CREATE TABLE t AS SELECT 1 AS a")
	if err := tx.Commit(); err != nil {
		t.Error(err)
	}
	if rows := query(t, h, "FROM t"); rows != "[[1]]" {
		t.Errorf("got %s", rows)
	}
}

// What ends a transaction from inside is refused, and the transaction goes on.
func TestTransactionIsNotEndedFromInside(t *testing.T) {
	t.Parallel()
	h := open(t)
	must(t, h, "CREATE TABLE t (a INTEGER)")
	tx := transact(t.Context(), t, h)
	exec(t, tx, "INSERT INTO t VALUES (1)")
	for _, text := range []string{"COMMIT", "INSERT INTO t VALUES (2); ROLLBACK; BEGIN", "USE memory"} {
		_, executed := tx.Exec(&pluginv1.Statement{Sql: text})
		_, asked := tx.Query(&pluginv1.Statement{Sql: text})
		for _, err := range []error{executed, asked} {
			if !errors.Is(err, sdk.ErrInvalid) || !strings.Contains(err.Error(), "a Unit is one transaction") {
				t.Errorf("%s: %v", text, err)
			}
		}
	}
	if _, err := tx.Query(&pluginv1.Statement{Sql: "SELECT 1) AS r; COMMIT; SELECT * FROM (SELECT 1"}); !errors.Is(err, sdk.ErrSQL) {
		t.Errorf("halves: %v", err)
	}
	if rows := query(t, h, "FROM t"); rows != "[]" {
		t.Errorf("committed: %s", rows)
	}
	if err := tx.Commit(); err != nil {
		t.Fatal(err)
	}
	if rows := query(t, h, "FROM t"); rows != "[[1]]" {
		t.Errorf("afterwards: %s", rows)
	}
}
