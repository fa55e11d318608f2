package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

const (
	previewRows = 100
	// mostRows is the largest preview.
	mostRows = 1000
	// mostChars is where a preview cuts a value.
	mostChars = 16384
)

// preview asks for the first rows of a table through the plugin, with the same
// SQL through the host alone, and with the same SQL through the driver alone.
func preview(ctx context.Context, b *bench) error {
	body := map[string]any{"sql": previewSQL(`"` + bucket + `".` + typed.name), "limit": previewRows}
	if err := b.wantPreview(ctx, http.MethodPost, b.project.Path("query"), body, previewRows); err != nil {
		return err
	}
	plugin, err := b.previewWay(ctx, "preview through the plugin", previewRows)
	if err != nil {
		return err
	}
	query := &way{name: "the same SQL through P/query", ask: func(ctx context.Context) error {
		raw, err := json.Marshal(body)
		if err != nil {
			return err
		}
		return b.plain(ctx, http.MethodPost, b.project.Path("query"), "application/json", bytes.NewReader(raw), io.Discard)
	}}
	driver := b.linesWay("the same SQL through the driver", previewRows)
	if err := b.latencies(ctx, []*way{plugin, query, driver}); err != nil {
		return err
	}
	hop := plugin.times.median() - query.times.median()
	ratio := plugin.times.median().Seconds() / query.times.median().Seconds()
	_, err = fmt.Fprintf(b.out, "%-40s     %6d µs   ratio %.2f   %s\n", "the plugin adds, at p50", hop/time.Microsecond, ratio, verdict(ratio, targets["preview"]))
	return err
}

// previewMost compares the largest preview with the same rows in this process,
// made into the same JSON in three ways: the service's SQL and encoding/json, as
// the target says; SQL that leaves making the objects to Go; and SQL that makes
// the JSON, too, as the service does it.
func previewMost(ctx context.Context, b *bench) error {
	plugin, err := b.previewWay(ctx, "preview-1000 through the plugin", mostRows)
	if err != nil {
		return err
	}
	rows := min(mostRows, b.rows)
	inProcess := []*way{
		{name: "in process: the same SQL, encoding/json", ask: func(ctx context.Context) error {
			names, values, err := cells[any](ctx, b.raw, fmt.Sprintf("%s LIMIT %d", previewSQL(typed.name), mostRows))
			if err != nil {
				return err
			}
			return encode(names, values, rows)
		}},
		{name: "in process: texts, encoding/json", ask: func(ctx context.Context) error {
			names, texts, err := cells[*string](ctx, b.raw, fmt.Sprintf("SELECT %s FROM %s LIMIT %d", each(previewText), typed.name, mostRows))
			if err != nil {
				return err
			}
			return encode(names, asPreview(texts), rows)
		}},
		b.linesWay("in process: DuckDB makes the JSON", mostRows),
	}
	if err := b.latencies(ctx, append([]*way{plugin}, inProcess...)); err != nil {
		return err
	}
	for i, w := range inProcess {
		target := 0.0
		if i == 0 {
			target = targets["preview-1000"]
		}
		ratio := plugin.times.median().Seconds() / w.times.median().Seconds()
		fmt.Fprintf(b.out, "%-40s %7.2f   %s\n", "preview-1000 to "+strings.TrimPrefix(w.name, "in process: "), ratio, verdict(ratio, target))
	}
	return nil
}

// previewWay previews through the plugin, after a look that rows come.
func (b *bench) previewWay(ctx context.Context, name string, rows int) (*way, error) {
	path := fmt.Sprintf("%s?limit=%d", b.tablePath(typed, "preview"), rows)
	ask := func(ctx context.Context) error {
		return b.plain(ctx, http.MethodGet, path, "application/json", nil, io.Discard)
	}
	return &way{name: name, ask: ask}, b.wantPreview(ctx, http.MethodGet, path, nil, rows)
}

// linesWay has the driver run what the service runs for a preview.
func (b *bench) linesWay(name string, rows int) *way {
	query := rawPreviewSQL(previewSQL(typed.name), rows)
	return &way{name: name, ask: func(ctx context.Context) error {
		got, err := b.raw.lines(ctx, query)
		if err != nil {
			return err
		}
		return wantRows("the preview", int64(got), min(int64(rows), b.rows))
	}}
}

// wantPreview asks once and checks that rows come back: an error of a query's
// statement has status 200, too.
func (b *bench) wantPreview(ctx context.Context, method, path string, body any, rows int) error {
	var got struct {
		Message string            `json:"message"`
		Rows    []json.RawMessage `json:"rows"`
	}
	if _, err := b.project.Do(ctx, method, path, body, &got); err != nil {
		return err
	}
	return wantRows(fmt.Sprintf("the answer of %s %s (%s)", method, path, got.Message), int64(len(got.Rows)), min(int64(rows), b.rows))
}

// value is one value of a preview.
type value struct {
	Value       *string `json:"value"`
	IsTruncated bool    `json:"isTruncated"`
}

// asPreview gives texts the shape of a preview; they are cut already.
func asPreview(texts [][]*string) [][]value {
	out := make([][]value, len(texts))
	for i, row := range texts {
		out[i] = make([]value, len(row))
		for j, text := range row {
			out[i][j].Value = text
		}
	}
	return out
}

// encode makes the JSON of a preview.
func encode[T any](columns []string, rows [][]T, want int64) error {
	if err := wantRows("the preview in process", int64(len(rows)), want); err != nil {
		return err
	}
	return json.NewEncoder(io.Discard).Encode(struct {
		Columns []string `json:"columns"`
		Rows    [][]T    `json:"rows"`
	}{columns, rows})
}

// previewSQL is the statement of plugins/tables/preview.go.
func previewSQL(from string) string {
	return "SELECT " + each(func(c column) string {
		if c.duckType != "VARCHAR" {
			return fmt.Sprintf(`{value: %[1]s::VARCHAR, "isTruncated": false} AS %[1]s`, c.name)
		}
		return fmt.Sprintf(`{value: left(%[1]s::VARCHAR, %[2]d), "isTruncated": coalesce(length(%[1]s::VARCHAR) > %[2]d, false)} AS %[1]s`, c.name, mostChars)
	}) + " FROM " + from
}

// previewText is a column as a text that is cut.
func previewText(c column) string {
	if c.duckType != "VARCHAR" {
		return c.name + "::VARCHAR AS " + c.name
	}
	return fmt.Sprintf("left(%[1]s, %d) AS %[1]s", c.name, mostChars)
}

// rawPreviewSQL makes a line of JSON of each row, as core/internal/engine does.
func rawPreviewSQL(query string, rows int) string {
	names := make([]string, len(columns))
	for i := range columns {
		names[i] = fmt.Sprintf("c%d", i)
	}
	list := strings.Join(names, ", ")
	return fmt.Sprintf("SELECT json_array(%s)::VARCHAR FROM (%s) AS r(%s) LIMIT %d", list, query, list, rows)
}
