package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/keboola/duckdb-storage/test/service"
)

// compare measures a pair and prints its line.
func (b *bench) compare(ctx context.Context, name string, onService, onRaw run) error {
	p := &pair{service: side{pid: b.service.PID(), run: onService}, raw: side{pid: os.Getpid(), run: onRaw}}
	if err := p.alternate(ctx, b.rounds); err != nil {
		return err
	}
	if !b.headed {
		b.headed = true
		fmt.Fprintf(b.out, "\n%-16s %10s %10s %7s   %-13s %s\n", "", "service", "raw", "ratio", "of the rounds", "peak memory, service and raw")
	}
	median, least, greatest := p.ratio()
	_, err := fmt.Fprintf(b.out, "%-16s %9.3fs %9.3fs %7.2f   %.2f to %.2f  %5d MiB %5d MiB\n", name,
		p.service.times.median().Seconds(), p.raw.times.median().Seconds(), median, least, greatest, p.service.peak, p.raw.peak)
	return err
}

// imports compares the import of a registered file with COPY.
func (b *bench) imports(ctx context.Context, name string, t table) error {
	return b.compare(ctx, name, b.serviceImport(t), b.rawImport(t))
}

func (b *bench) serviceImport(t table) run {
	return func(ctx context.Context) (time.Duration, error) {
		var got service.Imported
		took, err := timed(ctx, func(ctx context.Context) (err error) {
			got, err = b.project.Import(ctx, bucket, t.name, b.fileID)
			return err
		})
		if err != nil {
			return 0, err
		}
		return took, wantRows("the service's table", got.TableRowsCount, b.rows)
	}
}

func (b *bench) rawImport(t table) run {
	return func(ctx context.Context) (time.Duration, error) {
		took, err := timed(ctx, func(ctx context.Context) error { return b.raw.load(ctx, t, b.csv) })
		if err != nil {
			return 0, err
		}
		rows, err := b.raw.count(ctx, t)
		if err != nil {
			return 0, err
		}
		return took, wantRows("the raw table", rows, b.rows)
	}
}

// upload compares PUT of the file's content with a copy that is synced.
func upload(ctx context.Context, b *bench) error {
	return b.compare(ctx, "upload", func(ctx context.Context) (time.Duration, error) {
		id, err := b.project.Prepare(ctx, "upload.csv")
		if err != nil {
			return 0, err
		}
		f, err := os.Open(b.csv)
		if err != nil {
			return 0, err
		}
		defer f.Close()
		var got struct {
			SizeBytes int64 `json:"sizeBytes"`
		}
		took, err := timed(ctx, func(ctx context.Context) error {
			_, err := b.project.Do(ctx, http.MethodPut, b.project.Path("files", id, "content"), f, &got)
			return err
		})
		if err == nil && got.SizeBytes != b.size {
			err = fmt.Errorf("%d bytes arrived, want %d", got.SizeBytes, b.size)
		}
		return took, errors.Join(err, b.removeFile(ctx, id))
	}, func(ctx context.Context) (time.Duration, error) {
		to := filepath.Join(b.dir, "copy.csv")
		defer os.Remove(to)
		return timed(ctx, func(context.Context) error { return copySynced(b.csv, to) })
	})
}

// copySynced copies through memory, in pieces as large as the service's.
func copySynced(from, to string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.Create(to)
	if err != nil {
		return err
	}
	defer out.Close()
	// The plain types keep io.Copy from leaving the work to the kernel, which no
	// server can do with what it has to look at.
	if _, err := io.CopyBuffer(struct{ io.Writer }{out}, struct{ io.Reader }{in}, make([]byte, 1<<20)); err != nil {
		return err
	}
	return out.Sync()
}

// exportStream compares a streamed export, thrown away by the client, with a
// COPY that writes nowhere.
func exportStream(ctx context.Context, b *bench) error {
	return b.compare(ctx, "export-stream", func(ctx context.Context) (time.Duration, error) {
		var bytes int64
		took, err := timed(ctx, func(ctx context.Context) error {
			header := http.Header{"Accept": {"text/csv"}, "Content-Type": {"application/json"}}
			resp, err := b.project.Send(ctx, http.MethodPost, b.tablePath(typed, "export"), header, strings.NewReader("{}"))
			if err != nil {
				return err
			}
			defer resp.Body.Close()
			if resp.StatusCode != http.StatusOK {
				return fmt.Errorf("status %d", resp.StatusCode)
			}
			bytes, err = io.Copy(io.Discard, resp.Body)
			return err
		})
		if err == nil && bytes < b.size*9/10 { // numbers and quotes may be spelt in fewer characters
			err = fmt.Errorf("%d bytes were streamed of a table made from %d", bytes, b.size)
		}
		return took, err
	}, func(ctx context.Context) (time.Duration, error) {
		return timed(ctx, func(ctx context.Context) error { return b.raw.unload(ctx, typed, os.DevNull) })
	})
}

// exportFile compares an export to a registered file with a COPY that is synced.
func exportFile(ctx context.Context, b *bench) error {
	return b.compare(ctx, "export-file", func(ctx context.Context) (time.Duration, error) {
		var got struct {
			File      service.File `json:"file"`
			RowsCount int64        `json:"rowsCount"`
		}
		took, err := timed(ctx, func(ctx context.Context) error {
			_, err := b.project.Do(ctx, http.MethodPost, b.tablePath(typed, "export"), map[string]any{}, &got)
			return err
		})
		if err != nil {
			return 0, err
		}
		return took, errors.Join(wantRows("the exported file", got.RowsCount, b.rows), b.removeFile(ctx, got.File.ID))
	}, func(ctx context.Context) (time.Duration, error) {
		to := filepath.Join(b.dir, "export.csv")
		defer os.Remove(to)
		return timed(ctx, func(ctx context.Context) error {
			return errors.Join(b.raw.unload(ctx, typed, to), syncFile(to))
		})
	})
}
