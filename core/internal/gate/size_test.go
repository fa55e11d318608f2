package gate_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/keboola/duckdb-storage/core/internal/gate"
)

// each joins what fn makes of 0 to n-1.
func each(n int, separator string, fn func(i int) string) string {
	parts := make([]string, n)
	for i := range parts {
		parts[i] = fn(i)
	}
	return strings.Join(parts, separator)
}

func nest(open, inner, end string, n int) string {
	return strings.Repeat(open, n) + inner + strings.Repeat(end, n)
}

// macros are two of DuckDB's and those of a user.
func macros(t *testing.T) gate.Macros {
	t.Helper()
	m := gate.Macros{}
	add := func(name, definition string, parameters ...string) {
		t.Helper()
		st, err := gate.Stored(definition)
		if err != nil {
			t.Fatal(err)
		}
		m.Add(name, parameters, st)
	}
	add("nullif", "CASE WHEN ((a = b)) THEN (NULL) ELSE a END", "a", "b")
	add("list_append", "list_concat(l, list_value(e))", "l", "e")
	add("twice", "x + x", "x")
	add("m0", "x + 1", "x")
	add("t0", "SELECT 1 AS n")
	for i := range 40 {
		add(fmt.Sprintf("m%d", i+1), fmt.Sprintf("m%d(x) + m%d(x)", i, i), "x")
		add(fmt.Sprintf("t%d", i+1), fmt.Sprintf("SELECT a.n FROM t%d() AS a, t%d() AS b", i, i))
	}
	return m
}

