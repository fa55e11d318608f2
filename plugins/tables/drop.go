package tables

import (
	"github.com/keboola/duckdb-storage/plugins/tables/api"
	"github.com/keboola/duckdb-storage/sdk"
	"github.com/keboola/duckdb-storage/sdk/sql"
)

func drop(c *sdk.Context, in api.TableRequest) (sdk.Unit, error) {
	t := tableOf(in)
	p, err := find(c, t)
	if err != nil {
		return sdk.Unit{}, err
	}
	if err := p.mayWrite(); err != nil {
		return sdk.Unit{}, err
	}
	statement := sql.New("DROP VIEW ?", t) // one whose table is gone, too
	if p.kind == kindTable {
		if _, err := look(c, t); err != nil {
			return sdk.Unit{}, err
		}
		statement = sql.New("DROP TABLE ?", t)
	}
	return sdk.Unit{
		Require: []sdk.Precondition{notLinked(t)},
		Do:      append([]sql.Statement{statement}, forget(t)...),
		Events:  []sdk.Emission{api.Dropped.Of(about(t))},
	}, nil
}
