package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"

	"github.com/keboola/duckdb-storage/test/service"
)

const bucket = "in.c-bench"

// table is one that both sides have, with the same columns.
type table struct {
	name  string
	typed bool
	key   []string
}

var (
	typed = table{name: "typed", typed: true}
	texts = table{name: "strings"}
	// keyed costs the service one more step: it keeps one row for each key. Raw
	// DuckDB does the plain load; a physical key would be slower still.
	keyed = table{name: "keyed", typed: true, key: []string{"id"}}
)

// bench is both sides, ready: the service with an uploaded file, raw DuckDB, and
// the table typed loaded in both.
type bench struct {
	options
	out io.Writer
	dir string

	csv  string // path
	size int64
	rows int64

	service *service.Service
	project service.Project
	fileID  string
	raw     *raw

	headed bool // the head of the table of ratios is printed
}

// open makes everything below a directory of its own; close removes it.
func open(ctx context.Context, o options, out io.Writer) (*bench, error) {
	dir, err := os.MkdirTemp(o.temp, "ds-bench") // short, for the sockets below it
	if err != nil {
		return nil, err
	}
	b := &bench{options: o, out: out, dir: dir, csv: filepath.Join(dir, "source.csv")}
	if err := b.prepare(ctx); err != nil {
		return nil, errors.Join(err, b.close())
	}
	return b, nil
}

func (b *bench) prepare(ctx context.Context) (err error) {
	if b.rows, err = generate(b.csv, b.sizeMB*1e6); err != nil {
		return err
	}
	info, err := os.Stat(b.csv)
	if err != nil {
		return err
	}
	b.size = info.Size()
	if b.raw, err = openRaw(ctx, filepath.Join(b.dir, "raw.duckdb")); err != nil {
		return err
	}
	if err := b.startService(ctx); err != nil {
		return err
	}
	for _, load := range []run{b.serviceImport(typed), b.rawImport(typed)} {
		if _, err := load(ctx); err != nil {
			return err
		}
	}
	return nil
}

// startService starts a service with a project that has the tables and the file.
func (b *bench) startService(ctx context.Context) error {
	bin, err := service.Build(ctx)
	if err != nil {
		return err
	}
	data := filepath.Join(b.dir, "data")
	if err := os.Mkdir(data, 0o700); err != nil {
		return err
	}
	if b.service, err = service.Start(ctx, service.Options{Bin: bin, DataDir: data}); err != nil {
		return err
	}
	if b.project, err = b.service.Admin().CreateProject(ctx, "bench"); err != nil {
		return err
	}
	if err := b.project.CreateBucket(ctx, bucket); err != nil {
		return err
	}
	for _, t := range []table{typed, texts, keyed} {
		if err := b.project.CreateTable(ctx, bucket, t.name, specs(t), t.key...); err != nil {
			return err
		}
	}
	f, err := os.Open(b.csv)
	if err != nil {
		return err
	}
	defer f.Close()
	uploaded, err := b.project.Upload(ctx, "source.csv", f)
	b.fileID = uploaded.ID
	return err
}

// specs are the columns as the API takes them.
func specs(t table) any {
	var names []string
	var described []map[string]string
	for _, c := range columns {
		names = append(names, c.name)
		described = append(described, map[string]string{"name": c.name, "type": c.apiType, "length": c.length})
	}
	if t.typed {
		return described
	}
	return names
}

func (b *bench) close() (err error) {
	if b.service != nil {
		err = b.service.Stop()
	}
	if b.raw != nil {
		b.raw.close()
	}
	return errors.Join(err, os.RemoveAll(b.dir))
}

// tablePath is the path of an operation on a table.
func (b *bench) tablePath(t table, parts ...string) string {
	return b.project.Path(append([]string{"tables", bucket, t.name}, parts...)...)
}

// removeFile removes what a round left, so that the next finds the same disk.
func (b *bench) removeFile(ctx context.Context, id string) error {
	_, err := b.project.Do(ctx, http.MethodDelete, b.project.Path("files", id), nil, nil)
	return err
}

// wantRows fails a round that did not do its work.
func wantRows(what string, got, want int64) error {
	if got != want {
		return fmt.Errorf("%s has %d rows, want %d", what, got, want)
	}
	return nil
}
