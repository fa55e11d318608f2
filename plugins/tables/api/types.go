package api

import (
	"encoding/json"

	"github.com/google/jsonschema-go/jsonschema"

	"github.com/keboola/duckdb-storage/sdk"
)

// Table is a table or view as the API shows it. Sizes are in bytes.
type Table struct {
	Name           string   `json:"name"`
	Bucket         string   `json:"bucket"`
	Type           string   `json:"type" jsonschema:"TABLE or VIEW"`
	Columns        []Column `json:"columns"`
	PrimaryKey     []string `json:"primaryKey"`
	RowsCount      int64    `json:"rowsCount"`
	SizeBytes      int64    `json:"sizeBytes"`
	Created        *string  `json:"created" jsonschema:"RFC 3339, UTC; null if it was made by SQL"`
	LastImportDate *string  `json:"lastImportDate" jsonschema:"RFC 3339, UTC; null before the first import"`
	IsAlias        bool     `json:"isAlias"`
	IsTyped        bool     `json:"isTyped"`
	// SourceTable is what a table of a linked bucket shows.
	SourceTable *SourceTable `json:"sourceTable" jsonschema:"what a table of a linked bucket shows; null for any other"`
	ReadError   string       `json:"readError,omitempty" jsonschema:"why it cannot be read; then it has no columns"`
}

// SourceTable is a table of the bucket that a linked one shows.
type SourceTable struct {
	ProjectID string `json:"projectId"`
	Bucket    string `json:"bucket"`
	Name      string `json:"name"`
}

// Column is a column as the API shows it: its DuckDB type without the length.
type Column struct {
	Name     string  `json:"name"`
	Type     string  `json:"type"`
	Length   string  `json:"length" jsonschema:"for example 255 or 12,2; empty when there is none"`
	Nullable bool    `json:"nullable"`
	Default  *string `json:"default" jsonschema:"SQL expression; null when there is none"`
}

// ColumnSpec is a column to make: a bare name or a description.
type ColumnSpec struct {
	Bare     bool
	Name     sdk.Name
	Type     string
	Length   string
	Nullable *bool
	Default  *string
}

// described is the object form of a ColumnSpec.
type described struct {
	Name     sdk.Name `json:"name"`
	Type     string   `json:"type" jsonschema:"a Keboola base type or a DuckDB type"`
	Length   string   `json:"length,omitempty" jsonschema:"for example 255 or 12,2"`
	Nullable *bool    `json:"nullable,omitempty" jsonschema:"default true, and false for a primary key"`
	Default  *string  `json:"default,omitempty"`
}

// JSONSchema describes both forms.
func (ColumnSpec) JSONSchema() *jsonschema.Schema {
	object, err := sdk.SchemaFor[described]()
	if err != nil {
		panic(err) // a type of this file has no schema
	}
	return &jsonschema.Schema{OneOf: []*jsonschema.Schema{sdk.Name("").JSONSchema(), object}}
}

// UnmarshalJSON accepts both forms.
func (c *ColumnSpec) UnmarshalJSON(b []byte) error {
	if len(b) > 0 && b[0] == '"' {
		c.Bare = true
		return json.Unmarshal(b, &c.Name)
	}
	var d described
	if err := json.Unmarshal(b, &d); err != nil {
		return err
	}
	*c = ColumnSpec{Name: d.Name, Type: d.Type, Length: d.Length, Nullable: d.Nullable, Default: d.Default}
	return nil
}

// MarshalJSON writes the form it was read from.
func (c ColumnSpec) MarshalJSON() ([]byte, error) {
	if c.Bare {
		return json.Marshal(c.Name)
	}
	return json.Marshal(described{Name: c.Name, Type: c.Type, Length: c.Length, Nullable: c.Nullable, Default: c.Default})
}

// Format is the format of a file: csv.
type Format string

// JSONSchema lists the formats.
func (Format) JSONSchema() *jsonschema.Schema { return sdk.Enum("csv") }

// Compression of a file: auto, none or gzip.
type Compression string

// JSONSchema lists the compressions.
func (Compression) JSONSchema() *jsonschema.Schema { return sdk.Enum("auto", "none", "gzip") }

// ExportCompression of a file that is made: none or gzip.
type ExportCompression string

// The compressions of an export.
const (
	NoCompression ExportCompression = "none"
	Gzip          ExportCompression = "gzip"
)

// JSONSchema lists the compressions.
func (ExportCompression) JSONSchema() *jsonschema.Schema {
	return sdk.Enum(string(NoCompression), string(Gzip))
}

// ImportType is full or incremental.
type ImportType string

// The import types.
const (
	Full        ImportType = "full"
	Incremental ImportType = "incremental"
)

// JSONSchema lists the import types.
func (ImportType) JSONSchema() *jsonschema.Schema {
	return sdk.Enum(string(Full), string(Incremental))
}
