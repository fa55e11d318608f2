package tables

import (
	"strings"

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
	s, err := look(c, t)
	if err != nil {
		return sdk.Rows{}, err
	}
	columns, err := pick(t, s, in.Columns)
	if err != nil {
		return sdk.Rows{}, err
	}
	values := make([]sql.Statement, len(columns))
	for i, col := range columns {
		switch name := sql.Name(col.Name); {
		case c.Accept() != "application/json":
			values[i] = sql.New("?", name)
		case col.isShort():
			values[i] = sql.New(`{value: ?::VARCHAR, "isTruncated": false} AS ?`, name, name)
		default:
			values[i] = sql.New(`{value: left(?::VARCHAR, ?), "isTruncated": coalesce(length(?::VARCHAR) > ?, false)} AS ?`,
				name, maxPreviewChars, name, maxPreviewChars, name)
		}
	}
	return sdk.Rows{Statement: sql.New("SELECT ? FROM ?", values, t), MaxRows: uint64(limit)}, nil
}

// short are the types whose values are never as long as what a preview cuts.
var short = map[string]bool{
	"BOOLEAN": true, "TINYINT": true, "SMALLINT": true, "INTEGER": true, "BIGINT": true, "HUGEINT": true,
	"UTINYINT": true, "USMALLINT": true, "UINTEGER": true, "UBIGINT": true, "UHUGEINT": true, "FLOAT": true, "DOUBLE": true,
	"DATE": true, "TIME": true, "TIMESTAMP": true, "TIMESTAMP WITH TIME ZONE": true, "INTERVAL": true, "UUID": true,
}

// isShort reports that no value of the column need be cut, which is a third of
// what planning a preview costs (measured).
func (c column) isShort() bool { return short[c.Type] || strings.HasPrefix(c.Type, "DECIMAL(") }
