package tables

import (
	"github.com/keboola/duckdb-storage/plugins/tables/api"
	"github.com/keboola/duckdb-storage/sdk"
	"github.com/keboola/duckdb-storage/sdk/sql"
)

// Keboola's bounds of a preview.
const (
	defaultPreviewRows = 100
	maxPreviewRows     = 1000
	maxPreviewChars    = 16384
)

func preview(c *sdk.Context, in api.PreviewRequest) (sdk.Rows, error) {
	t := tableOf(in.TableRequest)
	limit := defaultPreviewRows
	if in.Limit != nil && *in.Limit != 0 {
		limit = *in.Limit
	}
	if limit < 0 || limit > maxPreviewRows {
		return sdk.Rows{}, sdk.ErrInvalid.Errorf("PreviewTableCommand.limit cannot be greater than %d", maxPreviewRows).At("/limit")
	}
	s, err := describe(c, t)
	if err != nil {
		return sdk.Rows{}, err
	}
	columns, err := pick(t, s, in.Columns)
	if err != nil {
		return sdk.Rows{}, err
	}
	values := make([]sql.Statement, len(columns))
	for i, col := range columns {
		if name := sql.Name(col.Name); c.Accept() == "application/json" {
			values[i] = sql.New(`{value: left(?::VARCHAR, ?), "isTruncated": coalesce(length(?::VARCHAR) > ?, false)} AS ?`,
				name, maxPreviewChars, name, maxPreviewChars, name)
		} else {
			values[i] = sql.New("?", name)
		}
	}
	return sdk.Rows{Statement: sql.New("SELECT ? FROM ?", values, t), MaxRows: uint64(limit)}, nil
}
