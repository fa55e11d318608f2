package buckets

import (
	"github.com/keboola/duckdb-storage/plugins/buckets/api"
	"github.com/keboola/duckdb-storage/sdk"
	"github.com/keboola/duckdb-storage/sdk/sql"
)

// What read-only keys and workspaces may read is every bucket without a row in
// __storage.revoked (ADR 0030). The host asks it of each statement.

func grantReadOnly(c *sdk.Context, in api.BucketRequest) (api.Bucket, error) {
	_, err := c.Write(sdk.Unit{
		Require: []sdk.Precondition{exists(in.Bucket)},
		Do:      []sql.Statement{sql.New("DELETE FROM __storage.revoked WHERE ?", of("bucket", in.Bucket))},
	})
	if err != nil {
		return api.Bucket{}, err
	}
	return show(c, in.Bucket)
}

func revokeReadOnly(_ *sdk.Context, in api.BucketRequest) (sdk.Unit, error) {
	return sdk.Unit{
		Require: []sdk.Precondition{exists(in.Bucket)},
		Do: []sql.Statement{sql.New("INSERT INTO __storage.revoked SELECT ? WHERE NOT EXISTS (FROM __storage.revoked WHERE ?)",
			string(in.Bucket), of("bucket", in.Bucket))},
	}, nil
}
