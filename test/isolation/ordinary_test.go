package isolation_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

// ordinary is what people write, in order, with the rows that it is answered with as
// JSON; for a change these are how many rows it changed.
var ordinary = [][2]string{
	{"SELECT 1", "[[1]]"},
	{"SELECT 1;", "[[1]]"},
	{"SELECT 1; -- the end\n", "[[1]]"},
	{"/* a /* nested */ comment */ SELECT 'it''s' AS \"a \"\"b\"\"\" -- end", `[["it's"]]`},
	{"SELECT 'one ' -- two\n'two'", `[["one two"]]`},
	{`SELECT E'a\tb\u010d\'', $$a'b$$, $x$ $$ $x$`, `[["a\tbč'","a'b"," $$ "]]`},
	{"SELECT 1_000, 1.5e3, .5, 0x1F, X'0A' = '\\x0A'::BLOB", ""},
	{"SELECT ? + $1", "bad"},
	{"FROM own.t", `[[0,"row 0"],[1,"row 1"],[2,"row 2"],[3,"row 3"],[4,"row 4"]]`},
	{"FROM own.t SELECT name WHERE id = 1", `[["row 1"]]`},
	{"TABLE own.t LIMIT 1", `[[0,"row 0"]]`},
	{"VALUES (1, 'a'), (2, 'b')", `[[1,"a"],[2,"b"]]`},
	{"(SELECT 1) UNION ALL (SELECT 2) ORDER BY 1 DESC", "[[2],[1]]"},
	{"SELECT id FROM own.t INTERSECT SELECT 3 EXCEPT SELECT 4", "[[3]]"},
	{"SELECT customer, sum(total) AS s FROM own.orders GROUP BY ALL HAVING s > 30 ORDER BY ALL", `[[1,"33.0"],[2,"39.0"]]`},
	{"SELECT customer, count(*) FROM own.orders GROUP BY GROUPING SETS ((customer), ()) ORDER BY ALL NULLS LAST", "[[0,4],[1,4],[2,4],[null,12]]"},
	{"SELECT customer, count(*) FROM own.orders GROUP BY ROLLUP (customer) ORDER BY ALL NULLS LAST LIMIT 1", "[[0,4]]"},
	{"SELECT count(*) FROM (SELECT customer, id FROM own.orders GROUP BY CUBE (customer, id))", "[[28]]"},
	{"SELECT id, sum(total) OVER (PARTITION BY customer ORDER BY id ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) FROM own.orders ORDER BY id LIMIT 4", `[[0,"0.0"],[1,"1.5"],[2,"3.0"],[3,"4.5"]]`},
	{"SELECT id, lag(id) OVER w FROM own.t WINDOW w AS (ORDER BY id) LIMIT 2", "[[0,null],[1,0]]"},
	{"SELECT customer, id FROM own.orders QUALIFY row_number() OVER (PARTITION BY customer ORDER BY id DESC) = 1 ORDER BY 1", "[[0,9],[1,10],[2,11]]"},
	{"PIVOT own.orders ON customer IN (0, 1, 2) USING count(*)", ""},
	{"FROM (SELECT customer, id FROM own.orders) PIVOT (count(id) FOR customer IN (0, 1))", "[[4,4]]"},
	{"UNPIVOT (SELECT 1 AS a, 2 AS b) ON a, b INTO NAME n VALUE v", `[["a",1],["b",2]]`},
	{"SELECT * FROM (SELECT 1 AS a, 2 AS b) UNPIVOT (v FOR n IN (a, b))", `[["a",1],["b",2]]`},
	{"WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r WHERE n < 5) SELECT sum(n)::BIGINT FROM r", "[[15]]"},
	{"WITH a AS (SELECT 1 AS x), b AS MATERIALIZED (SELECT x + 1 AS y FROM a) SELECT x, y FROM a, b", "[[1,2]]"},
	{"SELECT [1, 2, 3][2], [1, 2, 3][1:2], list_sum([1, 2])::BIGINT, [x * 2 FOR x IN [1, 2] IF x > 1]", "[[2,[1,2],3,[4]]]"},
	{"SELECT {'a': 1, 'b': 'x'}.b, struct_pack(a := 1).a, row(1, 2)[1]", `[["x",1,1]]`},
	{"SELECT map(['a'], [1])['a'], MAP {'x': 2}['x']", "[[1,2]]"},
	{"SELECT list_transform([1, 2], lambda x: x + 1), list_filter([1, 2, 3], lambda x: x > 1), list_reduce([1, 2, 3], lambda a, b: a + b)", "[[[2,3],[2,3],6]]"},
	{"SELECT unnest([1, 2]), unnest(['a', 'b'])", `[[1,"a"],[2,"b"]]`},
	{"SELECT unnest([{'a': 1}, {'a': 2}], recursive := true)", "[[1],[2]]"},
	{"SELECT i FROM range(3) AS r(i), generate_series(1, 1)", "[[0],[1],[2]]"},
	{"SELECT t.id, u.n FROM own.t, LATERAL (SELECT t.id * 2 AS n) AS u WHERE t.id < 2 ORDER BY 1", "[[0,0],[1,2]]"},
	{"SELECT a.x, b.y FROM (VALUES (1), (3)) a(x) ASOF JOIN (VALUES (2), (1)) b(y) ON a.x >= b.y ORDER BY 1", "[[1,1],[3,2]]"},
	{"SELECT * FROM (VALUES (1), (2)) POSITIONAL JOIN (VALUES ('a'), ('b'))", `[[1,"a"],[2,"b"]]`},
	{"SELECT count(*) FROM own.t SEMI JOIN own.orders USING (id)", "[[5]]"},
	{"SELECT count(*) FROM own.t ANTI JOIN own.orders USING (id)", "[[0]]"},
	{"SELECT count(*) FROM own.t AS temp LEFT JOIN own.orders AS system ON temp.id = system.id", "[[5]]"},
	{"SELECT id FROM own.t USING SAMPLE 100 PERCENT (bernoulli) ORDER BY id LIMIT 1", "[[0]]"},
	{"SELECT count(*) FROM own.t TABLESAMPLE reservoir(3 ROWS) REPEATABLE (1)", "[[3]]"},
	{"SELECT '{\"a\": [1, 2]}'::JSON->'a'->>0, json_extract('{\"a\": 1}', '$.a'), '{\"a/b\": 1}' -> '/a~1b'", `[["1",1,1]]`},
	{"SELECT key, value FROM json_each('{\"a\": 1}')", `[["a",1]]`},
	{"SELECT regexp_extract('abc-123', '(\\d+)', 1), 'abc' SIMILAR TO 'a.*', 'abc' ~ 'a.c', regexp_replace('a/b', '/', '.')", `[["123",true,true,"a.b"]]`},
	{"SELECT extract(year FROM DATE '2026-05-04'), trim(both 'x' FROM 'xax'), substring('a/b/c' FROM 3 FOR 1), 1 IS DISTINCT FROM 2", `[[2026,"a","b",true]]`},
	{"SELECT TIMESTAMP '2026-01-01 00:00:00' + INTERVAL 1 DAY, date_trunc('month', DATE '2026-05-04'), strftime(DATE '2026-05-04', '%d/%m/%Y')", `[["2026-01-02 00:00:00","2026-05-01 00:00:00","04/05/2026"]]`},
	{"SELECT 'a/b', ['c/d', 'e/f'], 'x' IN ('a/b', 'x/y'), concat('a/', 'b') AS \"km/h\"", `[["a/b",["c/d","e/f"],false,"a/b"]]`},
	{"SELECT * FROM (VALUES ('a/b', 1), ('c/d', 2)) AS v(\"p/q\", n) WHERE \"p/q\" = 'c/d'", `[["c/d",2]]`},
	{"SELECT * EXCLUDE (name) FROM own.t WHERE id = 0", "[[0]]"},
	{"SELECT * REPLACE (id + 1 AS id) FROM own.t WHERE id = 0", `[[1,"row 0"]]`},
	{"SELECT COLUMNS('i.') FROM own.t WHERE id = 0", "[[0]]"},
	{"SELECT max(COLUMNS(*)) FROM own.t", `[[4,"row 4"]]`},
	{"SELECT x: 1, y: 2", "[[1,2]]"},
	{"SELECT CASE WHEN id > 3 THEN 'b' ELSE 'a' END AS g, count(*) FILTER (id > 0) FROM own.t GROUP BY 1 ORDER BY 1", `[["a",3],["b",1]]`},
	{"SELECT any_value(id), arg_max(name, id), string_agg(id::VARCHAR, ',' ORDER BY id), histogram(id)::VARCHAR, quantile_cont(id, 0.5), mode(id % 1) FROM own.t", ""},
	{"SELECT 170141183460469231731687303715884105727::HUGEINT, 1.10::DECIMAL(10,2), 'a'::BLOB, uuid() IS NOT NULL", `[["170141183460469231731687303715884105727","1.10","a",true]]`},
	{"SELECT \"Žluť\", a$b FROM (SELECT 1 AS \"Žluť\", 2 AS a$b)", "[[1,2]]"},
	{"SELECT\u00a01\u3000+\u20031", "[[2]]"},
	{"DESCRIBE own.t", `[["id","BIGINT","YES",null,null,null],["name","VARCHAR","YES",null,null,null]]`},
	{"DESCRIBE SELECT 1 AS a", `[["a","INTEGER","YES",null,null,null]]`},
	{"SELECT column_name, min, max FROM (SUMMARIZE own.t) WHERE column_name = 'id'", `[["id","0","4"]]`},
	{"SUMMARIZE own.t", ""},
	{"SHOW own.t", ""},

	// What is linked reads like one's own.
	{"SELECT name FROM linked.orders", `[["for all"]]`},
	{"SELECT n FROM linked.v", "[[11]]"},
	{"SELECT count(*) FROM linked.orders, own.t", "[[5]]"},
	{"DESCRIBE linked.orders", ""},
	{"CREATE TABLE own.copy AS FROM linked.orders", "0"},
	{"CREATE VIEW own.over AS SELECT name FROM linked.orders", "0"},
	{"FROM own.over", `[["for all"]]`},
	{"INSERT INTO own.copy SELECT id + 1, name FROM linked.orders", "1"},

	// The lists have what is the project's.
	{"SELECT table_schema, table_name, table_type FROM information_schema.tables WHERE table_schema IN ('linked', 'own') ORDER BY ALL", `[["linked","orders","VIEW"],["linked","v","VIEW"],["own","copy","BASE TABLE"],["own","orders","BASE TABLE"],["own","over","VIEW"],["own","t","BASE TABLE"]]`},
	{"SELECT DISTINCT table_catalog FROM information_schema.columns", `[["project_a_main"]]`},
	{"SELECT schema_name FROM information_schema.schemata ORDER BY 1", `[["linked"],["main"],["own"]]`},
	{"SELECT tables.table_name FROM information_schema.tables WHERE table_name = 't'", `[["t"]]`},
	{"SELECT duckdb_tables.table_name FROM duckdb_tables() ORDER BY 1", `[["copy"],["orders"],["t"]]`},
	{"SELECT database_name, path FROM duckdb_databases()", `[["project_a_main",null]]`},
	{"SELECT count(*) FROM duckdb_columns() WHERE table_name = 't'", "[[2]]"},
	{"SELECT view_name FROM duckdb_views() WHERE NOT internal ORDER BY 1", `[["orders"],["over"],["v"]]`},
	{"SELECT schema_name FROM duckdb_schemas ORDER BY 1", `[["linked"],["main"],["own"]]`},
	{"SELECT count(*) > 100 FROM duckdb_functions()", "[[true]]"},
	{"SELECT x.table_name FROM (SHOW ALL TABLES) AS s, duckdb_tables() AS x WHERE s.name = x.table_name AND x.table_name = 't'", `[["t"]]`},
	{"SHOW DATABASES", `[["project_a_main"]]`},
	{"SHOW SCHEMAS", ""},
	{"SHOW TABLES", `[]`},
	{"SHOW TABLES FROM own", `[["copy"],["orders"],["over"],["t"]]`},
	{"SELECT name FROM pragma_table_info('own.t') ORDER BY 1", `[["id"],["name"]]`},
	{"SELECT current_database(), current_schema()", `[["project_a_main","main"]]`},
	{"SELECT count(*) FROM project_a_main.own.t", "[[5]]"},

	// Changes.
	{"CREATE SCHEMA \"in.c-x\"", "0"},
	{"CREATE TABLE \"in.c-x\".\"T 1\" (id INTEGER NOT NULL, name VARCHAR DEFAULT 'a/b', twice INTEGER AS (id * 2), CHECK (id > 0))", "0"},
	{"INSERT INTO \"in.c-x\".\"T 1\" (id) VALUES (1), (2)", "2"},
	{"INSERT INTO \"in.c-x\".\"T 1\" BY NAME SELECT 'c/d' AS name, 3 AS id", "1"},
	{"INSERT INTO \"in.c-x\".\"T 1\" (id, name) VALUES (4, 'e/f'), (5, 'g/h')", "2"},
	{"UPDATE \"in.c-x\".\"T 1\" AS x SET name = t.name FROM own.t AS t WHERE t.id = x.id AND x.id < 3", "2"},
	{"UPDATE \"in.c-x\".\"T 1\" SET name = 'x/y', id = 6 WHERE id = 5", "1"},
	{"DELETE FROM \"in.c-x\".\"T 1\" USING own.t AS t WHERE t.id = \"T 1\".id AND t.id = 4", "1"},
	{"MERGE INTO \"in.c-x\".\"T 1\" AS x USING (VALUES (1, 'm'), (9, 'n')) AS s(id, name) ON x.id = s.id WHEN MATCHED THEN UPDATE SET name = s.name WHEN NOT MATCHED THEN INSERT (id, name) VALUES (s.id, s.name)", "2"},
	{"SELECT id, name, twice FROM \"in.c-x\".\"T 1\" ORDER BY id", `[[1,"m",2],[2,"row 2",4],[3,"c/d",6],[6,"x/y",12],[9,"n",18]]`},
	{"ALTER TABLE \"in.c-x\".\"T 1\" ADD COLUMN more VARCHAR DEFAULT 'z'", "0"},
	{"ALTER TABLE \"in.c-x\".\"T 1\" RENAME TO t2", "0"},
	{"CREATE INDEX i ON \"in.c-x\".t2 (id)", "0"},
	{"CREATE SEQUENCE \"in.c-x\".q START 5", "0"},
	{"INSERT INTO \"in.c-x\".t2 (id) VALUES (nextval('\"in.c-x\".q'))", "1"},
	{"CREATE OR REPLACE VIEW \"in.c-x\".v AS WITH a AS (SELECT id FROM \"in.c-x\".t2) SELECT max(id) AS m FROM a", "0"},
	{"FROM \"in.c-x\".v", "[[9]]"},
	{"CREATE MACRO \"in.c-x\".plus(a, b := 1) AS a + b", "0"},
	{"SELECT \"in.c-x\".plus(1), \"in.c-x\".plus(1, b := 2)", "[[2,3]]"},
	{"CREATE MACRO \"in.c-x\".top(n) AS TABLE SELECT id FROM own.t ORDER BY id LIMIT n", "0"},
	{"FROM \"in.c-x\".top(2)", "[[0],[1]]"},
	{"CREATE TYPE main.mood AS ENUM ('sad', 'happy')", "0"},
	{"SELECT 'happy'::mood", `[["happy"]]`},
	{"DROP TYPE main.mood", "0"},
	{"TRUNCATE own.copy", "2"},
	{"DROP VIEW own.over", "0"},
	{"DROP TABLE own.copy", "0"},
	{"DROP SCHEMA \"in.c-x\" CASCADE", "0"},
}

