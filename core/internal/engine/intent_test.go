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
	type values = []any
	for _, tc := range []struct {
		statement string
		want      engine.Intent
		err       error
		args      values
	}{
		{"SELECT 1", engine.Reads, nil, nil},
		{"FROM t", engine.Reads, nil, nil},
		{"WITH x AS (SELECT 1) SELECT * FROM x -- end", engine.Reads, nil, nil},
		{"WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r WHERE n < 9) SELECT sum(n) OVER () FROM r", engine.Reads, nil, nil},
		{"VALUES (1), (2)", engine.Reads, nil, nil},
		{"DESCRIBE t", engine.Reads, nil, nil},
		{"SHOW TABLES", engine.Reads, nil, nil},
		{"SUMMARIZE t", engine.Reads, nil, nil},
		{"PIVOT t ON a IN (1, 2) USING count(*)", engine.Reads, nil, nil},
		{"SELECT unnest([1, 2]), {'a': 1}.a", engine.Reads, nil, nil},
		{"SELECT * FROM range(3), generate_series(1, 2)", engine.Reads, nil, nil},
		{"SELECT table_name FROM duckdb_tables()", engine.Reads, nil, nil},

		{"INSERT INTO t VALUES (1, '')", engine.Writes, nil, nil},
		{"INSERT INTO t SELECT * FROM t", engine.Writes, nil, nil},
		{"UPDATE t SET a = 2", engine.Writes, nil, nil},
		{"DELETE FROM t", engine.Writes, nil, nil},
		{"MERGE INTO t USING (SELECT 1 AS a) s ON t.a = s.a WHEN MATCHED THEN DELETE", engine.Writes, nil, nil},
		{"CREATE TABLE u AS SELECT 1", engine.Writes, nil, nil},
		{"ALTER TABLE t ADD COLUMN c INTEGER", engine.Writes, nil, nil},
		{"DROP TABLE t", engine.Writes, nil, nil},
		{"CREATE VIEW v AS SELECT 1", engine.Writes, nil, nil},

		{"SELECT ? + $1", 0, sdk.ErrSQL, nil},
		{"SELECT ?, ?", 0, sdk.ErrSQL, values{1}},
		{"SELECT 1", 0, sdk.ErrSQL, values{1}},
		{"SELECT $name", 0, sdk.ErrSQL, values{1}},
		{"SELECT ?, ?", engine.Reads, nil, values{1, "x"}},
		{"SELECT $2, $1, $2", engine.Reads, nil, values{1, "x"}},
		{"INSERT INTO t VALUES (?, ?)", engine.Writes, nil, values{1, "x"}},
		{"", 0, sdk.ErrSQL, nil},
		{"SELEC 1", 0, sdk.ErrSQL, nil},
		{"SELECT 1; DROP TABLE t", 0, sdk.ErrSQL, nil},
		{"SELECT * FROM missing", 0, sdk.ErrTableNotFound, nil},
		{"PIVOT t ON a USING count(*)", 0, sdk.ErrSQL, nil},

		{"INSERT INTO t VALUES (1, '') RETURNING a", 0, sdk.ErrDenied, nil},
		{"UPDATE t SET a = 2 RETURNING *", 0, sdk.ErrDenied, nil},
		{"DELETE FROM t RETURNING b", 0, sdk.ErrDenied, nil},
		{"ATTACH ':memory:' AS x", 0, sdk.ErrDenied, nil},
		{"DETACH memory", 0, sdk.ErrDenied, nil},
		{"COPY t TO '" + own + "'", 0, sdk.ErrDenied, nil},
		{"COPY t FROM '" + own + "'", 0, sdk.ErrDenied, nil},
		{"EXPORT DATABASE '" + f.layout.Files("1") + "'", 0, sdk.ErrDenied, nil},
		{"SET threads = 1", 0, sdk.ErrDenied, nil},
		{"RESET threads", 0, sdk.ErrDenied, nil},
		{"SET memory_limit = '1TB'", 0, sdk.ErrDenied, nil},
		{"SET GLOBAL max_memory = '1TB'", 0, sdk.ErrDenied, nil},
		{"RESET memory_limit", 0, sdk.ErrDenied, nil},
		{"PRAGMA memory_limit = '1TB'", 0, sdk.ErrDenied, nil},
		{"SELECT 1; SET memory_limit = '1TB'", 0, sdk.ErrSQL, nil},
		{"SET VARIABLE x = 1", 0, sdk.ErrDenied, nil},
		{"PRAGMA database_size", 0, sdk.ErrDenied, nil},
		{"CALL pragma_version()", 0, sdk.ErrDenied, nil},
		{"INSTALL httpfs", 0, sdk.ErrDenied, nil},
		{"LOAD httpfs", 0, sdk.ErrDenied, nil},
		{"BEGIN TRANSACTION", 0, sdk.ErrDenied, nil},
		{"USE memory", 0, sdk.ErrDenied, nil},
		{"CHECKPOINT", 0, sdk.ErrDenied, nil},
		{"EXPLAIN SELECT 1", 0, sdk.ErrDenied, nil},
		{"SELECT * FROM enable_logging()", 0, sdk.ErrDenied, nil},
		{"SELECT * FROM logging", 0, sdk.ErrDenied, nil},
		{"SELECT (SELECT count(*) FROM checkpoint())", 0, sdk.ErrDenied, nil},
		{"INSERT INTO t SELECT 1, 'x' FROM duckdb_settings()", 0, sdk.ErrDenied, nil},
		{"SELECT * FROM read_csv('" + own + "')", 0, sdk.ErrDenied, nil},
		{"SELECT * FROM '" + own + "'", 0, sdk.ErrDenied, nil},
		{"DELETE FROM __storage.buckets", 0, sdk.ErrDenied, nil},
		{`DROP TABLE "__STORAGE".buckets`, 0, sdk.ErrDenied, nil},
	} {
		judged, err := s.Inspect(sql.Raw(tc.statement, tc.args...))
		if got := judged.Intent; got != tc.want || !errors.Is(err, tc.err) || (tc.err == nil) != (err == nil) {
			t.Errorf("%s: got %v, %v; want %v, %v", tc.statement, judged.Intent, err, tc.want, tc.err)
		}
	}
}
