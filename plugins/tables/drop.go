package tables

import (
	"github.com/keboola/duckdb-storage/plugins/tables/api"
	"github.com/keboola/duckdb-storage/sdk"
	"github.com/keboola/duckdb-storage/sdk/sql"
)

func drop(c *sdk.Context, in api.TableRequest) (sdk.Unit, error) {
	t := tableOf(in)
	if _, err := look(c, t); err != nil {
		return sdk.Unit{}, err
	}
	kind, err := kindOf(c, t)
	if err != nil {
		return sdk.Unit{}, err
	}
	statement := sql.New("DROP TABLE ?", t)
	if kind == "VIEW" {
		statement = sql.New("DROP VIEW ?", t)
	}
	return sdk.Unit{
		Do:     append([]sql.Statement{statement}, forget(t)...),
		Events: []sdk.Emission{api.Dropped.Of(about(t))},
	}, nil
}
