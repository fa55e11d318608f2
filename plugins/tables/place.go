package tables

import (
	"github.com/keboola/duckdb-storage/sdk"
	"github.com/keboola/duckdb-storage/sdk/sql"
)

// The kinds of tables.
const (
	kindTable = "TABLE"
	kindView  = "VIEW"
)

// place is what a name of the API stands for.
type place struct {
	table  sql.Table // as the API names it
	kind   string    // of the source, for what is linked; TABLE for what does not exist
	link   *link     // of the bucket, or nil
	linked string    // name in the source, as it is spelt there
}

// origin is where columns, key, times and size are told of: the table itself, or the
// source of a linked one. The view that shows it knows neither nullability nor defaults.
func (p place) origin() sql.Table {
	if p.link == nil {
		return p.table
	}
	return sql.Table{Catalog: p.link.Catalog, Schema: p.link.Bucket, Name: p.linked}
}

// find tells tables, views and what is linked apart with one query. The kind of what is
// linked is that of the view which shows it until resolve has asked the source.
func find(c *sdk.Context, t sql.Table) (place, error) {
	type row struct {
		View string `json:"view"`
		Link *link  `json:"link"`
	}
	found, err := sdk.Query[row](c, sql.New(`
		SELECT view_name AS view, NULL AS link FROM duckdb_views() WHERE database_name = current_database() AND ? AND ?
		UNION ALL SELECT NULL, l FROM __storage.links AS l WHERE ?`,
		sql.SameName("schema_name", t.Schema), sql.SameName("view_name", t.Name), sql.SameName("bucket", t.Schema)))
	p := place{table: t, kind: kindTable}
	for _, r := range found {
		if r.Link != nil {
			p.link = r.Link
		} else {
			p.kind, p.linked = kindView, r.View
		}
	}
	return p, err
}

// resolve asks the source of what is linked for its kind. It returns ErrTableNotFound
// when the source does not have it, or is no longer shared.
func (p place) resolve(c *sdk.Context) (place, error) {
	if p.link == nil {
		return p, nil
	}
	if p.kind == kindView {
		found, err := resolveAll(c, []place{p})
		if err != nil {
			return p, err
		}
		if len(found) > 0 {
			return found[0], nil
		}
	}
	return p, p.notInSource()
}
