package tables

import (
	"github.com/keboola/duckdb-storage/plugins/tables/api"
	"github.com/keboola/duckdb-storage/sdk"
	"github.com/keboola/duckdb-storage/sdk/sql"
)

func export(c *sdk.Context, in api.ExportRequest) (sdk.Export, error) {
	t := tableOf(in.TableRequest)
	if in.Limit < 0 {
		return sdk.Export{}, sdk.ErrInvalid.Errorf("limit must not be negative").At("/limit")
	}
	s, err := describe(c, t)
	if err != nil {
		return sdk.Export{}, err
	}
	columns, err := pick(t, s, in.Columns)
	if err != nil {
		return sdk.Export{}, err
	}
	names := make([]string, len(columns))
	for i, col := range columns {
		names[i] = col.Name
	}
	var limit sql.Statement
	if in.Limit > 0 {
		limit = sql.New("LIMIT ?", in.Limit)
	}
	name := string(in.File.Name)
	if name == "" {
		name = t.Schema + "." + t.Name + ".csv"
	}
	return sdk.Export{
		Statement: sql.New("SELECT ? FROM ? ?", sql.Names(names...), t, limit),
		Format:    "csv",
		File:      sdk.FileSpec{Name: name, ContentType: "text/csv", Tags: in.File.Tags},
	}, nil
}
