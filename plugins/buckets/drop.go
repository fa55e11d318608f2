package buckets

import (
	"github.com/keboola/duckdb-storage/plugins/buckets/api"
	"github.com/keboola/duckdb-storage/sdk"
	"github.com/keboola/duckdb-storage/sdk/sql"
)

func drop(_ *sdk.Context, in api.DropRequest) (sdk.Unit, error) {
	name := string(in.Bucket)
	unit := sdk.Unit{
		Require: []sdk.Precondition{sdk.Expect(sql.New("SELECT * FROM (?) WHERE name = ?", schemas, name), notFound(in.Bucket))},
		Do: []sql.Statement{
			sql.New("DROP SCHEMA ? CASCADE", sql.Name(name)),
			forget(name),
			sql.New("DELETE FROM __storage.tables WHERE lower(bucket) = lower(?)", name),
			sql.New("DELETE FROM __storage.column_lengths WHERE lower(bucket) = lower(?)", name),
		},
		Events: []sdk.Emission{api.Dropped.Of(api.BucketEvent{Bucket: name})},
	}
	if !in.Cascade {
		unit.Require = append(unit.Require, sdk.Refuse(sql.New(`
			SELECT 1 FROM duckdb_tables() WHERE database_name = current_database() AND schema_name = ?
			UNION ALL SELECT 1 FROM duckdb_views() WHERE database_name = current_database() AND schema_name = ?`, name, name),
			api.ErrNotEmpty.Errorf("bucket %q is still in use: it holds tables; drop them first or pass cascade=true", name).With("bucket", name)))
	}
	return unit, nil
}
