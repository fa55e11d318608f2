package tables

import (
	"encoding/base64"
	"encoding/json"

	"github.com/keboola/duckdb-storage/plugins/tables/api"
	"github.com/keboola/duckdb-storage/sdk"
	"github.com/keboola/duckdb-storage/sdk/sql"
)

// object is a table or view of the catalog.
type object struct {
	Bucket string `json:"bucket"`
	Name   string `json:"name"`
	Type   string `json:"type"`
}

func list(c *sdk.Context, in api.ListRequest) (api.ListResponse, error) {
	after, err := readToken(in.PageToken)
	if err != nil {
		return api.ListResponse{}, err
	}
	limit := in.Limit.OrDefault()
	bucket := sql.New("true")
	if in.Bucket != "" {
		bucket = sql.New("schema_name = ?", string(in.Bucket))
	}
	// One more than asked for tells whether there is another page.
	objects, err := sdk.Query[object](c, sql.New(`
		SELECT schema_name AS bucket, name, type FROM (
			SELECT database_name, schema_name, table_name AS name, 'TABLE' AS type, internal FROM duckdb_tables()
			UNION ALL SELECT database_name, schema_name, view_name, 'VIEW', internal FROM duckdb_views())
		WHERE database_name = current_database() AND NOT internal AND NOT starts_with(schema_name, ?) AND ?
			AND (schema_name, name) > (?, ?) ORDER BY ALL LIMIT ?`,
		sdk.MetadataPrefix, bucket, after.Bucket, after.Name, min(limit+1, sdk.MaxQueryRows)))
	if err != nil {
		return api.ListResponse{}, err
	}
	out := api.ListResponse{Items: []api.Table{}}
	if len(objects) > limit || len(objects) == sdk.MaxQueryRows {
		objects = objects[:min(limit, sdk.MaxQueryRows-1)]
		out.NextPageToken = writeToken(objects[len(objects)-1])
	}
	for len(objects) > 0 {
		n := min(len(objects), listChunk)
		items, err := views(c, objects[:n])
		if err != nil {
			return api.ListResponse{}, err
		}
		out.Items = append(out.Items, items...)
		objects = objects[n:]
	}
	return out, nil
}

// listChunk keeps the descriptions of wide tables below what a callback returns.
const listChunk = 50

// views describes several tables in one query.
func views(c *sdk.Context, objects []object) ([]api.Table, error) {
	parts := make([]sql.Statement, len(objects))
	for i, o := range objects {
		parts[i] = view(sql.Table{Schema: o.Bucket, Name: o.Name}, o.Type)
	}
	return sdk.Query[api.Table](c, sql.Join(" UNION ALL ", parts))
}

// A page token is the last object of the page before.
func writeToken(o object) string {
	raw, _ := json.Marshal([2]string{o.Bucket, o.Name}) // two strings always marshal
	return base64.RawURLEncoding.EncodeToString(raw)
}

func readToken(token string) (object, error) {
	if token == "" {
		return object{}, nil
	}
	var names []string
	raw, err := base64.RawURLEncoding.DecodeString(token)
	if err == nil {
		err = json.Unmarshal(raw, &names)
	}
	if err != nil || len(names) != 2 {
		return object{}, sdk.ErrMalformed.Errorf("pageToken is not one that this list gave").At("/pageToken")
	}
	return object{Bucket: names[0], Name: names[1]}, nil
}
