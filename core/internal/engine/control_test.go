package engine_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/keboola/duckdb-storage/core/internal/engine"
	"github.com/keboola/duckdb-storage/sdk"
	"github.com/keboola/duckdb-storage/sdk/sql"
)

// inTransaction runs fn in a transaction of a catalog with the tables t and "commit".
func inTransaction(t *testing.T, fn func(s *engine.Session)) {
	t.Helper()
	s := open(t).session(t)
	exec(t, s, "CREATE TABLE t (a INTEGER)", `CREATE TABLE "commit" ("end" INTEGER, start VARCHAR)`)
	err := s.Transaction(func() error {
		fn(s)
		_, err := s.Exec(sql.New("INSERT INTO t VALUES (1)")) // the transaction goes on
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// What is the host's to say is refused, wherever it stands in a text.
func TestControlRefuses(t *testing.T) {
	t.Parallel()
	inTransaction(t, func(s *engine.Session) {
		for _, text := range []string{
			"COMMIT", "commit;", " \n\tCommit", "ROLLBACK", "rollback transaction", "ABORT", "END", "END TRANSACTION", "BEGIN", "BEGIN TRANSACTION READ ONLY",
			"START TRANSACTION", "CHECKPOINT", "FORCE CHECKPOINT", "CHECKPOINT memory", "ATTACH ':memory:' AS other", "ATTACH DATABASE 'x.duckdb'", "DETACH memory", "USE memory", "USE memory.main",
			"INSERT INTO t VALUES (1); COMMIT", "INSERT INTO t VALUES (1); COMMIT; INSERT INTO t VALUES (2)", "INSERT INTO t VALUES (?);commit;", ";;COMMIT",
			"CREATE TABLE later (a INTEGER); INSERT INTO later VALUES (1); COMMIT", // what cannot be prepared yet does not hide it
			"/* a */ COMMIT", "/**/COMMIT", "SELECT 1 /* ; */; /* b */ ROLLBACK", "-- a\nCOMMIT", "-- ; a\nCOMMIT", "-- */ a\rCOMMIT", "SELECT '--';COMMIT", "SELECT 1; -- b */ x\n\nCOMMIT",
			"\u00a0COMMIT", "\ufeffCOMMIT", "\fCOMMIT", "\vCOMMIT", "SELECT ';'; COMMIT", "SELECT $$;$$;\u3000COMMIT",
			"EXPLAIN ANALYZE COMMIT", "EXPLAIN (ANALYZE) COMMIT", "EXPLAIN (ANALYZE, FORMAT JSON) ROLLBACK", "explain analyze checkpoint", "EXPLAIN COMMIT",
		} {
			err := s.Control(text)
			if !errors.Is(err, sdk.ErrInvalid) || !strings.Contains(err.Error(), "a Unit is one transaction") {
				t.Errorf("%q: %v", text, err)
			}
		}
	})
}

// Names, literals and comments may be what they like.
func TestControlAllows(t *testing.T) {
	t.Parallel()
	inTransaction(t, func(s *engine.Session) {
		for _, text := range []string{
			"", ";", "-- COMMIT", "/* COMMIT */",
			`INSERT INTO "commit" VALUES (1, 'rollback')`, "INSERT INTO commit VALUES (2, '; ROLLBACK')", "UPDATE commit SET start = 'begin; commit' WHERE \"end\" = 2",
			"SELECT CASE WHEN a > 1 THEN 2\nEND AS \"use\" FROM t", "SELECT CASE a WHEN 1 THEN 2 -- ; END\nEND FROM t; -- end",
			"SELECT 1 AS begin, 2 AS start, 3 AS abort, 4 AS attach, 5 AS detach, 6 AS checkpoint", "SELECT $$; COMMIT;$$", "SELECT E'\\'; COMMIT'", "SELECT /* ; */ 1 /* a */ AS force",
			"INSERT INTO t VALUES (1); -- COMMIT\nINSERT INTO t SELECT count(*) FROM\ncommit", "CREATE VIEW rollback AS FROM\ncommit; FROM rollback",
			"EXPLAIN ANALYZE INSERT INTO t VALUES (1)", "CALL pragma_table_info('t'); SELECT '; use'",
		} {
			if err := s.Control(text); err != nil {
				t.Errorf("%q: %v", text, err)
				continue
			}
			if _, err := s.Exec(sql.Raw(text)); err != nil && !strings.Contains(err.Error(), "empty query") {
				t.Errorf("run %q: %v", text, err)
			}
		}
	})
}

// A text that only another one around it makes a whole is no way around the refusal.
func TestControlOfHalves(t *testing.T) {
	t.Parallel()
	inTransaction(t, func(s *engine.Session) {
		if err := s.Control("SELECT 1) AS r; COMMIT; SELECT * FROM (SELECT 1"); !errors.Is(err, sdk.ErrSQL) {
			t.Error(err)
		}
	})
}

func BenchmarkControl(b *testing.B) {
	s := open(b).session(b)
	columns := strings.TrimSuffix(strings.Repeat(`CASE WHEN length("column") > 5 THEN error('too long') ELSE "column" END, `, 12), ", ")
	for name, text := range map[string]string{
		"short": `UPDATE "in.c-main"."orders" SET "name" = ? WHERE "id" = ?`,
		"1KB":   `INSERT INTO "temp"."import_staging" SELECT ` + columns + ` FROM read_csv('/data/files/1-orders.csv', auto_detect = false)`,
		"exact": `SELECT 1; INSERT INTO x SELECT 'a; commit'`,
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if err := s.Control(text); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// It is refused as well in a transaction that an error has ended already.
func TestControlAfterAnError(t *testing.T) {
	t.Parallel()
	s := open(t).session(t)
	if err := s.Begin(); err != nil {
		t.Fatal(err)
	}
	exec(t, s, "CREATE TABLE t (a INTEGER PRIMARY KEY)", "INSERT INTO t VALUES (1)")
	if _, err := s.Exec(sql.New("INSERT INTO t VALUES (1)")); err == nil {
		t.Fatal("a duplicate is no error")
	}
	if _, err := s.Exec(sql.New("SELECT 1")); err == nil {
		t.Fatal("the transaction goes on")
	}
	for _, text := range []string{"COMMIT", "ROLLBACK", "BEGIN", "USE memory", "DETACH memory"} {
		if err := s.Control(text); !errors.Is(err, sdk.ErrInvalid) {
			t.Errorf("%s: %v", text, err)
		}
	}
}