// What people write is answered.
func TestOrdinaryStatements(t *testing.T) {
	t.Parallel()
	w := open(t)
	for _, x := range ordinary {
		got := ask(t, w.a, map[string]any{"sql": x[0]})
		if x[1] == "bad" {
			if got.message == "" {
				t.Errorf("%s\n\tis answered: %s", x[0], got.body)
			}
			continue
		}
		if got.message != "" {
			t.Errorf("%s\n\tis refused: %s", x[0], got.message)
			continue
		}
		if x[1] == "" {
			if len(got.rows) == 0 {
				t.Errorf("%s\n\thas no rows: %s", x[0], got.body)
			}
			continue
		}
		have := affected(t, got)
		if strings.HasPrefix(x[1], "[") {
			have = rows(t, got)
		}
		if have != x[1] {
			t.Errorf("%s\n\tgot  %s\n\twant %s", x[0], have, x[1])
		}
		got.tell(t, x[0])
	}
}

func rows(t *testing.T, a answer) string {
	t.Helper()
	out, err := json.Marshal(a.rows)
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

func affected(t *testing.T, a answer) string {
	t.Helper()
	var out struct{ RowsAffected *int64 }
	if err := json.Unmarshal([]byte(a.body), &out); err != nil || out.RowsAffected == nil {
		return "none: " + a.body
	}
	return fmt.Sprint(*out.RowsAffected)
}
