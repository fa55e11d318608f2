package crash_test

import (
	"bytes"
	"context"
	"net/http"

	"github.com/keboola/duckdb-storage/sdk/sdktest/service"
)

const (
	exportBucket, exportTable = "out.c-export", "rows"
	exportRows                = 500_000
	keptExports               = 3
)

// exports writes a table that does not change into files, and streams it.
type exports struct {
	files *shelf
	kept  []string // the oldest first
}

func newExports(files *shelf) *exports { return &exports{files: files} }

func (*exports) prepare(ctx context.Context, c clients) error {
	if err := c.main.CreateBucket(ctx, exportBucket); err != nil {
		return err
	}
	_, err := c.main.Query(ctx, `CREATE TABLE "out.c-export".rows AS SELECT i AS id, 'row ' || i AS name FROM range(?) r(i)`, exportRows)
	return err
}

// check is left to the shelf.
func (*exports) check(context.Context, clients) error { return nil }

func (e *exports) step(ctx context.Context, c clients) error {
	is := e.files.expect("registered")
	var out struct {
		RowsCount int64        `json:"rowsCount"`
		File      service.File `json:"file"`
	}
	path := c.main.Path("tables", exportBucket, exportTable, "export")
	if _, err := c.main.Do(ctx, http.MethodPost, path, map[string]any{}, &out); err != nil {
		return err
	}
	is(out.File.ID, file{"registered", out.File.SHA256})
	e.kept = append(e.kept, out.File.ID)
	if out.RowsCount != exportRows || out.File.State != "registered" {
		return wrong("an export of %d rows answered %+v", exportRows, out)
	}
	var content bytes.Buffer
	if _, err := c.main.Do(ctx, http.MethodGet, c.main.Path("files", out.File.ID, "content"), nil, &content); err != nil {
		return err
	}
	if got := bytes.Count(content.Bytes(), []byte("\n")); got != exportRows+1 {
		return wrong("the exported file has %d lines, want %d", got, exportRows+1)
	}
	if len(e.kept) <= keptExports {
		return nil
	}
	oldest := e.kept[0]
	e.kept = e.kept[1:]
	return e.files.remove(ctx, c.main, oldest)
}
