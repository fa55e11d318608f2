// Package tables is the area of tables. Rows and columns are DuckDB's; what it
// does not keep (primary key, whether the table is typed, text lengths, times)
// is in __storage.tables and __storage.column_lengths of the same file.
//
// A primary key is metadata: a constraint would make loading three times slower
// and could not hold duplicates, which Keboola allows (ADR 0009).
package tables

import (
	"github.com/keboola/duckdb-storage/plugins/tables/api"
	"github.com/keboola/duckdb-storage/sdk"
	"github.com/keboola/duckdb-storage/sdk/sql"
)

// Plugin declares the area's commands.
func Plugin(version string) *sdk.Plugin {
	const all, one = sdk.Catalog + "/tables", sdk.Catalog + "/tables/{schema}/{table}"
	p := sdk.New("tables", version)
	p.Summary("Tables: create, describe, import, export, preview, drop.")
	p.Needs(sdk.ReadSQL, sdk.WriteSQL, sdk.ReadFiles, sdk.WriteFiles)
	sdk.Emits(p, api.Created)
	sdk.Emits(p, api.Dropped)
	sdk.Emits(p, api.Imported)
	sdk.Handle(p, api.Create, create, sdk.POST(all, sdk.Status(201)), sdk.Permission("tables:write"), sdk.Writes(),
		sdk.Fails(api.ErrNoColumns, api.ErrDuplicateName))
	sdk.Handle(p, api.List, list, sdk.GET(all), sdk.Permission("tables:read"))
	sdk.Handle(p, api.Info, info, sdk.GET(one), sdk.GET(one+"/info"), sdk.Permission("tables:read"))
	sdk.Handle(p, api.Drop, drop, sdk.DELETE(one), sdk.Permission("tables:write"), sdk.Writes())
	sdk.Handle(p, api.Preview, preview, sdk.GET(one+"/preview"), sdk.POST(one+"/preview"), sdk.Permission("tables:read"))
	sdk.Handle(p, api.Import, importFile, sdk.POST(one+"/import/file"), sdk.Permission("tables:write"), sdk.Writes(),
		sdk.Fails(api.ErrColumns, api.ErrDuplicateName, api.ErrNoColumns, api.ErrNoContent, api.ErrCSVParams))
	sdk.Handle(p, api.Export, export, sdk.POST(one+"/export"), sdk.Permission("tables:read"), sdk.Writes())
	return p
}

// timestampColumn holds the time of the import that wrote a row.
const timestampColumn = "_timestamp"

// now is the time of a transaction, UTC, in whole seconds: one value for all
// rows of an import.
var now = sql.New("date_trunc('second', now() AT TIME ZONE 'UTC')")

func tableOf(r api.TableRequest) sql.Table {
	return sql.Table{Schema: string(r.Schema), Name: string(r.Table)}
}

// metadata is a table of the host beside the table that it tells of.
func metadata(t sql.Table, name string) sql.Table {
	return sql.Table{Catalog: t.Catalog, Schema: "__storage", Name: name}
}

// ofTable selects the metadata rows of a table by the column that holds its name.
func ofTable(name sql.Name, t sql.Table) sql.Statement {
	return sql.New("? AND ?", sql.SameName("bucket", t.Schema), sql.SameName(name, t.Name))
}

// about is what an event says of the table.
func about(t sql.Table) api.TableEvent { return api.TableEvent{Schema: t.Schema, Table: t.Name} }

// forget removes the metadata of a table. A table that was dropped by SQL leaves
// its rows behind.
func forget(t sql.Table) []sql.Statement {
	return []sql.Statement{
		sql.New("DELETE FROM __storage.tables WHERE ?", ofTable("name", t)),
		sql.New("DELETE FROM __storage.column_lengths WHERE ?", ofTable("table_name", t)),
	}
}
