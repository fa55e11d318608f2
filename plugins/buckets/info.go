package buckets

import (
	"github.com/keboola/duckdb-storage/plugins/buckets/api"
	"github.com/keboola/duckdb-storage/sdk"
	"github.com/keboola/duckdb-storage/sdk/hostapi"
	"github.com/keboola/duckdb-storage/sdk/sql"
)

func list(c *sdk.Context, in api.ListRequest) (api.ListResponse, error) {
	limit := in.Limit.OrDefault()
	found, err := describe(c, sql.New("SELECT * FROM (?) WHERE name > ? ORDER BY name LIMIT ?", schemas, in.PageToken, min(limit+1, sdk.MaxQueryRows)))
	if err != nil {
		return api.ListResponse{}, err
	}
	out := api.ListResponse{Items: []api.Bucket{}}
	if len(found) > limit || len(found) == sdk.MaxQueryRows {
		found = found[:min(limit, sdk.MaxQueryRows-1)]
		out.NextPageToken = found[len(found)-1].Name
	}
	if err := measure(c, found); err != nil {
		return api.ListResponse{}, err
	}
	for _, b := range found {
		out.Items = append(out.Items, b.Bucket)
	}
	return out, nil
}

func info(c *sdk.Context, in api.InfoRequest) (api.Detail, error) {
	b, err := find(c, in.Bucket)
	if err != nil {
		return api.Detail{}, err
	}
	measured := []bucket{b}
	if err := measure(c, measured); err != nil {
		return api.Detail{}, err
	}
	out := api.Detail{Bucket: measured[0].Bucket}
	if out.Tables, err = objects(c, measured[0]); err != nil {
		return api.Detail{}, err
	}
	if b.ShareHandle != "" {
		out.Share, err = shareOf(c, b)
	}
	return out, err
}

// show is a bucket as the API shows it, after a write.
func show(c *sdk.Context, name sdk.Name) (api.Bucket, error) {
	b, err := find(c, name)
	if err != nil {
		return api.Bucket{}, err
	}
	measured := []bucket{b}
	err = measure(c, measured)
	return measured[0].Bucket, err
}

// shareOf tells who links to a shared bucket. Its handle lets any project read the
// bucket, so only those learn it who could share the bucket themselves.
func shareOf(c *sdk.Context, b bucket) (*api.ShareDetail, error) {
	links, err := sdk.Call(c, hostapi.ListLinks, hostapi.ListLinksRequest{Bucket: sdk.Name(b.Name)})
	if err != nil {
		return nil, err
	}
	out := &api.ShareDetail{Created: b.ShareCreated, LinkedBy: append([]hostapi.Link{}, links.Items...)}
	if c.Allows("buckets:write") {
		out.ShareHandle = b.ShareHandle
	}
	return out, nil
}

// pageSize is how many tables one callback asks about.
const pageSize = 500

// objects lists tables and views by name: of a linked bucket those of its source.
func objects(c *sdk.Context, b bucket) ([]api.Object, error) {
	all := []api.Object{}
	for page := ""; b.readable(); {
		found, err := sdk.Query[api.Object](c, sql.New(`
			SELECT name, type FROM (
				SELECT table_name AS name, 'TABLE' AS type, database_name, schema_name FROM duckdb_tables()
				UNION ALL SELECT view_name, 'VIEW', database_name, schema_name FROM duckdb_views())
			WHERE database_name = ? AND schema_name = ? AND name > ? ORDER BY name LIMIT ?`, b.Catalog, b.Schema, page, pageSize))
		if err != nil {
			return nil, err
		}
		all = append(all, found...)
		if len(found) < pageSize {
			break
		}
		page = found[pageSize-1].Name
	}
	return all, nil
}
