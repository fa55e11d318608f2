package buckets

import (
	"github.com/keboola/duckdb-storage/plugins/buckets/api"
	"github.com/keboola/duckdb-storage/sdk"
	"github.com/keboola/duckdb-storage/sdk/hostapi"
	"github.com/keboola/duckdb-storage/sdk/sql"
)

// share keeps the handle that a bucket has. A link shows tables of this project only,
// so that whoever shares a bucket knows all who read it: there are no links of links.
func share(c *sdk.Context, in api.BucketRequest) (sdk.Unit, error) {
	shares := of("bucket", in.Bucket)
	return sdk.Unit{
		Require: []sdk.Precondition{exists(in.Bucket), notLinked(in.Bucket,
			sdk.ErrConflict.Errorf("bucket %q is linked, and a link cannot be shared on: share its source, which GET …/buckets/{bucket} names", in.Bucket).
				With("bucket", string(in.Bucket)))},
		Do: []sql.Statement{sql.New("INSERT INTO __storage.shares SELECT ?, ?, ? WHERE NOT EXISTS (FROM __storage.shares WHERE ?)",
			string(in.Bucket), hostapi.NewShareHandle(c.Project()), now, shares)},
		Answer: sql.New(`SELECT handle AS "shareHandle" FROM __storage.shares WHERE ?`, shares),
	}, nil
}

// unshare ends the reading through every link. The links stay, without tables, until
// their projects remove them; a new share has a new handle and does not revive them.
func unshare(_ *sdk.Context, in api.BucketRequest) (sdk.Unit, error) {
	return sdk.Unit{Require: []sdk.Precondition{exists(in.Bucket)}, Do: []sql.Statement{withdraw(in.Bucket)}}, nil
}

func withdraw(name sdk.Name) sql.Statement {
	return sql.New("DELETE FROM __storage.shares WHERE ?", of("bucket", name))
}

// notLinked fails a Unit that is about a linked bucket.
func notLinked(name sdk.Name, otherwise *sdk.Error) sdk.Precondition {
	return sdk.Refuse(sql.New("SELECT 1 FROM __storage.links WHERE ?", of("bucket", name)), otherwise)
}
