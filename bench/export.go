package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/keboola/duckdb-storage/sdk/sdktest/service"
)

// exportStream compares a streamed export, thrown away by the client, with a
// COPY that writes nowhere.
func exportStream(ctx context.Context, b *bench) error {
	return b.compare(ctx, "export-stream", func(ctx context.Context) (time.Duration, error) {
		counted := &tally{}
		took, err := timed(ctx, func(ctx context.Context) error {
			return b.plain(ctx, http.MethodPost, b.tablePath(typed, "export"), "text/csv", strings.NewReader("{}"), counted)
		})
		if err == nil && counted.bytes < b.size*9/10 { // numbers and quotes may be spelt in fewer characters
			err = fmt.Errorf("%d bytes were streamed of a table made from %d", counted.bytes, b.size)
		}
		return took, err
	}, func(ctx context.Context) (time.Duration, error) {
		return timed(ctx, func(ctx context.Context) error { return b.raw.unload(ctx, typed, os.DevNull, "") })
	})
}

// exportFile compares an export to a registered file with a COPY that is synced.
func exportFile(ctx context.Context, b *bench) error {
	return b.compare(ctx, "export-file", b.serviceExport(map[string]any{}, nil), b.rawExport("export.csv", "", nil))
}

// exportGzip compares an export to a compressed file with DuckDB's own.
func exportGzip(ctx context.Context, b *bench) error {
	var ofService, ofRaw int64
	err := b.compare(ctx, "export-gzip",
		b.serviceExport(map[string]any{"compression": "gzip"}, &ofService), b.rawExport("export.csv.gz", ", COMPRESSION gzip", &ofRaw))
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(b.out, "%-22s %7.1f MB %7.1f MB %7.2f\n", "size of the file", float64(ofService)/1e6, float64(ofRaw)/1e6, float64(ofService)/float64(ofRaw))
	return err
}

// serviceExport exports to a registered file, notes its size if asked to, and
// removes it.
func (b *bench) serviceExport(body any, size *int64) run {
	return func(ctx context.Context) (time.Duration, error) {
		var got struct {
			File      service.File `json:"file"`
			RowsCount int64        `json:"rowsCount"`
		}
		took, err := timed(ctx, func(ctx context.Context) error {
			_, err := b.project.Do(ctx, http.MethodPost, b.tablePath(typed, "export"), body, &got)
			return err
		})
		if err != nil {
			return 0, err
		}
		if size != nil {
			*size = got.File.SizeBytes
		}
		return took, errors.Join(wantRows("the exported file", got.RowsCount, b.rows), b.removeFile(ctx, got.File.ID))
	}
}

// rawExport writes the same with COPY.
func (b *bench) rawExport(name, options string, size *int64) run {
	return func(ctx context.Context) (time.Duration, error) {
		to := filepath.Join(b.dir, name)
		defer os.Remove(to)
		took, err := timed(ctx, func(ctx context.Context) error {
			return errors.Join(b.raw.unload(ctx, typed, to, options), syncFile(to))
		})
		if err != nil {
			return 0, err
		}
		info, err := os.Stat(to)
		if err == nil && size != nil {
			*size = info.Size()
		}
		return took, err
	}
}
