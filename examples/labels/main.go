// Command plugin-labels is a third-party plugin of DuckDB Storage: people put labels on
// tables, find tables by them, and a label keeps a table from being dropped. README.md
// is the tutorial that leads here.
//
// What it shows: commands with routes of the three common forms (labels.go), a command
// without a route that others call (of.go), storage of its own (store.go), a hook before
// the commands of another plugin (protect.go), what it does after another plugin's
// events (forget.go), settings, and tests at each level (*_test.go).
package main

import (
	buckets "github.com/keboola/duckdb-storage/plugins/buckets/api"
	tables "github.com/keboola/duckdb-storage/plugins/tables/api"
	"github.com/keboola/duckdb-storage/sdk"
)

const version = "0.1.0"

// Settings are what the operator writes below plugins.labels.config.
type Settings struct {
	Protected string `json:"protected,omitempty" jsonschema:"the label that keeps a table from being dropped"`
}

func plugin() *sdk.Plugin {
	p := sdk.New("labels", version)
	p.Summary("Labels on tables; one of them protects a table.")
	p.Needs(sdk.ReadSQL, sdk.WriteSQL, "tables:read", "tables:write", "buckets:read", "buckets:write")
	p.Requires("tables", ">= 0.1")
	p.Requires("buckets", ">= 0.1")
	settings := sdk.Config(p, Settings{Protected: "protected"})

	const one = sdk.Catalog + "/x/labels/{schema}/{table}/{label}"
	read, write := sdk.Permission("labels:read"), sdk.Permission("labels:write")
	sdk.Handle(p, Set, set, sdk.PUT(one), write, sdk.Writes())
	sdk.Handle(p, Remove, remove, sdk.DELETE(one), write, sdk.Writes(), sdk.Fails(ErrNotLabelled))
	sdk.Handle(p, List, list, sdk.GET(sdk.Catalog+"/x/labels"), read)
	sdk.Handle(p, Of, of, read)

	guard := guard{settings}
	sdk.Before(p, tables.Drop, guard.table, sdk.Refuses(ErrProtected))
	sdk.Before(p, buckets.Drop, guard.bucket, sdk.Refuses(ErrProtected))
	sdk.After(p, tables.Dropped, forgetTable)
	sdk.After(p, buckets.Dropped, forgetBucket)
	return p
}

func main() { sdk.Serve(plugin()) }
