package gate_test

import (
	"errors"
	"testing"

	"github.com/keboola/duckdb-storage/core/internal/gate"
	"github.com/keboola/duckdb-storage/core/internal/sqltext"
	"github.com/keboola/duckdb-storage/sdk"
)

var own = gate.Names{Own: "project_1_main", Cell: []string{"project_2_main", "odd one"}}

// What is judged comes out as one text, with lists replaced; test/isolation has the
// refusals, against DuckDB.
func TestJudge(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ text, want, body string }{
		{"select/**/1;", "select 1", ""},
		{"SELECT E'\\'' -- x", "SELECT ''''", ""},
		{"FROM duckdb_tables() AS t", `FROM "memory" . "project" . "duckdb_tables" AS t`, ""},
		{"FROM a.b, information_schema.tables", `FROM a . b , "memory" . "project" . "tables"`, ""},
		{"SELECT * FROM (SHOW ALL TABLES)", `SELECT * FROM ( FROM "memory" . "project" . "show all tables" )`, ""},
		{"DESCRIBE", `FROM "memory" . "project" . "show all tables"`, ""},
		{"SELECT duckdb_tables FROM a.duckdb_tables", "SELECT duckdb_tables FROM a . duckdb_tables", ""},
		{"CREATE VIEW a.v (x) AS SELECT 1 AS x", "CREATE VIEW a . v ( x ) AS SELECT 1 AS x", "SELECT 1 AS x"},
		{"INSERT INTO a.query (b) VALUES ('c/d'), ('e/f')", "INSERT INTO a . query ( b ) VALUES ( 'c/d' ) , ( 'e/f' )", ""},
	} {
		got, err := gate.Judge(tc.text, own)
		if err != nil || got.SQL != tc.want || got.Body != tc.body {
			t.Errorf("%s: %q, %q, %v; want %q, %q", tc.text, got.SQL, got.Body, err, tc.want, tc.body)
		}
	}
	for _, text := range []string{`FROM "odd one".a.b`, "FROM ODD_ONE, PROJECT_2_MAIN.a.b", "FROM project_9_branch_x.a.b"} {
		if _, err := gate.Judge(text, own); !errors.Is(err, sdk.ErrDenied) {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// The gate knows an alias where the names of buckets know one.
func TestAliasesAreReservedNames(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"project_1_main", "PROJECT_x-y_MAIN", "project_a_branch_b", "project__main", "projects_1_main", "project_1", "xproject_1_main", "project_1_mainx"} {
		_, err := gate.Judge(`SELECT 1 AS "`+name+`"`, gate.Names{Own: "other"})
		if reserved := sdk.Name(name).CheckBucket() != nil; reserved != (err != nil) {
			t.Errorf("%s: a bucket may not have the name: %v; the gate says %v", name, reserved, err)
		}
	}
}

func TestGuest(t *testing.T) {
	t.Parallel()
	for text, refused := range map[string]bool{
		"SELECT * FROM a.b":                                      false,
		"SELECT * FROM project_1_main.a.b":                       false,
		"SELECT 'project plan', \"project_x\" FROM __storage.t":  false,
		"SELECT nextval('a.q'), query FROM a.query":              false,
		"INSERT INTO a.query (b) VALUES (1)":                     false,
		"SELECT * FROM project_2_main.a.b":                       true,
		"SELECT 1; SELECT * FROM \"PROJECT_3_MAIN\".a.b":         true,
		"FROM pragma_storage_info('\"project_2_main\".a.b')":     true,
		"FROM pragma_table_info(E'\\x70roject_2_main.a.b')":      true,
		"SELECT * FROM query_table('project' || '_2_main.a.b')":  true,
		"SELECT * FROM query('SELECT 1')":                        true,
		"SELECT nextval(?)":                                      true,
		"FROM \"histogram_values\"('project' || '_2_main.a', b)": true,
		"FROM project_2_main/* */.a.b":                           true,
	} {
		if err := gate.Guest(text, gate.Names{Own: "project_1_main"}); (err != nil) != refused {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// FuzzJudge looks for a text that is let through and names another catalog when it is
// read again.
func FuzzJudge(f *testing.F) {
	for _, seed := range []string{"SELECT 1", "FROM a.b, 'x'", "CREATE VIEW a.v AS FROM duckdb_tables()", "FROM (SHOW DATABASES), information_schema.columns", "VALUES ('a/b')", "SELECT project_2_main", "((", "DESCRIBE )", "TABLE", "a..b", "FROM \"\".x"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got, err := gate.Judge(text, own)
		if err != nil {
			return
		}
		_ = got.CheckSize(nil) // it ends, whatever it says
		tokens, err := sqltext.Lex(got.SQL)
		if err != nil {
			t.Fatalf("%q is let through as %q: %v", text, got.SQL, err)
		}
		for _, x := range tokens {
			if x.Symbol(";") || x.Name() && (x.Value == "project_2_main" || x.Value == gate.Metadata) {
				t.Errorf("%q is let through as %q", text, got.SQL)
			}
		}
	})
}
