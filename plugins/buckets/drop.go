package buckets

import (
	"fmt"
	"strings"

	"github.com/keboola/duckdb-storage/plugins/buckets/api"
	"github.com/keboola/duckdb-storage/sdk"
	"github.com/keboola/duckdb-storage/sdk/hostapi"
	"github.com/keboola/duckdb-storage/sdk/sql"
)

// drop refuses to take away what others read: a shared bucket that is linked goes only
// with force, after its links.
func drop(c *sdk.Context, in api.DropRequest) (sdk.Unit, error) {
	b, err := find(c, in.Bucket)
	if err != nil {
		return sdk.Unit{}, err
	}
	if b.IsLinked {
		return sdk.Unit{}, linkedHere(in.Bucket)
	}
	unit := dropUnit(in)
	switch {
	case b.ShareHandle == "":
	case in.Force:
		if err := end(c, in); err != nil {
			return sdk.Unit{}, err
		}
	default:
		// Nobody makes a link while this command has the turn of the source.
		if err := c.Lease(); err != nil {
			return sdk.Unit{}, err
		}
		return unit, unlinked(c, in.Bucket)
	}
	unit.Require = append(unit.Require, sdk.Refuse(sql.New("SELECT 1 FROM __storage.shares WHERE ?", of("bucket", in.Bucket)),
		sdk.ErrConflict.Errorf("bucket %q was shared while the request ran; repeat it", in.Bucket).Retry()))
	return unit, nil
}

// dropUnit removes the schema with its metadata, the share among it.
func dropUnit(in api.DropRequest) sdk.Unit {
	name := string(in.Bucket)
	do := append([]sql.Statement{sql.New("DROP SCHEMA ? CASCADE", sql.Name(name))}, forget(in.Bucket)...)
	return sdk.Unit{
		Require: mayGo(in),
		Do: append(do,
			sql.New("DELETE FROM __storage.tables WHERE ?", of("bucket", in.Bucket)),
			sql.New("DELETE FROM __storage.column_lengths WHERE ?", of("bucket", in.Bucket))),
		Events: []sdk.Emission{api.Dropped.Of(api.BucketEvent{Bucket: name})},
	}
}

// mayGo is what a drop requires of the bucket itself.
func mayGo(in api.DropRequest) []sdk.Precondition {
	name := string(in.Bucket)
	all := []sdk.Precondition{exists(in.Bucket), notLinked(in.Bucket, linkedHere(in.Bucket))}
	if in.Cascade {
		return all
	}
	return append(all, sdk.Refuse(sql.New(`
		SELECT 1 FROM duckdb_tables() WHERE database_name = current_database() AND schema_name = ?
		UNION ALL SELECT 1 FROM duckdb_views() WHERE database_name = current_database() AND schema_name = ?`, name, name),
		api.ErrNotEmpty.Errorf("bucket %q is still in use: it holds tables; drop them first or pass cascade=true", name).With("bucket", name)))
}

// end takes a share back and removes its links, unless the bucket could not be dropped
// anyway. From the first step on nobody reads it through a link.
func end(c *sdk.Context, in api.DropRequest) error {
	if _, err := c.Write(sdk.Unit{Require: mayGo(in), Do: []sql.Statement{withdraw(in.Bucket)}}); err != nil {
		return err
	}
	_, err := sdk.Call(c, hostapi.RevokeLinks, hostapi.RevokeLinksRequest{Bucket: in.Bucket})
	return err
}

// unlinked refuses a bucket that others show.
func unlinked(c *sdk.Context, name sdk.Name) error {
	links, err := sdk.Call(c, hostapi.ListLinks, hostapi.ListLinksRequest{Bucket: name})
	if err != nil || len(links.Items) == 0 {
		return err
	}
	var by []string
	for _, l := range links.Items {
		by = append(by, fmt.Sprintf("%s in project %s", l.Bucket, l.ProjectID))
	}
	return hostapi.ErrBucketLinked.Errorf("bucket %q is still in use: it is linked as %s; unlink it there, or pass force=true, which ends the share and removes the links", name, strings.Join(by, ", ")).
		With("bucket", string(name)).With("linkedBy", strings.Join(by, ", "))
}

func linkedHere(name sdk.Name) *sdk.Error {
	return sdk.ErrDenied.Errorf("bucket %q is linked and not this project's to drop: DELETE …/buckets/{bucket}/link removes the link and leaves the source as it is", name).
		With("bucket", string(name))
}
