package main

import (
	"context"
	gosql "database/sql"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/duckdb/duckdb-go/v2"
)

// raw is DuckDB without the service: the same driver, one connection, one file.
type raw struct {
	db   *gosql.DB
	conn *gosql.Conn
}

// settings are how an instance is set up and its file attached.
type settings struct {
	set    []string
	attach string // options of ATTACH
}

var (
	// asService is what core/internal/engine/cell.go does.
	asService = settings{
		set:    []string{"SET checkpoint_threshold = '256MB'", "SET late_materialization_max_rows = 1000"},
		attach: " (STORAGE_VERSION 'v1.5.0', BLOCK_SIZE 65536)",
	}
	// byDefault is DuckDB when it is told nothing.
	byDefault = settings{}
)

// openRaw makes a database with the tables of the service: see [table].
func openRaw(ctx context.Context, path string, s settings) (*raw, error) {
	r, err := attachRaw(ctx, path, s)
	if err != nil {
		return nil, err
	}
	err = r.exec(ctx,
		"CREATE TABLE typed ("+each(func(c column) string { return c.name + " " + c.duckType })+")",
		"CREATE TABLE keyed AS FROM typed",
		"CREATE TABLE strings ("+textColumns(columnNames())+")",
	)
	if err != nil {
		r.close()
		return nil, err
	}
	return r, nil
}

// attachRaw opens a file in an instance of its own, making it if need be.
func attachRaw(ctx context.Context, path string, s settings) (*raw, error) {
	connector, err := duckdb.NewConnector("", nil)
	if err != nil {
		return nil, err
	}
	r := &raw{db: gosql.OpenDB(connector)}
	if r.conn, err = r.db.Conn(ctx); err != nil {
		r.db.Close()
		return nil, err
	}
	if err := r.exec(ctx, append(slices.Clone(s.set), "ATTACH "+literal(path)+" AS bench"+s.attach, "USE bench")...); err != nil {
		r.close()
		return nil, err
	}
	return r, nil
}

// textColumns defines the columns of a string table as plugins/tables/create.go
// does.
func textColumns(columns []string) string {
	return strings.Join(columns, " VARCHAR NOT NULL DEFAULT '', ") + " VARCHAR NOT NULL DEFAULT '', " +
		"_timestamp TIMESTAMP DEFAULT (date_trunc('second', now() AT TIME ZONE 'UTC'))"
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

func columnNames() (out []string) {
	for _, c := range columns {
		out = append(out, c.name)
	}
	return out
}

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
	var texts []string
	if !t.typed {
		texts = columnNames()
	}
	return r.loadInto(ctx, t.name, columnNames(), texts, file)
}

// loadInto is load for any columns; an empty field is an empty text in those that
// are texts, and NULL in the others.
func (r *raw) loadInto(ctx context.Context, table string, columns, texts []string, file string) error {
	options := `FORMAT csv, HEADER true, AUTO_DETECT false, DELIMITER ',', QUOTE '"', ESCAPE '"', NULLSTR ''`
	if len(texts) > 0 {
		options += ", FORCE_NOT_NULL (" + strings.Join(texts, ", ") + ")"
	}
	return r.exec(ctx,
		"BEGIN TRANSACTION",
		"DELETE FROM "+table,
		"COPY "+table+" ("+strings.Join(columns, ", ")+") FROM "+literal(file)+" ("+options+")",
		"COMMIT")
}

// unload writes a table into a file, with the options of COPY that come on top. It
// does not sync it.
func (r *raw) unload(ctx context.Context, t table, file, options string) error {
	return r.exec(ctx, "COPY (SELECT "+each(columnName)+" FROM "+t.name+") TO "+literal(file)+
		` (FORMAT csv, HEADER true, DELIMITER ',', QUOTE '"', ESCAPE '"', NULLSTR '', USE_TMP_FILE false`+options+")")
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

// cells runs a query and fetches its values as the driver makes them.
func cells[T any](ctx context.Context, r *raw, query string) (columns []string, rows [][]T, err error) {
	result, err := r.conn.QueryContext(ctx, query)
	if err != nil {
		return nil, nil, err
	}
	defer result.Close()
	if columns, err = result.Columns(); err != nil {
		return nil, nil, err
	}
	to := make([]any, len(columns))
	for result.Next() {
		row := make([]T, len(columns))
		for i := range row {
			to[i] = &row[i]
		}
		if err := result.Scan(to...); err != nil {
			return nil, nil, err
		}
		rows = append(rows, row)
	}
	return columns, rows, result.Err()
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
