package main

import (
	"context"
	"fmt"
	"os"
	"time"
)

// rawTables is a file that DuckDB made with its default settings, through the
// driver in this process.
type rawTables struct {
	raw       *raw
	path, csv string
}

func openRawTables(ctx context.Context, path, csv string) (*rawTables, error) {
	r, err := attachRaw(ctx, path, byDefault)
	return &rawTables{raw: r, path: path, csv: csv}, err
}

func (s *rawTables) close() error {
	s.raw.close()
	return os.Remove(s.path)
}

func (s *rawTables) pid() int { return os.Getpid() }

func (s *rawTables) create(ctx context.Context, table string) error {
	return s.raw.exec(ctx, "CREATE TABLE "+table+" ("+textColumns(smallColumns())+")")
}

func (s *rawTables) load(ctx context.Context, table string) error {
	return s.raw.loadInto(ctx, table, smallColumns(), smallColumns(), s.csv)
}

// list shows name, columns and DuckDB's guess of the rows.
func (s *rawTables) list(ctx context.Context) (pages times, tables int, err error) {
	for {
		var got int
		took, err := timed(ctx, func(ctx context.Context) (err error) {
			got, err = s.raw.lines(ctx, fmt.Sprintf(`SELECT to_json(r)::VARCHAR FROM (
				SELECT t.table_name, any_value(t.estimated_size), list({name: c.column_name, type: c.data_type} ORDER BY c.column_index)
				FROM (FROM duckdb_tables() ORDER BY table_name LIMIT %d OFFSET %d) AS t JOIN duckdb_columns() AS c USING (table_oid) GROUP BY ALL) AS r`, page, tables))
			return err
		})
		if err != nil {
			return nil, 0, err
		}
		if got == 0 {
			return pages, tables, nil
		}
		pages, tables = append(pages, took), tables+got
	}
}

func (s *rawTables) info(ctx context.Context, table string) error {
	rows, err := s.raw.lines(ctx, fmt.Sprintf(`SELECT to_json(r)::VARCHAR FROM (
		SELECT list({name: name, type: type, "notnull": "notnull", dflt: dflt_value} ORDER BY cid), (SELECT count(*) FROM %[1]s) FROM pragma_table_info('%[1]s')) AS r`, table))
	if err != nil {
		return err
	}
	return wantRows("the description of "+table, int64(rows), 1)
}

func (s *rawTables) reopen(ctx context.Context, table string) (r reopened, err error) {
	if r.stop, err = timed(ctx, func(context.Context) error { s.raw.close(); return nil }); err != nil {
		return r, err
	}
	file, err := os.Stat(s.path)
	if err != nil {
		return r, err
	}
	r.fileBytes = file.Size()
	r.grew, err = growth(s.pid(), func() (err error) {
		begun := time.Now()
		again, err := attachRaw(ctx, s.path, byDefault)
		if err != nil {
			return err
		}
		s.raw, r.start = again, time.Since(begun)
		r.first, err = timed(ctx, func(ctx context.Context) error { return s.info(ctx, table) })
		return err
	})
	return r, err
}
