package crash_test

import (
	"bytes"
	"context"
	"fmt"

	"github.com/google/go-cmp/cmp"

	"github.com/keboola/duckdb-storage/test/service"
)

// importRows make a file of a megabyte, and an import of a tenth of a second.
const importRows = 100_000

// imports replaces all rows of a table with those of one of two files, by turns.
// Every row tells from which file it is.
type imports struct {
	shelf *shelf
	table string
	key   []string
	files [2]string // ids

	now, next int // the file whose rows are in the table; the one whose import runs
}

func newImports(files *shelf, table string, key ...string) *imports {
	return &imports{shelf: files, table: table, key: key}
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
		f, err := c.main.Upload(ctx, "import.csv", bytes.NewReader(numbered(n)))
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
func numbered(n int) []byte {
	out := bytes.NewBufferString("id,source\n")
	for id := range importRows {
		fmt.Fprintf(out, "%d,%d\n", id, n)
	}
	return out.Bytes()
}

func (i *imports) step(ctx context.Context, c clients) error {
	i.next = 1 - i.now
	got, err := c.main.Import(ctx, i.bucket(), i.table, i.files[i.next])
	if err != nil {
		return err
	}
	if got.ImportedRowsCount != importRows || got.TableRowsCount != importRows {
		return wrong("an import of %d rows answered %+v", importRows, got)
	}
	i.now = i.next
	return nil
}

func (i *imports) check(ctx context.Context, c clients) error {
	source, err := sourceOf(ctx, c.main, i.bucket(), i.table)
	if err != nil {
		return err
	}
	if source != i.now && source != i.next {
		return fmt.Errorf("the table has the rows of file %d, want those of %d or %d", source, i.now, i.next)
	}
	i.now, i.next = source, source
	return nil
}

// sourceOf returns the file from which all rows of a table are. It is an error if
// the table does not hold exactly the rows of one.
func sourceOf(ctx context.Context, p service.Project, bucket, table string) (int, error) {
	rows, err := p.Query(ctx, fmt.Sprintf(`SELECT source, count(*), count(DISTINCT id), min(id), max(id) FROM "%s"."%s" GROUP BY source`, bucket, table))
	if err != nil {
		return 0, err
	}
	if len(rows) != 1 {
		return 0, fmt.Errorf("the table has rows of %d files, want one: %v", len(rows), rows)
	}
	if diff := cmp.Diff([]any{float64(importRows), float64(importRows), 0.0, float64(importRows - 1)}, rows[0][1:]); diff != "" {
		return 0, fmt.Errorf("count, distinct, lowest and highest id (-want +got):\n%s", diff)
	}
	return int(rows[0][0].(float64)), nil
}
