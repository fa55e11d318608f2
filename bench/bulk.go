package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/keboola/duckdb-storage/sdk/sdktest/service"
)

// imports compares the import of a registered file with COPY.
func (b *bench) imports(ctx context.Context, name string, t table) error {
	return b.compare(ctx, name, b.serviceImport(t), b.rawImport(b.raw, t))
}

// importDefault compares the import into a table of texts with COPY into a file
// that DuckDB makes when it is told nothing.
func importDefault(ctx context.Context, b *bench) error {
	plain, err := openRaw(ctx, filepath.Join(b.dir, "default.duckdb"), byDefault)
	if err != nil {
		return err
	}
	defer plain.close()
	return b.compare(ctx, "import-strings-default", b.serviceImport(texts), b.rawImport(plain, texts))
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

func (b *bench) rawImport(r *raw, t table) run {
	return func(ctx context.Context) (time.Duration, error) {
		took, err := timed(ctx, func(ctx context.Context) error { return r.load(ctx, t, b.csv) })
		if err != nil {
			return 0, err
		}
		rows, err := r.count(ctx, t)
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
