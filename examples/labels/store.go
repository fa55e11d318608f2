package main

import (
	"github.com/keboola/duckdb-storage/sdk"
	"github.com/keboola/duckdb-storage/sdk/sql"
)

// store is where the labels are: in the project's own file, so that they commit
// together with what they are about and go with a copy. A schema that starts with __
// is no bucket.
var store = sql.Table{Schema: "__labels", Name: "labels"}

// createStore is in each transaction that writes: any of them may be the first.
func createStore() []sql.Statement {
	return []sql.Statement{
		sql.New("CREATE SCHEMA IF NOT EXISTS ?", sql.Name(store.Schema)),
		sql.New(`CREATE TABLE IF NOT EXISTS ? ("schema" VARCHAR, "table" VARCHAR, label VARCHAR, created TIMESTAMP)`, store),
	}
}

// hasStore reports whether a label was ever set: before that a statement that names
// the store would fail.
func hasStore(c *sdk.Context) (bool, error) {
	rows, err := sdk.Query[struct{}](c, sql.New(
		"SELECT 1 FROM duckdb_tables() WHERE database_name = current_database() AND schema_name = ? AND table_name = ?", store.Schema, store.Name))
	return len(rows) > 0, err
}

// labelled returns the labels that fit, at most sdk.MaxQueryRows.
func labelled(c *sdk.Context, where sql.Statement) ([]Label, error) {
	if stored, err := hasStore(c); err != nil || !stored {
		return nil, err
	}
	return sdk.Query[Label](c, sql.New(`SELECT "schema", "table", label FROM ? WHERE ? ORDER BY ALL`, store, where))
}

// is fits one label. Names are kept as they are given and compared as DuckDB does.
func is(l Label) sql.Statement {
	return sql.New(`lower("schema") = lower(?) AND lower("table") = lower(?) AND label = ?`, string(l.Schema), string(l.Table), string(l.Label))
}

func removal(l Label) sql.Statement { return sql.New("DELETE FROM ? WHERE ?", store, is(l)) }

func insertion(l Label) sql.Statement {
	return sql.New("INSERT INTO ? VALUES (?, ?, ?, now() AT TIME ZONE 'UTC')", store, string(l.Schema), string(l.Table), string(l.Label))
}
