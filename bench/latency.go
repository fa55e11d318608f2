package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// warmUp is how many requests of each kind do not count.
const warmUp = 20

// way is one way to ask for the same.
type way struct {
	name  string
	ask   func(context.Context) error
	times times
}

// latencies asks in each way in turns and prints a line for each.
func (b *bench) latencies(ctx context.Context, ways []*way) error {
	for i := range warmUp + b.requests {
		for _, w := range ways {
			took, err := timed(ctx, w.ask)
			if err != nil {
				return fmt.Errorf("%s: %w", w.name, err)
			}
			if i >= warmUp {
				w.times = append(w.times, took)
			}
		}
	}
	fmt.Fprintln(b.out)
	for _, w := range ways {
		fmt.Fprintf(b.out, "%-34s p50 %5d µs   p95 %5d µs\n", w.name, w.times.median().Microseconds(), w.times.at(0.95).Microseconds())
	}
	return nil
}

// health is the floor: HTTP, and nothing behind it.
func health(ctx context.Context, b *bench) error {
	return b.latencies(ctx, []*way{{name: "GET /health", ask: func(ctx context.Context) error {
		_, err := b.project.Do(ctx, http.MethodGet, "/health", nil, io.Discard)
		return err
	}}})
}

const previewRows = 100

// preview asks for the first rows of a table through the plugin, with the same
// SQL through the host alone, and with the same SQL through the driver alone.
func preview(ctx context.Context, b *bench) error {
	path := fmt.Sprintf("%s?limit=%d", b.tablePath(typed, "preview"), previewRows)
	body := map[string]any{"sql": previewSQL(`"` + bucket + `".` + typed.name), "limit": previewRows}
	lines := rawPreviewSQL(previewSQL(typed.name))

	for _, request := range []struct {
		method, path string
		body         any
	}{{http.MethodGet, path, nil}, {http.MethodPost, b.project.Path("query"), body}} {
		if err := b.wantPreview(ctx, request.method, request.path, request.body); err != nil {
			return err
		}
	}
	plugin := &way{name: "preview through the plugin", ask: func(ctx context.Context) error {
		_, err := b.project.Do(ctx, http.MethodGet, path, nil, io.Discard)
		return err
	}}
	query := &way{name: "the same SQL through P/query", ask: func(ctx context.Context) error {
		_, err := b.project.Do(ctx, http.MethodPost, b.project.Path("query"), body, io.Discard)
		return err
	}}
	driver := &way{name: "the same SQL through the driver", ask: func(ctx context.Context) error {
		rows, err := b.raw.lines(ctx, lines)
		if err != nil {
			return err
		}
		return wantRows("the preview", int64(rows), min(previewRows, b.rows))
	}}
	if err := b.latencies(ctx, []*way{plugin, query, driver}); err != nil {
		return err
	}
	hop := plugin.times.median() - query.times.median()
	_, err := fmt.Fprintf(b.out, "%-34s     %5d µs\n", "the plugin adds, at p50", hop/time.Microsecond)
	return err
}

// wantPreview asks once and checks that rows come back: an error of a query's
// statement has status 200, too.
func (b *bench) wantPreview(ctx context.Context, method, path string, body any) error {
	var got struct {
		Message string            `json:"message"`
		Rows    []json.RawMessage `json:"rows"`
	}
	if _, err := b.project.Do(ctx, method, path, body, &got); err != nil {
		return err
	}
	return wantRows(fmt.Sprintf("the answer of %s %s (%s)", method, path, got.Message), int64(len(got.Rows)), min(previewRows, b.rows))
}

// previewSQL is the statement of plugins/tables/preview.go.
func previewSQL(from string) string {
	return "SELECT " + each(func(c column) string {
		return fmt.Sprintf(`{value: left(%[1]s::VARCHAR, 16384), "isTruncated": coalesce(length(%[1]s::VARCHAR) > 16384, false)} AS %[1]s`, c.name)
	}) + " FROM " + from
}

// rawPreviewSQL makes a line of JSON of each row, as core/internal/engine does.
func rawPreviewSQL(query string) string {
	names := make([]string, len(columns))
	for i := range columns {
		names[i] = fmt.Sprintf("c%d", i)
	}
	list := strings.Join(names, ", ")
	return fmt.Sprintf("SELECT json_array(%s)::VARCHAR FROM (%s) AS r(%s) LIMIT %d", list, query, list, previewRows)
}
