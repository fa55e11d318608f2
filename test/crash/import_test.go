package crash_test

import (
	"bytes"
	"context"
	"fmt"

	"github.com/google/go-cmp/cmp"

	"github.com/keboola/duckdb-storage/sdk/sdktest/service"
)

const (
	// importRows make a file of a megabyte, and an import of a tenth of a second.
	importRows = 100_000
	// largeRows with ids of largeWidth digits make a file of 5 MB: one that is read
	// outside of the project's turn, and whose rows go straight to the database file.
	largeRows, largeWidth = 150_000, 30
)

// imports replaces all rows of a table with those of one of two files, by turns.
// Every row tells from which file it is.
type imports struct {
	shelf *shelf
	table string
	key   []string
	rows  int
	width int       // of an id in the file, in digits
	files [2]string // ids

	now, next int // the file whose rows are in the table; the one whose import runs
}

func newImports(files *shelf, table string, key ...string) *imports {
	return &imports{shelf: files, table: table, key: key, rows: importRows}
}

func newLargeImports(files *shelf, table string, key ...string) *imports {
	return &imports{shelf: files, table: table, key: key, rows: largeRows, width: largeWidth}
}

// bucket is that of a table; each work has its own.
func (i *imports) bucket() string { return "in.c-" + i.table }

func (i *imports) prepare(ctx context.Context, c clients) error {
	if err := c.main.CreateBucket(ctx, i.bucket()); err != nil {
		return err
	}
	columns := []map[string]string{{"name": "id", "type": "INTEGER"}, {"name": "source", "type": "INTEGER"}}
	if err := c.main.CreateTable(ctx, i.bucket(), i.table, columns, i.key...); err != nil {
		return err
	}
	for n := range i.files {
		f, err := c.main.Upload(ctx, "import.csv", bytes.NewReader(i.numbered(n)))
		if err != nil {
			return err
		}
		i.files[n] = f.ID
		i.shelf.is(f.ID, file{f.State, f.SHA256})
	}
	_, err := c.main.Import(ctx, i.bucket(), i.table, i.files[i.now])
	return err
}

// numbered is a CSV file whose rows name the file.
func (i *imports) numbered(n int) []byte {
	out := bytes.NewBufferString("id,source\n")
	for id := range i.rows {
		fmt.Fprintf(out, "%0*d,%d\n", i.width, id, n)
	}
	return out.Bytes()
}

func (i *imports) step(ctx context.Context, c clients) error {
	i.next = 1 - i.now
	got, err := c.main.Import(ctx, i.bucket(), i.table, i.files[i.next])
	if err != nil {
		return err
	}
	if want := int64(i.rows); got.ImportedRowsCount != want || got.TableRowsCount != want {
		return wrong("an import of %d rows answered %+v", want, got)
	}
	i.now = i.next
	return nil
}

func (i *imports) check(ctx context.Context, c clients) error {
	source, err := i.source(ctx, c.main)
	if err != nil {
		return err
	}
	if source != i.now && source != i.next {
		return fmt.Errorf("the table has the rows of file %d, want those of %d or %d", source, i.now, i.next)
	}
	i.now, i.next = source, source
	return nil
}

// source returns the file from which all rows of the table are. It is an error if
// the table does not hold exactly the rows of one.
func (i *imports) source(ctx context.Context, p service.Project) (int, error) {
	rows, err := p.Query(ctx, fmt.Sprintf(`SELECT source, count(*), count(DISTINCT id), min(id), max(id) FROM "%s"."%s" GROUP BY source`, i.bucket(), i.table))
	if err != nil {
		return 0, err
	}
	if len(rows) != 1 {
		return 0, fmt.Errorf("the table has rows of %d files, want one: %v", len(rows), rows)
	}
	n := float64(i.rows)
	if diff := cmp.Diff([]any{n, n, 0.0, n - 1}, rows[0][1:]); diff != "" {
		return 0, fmt.Errorf("count, distinct, lowest and highest id (-want +got):\n%s", diff)
	}
	return int(rows[0][0].(float64)), nil
}
