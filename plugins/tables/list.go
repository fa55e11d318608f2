package tables

import (
	"cmp"
	"encoding/base64"
	"encoding/json"
	"errors"
	"slices"
	"strings"

	"github.com/keboola/duckdb-storage/plugins/tables/api"
	"github.com/keboola/duckdb-storage/sdk"
	"github.com/keboola/duckdb-storage/sdk/sql"
)

// object is a table or view of the catalog.
type object struct {
	Bucket string `json:"bucket"`
	Name   string `json:"name"`
	Type   string `json:"type"`
	Link   *link  `json:"link"` // of its bucket, or nil
}

func (o object) place() place {
	return place{table: sql.Table{Schema: o.Bucket, Name: o.Name}, kind: o.Type, link: o.Link, linked: o.Name}
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
		SELECT schema_name AS bucket, name, type, CASE WHEN l.bucket IS NOT NULL THEN l END AS link FROM (
			SELECT database_name, schema_name, table_name AS name, 'TABLE' AS type, internal FROM duckdb_tables()
			UNION ALL SELECT database_name, schema_name, view_name, 'VIEW', internal FROM duckdb_views())
		LEFT JOIN __storage.links AS l ON l.bucket = schema_name
		WHERE database_name = current_database() AND NOT internal AND NOT starts_with(schema_name, ?) AND ?
			AND (schema_name, name) > (?, ?) ORDER BY bucket, name LIMIT ?`,
		sdk.MetadataPrefix, bucket, after.Bucket, after.Name, min(limit+1, sdk.MaxQueryRows)))
	if err != nil {
		return api.ListResponse{}, err
	}
	out := api.ListResponse{Items: []api.Table{}}
	if len(objects) > limit || len(objects) == sdk.MaxQueryRows {
		objects = objects[:min(limit, sdk.MaxQueryRows-1)]
		out.NextPageToken = writeToken(objects[len(objects)-1])
	}
	places, err := placesOf(c, objects)
	if err != nil {
		return api.ListResponse{}, err
	}
	for chunk := range slices.Chunk(places, listChunk) {
		items, err := views(c, chunk)
		if err != nil {
			return api.ListResponse{}, err
		}
		out.Items = append(out.Items, items...)
	}
	return out, nil
}

// placesOf are the places of a page, without what is linked and not to be had.
func placesOf(c *sdk.Context, objects []object) ([]place, error) {
	var own, linked []place
	for _, o := range objects {
		if o.Link == nil {
			own = append(own, o.place())
		} else {
			linked = append(linked, o.place())
		}
	}
	if len(linked) == 0 {
		return own, nil
	}
	linked, err := resolveAll(c, linked)
	all := slices.Concat(own, linked)
	slices.SortFunc(all, func(a, b place) int {
		return cmp.Or(strings.Compare(a.table.Schema, b.table.Schema), strings.Compare(a.table.Name, b.table.Name))
	})
	return all, err
}

// listChunk keeps the descriptions of wide tables below what a callback returns.
const listChunk = 50

// views describes several tables in one query. One of them that cannot be read does not
// hide the others.
func views(c *sdk.Context, places []place) ([]api.Table, error) {
	parts := make([]sql.Statement, len(places))
	for i, p := range places {
		parts[i] = view(p)
	}
	items, err := sdk.Query[api.Table](c, sql.Join(" UNION ALL ", parts))
	switch {
	case err == nil || !isBroken(err) && !errors.Is(err, sdk.ErrDenied):
		return items, err
	case len(places) > 1:
		return halves(c, places)
	case places[0].kind == kindTable && isBroken(err): // it was dropped meanwhile
		return nil, nil
	}
	return []api.Table{broken(places[0], err)}, nil
}

// halves looks for what cannot be read.
func halves(c *sdk.Context, places []place) ([]api.Table, error) {
	half := len(places) / 2
	first, err := views(c, places[:half])
	if err != nil {
		return nil, err
	}
	second, err := views(c, places[half:])
	return append(first, second...), err
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
