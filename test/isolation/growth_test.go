package isolation_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"
)

// Things that are defined by things of which each has the one before twice end where
// DuckDB would need seconds to bind them, which nothing interrupts.
func TestGrowth(t *testing.T) {
	t.Parallel()
	w := open(t)
	run := func(statement, refusal string) {
		t.Helper()
		start := time.Now()
		got := ask(t, w.a, map[string]any{"sql": statement, "limit": 1})
		if refusal == "" && got.message != "" || !strings.Contains(got.message, refusal) {
			t.Errorf("%.200s: %d %s; want %q", statement, got.status, got.message, refusal)
		}
		if took := time.Since(start); took > 10*time.Second {
			t.Errorf("%.200s took %v", statement, took)
		}
	}
	const views, large = "more than 2000 views", "too large"

	// Ten steps are 1023 views.
	run("CREATE VIEW own.v0 AS SELECT id FROM own.t", "")
	run("CREATE VIEW own.w0 AS SELECT id FROM own.t", "")
	for i := range 9 {
		for _, name := range []string{"v", "w"} {
			run(fmt.Sprintf("CREATE VIEW own.%s%d AS SELECT a.id FROM own.%s%d AS a, own.%s%d AS b", name, i+1, name, i, name, i), "")
		}
	}
	run("CREATE VIEW own.v10 AS SELECT a.id FROM own.v9 AS a, own.v9 AS b", views)
	run("CREATE OR REPLACE VIEW own.v1 AS SELECT id FROM own.w9 AS a", views)
	run("CREATE OR REPLACE VIEW own.w0 AS SELECT id FROM own.orders", "")
	run("SELECT count(*) FROM "+strings.TrimSuffix(strings.Repeat("own.v9, ", 11), ", "), views)
	run("SELECT count(*) FROM "+strings.TrimSuffix(strings.Repeat("own.t, ", 11), ", ")+" WHERE false", "")
	run("SELECT id FROM own.v2", "")
	// What it takes the place of does not matter, nor its case.
	run("DROP VIEW own.v0", "")
	run("CREATE VIEW own.V0 AS SELECT id FROM own.w3", views)
	run("CREATE TABLE own.v0 AS SELECT 1 AS id", "")

	run("CREATE MACRO own.m0(x) AS x + 1", "")
	for i := range 9 {
		run(fmt.Sprintf("CREATE MACRO own.m%d(x) AS own.m%d(x) + own.m%d(x)", i+1, i, i), "")
	}
	run("SELECT own.m9(1)", "")
	run("SELECT own.m9(own.m9(1))", large)
	run("CREATE MACRO own.m10(x) AS own.m9(x) + own.m9(x)", large)
	run("SELECT own.m9(1) + own.m9(2)", large)
	run("CREATE VIEW own.of_macros AS SELECT own.m4(own.m4(id)) AS id FROM own.t", "")
	run("CREATE OR REPLACE MACRO own.m0(x) AS "+strings.TrimSuffix(strings.Repeat("x + ", 20), " + "), large)
	run("CREATE MACRO main.abs(x) AS x + x", "another name")
	run("CREATE MACRO own.nullif(x) AS x + x", "another name")

	for name, statement := range map[string]string{
		"aliases":  "SELECT 1 AS a0, " + series(30, func(i int) string { return fmt.Sprintf("a%d + a%d AS a%d", i, i, i+1) }, ", "),
		"queries":  "WITH a0 AS (SELECT 1 AS n), " + series(30, func(i int) string { return fmt.Sprintf("a%d AS (FROM a%d x, a%d y)", i+1, i, i) }, ", ") + " SELECT 1 FROM a30",
		"nullif":   "SELECT " + nested("nullif(", "1", ", 2)", 40),
		"between":  "SELECT " + nested("(", "1", " BETWEEN 0 AND 1)", 40),
		"case":     "SELECT " + nested("CASE ", "1", " WHEN 1 THEN 1 WHEN 2 THEN 2 END", 40),
		"computed": "CREATE TABLE own.g (a0 BIGINT, " + series(30, func(i int) string { return fmt.Sprintf("a%d BIGINT AS (a%d + a%d)", i+1, i, i) }, ", ") + ")",
		"a view":   "CREATE VIEW own.large AS SELECT 1 AS a0, " + series(30, func(i int) string { return fmt.Sprintf("a%d + a%d AS a%d", i, i, i+1) }, ", "),
	} {
		t.Run(name, func(*testing.T) { run(statement, large) })
	}
	if rss := w.rss(t); rss > maxRSS {
		t.Errorf("the service has %d MB", rss>>20)
	}
}

// A bucket that others show is not dropped from under them.
func TestDropOfLinkedBuckets(t *testing.T) {
	t.Parallel()
	w := open(t)
	for _, tc := range []struct {
		of        string
		statement string
		status    int
		message   string
	}{
		{"c", "DROP SCHEMA shared CASCADE", 409, "force=true"},
		{"c", `DROP SCHEMA IF EXISTS "SHARED" CASCADE`, 409, "force=true"},
		{"c", "DROP SCHEMA project_c_main.shared CASCADE", 409, "force=true"},
		{"a", "DROP SCHEMA linked CASCADE", 200, "linked"},
		{"a", "DROP VIEW linked.orders", 200, "linked"},
		{"a", "ALTER VIEW linked.orders RENAME TO x", 200, "linked"},
		{"a", "CREATE VIEW linked.x AS SELECT 1 AS n", 200, "linked"},
		{"a", "CREATE TABLE linked.x (n INTEGER)", 200, "linked"},
		{"a", "INSERT INTO linked.orders VALUES (2, 'x')", 200, "linked"},
		{"c", "DROP SCHEMA hidden", 200, ""},
	} {
		p := w.a
		if tc.of == "c" {
			p = w.c
		}
		if tc.statement == "DROP SCHEMA hidden" { // nobody has linked it
			tc.statement += " CASCADE"
			if got := ask(t, w.a, map[string]any{"sql": "SELECT name FROM linked.orders"}); len(got.rows) != 1 {
				t.Errorf("the linked bucket has %v: %s", got.rows, got.message)
			}
		}
		got := ask(t, p, map[string]any{"sql": tc.statement})
		if got.status != tc.status || (tc.message == "") != (got.message == "") || !strings.Contains(got.message, tc.message) {
			t.Errorf("%s: %d %q, want %d %q", tc.statement, got.status, got.message, tc.status, tc.message)
		}
	}
	// What is not shared any more shows nothing, and may go.
	if _, err := w.c.Do(t.Context(), http.MethodDelete, w.c.Path("buckets", "shared", "share"), nil, nil); err != nil {
		t.Fatal(err)
	}
	if got := ask(t, w.c, map[string]any{"sql": "DROP SCHEMA shared CASCADE"}); got.status != http.StatusOK || got.message != "" {
		t.Errorf("the drop of a bucket that is not shared: %d %q", got.status, got.message)
	}
}