// What DuckDB would bind for minutes, which nothing interrupts.
func TestStatementsThatGrow(t *testing.T) {
	t.Parallel()
	m := macros(t)
	for name, text := range map[string]string{
		"aliases":              "SELECT 1 AS a0, " + each(25, ", ", func(i int) string { return fmt.Sprintf("a%d + a%d AS a%d", i, i, i+1) }),
		"aliases of any case":  "SELECT 1 AS A0, " + each(25, ", ", func(i int) string { return fmt.Sprintf(`"A%d" + a%d AS a%d`, i, i, i+1) }),
		"aliases without AS":   "SELECT 1 a0, " + each(25, ", ", func(i int) string { return fmt.Sprintf("a%d + a%d a%d", i, i, i+1) }) + " FROM t",
		"aliases in front":     "SELECT a0: 1, " + each(25, ", ", func(i int) string { return fmt.Sprintf("a%d: a%d + a%d", i+1, i, i) }),
		"aliases in brackets":  "SELECT 1 AS a0, " + each(25, ", ", func(i int) string { return fmt.Sprintf("(abs(a%d) + [a%d][1]) AS a%d", i, i, i+1) }),
		"aliases in queries":   "SELECT 1 AS a0, " + each(25, ", ", func(i int) string { return fmt.Sprintf("(SELECT a%d + a%d) AS a%d", i, i, i+1) }),
		"aliases and distinct": "SELECT 1 AS a0, " + each(25, ", ", func(i int) string { return fmt.Sprintf("a%d IS DISTINCT FROM a%d AS a%d", i, i, i+1) }),
		"aliases in a CASE":    "SELECT 1 AS a0, " + each(25, ", ", func(i int) string { return fmt.Sprintf("CASE WHEN a%d THEN a%d END AS a%d", i, i, i+1) }),
		"aliases below":        "SELECT * FROM (SELECT 1 AS a0, " + each(25, ", ", func(i int) string { return fmt.Sprintf("a%d + a%d AS a%d", i, i, i+1) }) + ")",
		"aliases in a union":   "SELECT 1 UNION SELECT 1 AS a0, " + each(25, ", ", func(i int) string { return fmt.Sprintf("a%d + a%d AS a%d", i, i, i+1) }),
		"used aliases":         "SELECT 1 AS a0, " + each(14, ", ", func(i int) string { return fmt.Sprintf("a%d + a%d AS a%d", i, i, i+1) }) + " FROM t WHERE (" + each(50, "+", func(int) string { return "a14" }) + ") > 1",
		"a view":               "CREATE VIEW own.v AS SELECT 1 AS a0, " + each(25, ", ", func(i int) string { return fmt.Sprintf("a%d + a%d AS a%d", i, i, i+1) }),
		"queries": "WITH a0 AS (SELECT 1 AS n), " + each(25, ", ", func(i int) string {
			return fmt.Sprintf("a%d AS NOT MATERIALIZED (SELECT x.n FROM a%d x, a%d y)", i+1, i, i)
		}) + " SELECT 1 FROM a25",
		"queries with columns": "WITH a0 AS (SELECT 1 AS n), " + each(25, ", ", func(i int) string {
			return fmt.Sprintf("a%d (n) AS NOT MATERIALIZED (SELECT x.n FROM a%d x JOIN a%d y ON true)", i+1, i, i)
		}) + " SELECT 1 FROM a25",
		"columns of queries": "WITH a0 AS (SELECT 1 AS n), " + each(25, ", ", func(i int) string { return fmt.Sprintf("a%d AS (FROM a%d x, a%d y)", i+1, i, i) }) + " FROM a25",
		"stars of queries":   "WITH a0 AS (SELECT 1 AS n), " + each(25, ", ", func(i int) string { return fmt.Sprintf("a%d AS (SELECT x.*, y.* FROM a%d x, a%d y)", i+1, i, i) }) + " FROM a25",
		"aliases as texts":   "SELECT 1 AS 'a0', " + each(25, ", ", func(i int) string { return fmt.Sprintf("a%d + a%d AS 'a%d'", i, i, i+1) }),
		"not between":        "SELECT " + nest("(", "1", " NOT BETWEEN 0 AND 1)", 25),
		"between sums":       "SELECT " + nest("(", "1", " + 1 BETWEEN 0 AND 1)", 25),
		"between":            "SELECT " + nest("(", "1", " BETWEEN 0 AND 1)", 25),
		"case":               "SELECT " + nest("CASE ", "1", " WHEN 1 THEN 1 WHEN 2 THEN 2 END", 25),
		"built-in macro":     "SELECT " + nest("nullif(", "1", ", 2)", 25),
		"macro":              "SELECT " + nest("twice(", "1", ")", 25),
		"macro of a schema":  "SELECT " + nest("own.twice(", "1", ")", 25),
		"macro as a method":  "SELECT 'a'" + strings.Repeat(".twice()", 25),
		"macros of macros":   "SELECT m25(1)",
		"tables of macros":   "FROM t25()",
		"largest macro":      "SELECT m40(m40(m40(1)))",
		"computed columns":   "CREATE TABLE own.t (a0 BIGINT, " + each(12, ", ", func(i int) string { return fmt.Sprintf("a%d BIGINT AS (a%d + a%d)", i+1, i, i) }) + ")",
		"generated columns":  "CREATE TABLE own.t (a0 BIGINT, " + each(12, ", ", func(i int) string { return fmt.Sprintf("a%d BIGINT GENERATED ALWAYS AS (a%d + a%d)", i+1, i, i) }) + ")",
	} {
		s, err := gate.Judge(text, own)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		start := time.Now()
		if err := s.CheckSize(m); err == nil {
			t.Errorf("%s is let through", name)
		}
		if took := time.Since(start); took > time.Second {
			t.Errorf("%s: %v", name, took)
		}
	}
}

