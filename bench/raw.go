package main

import (
	"context"
	gosql "database/sql"
	"fmt"
	"os"
	"strings"

	"github.com/duckdb/duckdb-go/v2"
)

// raw is DuckDB without the service: the same driver, the same form of file, the
// same settings (core/internal/engine/cell.go), one connection.
type raw struct {
	db   *gosql.DB
	conn *gosql.Conn
}

// openRaw makes a database with the tables of the service: see [table].
func openRaw(ctx context.Context, path string) (*raw, error) {
	connector, err := duckdb.NewConnector("", nil)
	if err != nil {
		return nil, err
	}
	r := &raw{db: gosql.OpenDB(connector)}
	if r.conn, err = r.db.Conn(ctx); err != nil {
		r.db.Close()
		return nil, err
	}
	err = r.exec(ctx,
		"SET checkpoint_threshold = '256MB'",
		"ATTACH "+literal(path)+" AS bench (STORAGE_VERSION 'v1.5.0', BLOCK_SIZE 65536)",
		"USE bench",
		"CREATE TABLE typed ("+each(func(c column) string { return c.name + " " + c.duckType })+")",
		"CREATE TABLE keyed AS FROM typed",
		"CREATE TABLE strings ("+each(func(c column) string { return c.name + " VARCHAR NOT NULL DEFAULT ''" })+
			", _timestamp TIMESTAMP DEFAULT (date_trunc('second', now() AT TIME ZONE 'UTC')))",
	)
	if err != nil {
		r.close()
		return nil, err
	}
	return r, nil
}

// each lists the columns of the file.
func each(show func(column) string) string {
	var out []string
	for _, c := range columns {
		out = append(out, show(c))
	}
	return strings.Join(out, ", ")
}

func columnName(c column) string { return c.name }

func (r *raw) close() {
	r.conn.Close()
	r.db.Close()
}

func (r *raw) exec(ctx context.Context, statements ...string) error {
	for _, s := range statements {
		if _, err := r.conn.ExecContext(ctx, s); err != nil {
			return fmt.Errorf("%s: %w", s, err)
		}
	}
	return nil
}

// load replaces the rows of a table with those of a file, in one transaction.
// The commit syncs what it wrote, as it does in the service.
func (r *raw) load(ctx context.Context, t table, file string) error {
	options := `FORMAT csv, HEADER true, AUTO_DETECT false, DELIMITER ',', QUOTE '"', ESCAPE '"', NULLSTR ''`
	if !t.typed {
		options += ", FORCE_NOT_NULL (" + each(columnName) + ")"
	}
	return r.exec(ctx,
		"BEGIN TRANSACTION",
		"DELETE FROM "+t.name,
		"COPY "+t.name+" ("+each(columnName)+") FROM "+literal(file)+" ("+options+")",
		"COMMIT")
}

// unload writes a table into a file. It does not sync it.
func (r *raw) unload(ctx context.Context, t table, file string) error {
	return r.exec(ctx, "COPY (SELECT "+each(columnName)+" FROM "+t.name+") TO "+literal(file)+
		` (FORMAT csv, HEADER true, DELIMITER ',', QUOTE '"', ESCAPE '"', NULLSTR '', USE_TMP_FILE false)`)
}

// lines runs a query with one text column and fetches its rows.
func (r *raw) lines(ctx context.Context, query string) (rows int, err error) {
	result, err := r.conn.QueryContext(ctx, query)
	if err != nil {
		return 0, err
	}
	defer result.Close()
	for ; result.Next(); rows++ {
		var line gosql.RawBytes
		if err := result.Scan(&line); err != nil {
			return rows, err
		}
	}
	return rows, result.Err()
}

// count returns the rows of a table.
func (r *raw) count(ctx context.Context, t table) (rows int64, err error) {
	err = r.conn.QueryRowContext(ctx, "SELECT count(*) FROM "+t.name).Scan(&rows)
	return rows, err
}

// facts are the version and the threads.
func (r *raw) facts(ctx context.Context) (version string, threads int, err error) {
	err = r.conn.QueryRowContext(ctx, "SELECT version(), current_setting('threads')").Scan(&version, &threads)
	return version, threads, err
}

func literal(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }

func syncFile(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Sync()
}
