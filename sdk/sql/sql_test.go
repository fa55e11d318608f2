package sql_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/keboola/duckdb-storage/sdk/sql"
)

func TestNew(t *testing.T) {
	t.Parallel()
	table := sql.Table{Schema: "in.c-main", Name: "orders"}
	for name, tt := range map[string]struct {
		got  sql.Statement
		text string
		args []any
	}{
		"zero":               {sql.Statement{}, "", nil},
		"empty":              {sql.New(""), "", nil},
		"no marks":           {sql.New("SELECT 1"), "SELECT 1", nil},
		"name":               {sql.New("DROP SCHEMA ?", sql.Name("a")), `DROP SCHEMA "a"`, nil},
		"table":              {sql.New("FROM ?", table), `FROM "in.c-main"."orders"`, nil},
		"literal":            {sql.New("FROM read_csv(?)", sql.Literal("/it's")), "FROM read_csv('/it''s')", nil},
		"values":             {sql.New("?, ?, ?, ?, ?, ?", nil, true, 1, uint32(2), 1.5, "x"), "?, ?, ?, ?, ?, ?", []any{nil, true, int64(1), int64(2), 1.5, "x"}},
		"bytes":              {sql.New("?", []byte("x")), "?", []any{[]byte("x")}},
		"of a statement":     {sql.New("?, ?", sql.RowsAffected(1), sql.Elapsed(2)), "?, ?", []any{sql.RowsAffected(1), sql.Elapsed(2)}},
		"a value is bound":   {sql.New("SELECT ?", "'; DROP TABLE t"), "SELECT ?", []any{"'; DROP TABLE t"}},
		"mark in a name":     {sql.New("SELECT ?, ?", sql.Name("?"), 1), `SELECT "?", ?`, []any{int64(1)}},
		"mark in a literal":  {sql.New("SELECT ?, ?", sql.Literal("?"), 1), `SELECT '?', ?`, []any{int64(1)}},
		"spliced":            {sql.New("SELECT * FROM (?) WHERE a = ?", sql.New("SELECT ? AS a", 1), 2), "SELECT * FROM (SELECT ? AS a) WHERE a = ?", []any{int64(1), int64(2)}},
		"spliced, with mark": {sql.New("? WHERE ?", sql.New("FROM ?", sql.Name("?")), true), `FROM "?" WHERE ?`, []any{true}},
		"empty part":         {sql.New("SELECT 1 ?", sql.Statement{}), "SELECT 1 ", nil},
		"list":               {sql.New("SELECT ? FROM t", sql.Names("id", `a"b`)), `SELECT "id", "a""b" FROM t`, nil},
		"list with values":   {sql.New("[?]", []sql.Statement{sql.New("?", 1), sql.New("?", "x")}), "[?, ?]", []any{int64(1), "x"}},
		"empty list":         {sql.New("[?]", []sql.Statement{}), "[]", nil},
		"join":               {sql.Join(" UNION ALL ", []sql.Statement{sql.New("SELECT ?", 1), sql.New("SELECT ?", 2)}), "SELECT ? UNION ALL SELECT ?", []any{int64(1), int64(2)}},
		"join of one":        {sql.Join(", ", []sql.Statement{sql.New("a")}), "a", nil},
		"join of none":       {sql.Join(", ", nil), "", nil},
		"separator is plain": {sql.Join(" ? ", []sql.Statement{sql.New("a"), sql.New("b")}), "a ? b", nil},
		"raw":                {sql.Raw("SELECT '?' WHERE a = ?", "x"), "SELECT '?' WHERE a = ?", []any{"x"}},
		"raw, spliced":       {sql.New("SELECT * FROM (?)", sql.Raw("SELECT '?', ?", 1)), "SELECT * FROM (SELECT '?', ?)", []any{int64(1)}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := tt.got.SQL(); got != tt.text {
				t.Errorf("the text is %s, want %s", got, tt.text)
			}
			if diff := cmp.Diff(tt.args, tt.got.Args()); diff != "" {
				t.Errorf("the values (-want +got):\n%s", diff)
			}
			if tt.got.IsZero() != (tt.text == "") {
				t.Errorf("IsZero is %v", tt.got.IsZero())
			}
		})
	}
}

// A part that is spliced in is not changed by what comes after.
func TestPartsAreNotShared(t *testing.T) {
	t.Parallel()
	part := sql.New("?", 1)
	first, second := sql.New("? ?", part, 2), sql.New("? ?", part, 3)
	for s, want := range map[*sql.Statement][]any{&part: {int64(1)}, &first: {int64(1), int64(2)}, &second: {int64(1), int64(3)}} {
		if diff := cmp.Diff(want, s.Args()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", s.SQL(), diff)
		}
	}
}

func TestNewPanics(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		build func()
		want  string
	}{
		"part is missing":  {func() { sql.New("SELECT ?") }, `template "SELECT ?" has 1 marks and 0 parts`},
		"part too many":    {func() { sql.New("SELECT 1", 1) }, "has 0 marks and 1 parts"},
		"mark in a string": {func() { sql.New("SELECT '?', ?", 1) }, "has 2 marks and 1 parts"},
		"struct":           {func() { sql.New("?", struct{}{}) }, "cannot bind a struct {}"},
		"list of values":   {func() { sql.New("?", []string{"a"}) }, "cannot bind a []string"},
		"pointer":          {func() { sql.New("?", new(int)) }, "cannot bind a *int"},
		"raw":              {func() { sql.Raw("?", struct{}{}) }, "cannot bind a struct {}"},
		"type of a string": {func() { sql.New("?", kind("a")) }, "cannot bind a sql_test.kind"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			defer func() {
				if got := fmt.Sprint(recover()); !strings.Contains(got, tt.want) {
					t.Errorf("the panic is %q, want %q", got, tt.want)
				}
			}()
			tt.build()
		})
	}
}

type kind string

func TestSizeOf(t *testing.T) {
	t.Parallel()
	s := sql.SizeOf(sql.Table{Schema: "it's", Name: "a b"})
	if want := `pragma_storage_info('"it''s"."a b"')`; !strings.Contains(s.SQL(), want) {
		t.Errorf("%s has no %s", s.SQL(), want)
	}
	if diff := cmp.Diff([]any{int64(65536)}, s.Args()); diff != "" {
		t.Errorf("the values (-want +got):\n%s", diff)
	}
}

// DuckDB's own function cannot be told a double quote.
func TestSizeOfQuoted(t *testing.T) {
	t.Parallel()
	for _, table := range []sql.Table{{Schema: `a"b`, Name: "t"}, {Schema: "s", Name: `a"b`}} {
		got := sql.SizeOf(table)
		if strings.Contains(got.SQL(), "pragma_storage_info") {
			t.Errorf("%v: %s", table, got.SQL())
		}
		if diff := cmp.Diff([]any{table.Schema, table.Name}, got.Args()); diff != "" {
			t.Errorf("the values (-want +got):\n%s", diff)
		}
	}
}
