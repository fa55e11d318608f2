package buckets

import (
	"github.com/keboola/duckdb-storage/plugins/buckets/api"
	"github.com/keboola/duckdb-storage/sdk"
	"github.com/keboola/duckdb-storage/sdk/sql"
)

func create(_ *sdk.Context, in api.CreateRequest) (sdk.Unit, error) {
	if err := in.Name.CheckBucket(); err != nil {
		return sdk.Unit{}, err
	}
	name := string(in.Name)
	return sdk.Unit{
		Require: []sdk.Precondition{sdk.Refuse(
			sql.New("SELECT * FROM (?) WHERE lower(name) = lower(?)", schemas, name),
			sdk.ErrBucketExists.Errorf("bucket %q already exists (names that differ only in case are the same)", name).With("bucket", name),
		)},
		Do: []sql.Statement{
			sql.New("CREATE SCHEMA ?", sql.Name(name)),
			forget(name),
			sql.New("INSERT INTO __storage.buckets VALUES (?, ?, date_trunc('second', now() AT TIME ZONE 'UTC'))", name, in.Description),
		},
		Answer: view(sql.New("SELECT ? AS name", name)),
		Events: []sdk.Emission{api.Created.Of(api.BucketEvent{Bucket: name})},
	}, nil
}

// forget removes the metadata of a bucket. A schema that was dropped by SQL
// leaves its row behind.
func forget(name string) sql.Statement {
	return sql.New("DELETE FROM __storage.buckets WHERE lower(name) = lower(?)", name)
}
