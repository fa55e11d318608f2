package tables

import (
	"errors"

	"github.com/keboola/duckdb-storage/sdk"
	"github.com/keboola/duckdb-storage/sdk/sql"
)

// link says whose bucket a linked one shows.
type link struct {
	Handle  string `json:"handle"`
	Project string `json:"source_project"`
	Bucket  string `json:"source_bucket"`
	Catalog string `json:"source_catalog"`
}

// resolveAll looks linked tables up in their sources. It leaves out those that the
// source does not have or no longer shares.
func resolveAll(c *sdk.Context, places []place) ([]place, error) {
	attached, err := catalogs(c)
	if err != nil {
		return nil, err
	}
	var wanted, shares []sql.Statement
	asked := map[string]bool{} // by handle
	for i, p := range places {
		o := p.origin()
		if !attached[o.Catalog] {
			continue // the source is gone, and nothing of it can be named
		}
		wanted = append(wanted, sql.New("(?, ?, ?, ?, ?)", i, p.link.Handle, o.Catalog, o.Schema, o.Name))
		if !asked[p.link.Handle] {
			asked[p.link.Handle] = true
			shares = append(shares, sql.New("SELECT handle FROM ? WHERE handle = ?", metadata(o, "shares"), p.link.Handle))
		}
	}
	if len(wanted) == 0 {
		return nil, nil
	}
	type object struct {
		Index int    `json:"i"`
		Type  string `json:"type"`
	}
	objects, err := sdk.Query[object](c, sql.New(`
		SELECT w.i, o.type FROM (VALUES ?) AS w(i, handle, catalog, bucket, name) SEMI JOIN (?) USING (handle)
		JOIN (SELECT database_name AS catalog, schema_name AS bucket, table_name AS name, 'TABLE' AS type FROM duckdb_tables()
			UNION ALL SELECT database_name, schema_name, view_name, 'VIEW' FROM duckdb_views()) AS o USING (catalog, bucket, name)
		ORDER BY w.i`, wanted, sql.Join(" UNION ALL ", shares)))
	if errors.Is(err, sdk.ErrSQL) {
		// The catalog was detached since the link was read.
		return nil, sdk.ErrConflict.Errorf("the source of a linked bucket was removed while the request ran; repeat it").Retry()
	}
	found := make([]place, len(objects))
	for i, o := range objects {
		found[i] = places[o.Index]
		found[i].kind = o.Type
	}
	return found, err
}

// catalogs are those that can be read now, by their aliases.
func catalogs(c *sdk.Context) (map[string]bool, error) {
	type database struct {
		Name string `json:"database_name"`
	}
	found, err := sdk.Query[database](c, sql.New("SELECT database_name FROM duckdb_databases()"))
	attached := map[string]bool{}
	for _, d := range found {
		attached[d.Name] = true
	}
	return attached, err
}

// notInSource says where a linked table is not.
func (p place) notInSource() *sdk.Error {
	return sdk.ErrTableNotFound.Errorf("table %q does not exist in bucket %q, which is linked: its source, bucket %q of project %q, does not have it or is no longer shared",
		p.table.Name, p.table.Schema, p.link.Bucket, p.link.Project).With("bucket", p.table.Schema).With("table", p.table.Name)
}

// mayWrite refuses what would write to a linked bucket.
func (p place) mayWrite() error {
	if p.link == nil {
		return nil
	}
	return readOnly(p.table).With("sourceProject", p.link.Project).With("sourceBucket", p.link.Bucket)
}

// notLinked fails a Unit that would write to a linked bucket: one that became a link
// after the handler looked.
func notLinked(t sql.Table) sdk.Precondition {
	return sdk.Refuse(sql.New("SELECT 1 FROM __storage.links WHERE ?", sql.SameName("bucket", t.Schema)), readOnly(t))
}

func readOnly(t sql.Table) *sdk.Error {
	return sdk.ErrDenied.Errorf("bucket %q is linked and can only be read: write to its source, which GET …/buckets/{bucket} names", t.Schema).
		With("bucket", t.Schema).With("table", t.Name)
}
