package tables

import (
	"regexp"
	"strings"

	"github.com/keboola/duckdb-storage/sdk"
	"github.com/keboola/duckdb-storage/sdk/sql"
)

// replaceable is a table that its columns define alone, so that another one with
// the same columns can take its place: no constraint but NOT NULL, no index, no
// comment, no generated column, types and defaults as tables.Create makes them.
// Everything else came by SQL.
type replaceable struct {
	table   sql.Table       // as it is spelt in the catalog
	columns []sql.Statement // as CREATE TABLE takes them
}

// findReplaceable returns nil for a table that must stay in its place.
func findReplaceable(c *sdk.Context, t sql.Table, s shape) (*replaceable, error) {
	var columns []sql.Statement
	for _, col := range s.Columns {
		ddl, ok := col.ddl()
		if !ok {
			return nil, nil
		}
		columns = append(columns, ddl)
	}
	type spelling struct {
		Schema string `json:"schema_name"`
		Name   string `json:"table_name"`
	}
	found, err := sdk.Query[spelling](c, plain(t))
	if err != nil || len(found) == 0 {
		return nil, err
	}
	return &replaceable{sql.Table{Schema: found[0].Schema, Name: found[0].Name}, columns}, nil
}

// plain finds a table that has nothing but columns. Words in the name or a default
// that say otherwise only make an import wait for its turn.
func plain(t sql.Table) sql.Statement {
	return sql.New(`SELECT schema_name, table_name FROM duckdb_tables() AS t
		WHERE database_name = current_database() AND ? AND ?
		AND comment IS NULL AND index_count = 0 AND NOT regexp_matches(sql, '\b(GENERATED|COLLATE)\b')
		AND NOT EXISTS (SELECT 1 FROM duckdb_constraints() AS c WHERE c.database_oid = t.database_oid AND c.table_oid = t.table_oid AND constraint_type <> 'NOT NULL')
		AND NOT EXISTS (SELECT 1 FROM duckdb_columns() AS c WHERE c.database_oid = t.database_oid AND c.table_oid = t.table_oid AND c.comment IS NOT NULL)`,
		sql.SameName("schema_name", t.Schema), sql.SameName("table_name", t.Name))
}

// stillReplaceable fails a Unit if the table has got more than columns meanwhile.
func (r replaceable) stillReplaceable() sdk.Precondition {
	return sdk.Expect(plain(r.table), changed(r.table))
}

// ddl is the column as CREATE TABLE takes it. ok is false for a type or a default
// that Create does not make.
func (c column) ddl() (_ sql.Statement, ok bool) {
	d := definition{name: c.Name, nullable: !c.NotNull}
	if d.ddlType, ok = storedType(c.Type); ok && c.Default != nil {
		d.def, ok = storedDefault(*c.Default)
	}
	return d.ddl(), ok
}

var storedDecimal = regexp.MustCompile(`^DECIMAL\((\d+),(\d+)\)$`)

// storedType is the type that DuckDB lists under a name.
func storedType(name string) (_ sql.Statement, ok bool) {
	if m := storedDecimal.FindStringSubmatch(name); m != nil {
		return sql.New("DECIMAL(?, ?)", digits(m[1]), digits(m[2])), true
	}
	switch name {
	case "FLOAT":
		name = "REAL"
	case "TIMESTAMP WITH TIME ZONE":
		name = "TIMESTAMPTZ"
	}
	for _, t := range types {
		if t.SQL() == name {
			return t, name != "DECIMAL" // which is never listed without its digits
		}
	}
	return sql.Statement{}, false
}

// storedDefault is the default that DuckDB lists as a text.
func storedDefault(text string) (_ sql.Statement, ok bool) {
	switch text {
	case "now()":
		return sql.New("now()"), true
	case "CAST('t' AS BOOLEAN)":
		return sql.New("true"), true
	case "CAST('f' AS BOOLEAN)":
		return sql.New("false"), true
	}
	inner := strings.ReplaceAll(strings.TrimSuffix(strings.TrimPrefix(text, "'"), "'"), "''", "'")
	def := sql.New("?", sql.Literal(inner))
	return def, def.SQL() == text
}
