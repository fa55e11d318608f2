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
	do := append([]sql.Statement{sql.New("CREATE SCHEMA ?", sql.Name(name))}, forget(in.Name)...)
	return sdk.Unit{
		Require: []sdk.Precondition{sdk.Refuse(
			sql.New("SELECT * FROM (?) WHERE lower(name) = lower(?)", schemas, name),
			sdk.ErrBucketExists.Errorf("bucket %q already exists (names that differ only in case are the same)", name).With("bucket", name),
		)},
		Do:     append(do, sql.New("INSERT INTO __storage.buckets VALUES (?, ?, ?)", name, in.Description, now)),
		Answer: view(sql.New("SELECT ? AS name", name)),
		Events: []sdk.Emission{api.Created.Of(api.BucketEvent{Bucket: name})},
	}, nil
}

func update(c *sdk.Context, in api.UpdateRequest) (api.Bucket, error) {
	_, err := c.Write(sdk.Unit{
		Require: []sdk.Precondition{exists(in.Bucket)},
		Do: []sql.Statement{
			sql.New("INSERT INTO __storage.buckets SELECT ?, '', NULL WHERE NOT EXISTS (FROM __storage.buckets WHERE ?)", string(in.Bucket), of("name", in.Bucket)),
			sql.New("UPDATE __storage.buckets SET description = ? WHERE ?", in.Description, of("name", in.Bucket)),
		},
	})
	if err != nil {
		return api.Bucket{}, err
	}
	return show(c, in.Bucket)
}
