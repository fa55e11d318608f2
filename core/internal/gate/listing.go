package gate

import (
	"fmt"
	"slices"
	"strings"

	"github.com/keboola/duckdb-storage/core/internal/sqltext"
	"github.com/keboola/duckdb-storage/sdk"
	"github.com/keboola/duckdb-storage/sdk/sql"
)

// DuckDB's lists of tables, columns and the like have those of every attached catalog.
// What a statement lists is replaced by a view of the same name that has the project's
// part. These views are in each instance's own memory, in one schema.
const (
	memory = "memory"
	views  = "project"
)

// Which rows of a list are the project's. current_database() is the catalog of the
// session that reads the view.
const (
	mine = `database_name = current_database() AND NOT starts_with(schema_name, '__')`
	// all has the built-in things beside the project's.
	all     = `(database_name = 'system' OR ` + mine + `)`
	tables  = `table_catalog = current_database() AND NOT starts_with(table_schema, '__')`
	related = `constraint_catalog = current_database() AND NOT starts_with(constraint_schema, '__')`
)

// catalogFunctions are the functions of DuckDB that list the catalog, with what is the
// project's in them. Most may be written without brackets as well.
var catalogFunctions = map[string]string{
	"duckdb_tables": mine, "duckdb_columns": mine, "duckdb_views": mine, "duckdb_indexes": mine, "duckdb_sequences": mine,
	"duckdb_constraints": mine, "duckdb_schemas": mine, "duckdb_types": all, "duckdb_functions": all,
	"duckdb_databases": `database_name = current_database()`,
}

// catalogViews are the views of information_schema, with what is the project's in them.
var catalogViews = map[string]string{
	"tables": tables, "columns": tables, "views": tables, "constraint_column_usage": tables, "constraint_table_usage": tables,
	"key_column_usage": tables, "table_constraints": tables, "check_constraints": related, "referential_constraints": related,
	"schemata": `catalog_name = current_database() AND NOT starts_with(schema_name, '__')`, "character_sets": `true`,
}

// shown are the lists of SHOW and DESCRIBE, by what follows.
var shown = map[string]string{
	"all tables": "SELECT * FROM (SHOW ALL TABLES) WHERE database = current_database() AND NOT starts_with(schema, '__')",
	"databases":  "SELECT current_database() AS database_name",
	"schemas":    "SELECT * FROM (SHOW SCHEMAS) WHERE database_name = current_database() AND NOT starts_with(schema_name, '__')",
}

// Views are the statements that make the views in an instance. The instance is for no
// one but the service until they are made.
func Views() []sql.Statement {
	out := []sql.Statement{sql.New("CREATE SCHEMA ?.?", sql.Name(memory), sql.Name(views))}
	add := func(name, query string) {
		out = append(out, sql.New("CREATE VIEW ?.?.? AS ?", sql.Name(memory), sql.Name(views), sql.Name(name), sql.Raw(query)))
	}
	for _, f := range sorted(catalogFunctions) {
		columns := "*"
		if f == "duckdb_databases" {
			columns = "* REPLACE (NULL::VARCHAR AS path)"
		}
		add(f, fmt.Sprintf("SELECT %s FROM system.main.%s() WHERE %s", columns, f, catalogFunctions[f]))
	}
	for _, v := range sorted(catalogViews) {
		add(v, fmt.Sprintf("SELECT * FROM system.information_schema.%s WHERE %s", v, catalogViews[v]))
	}
	for _, s := range sorted(shown) {
		add("show "+s, shown[s])
	}
	return out
}

func sorted(m map[string]string) []string {
	out := make([]string, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}

// listing is a place in a statement where the catalog is listed.
type listing struct {
	from, to int // tokens to replace
	view     string
	query    bool // what is replaced is a query by itself
	plain    bool // nothing is to be replaced: the list has only the project's part
}

// rewrite replaces lists by views.
func rewrite(tokens []sqltext.Token, lists []listing) []sqltext.Token {
	var out []sqltext.Token
	done := 0
	for _, l := range lists {
		if l.plain {
			continue
		}
		out = append(out, tokens[done:l.from]...)
		if l.query {
			out = append(out, sqltext.Token{Kind: sqltext.Word, Text: "FROM", Value: "FROM"})
		}
		for i, part := range []string{memory, views, l.view} {
			if i > 0 {
				out = append(out, sqltext.Token{Kind: sqltext.Symbol, Text: ".", Value: "."})
			}
			out = append(out, sqltext.Token{Kind: sqltext.Quoted, Value: part})
		}
		done = l.to
	}
	return append(out, tokens[done:]...)
}

// defaults are the views that DuckDB has in every catalog without a schema before
// their name, beside those of the functions that list.
var defaults = set(`pragma_database_list sqlite_master sqlite_schema sqlite_temp_master sqlite_temp_schema duckdb_logs
	pg_am pg_attrdef pg_attribute pg_class pg_collation pg_constraint pg_database pg_depend pg_description pg_enum pg_index pg_indexes pg_namespace
	pg_prepared_statements pg_proc pg_sequence pg_sequences pg_settings pg_tables pg_tablespace pg_type pg_views`)

// informationSchema is the only schema of DuckDB's that is for users.
const informationSchema = "information_schema"

// list looks at the name of a table and notes it if it lists the catalog. from is its
// first token, to the one behind it.
func (j *judge) list(parts []string, from, to int) error {
	last := strings.ToLower(parts[len(parts)-1])
	first := strings.ToLower(parts[0])
	call := j.at(to).Symbol("(")
	switch {
	case len(parts) == 1 && call && catalogFunctions[last] != "":
		if !j.at(to + 1).Symbol(")") {
			return sdk.ErrSQL.Errorf("%s takes no arguments", last)
		}
		j.lists = append(j.lists, listing{from: from, to: to + 2, view: last})
	case len(parts) == 1 && catalogFunctions[last] != "":
		j.lists = append(j.lists, listing{from: from, to: to, view: last})
	case len(parts) == 2 && first == informationSchema && catalogViews[last] != "":
		j.lists = append(j.lists, listing{from: from, to: to, view: last})
	case slices.ContainsFunc(parts[:len(parts)-1], func(p string) bool { return strings.EqualFold(p, informationSchema) }),
		len(parts) > 1 && (catalogFunctions[last] != "" || defaults[last]) && strings.EqualFold(parts[len(parts)-2], "main"),
		len(parts) == 1 && defaults[last], len(parts) > 1 && call && catalogFunctions[last] != "":
		return sdk.ErrDenied.Errorf("%s is not supported; use information_schema.tables, .columns and .schemata, or duckdb_tables(), duckdb_columns() and duckdb_views()", strings.Join(parts, "."))
	}
	return nil
}
