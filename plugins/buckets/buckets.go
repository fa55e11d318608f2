// Package buckets is the area of buckets. A bucket is a schema of the project's
// catalog; what DuckDB does not keep of it is in __storage of the same file:
// description and time of creation (buckets), shares, links, and which buckets
// read-only keys may not read (revoked).
//
// A linked bucket shows a shared one, of another project or of this one. The host
// makes and removes links, because they take two projects (package hostapi); this
// area says what may be done, and shows it.
package buckets

import (
	"github.com/keboola/duckdb-storage/plugins/buckets/api"
	"github.com/keboola/duckdb-storage/sdk"
	"github.com/keboola/duckdb-storage/sdk/hostapi"
	"github.com/keboola/duckdb-storage/sdk/sql"
)

// Plugin declares the area's commands.
func Plugin(version string) *sdk.Plugin {
	const all, one = sdk.Catalog + "/buckets", sdk.Catalog + "/buckets/{bucket}"
	read, write := sdk.Permission("buckets:read"), sdk.Permission("buckets:write")
	p := sdk.New("buckets", version)
	p.Summary("Buckets: create, list, describe, share, link, drop.")
	p.Needs(sdk.ReadSQL, sdk.WriteSQL, "links:read", "links:write")
	sdk.Emits(p, api.Created)
	sdk.Emits(p, api.Dropped)
	sdk.Handle(p, api.Create, create, sdk.POST(all, sdk.Status(201)), write, sdk.Writes())
	sdk.Handle(p, api.List, list, sdk.GET(all), read)
	sdk.Handle(p, api.Info, info, sdk.GET(one), read)
	sdk.Handle(p, api.Update, update, sdk.PUT(one), write, sdk.Writes())
	sdk.Handle(p, api.Drop, drop, sdk.DELETE(one), write, sdk.Writes(), sdk.Fails(api.ErrNotEmpty, hostapi.ErrBucketLinked))
	sdk.Handle(p, api.Share, share, sdk.POST(one+"/share"), write, sdk.Writes())
	sdk.Handle(p, api.Unshare, unshare, sdk.DELETE(one+"/share"), write, sdk.Writes())
	sdk.Handle(p, api.Link, link, sdk.POST(one+"/link", sdk.Status(201)), write, sdk.Writes(), sdk.Fails(hostapi.ErrShareNotFound))
	sdk.Handle(p, api.Unlink, unlink, sdk.DELETE(one+"/link"), write, sdk.Writes(), sdk.Fails(hostapi.ErrLinkNotFound))
	sdk.Handle(p, api.RevokeLinks, revokeLinks, sdk.DELETE(one+"/links/{targetProject}"), write, sdk.Writes(), sdk.Fails(hostapi.ErrLinkNotFound))
	sdk.Handle(p, api.GrantReadOnly, grantReadOnly, sdk.POST(one+"/grant-readonly"), write, sdk.Writes())
	sdk.Handle(p, api.RevokeReadOnly, revokeReadOnly, sdk.DELETE(one+"/grant-readonly"), write, sdk.Writes())
	return p
}

// now is the time of a transaction, UTC, in whole seconds.
var now = sql.New("date_trunc('second', now() AT TIME ZONE 'UTC')")

// schemas selects the buckets among the schemas of the catalog.
var schemas = sql.New(`SELECT schema_name AS name FROM duckdb_schemas()
	WHERE database_name = current_database() AND NOT internal AND NOT starts_with(schema_name, ?)`, sdk.MetadataPrefix)

// view selects buckets as the API shows them, but for the size and for whether the
// source of a link is there.
func view(names sql.Statement) sql.Statement {
	return sql.New(`
		SELECT s.name, coalesce(b.description, '') AS description,
			coalesce(strftime(coalesce(l.created, b.created), '%Y-%m-%dT%H:%M:%SZ'), '') AS created,
			l.bucket IS NOT NULL AS "isReadOnly", l.bucket IS NOT NULL AS "isLinked", r.bucket IS NULL AS "readOnlyAccess",
			(SELECT count(*) FROM duckdb_tables() AS t WHERE t.database_name = current_database() AND t.schema_name = s.name)
			+ (SELECT count(*) FROM duckdb_views() AS v WHERE v.database_name = current_database() AND v.schema_name = s.name) AS "tablesCount",
			0 AS "sizeBytes",
			CASE WHEN l.bucket IS NOT NULL THEN {"projectId": l.source_project, name: l.source_bucket, "isAvailable": false} END AS "sourceBucket"
		FROM (?) AS s LEFT JOIN __storage.buckets AS b ON b.name = s.name
			LEFT JOIN __storage.links AS l ON l.bucket = s.name LEFT JOIN __storage.revoked AS r ON r.bucket = s.name
		ORDER BY s.name`, names)
}

// exists fails a Unit unless the bucket is there.
func exists(name sdk.Name) sdk.Precondition {
	return sdk.Expect(sql.New("SELECT * FROM (?) WHERE name = ?", schemas, string(name)), notFound(name))
}

func notFound(name sdk.Name) *sdk.Error {
	return sdk.ErrBucketNotFound.Errorf("bucket %q does not exist", name).With("bucket", string(name))
}

// of selects the rows of a bucket by the column that holds its name.
func of(column sql.Name, name sdk.Name) sql.Statement { return sql.SameName(column, string(name)) }

// forget removes the metadata of a bucket. A schema that was dropped by SQL leaves its
// rows behind, and a new bucket of that name must not be shared, or closed to readers,
// because the old one was.
func forget(name sdk.Name) []sql.Statement {
	return []sql.Statement{
		sql.New("DELETE FROM __storage.buckets WHERE ?", of("name", name)),
		sql.New("DELETE FROM __storage.shares WHERE ?", of("bucket", name)),
		sql.New("DELETE FROM __storage.revoked WHERE ?", of("bucket", name)),
	}
}
