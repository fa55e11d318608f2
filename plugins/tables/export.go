package tables

import (
	"strings"

	"github.com/keboola/duckdb-storage/plugins/tables/api"
	"github.com/keboola/duckdb-storage/sdk"
	"github.com/keboola/duckdb-storage/sdk/sql"
)

func export(c *sdk.Context, in api.ExportRequest) (sdk.Export, error) {
	t := tableOf(in.TableRequest)
	if in.Limit < 0 {
		return sdk.Export{}, sdk.ErrInvalid.Errorf("limit must not be negative").At("/limit")
	}
	s, err := look(c, t)
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
	return sdk.Export{
		Statement:   sql.New("SELECT ? FROM ? ?", sql.Names(names...), t, limit),
		Format:      "csv",
		Compression: string(in.Compression),
		File:        exportFile(t, in),
	}, nil
}

// exportFile names the file to make. An import knows a compressed one by its name,
// so the name of one always ends in .gz.
func exportFile(t sql.Table, in api.ExportRequest) sdk.FileSpec {
	out := sdk.FileSpec{Name: string(in.File.Name), ContentType: "text/csv", Tags: in.File.Tags}
	if out.Name == "" {
		out.Name = t.Schema + "." + t.Name + ".csv"
	}
	if in.Compression != api.Gzip {
		return out
	}
	out.ContentType = "application/gzip"
	if !strings.HasSuffix(out.Name, ".gz") {
		out.Name += ".gz"
	}
	return out
}
