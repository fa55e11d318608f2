package engine_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/keboola/duckdb-storage/core/internal/engine"
	"github.com/keboola/duckdb-storage/sdk"
	"github.com/keboola/duckdb-storage/sdk/sql"
)

func TestInspect(t *testing.T) {
	t.Parallel()
	f := open(t)
	s := f.session(t)
	exec(t, s, "CREATE SCHEMA __storage", "CREATE TABLE __storage.buckets (name VARCHAR)",
		"CREATE TABLE t (a INTEGER, b VARCHAR)", "CREATE VIEW logging AS FROM enable_logging()")
	own := filepath.Join(f.layout.Files("1"), "own.csv")
	if err := os.WriteFile(own, []byte("a,b\n1,x\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		statement string
		want      engine.Intent
		err       error
	}{
		{"SELECT 1", engine.Reads, nil},
		{"FROM t", engine.Reads, nil},
		{"WITH x AS (SELECT 1) SELECT * FROM x -- end", engine.Reads, nil},
		{"WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r WHERE n < 9) SELECT sum(n) OVER () FROM r", engine.Reads, nil},
		{"VALUES (1), (2)", engine.Reads, nil},
		{"DESCRIBE t", engine.Reads, nil},
		{"SHOW TABLES", engine.Reads, nil},
		{"SUMMARIZE t", engine.Reads, nil},
		{"PIVOT t ON a IN (1, 2) USING count(*)", engine.Reads, nil},
		{"SELECT unnest([1, 2]), {'a': 1}.a", engine.Reads, nil},
		{"SELECT * FROM range(3), generate_series(1, 2)", engine.Reads, nil},
		{"SELECT table_name FROM duckdb_tables()", engine.Reads, nil},

		{"INSERT INTO t VALUES (1, '')", engine.Writes, nil},
		{"INSERT INTO t SELECT * FROM t", engine.Writes, nil},
		{"UPDATE t SET a = 2", engine.Writes, nil},
		{"DELETE FROM t", engine.Writes, nil},
		{"MERGE INTO t USING (SELECT 1 AS a) s ON t.a = s.a WHEN MATCHED THEN DELETE", engine.Writes, nil},
		{"CREATE TABLE u AS SELECT 1", engine.Writes, nil},
		{"ALTER TABLE t ADD COLUMN c INTEGER", engine.Writes, nil},
		{"DROP TABLE t", engine.Writes, nil},
		{"CREATE VIEW v AS SELECT 1", engine.Writes, nil},

		{"", 0, sdk.ErrSQL},
		{"SELEC 1", 0, sdk.ErrSQL},
		{"SELECT 1; DROP TABLE t", 0, sdk.ErrSQL},
		{"SELECT * FROM missing", 0, sdk.ErrTableNotFound},
		{"PIVOT t ON a USING count(*)", 0, sdk.ErrSQL},

		{"INSERT INTO t VALUES (1, '') RETURNING a", 0, sdk.ErrDenied},
		{"UPDATE t SET a = 2 RETURNING *", 0, sdk.ErrDenied},
		{"DELETE FROM t RETURNING b", 0, sdk.ErrDenied},
		{"ATTACH ':memory:' AS x", 0, sdk.ErrDenied},
		{"DETACH memory", 0, sdk.ErrDenied},
		{"COPY t TO '" + own + "'", 0, sdk.ErrDenied},
		{"COPY t FROM '" + own + "'", 0, sdk.ErrDenied},
		{"EXPORT DATABASE '" + f.layout.Files("1") + "'", 0, sdk.ErrDenied},
		{"SET threads = 1", 0, sdk.ErrDenied},
		{"RESET threads", 0, sdk.ErrDenied},
		{"PRAGMA database_size", 0, sdk.ErrSQL},
		{"CALL pragma_version()", 0, sdk.ErrDenied},
		{"INSTALL httpfs", 0, sdk.ErrDenied},
		{"LOAD httpfs", 0, sdk.ErrDenied},
		{"BEGIN TRANSACTION", 0, sdk.ErrDenied},
		{"USE memory", 0, sdk.ErrDenied},
		{"CHECKPOINT", 0, sdk.ErrDenied},
		{"EXPLAIN SELECT 1", 0, sdk.ErrDenied},
		{"SELECT * FROM enable_logging()", 0, sdk.ErrDenied},
		{"SELECT * FROM logging", 0, sdk.ErrDenied},
		{"SELECT (SELECT count(*) FROM checkpoint())", 0, sdk.ErrDenied},
		{"INSERT INTO t SELECT 1, 'x' FROM duckdb_settings()", 0, sdk.ErrDenied},
		{"SELECT * FROM read_csv('" + own + "')", 0, sdk.ErrDenied},
		{"SELECT * FROM '" + own + "'", 0, sdk.ErrDenied},
		{"DELETE FROM __storage.buckets", 0, sdk.ErrDenied},
		{`DROP TABLE "__STORAGE".buckets`, 0, sdk.ErrDenied},
	} {
		got, err := s.Inspect(sql.Raw(tc.statement))
		if got != tc.want || !errors.Is(err, tc.err) || (tc.err == nil) != (err == nil) {
			t.Errorf("%s: got %v, %v; want %v, %v", tc.statement, got, err, tc.want, tc.err)
		}
	}
}
