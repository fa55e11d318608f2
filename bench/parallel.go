package main

import (
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"
)

// twins are two tables with the same columns.
var twins = []table{{name: "left", typed: true}, {name: "right", typed: true}}

// parallelImports compares two imports at once, into two tables of one project,
// with the same two one after the other: of a plain file, which DuckDB reads with
// every thread, and of a compressed one, which it reads with one.
func parallelImports(ctx context.Context, b *bench) error {
	for _, t := range twins {
		if err := b.project.CreateTable(ctx, bucket, t.name, specs(t)); err != nil {
			return err
		}
	}
	if err := b.measureTwins(ctx, "parallel-csv", b.fileID); err != nil {
		return err
	}
	compressed := filepath.Join(b.dir, "source.csv.gz")
	defer os.Remove(compressed)
	if err := compress(b.csv, compressed); err != nil {
		return err
	}
	id, err := b.upload(ctx, compressed)
	if err != nil {
		return err
	}
	return errors.Join(b.measureTwins(ctx, "parallel-gzip", id), b.removeFile(ctx, id))
}

func (b *bench) measureTwins(ctx context.Context, name, fileID string) error {
	imports := make([]func(context.Context) error, len(twins))
	for i, t := range twins {
		imports[i] = func(ctx context.Context) error {
			got, err := b.project.Import(ctx, bucket, t.name, fileID)
			if err != nil {
				return err
			}
			return wantRows("table "+t.name, got.TableRowsCount, b.rows)
		}
	}
	atOnce := func(ctx context.Context) (time.Duration, error) {
		return timed(ctx, func(ctx context.Context) error { return together(ctx, imports...) })
	}
	inTurn := func(ctx context.Context) (time.Duration, error) {
		return timed(ctx, func(ctx context.Context) error {
			for _, do := range imports {
				if err := do(ctx); err != nil {
					return err
				}
			}
			return nil
		})
	}
	pid := b.service.PID()
	return b.measure(ctx, name, labels{"at once", "in turn"}, &pair{
		service: side{pid: pid, run: atOnce}, raw: side{pid: pid, run: inTurn},
	})
}

// compress makes a gzip file with Go's fastest level.
func compress(from, to string) error {
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
	w, err := gzip.NewWriterLevel(out, gzip.BestSpeed)
	if err != nil {
		return err
	}
	if _, err := io.Copy(w, in); err != nil {
		return fmt.Errorf("compress %s: %w", from, err)
	}
	return errors.Join(w.Close(), out.Sync())
}
