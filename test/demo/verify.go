package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"

	"github.com/keboola/duckdb-storage/sdk/sdktest/service"
)

// previewRows is the default of a preview.
const previewRows = 100

// exported is the answer of an export.
type exported struct {
	File      service.File `json:"file"`
	RowsCount int64        `json:"rowsCount"`
}

// check looks at a table in every way that the API has and compares what it sees
// with the source. It names the columns: a string table has one more, the time of
// the import.
func (j *journey) check(ctx context.Context, t table) error {
	path := filepath.Join(j.dir, t.name+".csv")
	var out exported
	return j.out.run(ctx,
		step{"preview", func(ctx context.Context) (string, error) { return j.preview(ctx, t) }},
		step{"query", func(ctx context.Context) (string, error) { return j.query(ctx, t) }},
		step{"export", func(ctx context.Context) (string, error) {
			_, err := j.project.Do(ctx, http.MethodPost, j.project.Path("tables", bucket, t.name, "export"), map[string]any{"columns": columnNames()}, &out)
			if err == nil && out.RowsCount != j.rows {
				err = fmt.Errorf("%d rows were exported, want %d", out.RowsCount, j.rows)
			}
			return fmt.Sprintf("%s rows, %s, file %s", count(out.RowsCount), megabytes(out.File.SizeBytes), out.File.ID), err
		}},
		step{"download", func(ctx context.Context) (string, error) { return j.download(ctx, out.File, path) }},
		step{"compare", func(context.Context) (string, error) { return j.compare(t, path) }},
	)
}

// preview compares the rows that a preview shows, whichever they are.
func (j *journey) preview(ctx context.Context, t table) (string, error) {
	var got struct {
		Columns []string `json:"columns"`
		Rows    [][]struct {
			Value       *string `json:"value"`
			IsTruncated bool    `json:"isTruncated"`
		} `json:"rows"`
	}
	path := j.project.Path("tables", bucket, t.name, "preview") + "?columns=" + strings.Join(columnNames(), ",")
	if _, err := j.project.Do(ctx, http.MethodGet, path, nil, &got); err != nil {
		return "", err
	}
	if want := min(previewRows, j.rows); int64(len(got.Rows)) != want {
		return "", fmt.Errorf("the preview has %d rows, want %d", len(got.Rows), want)
	}
	c := newChecker(t, j.rows, source)
	for _, values := range got.Rows {
		row := make([]field, len(values))
		for i, v := range values {
			if v.IsTruncated {
				return "", fmt.Errorf("the preview cut a value of %d characters", len(*v.Value))
			}
			if row[i].null = v.Value == nil; !row[i].null {
				row[i].text = *v.Value
			}
		}
		c.row(row)
	}
	return fmt.Sprintf("%d rows, every value as in the source", len(got.Rows)), c.err()
}

// query compares an aggregation over all rows.
func (j *journey) query(ctx context.Context, t table) (string, error) {
	rows, err := j.project.Query(ctx, fmt.Sprintf(figuresSQL, `"`+bucket+`".`+t.name))
	if err != nil {
		return "", err
	}
	got, err := figuresFrom(rows)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%d months with revenue and best customer, as computed in Go", len(got)), compareFigures(got, j.figures)
}

// download saves an exported file.
func (j *journey) download(ctx context.Context, f service.File, path string) (string, error) {
	to, err := create(path)
	if err != nil {
		return "", err
	}
	_, err = j.project.Do(ctx, http.MethodGet, j.project.Path("files", f.ID, "content"), nil, to)
	got, closeErr := to.done()
	if err := errors.Join(err, closeErr); err != nil {
		return "", err
	}
	if got.size != f.SizeBytes || got.sha256 != f.SHA256 {
		return "", fmt.Errorf("%d bytes with SHA-256 %s arrived, the service has %d with %s", got.size, got.sha256, f.SizeBytes, f.SHA256)
	}
	return fmt.Sprintf("%s, SHA-256 as the service says", megabytes(got.size)), nil
}

// compare compares a file with the source, row by row.
func (j *journey) compare(t table, path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	c := newChecker(t, j.rows, source)
	if err := readRows(f, c.row); err != nil {
		return "", fmt.Errorf("%s: %w", strings.TrimPrefix(path, j.dir+"/"), err)
	}
	return fmt.Sprintf("%s rows, %s values, no difference", count(j.rows), count(j.rows*int64(len(columns)))), c.done()
}
