package plan

import (
	"context"
	"strings"

	"github.com/keboola/duckdb-storage/core/internal/engine"
	"github.com/keboola/duckdb-storage/sdk"
	"github.com/keboola/duckdb-storage/sdk/sql"
)

// reader marks a context in which only what is granted to readers may be read.
type reader struct{}

// WithReader marks a request of somebody who may not write. A bucket may be taken away
// from all of those (__storage.revoked): then each read in this context is refused whose
// plan scans a table of the bucket, whoever wrote the SQL. A view counts as what it reads,
// and a linked bucket as its source, together with what views of the source read beside it.
//
// It costs one small query for each read, and the plan of it only when something is
// taken away.
func WithReader(ctx context.Context) context.Context { return context.WithValue(ctx, reader{}, true) }

func isReader(ctx context.Context) bool { return ctx.Value(reader{}) != nil }

// closings lists the buckets that readers may not read, and every linked one with its
// source: nothing at all where no bucket is closed.
func closings(own string) sql.Statement {
	return sql.New(`SELECT bucket, ?::VARCHAR, bucket, true FROM __storage.revoked
		UNION ALL SELECT bucket, source_catalog, source_bucket, lower(bucket) IN (SELECT lower(bucket) FROM __storage.revoked)
		FROM __storage.links WHERE EXISTS (FROM __storage.revoked)`, own)
}

// readable returns ErrDenied for a statement that reads what is taken away from those
// who only read, if ctx is of one.
func readable(ctx context.Context, s *engine.Session, st sql.Statement) error {
	if !isReader(ctx) {
		return nil
	}
	var all []closing
	err := s.Scan(closings(s.Alias()), func(scan func(...any) error) error {
		var c closing
		defer func() { all = append(all, c) }()
		return scan(&c.bucket, &c.catalog, &c.schema, &c.closed)
	})
	if err != nil || len(all) == 0 {
		return err
	}
	tables, err := s.Scans(st)
	if err != nil {
		return err
	}
	for _, t := range tables {
		if bucket := closedBy(all, t, s.Alias()); bucket != "" {
			return sdk.ErrDenied.Errorf("bucket %q is not granted to keys that only read; whoever may write in the project grants it with POST …/buckets/{bucket}/grant-readonly", bucket).With("bucket", bucket)
		}
	}
	return nil
}

// closing is a schema that is read as a bucket of the project, and whether it is closed
// to readers.
type closing struct {
	bucket, catalog, schema string
	closed                  bool
}

// closedBy returns the closed bucket that a scan of the table reads, or nothing. A table
// of another project that is in no linked bucket is read by a view which is in one:
// nobody can say in which, so one that is closed closes it.
func closedBy(all []closing, t sql.Table, own string) (bucket string) {
	perhaps, open := "", false
	for _, c := range all {
		switch {
		case !strings.EqualFold(c.catalog, t.Catalog):
		case strings.EqualFold(c.schema, t.Schema) && c.closed:
			return c.bucket
		case strings.EqualFold(c.schema, t.Schema):
			open = true
		case c.closed && !strings.EqualFold(t.Catalog, own):
			perhaps = c.bucket
		}
	}
	if open {
		return ""
	}
	return perhaps
}
