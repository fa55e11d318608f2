package main

import (
	tables "github.com/keboola/duckdb-storage/plugins/tables/api"
	"github.com/keboola/duckdb-storage/sdk"
	"github.com/keboola/duckdb-storage/sdk/sql"
)

// Of has no route: other plugins call it, and clients by POST /commands/labels.Of.
var Of = sdk.Command[tables.TableRequest, OfResponse]{Name: "labels.Of", Summary: "Show the labels of a table."}

// OfResponse holds the labels in the order of the alphabet.
type OfResponse struct {
	Labels []string `json:"labels"`
}

func of(c *sdk.Context, in tables.TableRequest) (OfResponse, error) {
	found, err := labelled(c, sql.New(`lower("schema") = lower(?) AND lower("table") = lower(?)`, string(in.Schema), string(in.Table)))
	out := OfResponse{Labels: []string{}}
	for _, l := range found {
		out.Labels = append(out.Labels, string(l.Label))
	}
	return out, err
}
