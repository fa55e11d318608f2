package sqltext_test

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/hashicorp/go-hclog"

	"github.com/keboola/duckdb-storage/core/internal/disk"
	"github.com/keboola/duckdb-storage/core/internal/engine"
	"github.com/keboola/duckdb-storage/core/internal/sqltext"
	"github.com/keboola/duckdb-storage/sdk/sql"
)

// reads are SELECTs that people write, and texts at the edges of the scanner.
var reads = []string{
	"SELECT 1", "SELECT 'it''s', \"a \"\"b\"\"\" FROM t", `SELECT E'a\'b\\\n\t\x41\101\u010d\U0001F600\ud83d\ude00\q\č' AS "E"`, "SELECT $$a'b$$, $x$ $$ $y$ $x$, $é$1$é$",
	"SELECT 'a'\n'b', 'c' -- x\n 'd', e'\\n'\r\n'\\t'", "SELECT 'a' /* \n */ AS b", "SELECT X'0aF', B'0101', x''", "SELECT n'a'", "SELECT date'2026-01-02', DATE '2026-01-02'",
	"SELECT 1., .5, 1.5e3, 1e-2, 1_000, 1.5E+3, 0x1f, 1.e5", "SELECT 1a, 1.5b", "SELECT [1,2,3][1:2], [1,2,3][-1:], x[1:-:2] FROM t", "SELECT ?, ?2, $3", "SELECT $name, $a", "SELECT #1 FROM t", "SELECT COLUMNS('a.*') FROM t", "SELECT * EXCLUDE (a) REPLACE (b+1 AS b) FROM t",
	"SELECT a->'b'->>'c', a->>-1, a @> b, a <@ b, a && b, a ^@ b, a ~ b, a !~ b, a ~~ b, a !~~* b, a || b, a ** b, a // b, a % b, a ^ b, a & b, a | b, a << 1, a >> 1, ~a, @a, -a, +a, - -a, a!=b, a<>b, a==b FROM t", "SELECT a=-1, a<-1, a*-1, a>=-1, a||-1 FROM t", "SELECT 5! , 1--2\n+3", "SELECT 1*/* x */2", "SELECT 1 /* a /* b */ c */ + 1", "SELECT 1 /**/+/***/2/*/ */", "SELECT a::INT[], a::STRUCT(b INT), a::DECIMAL(1,2) FROM t",
	"SELECT {'a': 1, b: 2}, MAP {'a': 1}, [x + 1 for x in l if x > 1], list_transform(l, lambda x: x + 1), list_transform(l, x -> x + 1) FROM t", "SELECT x: 1, y := 2 FROM f(a := 1, b => 2)", "FROM t SELECT a", "FROM t", "TABLE t", "VALUES (1), (2)", "(SELECT 1)", "SELECT 1;", "SELECT 1; SELECT 2", ";", "",
	"WITH RECURSIVE r AS (SELECT 1 AS n UNION ALL SELECT n+1 FROM r WHERE n<9) SELECT sum(n) OVER (PARTITION BY a ORDER BY b ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) FROM r QUALIFY row_number() OVER () = 1", "SELECT a FROM t TABLESAMPLE 10% LIMIT 10 OFFSET 5", "SELECT a FROM t USING SAMPLE reservoir(5 ROWS) REPEATABLE (1)", "PIVOT t ON a IN (1, 2) USING sum(b) GROUP BY c", "UNPIVOT t ON a, b INTO NAME n VALUE v", "SELECT * FROM a ASOF JOIN b ON a.x >= b.x POSITIONAL JOIN c",
	"SELECT\u00a01\u2003AS\u3000x\ufeff", "SELECT '\u00a0', \"\u00a0\" FROM t", "SELECT a$b$c, d$b$e FROM t WHERE '\u00a0 $b$ \u00a0' = x", "SELECT žlutý, \"ŽLUTÝ\", Ž FROM t", "SELECT\f1", "SELECT\v1", "SELECT 1 -- end", "SELECT 1 --", "-- a\r SELECT 1", "--\nSELECT 1", "/* ' */ SELECT '/*' /* \" */", "SELECT '--', \"--\" FROM t", "SELECT a.b.c.d, a . b FROM x.y.z, \"x\".\"y\" . \"z\"", "SELECT t.* FROM t", "SELECT 1..2", "SELECT a.1 FROM t", "SELECT count(*) FILTER (a) FROM t GROUP BY GROUPING SETS ((a), ()), CUBE (b), ROLLUP (c)", "SELECT CASE a WHEN 1 THEN 'x' ELSE NULL END FROM t", "SELECT INTERVAL '1' DAY, INTERVAL 1 YEAR, TIMESTAMP '2026-01-01 00:00:00'", "SELECT 'a' COLLATE NOCASE", "SELECT \"\" FROM t", "SELECT a IS NOT DISTINCT FROM b, a BETWEEN SYMMETRIC 1 AND 2, a ILIKE '%x' ESCAPE '\\' FROM t",
	`SELECT E'\400'`, `SELECT E'\xff'`, `SELECT E'\xc4\x8d'`, `SELECT E'\0'`, `SELECT E'\ud83d'`, `SELECT E'\u12'`, `SELECT E'\xg'`, `SELECT E'\8'`, `SELECT U&'\0041'`, `SELECT U&"a"`, "SELECT u & \"a\" FROM t", "SELECT 'a", "SELECT \"a", "SELECT /* a", "SELECT $a$", "SELECT $", "SELECT X'0g'", "SELECT X'0", "SELECT `a`", "SELECT a\\b", "SELECT a ? b", "SELECT E'a\\",
}

