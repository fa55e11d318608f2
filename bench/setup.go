package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"

	"github.com/keboola/duckdb-storage/sdk/sdktest/service"
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

	*site
	fileID string
	raw    *raw

	streams *site // of all stream-…, once one of them has run

	headed labels // of the table of ratios that was begun last
}

// site is a running service with a data directory of its own, and in it a project
// with a bucket.
type site struct {
	service *service.Service
	project service.Project
	start   service.Options
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
	if b.raw, err = openRaw(ctx, filepath.Join(b.dir, "raw.duckdb"), asService); err != nil {
		return err
	}
	if err := b.startService(ctx); err != nil {
		return err
	}
	for _, load := range []run{b.serviceImport(typed), b.rawImport(b.raw, typed)} {
		if _, err := load(ctx); err != nil {
			return err
		}
	}
	return nil
}

// startService starts the service of most benchmarks, with the tables and the file.
func (b *bench) startService(ctx context.Context) (err error) {
	if b.site, err = b.open(ctx, "data"); err != nil {
		return err
	}
	for _, t := range []table{typed, texts, keyed} {
		if err := b.project.CreateTable(ctx, bucket, t.name, specs(t), t.key...); err != nil {
			return err
		}
	}
	b.fileID, err = b.upload(ctx, b.csv)
	return err
}

// open starts a service in a folder of its own; env holds settings as NAME=value.
func (b *bench) open(ctx context.Context, name string, env ...string) (*site, error) {
	bin, err := service.Build(ctx)
	if err != nil {
		return nil, err
	}
	s := &site{start: service.Options{Bin: bin, DataDir: filepath.Join(b.dir, name), Env: env}}
	if err := os.Mkdir(s.start.DataDir, 0o700); err != nil {
		return nil, err
	}
	if s.service, err = service.Start(ctx, s.start); err != nil {
		return nil, err
	}
	if s.project, err = s.service.Admin().CreateProject(ctx, "bench"); err == nil {
		err = s.project.CreateBucket(ctx, bucket)
	}
	if err != nil {
		return nil, errors.Join(err, s.service.Stop())
	}
	return s, nil
}

// close stops the service and removes its data.
func (s *site) close() error {
	return errors.Join(s.service.Stop(), os.RemoveAll(s.start.DataDir))
}

// upload makes a registered file of one on disk.
func (s *site) upload(ctx context.Context, path string) (id string, err error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	uploaded, err := s.project.Upload(ctx, filepath.Base(path), f)
	return uploaded.ID, err
}

// specs are the columns as the API takes them.
func specs(t table) any {
	if !t.typed {
		return columnNames()
	}
	var described []map[string]string
	for _, c := range columns {
		described = append(described, map[string]string{"name": c.name, "type": c.apiType, "length": c.length})
	}
	return described
}

func (b *bench) close() (err error) {
	for _, s := range []*site{b.site, b.streams} {
		if s != nil {
			err = errors.Join(err, s.close())
		}
	}
	if b.raw != nil {
		b.raw.close()
	}
	return errors.Join(err, os.RemoveAll(b.dir))
}

// plain sends a request and copies its answer. Nothing is compressed on the way, which
// Go's client would wish for by itself.
func (s *site) plain(ctx context.Context, method, path, accept string, body io.Reader, to io.Writer) error {
	header := http.Header{"Accept": {accept}, "Accept-Encoding": {"identity"}}
	if body != nil {
		header.Set("Content-Type", "application/json")
	}
	resp, err := s.project.Send(ctx, method, path, header, body)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if kind := resp.Header.Get("Content-Type"); resp.StatusCode != http.StatusOK || kind != accept {
		text, _ := io.ReadAll(io.LimitReader(resp.Body, 1<<10))
		return fmt.Errorf("status %d and %s, want %s: %s", resp.StatusCode, kind, accept, text)
	}
	_, err = io.CopyBuffer(struct{ io.Writer }{to}, struct{ io.Reader }{resp.Body}, make([]byte, 1<<20))
	return err
}

// tablePath is the path of an operation on a table.
func (s *site) tablePath(t table, parts ...string) string {
	return s.project.Path(append([]string{"tables", bucket, t.name}, parts...)...)
}

// removeFile removes what a round left, so that the next finds the same disk.
func (s *site) removeFile(ctx context.Context, id string) error {
	_, err := s.project.Do(ctx, http.MethodDelete, s.project.Path("files", id), nil, nil)
	return err
}

// wantRows fails a round that did not do its work.
func wantRows(what string, got, want int64) error {
	if got != want {
		return fmt.Errorf("%s has %d rows, want %d", what, got, want)
	}
	return nil
}
