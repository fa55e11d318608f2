package buckets

import (
	"github.com/keboola/duckdb-storage/plugins/buckets/api"
	"github.com/keboola/duckdb-storage/sdk"
	"github.com/keboola/duckdb-storage/sdk/sql"
)

func list(c *sdk.Context, in api.ListRequest) (api.ListResponse, error) {
	limit := in.Limit.OrDefault()
	items, err := sdk.Query[api.Bucket](c, view(sql.New("SELECT * FROM (?) WHERE name > ? ORDER BY name LIMIT ?", schemas, in.PageToken, min(limit+1, sdk.MaxQueryRows))))
	if err != nil {
		return api.ListResponse{}, err
	}
	out := api.ListResponse{Items: items}
	if len(items) > limit || len(items) == sdk.MaxQueryRows {
		out.Items = items[:min(limit, sdk.MaxQueryRows-1)]
		out.NextPageToken = out.Items[len(out.Items)-1].Name
	}
	for i := range out.Items {
		if out.Items[i].SizeBytes, err = size(c, out.Items[i].Name); err != nil {
			return api.ListResponse{}, err
		}
	}
	return out, nil
}

func info(c *sdk.Context, in api.InfoRequest) (api.Detail, error) {
	name := string(in.Bucket)
	found, err := sdk.Query[api.Bucket](c, view(sql.New("SELECT * FROM (?) WHERE name = ?", schemas, name)))
	if err != nil {
		return api.Detail{}, err
	}
	if len(found) == 0 {
		return api.Detail{}, notFound(in.Bucket)
	}
	out := api.Detail{Bucket: found[0], Tables: []api.Object{}}
	if out.SizeBytes, err = size(c, name); err != nil {
		return api.Detail{}, err
	}
	for page := ""; ; {
		objects, err := sdk.Query[api.Object](c, sql.New(`
			SELECT name, type FROM (
				SELECT table_name AS name, 'TABLE' AS type, database_name, schema_name FROM duckdb_tables()
				UNION ALL SELECT view_name, 'VIEW', database_name, schema_name FROM duckdb_views())
			WHERE database_name = current_database() AND schema_name = ? AND name > ? ORDER BY name LIMIT ?`, name, page, pageSize))
		if err != nil {
			return api.Detail{}, err
		}
		out.Tables = append(out.Tables, objects...)
		if len(objects) < pageSize {
			return out, nil
		}
		page = objects[pageSize-1].Name
	}
}

// pageSize is how many tables one callback asks about.
const pageSize = 500

// size adds up the tables of a bucket.
func size(c *sdk.Context, bucket string) (int64, error) {
	type table struct {
		Name string `json:"name"`
	}
	type sum struct {
		Bytes int64 `json:"bytes"`
	}
	var total int64
	for page := ""; ; {
		tables, err := sdk.Query[table](c, sql.New(`SELECT table_name AS name FROM duckdb_tables()
			WHERE database_name = current_database() AND schema_name = ? AND table_name > ? ORDER BY table_name LIMIT ?`, bucket, page, pageSize))
		if err != nil || len(tables) == 0 {
			return total, err
		}
		sizes := make([]sql.Statement, len(tables))
		for i, t := range tables {
			sizes[i] = sql.SizeOf(sql.Table{Schema: bucket, Name: t.Name})
		}
		sums, err := sdk.Query[sum](c, sql.New("SELECT ? AS bytes", sql.Join(" + ", sizes)))
		if err != nil {
			return 0, err
		}
		total += sums[0].Bytes
		if len(tables) < pageSize {
			return total, nil
		}
		page = tables[len(tables)-1].Name
	}
}