// writes are the statements that json_serialize_sql does not take.
var writes = []string{
	"INSERT INTO s.t (a, \"b\") VALUES (1, 'x'), (2, E'\\n')", "UPDATE s.t SET a = t.a + 1 FROM s.u WHERE t.b = u.b", "DELETE FROM s.t USING s.u WHERE t.b = u.b", "CREATE TABLE s.n (a INTEGER DEFAULT 1, \"b c\" VARCHAR NOT NULL, d DECIMAL(10,2), CHECK (a > 0))",
	"MERGE INTO s.t USING s.u ON (t.b = u.b) WHEN MATCHED THEN UPDATE SET a = u.a WHEN NOT MATCHED THEN INSERT BY NAME", "CREATE OR REPLACE VIEW s.v AS SELECT a, $$x'y$$ AS \"q\"\"q\" FROM s.t -- c\n WHERE b <> 'it''s'", "CREATE MACRO s.plus(a, b := 1) AS a + b",
	"ALTER TABLE s.t ADD COLUMN z VARCHAR DEFAULT 'a''b'", "DROP TABLE IF EXISTS s.t", "CREATE SEQUENCE s.q START 5", "CREATE INDEX i ON s.t (a)",
}

// database gives a session with what writes need.
func database(t testing.TB) *engine.Session {
	t.Helper()
	layout := disk.Layout{Root: t.TempDir(), Runtime: t.TempDir()}
	if err := layout.Open(); err != nil {
		t.Fatal(err)
	}
	e := engine.Open(engine.Config{Layout: layout, Logger: hclog.NewNullLogger(), Threads: 1, Memory: 500 << 20})
	main := engine.Project(layout, "1", "default")
	if err := e.Create(t.Context(), main); err != nil {
		t.Fatal(err)
	}
	s, err := e.Session(t.Context(), main)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	for _, st := range []string{"CREATE SCHEMA s", "CREATE TABLE s.t (a INTEGER, b VARCHAR)", "CREATE TABLE s.u (a INTEGER, b VARCHAR)"} {
		if _, err := s.Exec(sql.Raw(st)); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// parsed is what DuckDB reads in a text of SELECTs, or its error.
func parsed(t testing.TB, s *engine.Session, text string) (tree any, problem string) {
	t.Helper()
	var out string
	err := s.Scan(sql.New("SELECT json_serialize_sql(?::VARCHAR)", text), func(scan func(...any) error) error { return scan(&out) })
	if err != nil {
		return nil, err.Error()
	}
	if err := json.Unmarshal([]byte(out), &tree); err != nil {
		t.Fatal(err)
	}
	object := tree.(map[string]any)
	if object["error"] == true {
		return nil, object["error_message"].(string)
	}
	forget(object)
	return object, ""
}

// forget removes where in the text things stand.
func forget(v any) {
	switch v := v.(type) {
	case map[string]any:
		delete(v, "query_location")
		for _, child := range v {
			forget(child)
		}
	case []any:
		for _, child := range v {
			forget(child)
		}
	}
}

// check compares a text with what Render makes of its tokens, and returns whether the
// text was read.
func check(t *testing.T, s *engine.Session, text string) bool {
	t.Helper()
	tokens, err := sqltext.Lex(text)
	if err != nil {
		return false
	}
	rendered := sqltext.Render(tokens)
	again, err := sqltext.Lex(rendered)
	if err != nil {
		t.Fatalf("%q is rendered as %q, which cannot be read: %v", text, rendered, err)
	}
	if diff := cmp.Diff(tokens, again, cmpopts.IgnoreFields(sqltext.Token{}, "Text", "Gap", "Kind")); diff != "" {
		t.Fatalf("%q is rendered as %q, which has other tokens (-want +got):\n%s", text, rendered, diff)
	}
	want, problem := parsed(t, s, text)
	got, after := parsed(t, s, rendered)
	if problem == "" && (after != "" || !reflect.DeepEqual(want, got)) {
		t.Fatalf("%q is rendered as %q: %s (-want +got):\n%s", text, rendered, after, cmp.Diff(want, got))
	}
	return true
}

// What is rendered means to DuckDB what was written.
func TestRenderMeansTheSame(t *testing.T) {
	t.Parallel()
	s := database(t)
	for _, text := range reads {
		if !check(t, s, text) {
			if _, problem := parsed(t, s, text); problem == "" {
				t.Logf("%q is refused, and DuckDB takes it", text)
			}
		}
	}
	for _, text := range writes {
		tokens, err := sqltext.Lex(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		var plans []string
		for _, form := range []string{text, sqltext.Render(tokens)} {
			var plan string
			if err := s.Begin(); err != nil { // no read plans a change
				t.Fatal(err)
			}
			err := s.Scan(sql.New("EXPLAIN ?", sql.Raw(form)), func(scan func(...any) error) error {
				var key string
				return scan(&key, &plan)
			})
			if err != nil {
				t.Errorf("%s: %v", form, err)
			}
			plans = append(plans, plan)
		}
		if plans[0] != plans[1] {
			t.Errorf("%s: another plan", text)
		}
	}
}

// FuzzRender gives any text to Lex, Render and a real DuckDB: what DuckDB takes, it
// takes when rendered, with the same meaning.
func FuzzRender(f *testing.F) {
	for _, text := range reads {
		f.Add(text)
	}
	s := database(f)
	f.Fuzz(func(t *testing.T, text string) {
		if len(text) > 1000 || strings.Count(text, "(") > 100 {
			t.Skip("DuckDB refuses what is nested deeper")
		}
		check(t, s, text)
	})
}
