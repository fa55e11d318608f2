package buckets

import (
	"errors"

	"github.com/keboola/duckdb-storage/plugins/buckets/api"
	"github.com/keboola/duckdb-storage/sdk"
	"github.com/keboola/duckdb-storage/sdk/sql"
)

// bucket is a bucket with what the API does not show of it.
type bucket struct {
	api.Bucket
	Catalog      string `json:"catalog"` // where its tables are: that of the source, for a linked one
	Schema       string `json:"schema"`  // which holds them there
	LinkHandle   string `json:"link_handle"`
	ShareHandle  string `json:"share_handle"` // empty for one that is not shared
	ShareCreated string `json:"share_created"`
}

// readable is false for a linked bucket whose source is gone or no longer shared.
func (b bucket) readable() bool { return b.SourceBucket == nil || b.SourceBucket.IsAvailable }

// describe finds buckets by their names, without their sizes. Names are those of schemas.
func describe(c *sdk.Context, names sql.Statement) ([]bucket, error) {
	return sdk.Query[bucket](c, sql.New(`
		SELECT b.*, coalesce(l.source_catalog, current_database()) AS catalog, coalesce(l.source_bucket, b.name) AS schema,
			coalesce(l.handle, '') AS link_handle, coalesce(s.handle, '') AS share_handle,
			coalesce(strftime(s.created, '%Y-%m-%dT%H:%M:%SZ'), '') AS share_created
		FROM (?) AS b LEFT JOIN __storage.links AS l ON l.bucket = b.name LEFT JOIN __storage.shares AS s ON s.bucket = b.name
		ORDER BY b.name`, view(names)))
}

// find is describe of one bucket. It returns ErrBucketNotFound.
func find(c *sdk.Context, name sdk.Name) (bucket, error) {
	found, err := describe(c, sql.New("SELECT * FROM (?) WHERE name = ?", schemas, string(name)))
	if err != nil {
		return bucket{}, err
	}
	if len(found) == 0 {
		return bucket{}, notFound(name)
	}
	return found[0], nil
}

// measure adds what takes a look into the tables: the sizes, and for linked buckets
// whether the source is there.
func measure(c *sdk.Context, all []bucket) error {
	if err := lookAtSources(c, all); err != nil {
		return err
	}
	err := measureTables(c, all)
	if errors.Is(err, sdk.ErrTableNotFound) || errors.Is(err, sdk.ErrBucketNotFound) || errors.Is(err, sdk.ErrSQL) {
		return sdk.ErrConflict.Errorf("a table or the source of a linked bucket was removed while the request ran; repeat it").Retry()
	}
	return err
}

// lookAtSources notes which sources of linked buckets are there and still shared.
func lookAtSources(c *sdk.Context, all []bucket) error {
	linked := false
	for _, b := range all {
		linked = linked || b.SourceBucket != nil
	}
	if !linked {
		return nil
	}
	attached, err := catalogs(c)
	if err != nil {
		return err
	}
	var shares []sql.Statement
	for _, b := range all {
		if b.SourceBucket != nil && attached[b.Catalog] {
			shares = append(shares, sql.New("SELECT handle FROM ? WHERE handle = ?", sql.Table{Catalog: b.Catalog, Schema: "__storage", Name: "shares"}, b.LinkHandle))
		}
	}
	if len(shares) == 0 {
		return nil
	}
	type share struct {
		Handle string `json:"handle"`
	}
	found, err := sdk.Query[share](c, sql.Join(" UNION ", shares))
	live := map[string]bool{}
	for _, s := range found {
		live[s.Handle] = true
	}
	for i := range all {
		if b := all[i].SourceBucket; b != nil {
			b.IsAvailable = live[all[i].LinkHandle]
		}
	}
	return err
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

// measureTables adds up the sizes of the tables of all buckets.
func measureTables(c *sdk.Context, all []bucket) error {
	type table struct {
		Index int    `json:"i"` // of its bucket
		Name  string `json:"name"`
	}
	var places []sql.Statement
	for i, b := range all {
		if b.readable() {
			places = append(places, sql.New("(?, ?, ?)", i, b.Catalog, b.Schema))
		}
	}
	for last := (table{}); len(places) > 0; {
		tables, err := sdk.Query[table](c, sql.New(`
			SELECT p.i, t.table_name AS name FROM (VALUES ?) AS p(i, catalog, bucket)
			JOIN duckdb_tables() AS t ON t.database_name = p.catalog AND t.schema_name = p.bucket
			WHERE (p.i, t.table_name) > (?, ?) ORDER BY p.i, t.table_name LIMIT ?`, places, last.Index, last.Name, pageSize))
		if err != nil || len(tables) == 0 {
			return err
		}
		type sum struct {
			Index int   `json:"i"`
			Bytes int64 `json:"bytes"`
		}
		sizes := make([]sql.Statement, len(tables))
		for i, t := range tables {
			b := all[t.Index]
			sizes[i] = sql.New("SELECT ? AS i, ? AS bytes", t.Index, sql.SizeOf(sql.Table{Catalog: b.Catalog, Schema: b.Schema, Name: t.Name}))
		}
		sums, err := sdk.Query[sum](c, sql.New("SELECT i, sum(bytes)::BIGINT AS bytes FROM (?) GROUP BY i", sql.Join(" UNION ALL ", sizes)))
		if err != nil {
			return err
		}
		for _, s := range sums {
			all[s.Index].SizeBytes += s.Bytes
		}
		if len(tables) < pageSize {
			return nil
		}
		last = tables[pageSize-1]
	}
	return nil
}
