package main

import (
	"github.com/keboola/duckdb-storage/sdk"
	"github.com/keboola/duckdb-storage/sdk/sql"
)

// The commands. Their types are the input and the JSON answer.
var (
	Set    = sdk.Command[Label, Label]{Name: "labels.Set", Summary: "Put a label on a table."}
	Remove = sdk.Command[Label, sdk.None]{Name: "labels.Remove", Summary: "Take a label off a table."}
	List   = sdk.Command[ListRequest, ListResponse]{Name: "labels.List", Summary: "List the labels of all tables."}
)

// ErrNotLabelled says that the table does not have the label.
var ErrNotLabelled = sdk.Code{Slug: "labels-not-labelled", Title: "Not labelled", Kind: sdk.NotFound, Driver: 2000}

// Label is a label of a table.
type Label struct {
	Schema sdk.Name `json:"schema" in:"path"`
	Table  sdk.Name `json:"table" in:"path"`
	Label  sdk.Name `json:"label" in:"path"`
}

// ListRequest may name one label.
type ListRequest struct {
	Label sdk.Name `json:"label,omitempty" in:"query" jsonschema:"only this one"`
}

// ListResponse is the JSON form of the rows.
type ListResponse struct {
	Columns []string `json:"columns"`
	Rows    [][]any  `json:"rows"`
}

// set answers with a Unit: one transaction. What it relies on, that the table is
// there, is checked inside.
func set(_ *sdk.Context, in Label) (sdk.Unit, error) {
	return sdk.Unit{
		Require: []sdk.Precondition{sdk.Expect(
			sql.New(`SELECT 1 FROM information_schema.tables
				WHERE table_catalog = current_database() AND lower(table_schema) = lower(?) AND lower(table_name) = lower(?)`,
				string(in.Schema), string(in.Table)),
			sdk.ErrTableNotFound.Errorf("there is no table %q in %q to put a label on", in.Table, in.Schema))},
		Do:     append(createStore(), removal(in), insertion(in)),
		Answer: sql.New(`SELECT ? AS "schema", ? AS "table", ? AS label`, string(in.Schema), string(in.Table), string(in.Label)),
	}, nil
}

func remove(c *sdk.Context, in Label) (sdk.Unit, error) {
	missing := ErrNotLabelled.Errorf("table %q has no label %q", in.Table, in.Label)
	stored, err := hasStore(c)
	if err != nil {
		return sdk.Unit{}, err
	}
	if !stored {
		return sdk.Unit{}, missing
	}
	return sdk.Unit{
		Require: []sdk.Precondition{sdk.Expect(sql.New("SELECT 1 FROM ? WHERE ?", store, is(in)), missing)},
		Do:      []sql.Statement{removal(in)},
	}, nil
}

// list answers with Rows: the host runs the statement and streams it in the form
// that the client asks for.
func list(c *sdk.Context, in ListRequest) (sdk.Rows, error) {
	stored, err := hasStore(c)
	if err != nil {
		return sdk.Rows{}, err
	}
	if !stored {
		return sdk.Rows{Statement: sql.New(`SELECT '' AS "schema", '' AS "table", '' AS label WHERE false`)}, nil
	}
	return sdk.Rows{Statement: sql.New(
		`SELECT "schema", "table", label FROM ? WHERE ? IN ('', label) ORDER BY ALL`, store, string(in.Label))}, nil
}
