// Package api holds the commands of the tables area as typed values, for other
// plugins to Call.
package api

import "github.com/keboola/duckdb-storage/sdk"

// Create makes a table. Columns given as bare names make a string table, typed
// columns a typed one. It returns ErrTableExists, ErrBucketNotFound, or
// ErrInvalid with a pointer to the column that is wrong.
var Create = sdk.Command[CreateRequest, Table]{Name: "tables.Create", Summary: "Create a string table or a typed table."}

// CreateRequest is the table to make.
type CreateRequest struct {
	Bucket     sdk.Name     `json:"bucket"`
	Name       sdk.Name     `json:"name"`
	Columns    []ColumnSpec `json:"columns" jsonschema:"all bare names, or all objects"`
	PrimaryKey []string     `json:"primaryKey,omitempty"`
}

// Info shows a table, or returns ErrBucketNotFound or ErrTableNotFound.
var Info = sdk.Command[TableRequest, Table]{Name: "tables.Info", Summary: "Show a table: columns, key, counts, size."}

// TableRequest names a table by its bucket (schema) and name.
type TableRequest struct {
	Schema sdk.Name `json:"schema" in:"path"`
	Table  sdk.Name `json:"table" in:"path"`
}

// List shows the tables of the project or of one bucket, by bucket and name.
var List = sdk.Command[ListRequest, ListResponse]{Name: "tables.List", Summary: "List the tables by bucket and name."}

// ListRequest is a page of the list.
type ListRequest struct {
	Bucket    sdk.Name      `json:"bucket,omitempty" in:"query"`
	Limit     sdk.PageLimit `json:"limit,omitempty" in:"query"`
	PageToken string        `json:"pageToken,omitempty" in:"query"`
}

// ListResponse is one page.
type ListResponse struct {
	Items         []Table `json:"items"`
	NextPageToken string  `json:"nextPageToken,omitempty"`
}

// Drop removes a table or view.
var Drop = sdk.Command[TableRequest, sdk.None]{Name: "tables.Drop", Summary: "Remove a table or view."}

// Preview shows the first rows of a table.
var Preview = sdk.Command[PreviewRequest, PreviewResponse]{Name: "tables.Preview", Summary: "Show the first rows of a table."}

// PreviewRequest says which columns and how many rows.
type PreviewRequest struct {
	TableRequest
	Columns []string `json:"columns,omitempty" in:"query" jsonschema:"default: all"`
	Limit   *int     `json:"limit,omitempty" in:"query" jsonschema:"default 100, most 1000"`
}

// PreviewResponse holds each value as text, cut at 16384 characters.
type PreviewResponse struct {
	Columns []string         `json:"columns"`
	Rows    [][]PreviewValue `json:"rows"`
}

// PreviewValue is one value; null stays null.
type PreviewValue struct {
	Value       *string `json:"value"`
	IsTruncated bool    `json:"isTruncated"`
}

// Import loads a registered file into a table and replaces what was in it.
//
// Rows arrive in one transaction: after an error the table is as before, so the
// call may be repeated. A table with a primary key keeps one arbitrary row for
// each key. It returns ErrCSV with row, column and value of the first bad line,
// ErrColumns when the file's columns do not fit the table's, ErrNoContent when
// the file is not registered, and ErrConflict if the table changed meanwhile.
var Import = sdk.Command[ImportRequest, ImportResponse]{Name: "tables.ImportFile", Summary: "Replace the rows of a table with those of a registered CSV file."}

// ImportRequest names the file and how to read it.
type ImportRequest struct {
	TableRequest
	FileID  string        `json:"fileId"`
	Format  Format        `json:"format,omitempty" jsonschema:"csv"`
	Columns []string      `json:"columns,omitempty" jsonschema:"columns of the file in its order; without them the header names them"`
	CSV     CSVOptions    `json:"csv,omitzero"`
	Options ImportOptions `json:"options,omitzero"`
}

// CSVOptions is the dialect of the file: RFC 4180 unless said otherwise.
type CSVOptions struct {
	Delimiter    string      `json:"delimiter,omitempty" jsonschema:"one character; default comma"`
	Enclosure    *string     `json:"enclosure,omitempty" jsonschema:"one character or empty; default double quote"`
	IgnoredLines int         `json:"ignoredLines,omitempty" jsonschema:"lines to skip when columns are given"`
	Compression  Compression `json:"compression,omitempty" jsonschema:"default auto: gzip for a name that ends in .gz"`
}

// ImportOptions is what the import does to the table.
type ImportOptions struct {
	ImportType ImportType `json:"importType,omitempty" jsonschema:"full; incremental is not supported yet"`
}

// ImportResponse tells what came in. Sizes are in bytes.
type ImportResponse struct {
	ImportedRowsCount int64    `json:"importedRowsCount" jsonschema:"rows read, before rows with one key became one"`
	TableRowsCount    int64    `json:"tableRowsCount"`
	TableSizeBytes    int64    `json:"tableSizeBytes"`
	ImportedColumns   []string `json:"importedColumns"`
	Timers            []Timer  `json:"timers"`
	Warnings          []string `json:"warnings"`
}

// Timer is how long one step took.
type Timer struct {
	Name            string  `json:"name"`
	DurationSeconds float64 `json:"durationSeconds"`
}

// Export writes a table into a new registered file, or streams it to a client
// that accepts CSV, NDJSON, Parquet or Arrow. CSV has a header line, NULL as an
// empty field, an empty text quoted.
var Export = sdk.Command[ExportRequest, sdk.ExportResponse]{Name: "tables.Export", Summary: "Export a table to a file, or stream it."}

// ExportRequest says what to write and where.
type ExportRequest struct {
	TableRequest
	Format      Format            `json:"format,omitempty" jsonschema:"csv"`
	Compression ExportCompression `json:"compression,omitempty" jsonschema:"of the file; default none"`
	Columns     []string          `json:"columns,omitempty" jsonschema:"default: all; the order is the list's"`
	Limit       int64             `json:"limit,omitempty" jsonschema:"0 is no limit"`
	File        ExportFile        `json:"file,omitzero"`
}

// ExportFile describes the file to make.
type ExportFile struct {
	Name sdk.Name `json:"name,omitempty" jsonschema:"default: bucket.table.csv, or bucket.table.csv.gz"`
	Tags []string `json:"tags,omitempty"`
}

// The area's own problem types; the driver codes are Keboola's.
var (
	ErrColumns       = sdk.Code{Slug: "columns-not-match", Title: "Columns do not match", Kind: sdk.Invalid, Driver: 3000}
	ErrDuplicateName = sdk.Code{Slug: "duplicate-column-names", Title: "Duplicate column names", Kind: sdk.Invalid, Driver: 4102}
	ErrNoColumns     = sdk.Code{Slug: "no-columns", Title: "No columns", Kind: sdk.Invalid, Driver: 4103}
	ErrNoContent     = sdk.Code{Slug: "file-not-uploaded", Title: "File not uploaded", Kind: sdk.Invalid, Driver: 4201}
	ErrCSVParams     = sdk.Code{Slug: "invalid-csv-parameters", Title: "Invalid CSV parameters", Kind: sdk.Invalid, Driver: 4203}
)
