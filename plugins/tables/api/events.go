package api

import "github.com/keboola/duckdb-storage/sdk"

// The events of tables. They tell of this area's commands: a table that a statement of
// a user made or dropped has none, and one that went with its bucket is told of by
// buckets.Dropped alone.
var (
	Created  = sdk.Event[TableEvent]{Name: "tables.Created", Summary: "A table was created."}
	Dropped  = sdk.Event[TableEvent]{Name: "tables.Dropped", Summary: "A table was dropped."}
	Imported = sdk.Event[TableEvent]{Name: "tables.Imported", Summary: "The rows of a table were replaced by those of a file."}
)

// TableEvent names the table.
type TableEvent struct {
	Schema string `json:"schema" jsonschema:"the bucket"`
	Table  string `json:"table"`
}
