// Package buckets is the area of buckets. A bucket is a schema of the project's
// catalog; what DuckDB does not keep of it (description, time of creation) is in
// __storage.buckets of the same file.
package buckets

import (
	"github.com/keboola/duckdb-storage/plugins/buckets/api"
	"github.com/keboola/duckdb-storage/sdk"
	"github.com/keboola/duckdb-storage/sdk/sql"
)

// Plugin declares the area's commands.
func Plugin(version string) *sdk.Plugin {
	const all, one = sdk.Catalog + "/buckets", sdk.Catalog + "/buckets/{bucket}"
	p := sdk.New("buckets", version)
	p.Summary("Buckets: create, list, describe, drop.")
	p.Needs(sdk.ReadSQL, sdk.WriteSQL)
	sdk.Emits(p, api.Created)
	sdk.Emits(p, api.Dropped)
	sdk.Handle(p, api.Create, create, sdk.POST(all, sdk.Status(201)), sdk.Permission("buckets:write"), sdk.Writes())
	sdk.Handle(p, api.List, list, sdk.GET(all), sdk.Permission("buckets:read"))
	sdk.Handle(p, api.Info, info, sdk.GET(one), sdk.Permission("buckets:read"))
	sdk.Handle(p, api.Drop, drop, sdk.DELETE(one), sdk.Permission("buckets:write"), sdk.Writes(), sdk.Fails(api.ErrNotEmpty))
	return p
}

// schemas selects the buckets among the schemas of the catalog.
var schemas = sql.New(`SELECT schema_name AS name FROM duckdb_schemas()
	WHERE database_name = current_database() AND NOT internal AND NOT starts_with(schema_name, ?)`, sdk.MetadataPrefix)

// view selects buckets as the API shows them, but for the size.
func view(names sql.Statement) sql.Statement {
	return sql.New(`
		SELECT s.name, coalesce(b.description, '') AS description,
			coalesce(strftime(b.created, '%Y-%m-%dT%H:%M:%SZ'), '') AS created,
			false AS "isReadOnly", false AS "isLinked",
			(SELECT count(*) FROM duckdb_tables() AS t WHERE t.database_name = current_database() AND t.schema_name = s.name)
			+ (SELECT count(*) FROM duckdb_views() AS v WHERE v.database_name = current_database() AND v.schema_name = s.name) AS "tablesCount",
			0 AS "sizeBytes"
		FROM (?) AS s LEFT JOIN __storage.buckets AS b ON b.name = s.name
		ORDER BY s.name`, names)
}

func notFound(name sdk.Name) *sdk.Error {
	return sdk.ErrBucketNotFound.Errorf("bucket %q does not exist", name).With("bucket", string(name))
}