// What people and their tools write is not mistaken for that.
func TestOrdinaryStatementsDoNotGrow(t *testing.T) {
	t.Parallel()
	m := macros(t)
	for name, text := range map[string]string{
		"aliases": "SELECT price * amount AS net, net * 0.2 AS vat, net + vat AS gross, round(gross, 2) AS shown, gross - shown AS rest FROM t",
		"cleaned columns": "SELECT " + each(300, ", ", func(i int) string {
			return fmt.Sprintf("CASE WHEN c%d = '' THEN NULL ELSE nullif(trim(c%d), '-') END AS c%d", i, i, i)
		}) + " FROM t",
		"steps": "WITH s0 AS (SELECT * FROM t), " + each(30, ", ", func(i int) string {
			return fmt.Sprintf("s%d AS (SELECT id, coalesce(x, 0) + x * 2 AS x, CASE WHEN y > x THEN y ELSE x END AS y FROM s%d)", i+1, i)
		}) + " SELECT * FROM s30",
		"diamonds": "WITH s0 AS (SELECT 1 AS id), s1 AS (SELECT 2 AS id), " + each(30, ", ", func(i int) string {
			return fmt.Sprintf("s%d AS (SELECT s%d.id, s%d.id + 1 AS n FROM s%d JOIN s%d ON s%d.id = s%d.id)", i+2, i, i+1, i, i+1, i, i+1)
		}) + " SELECT * FROM s31",
		"nested queries":   nest("SELECT id, CASE WHEN x > y THEN x ELSE y END AS x, x + y AS y FROM (", "SELECT 1 AS id, 2 AS x, 3 AS y", ") AS q", 40),
		"conditions":       "SELECT * FROM t WHERE " + each(1000, " AND ", func(i int) string { return fmt.Sprintf("c%d BETWEEN %d AND %d", i, i, i+1) }),
		"calls":            "SELECT " + each(300, " + ", func(i int) string { return fmt.Sprintf("own.twice(c%d)", i) }) + " FROM t",
		"mapping":          "SELECT CASE lower(trim(c)) " + each(2000, " ", func(i int) string { return fmt.Sprintf("WHEN 'v%d' THEN %d", i, i) }) + " END FROM t",
		"large":            "SELECT x IN (" + each(100_000, ", ", func(i int) string { return fmt.Sprint(i) }) + ") FROM t",
		"many rows":        "INSERT INTO own.t VALUES " + each(50_000, ", ", func(i int) string { return fmt.Sprintf("(%d, 'a')", i) }),
		"wide":             "SELECT " + each(40_000, ", ", func(i int) string { return fmt.Sprintf("(c%d) AS a%d", i, i) }) + " FROM t",
		"methods":          "SELECT c.trim().lower().nullif('') FROM t",
		"computed columns": "CREATE TABLE own.t (a DECIMAL(10, 2), b DECIMAL(10, 2), net DECIMAL(10, 2) AS (a * b), vat DECIMAL(10, 2) AS (net * 0.2), gross DECIMAL(10, 2) AS (net + vat))",
		"odd":              "SELECT CASE END ) FROM (((a, b.end AS end",
	} {
		s, err := gate.Judge(text, own)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		start := time.Now()
		if err := s.CheckSize(m); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if took := time.Since(start); took > time.Second {
			t.Errorf("%s: %v", name, took)
		}
	}
}

// A plan is as deep as a statement has queries and tables in a row.
func TestManyParts(t *testing.T) {
	t.Parallel()
	for text, refused := range map[string]bool{
		each(2500, " UNION ALL ", func(int) string { return "SELECT 1, 2" }):                    false,
		each(3500, " UNION ALL ", func(int) string { return "SELECT 1, 2" }):                    true,
		each(6500, " EXCEPT ", func(int) string { return "FROM own.t, own.t" }):                 true,
		"SELECT count(*) FROM " + each(2500, ", ", func(int) string { return "own.t" }):         false,
		"SELECT count(*) FROM " + each(3500, ", ", func(int) string { return "own.t" }):         true,
		"SELECT count(*) FROM " + each(6500, ", ", func(int) string { return "(SELECT 1, 2)" }): true,
		"SELECT " + each(9000, ", ", func(int) string { return "t.a" }) + " FROM own.t":         false,
	} {
		if _, err := gate.Judge(text, own); (err != nil) != refused {
			t.Errorf("%.60s…, %d bytes: %v", text, len(text), err)
		}
	}
}
