package plan

import (
	"context"
	"encoding/json"
	"io"

	"github.com/keboola/duckdb-storage/core/internal/compress"
	"github.com/keboola/duckdb-storage/core/internal/engine"
	"github.com/keboola/duckdb-storage/core/internal/registry"
	"github.com/keboola/duckdb-storage/sdk"
	pluginv1 "github.com/keboola/duckdb-storage/sdk/proto/duckdbstorage/plugin/v1"
)

// export writes a new file, or streams if the client accepts the format itself.
func (x *Executor) export(ctx context.Context, target *pluginv1.Target, accept string, e *pluginv1.Export) (Answer, error) {
	if engine.Format(accept) != engine.JSON {
		stream, err := x.stream(ctx, target, engine.Result{Statement: bind(e.GetStatement(), nil), Format: engine.Format(accept)}, 0)
		if err != nil {
			return Answer{}, err
		}
		return Answer{Stream: stream}, nil
	}
	if e.GetFormat() != "csv" {
		return Answer{}, sdk.ErrUnsupported.Errorf("export format %q is not supported; use csv", e.GetFormat())
	}
	write, ok := exporters[e.GetCompression()]
	if !ok {
		return Answer{}, sdk.ErrUnsupported.Errorf("compression %q of an export is not supported; use gzip, or none", e.GetCompression())
	}
	running, err := x.begin(ctx, target, &x.Streams, streaming, 0)
	if err != nil {
		return Answer{}, err
	}
	defer running.Close()
	if err := readable(ctx, running.Session, bind(e.GetStatement(), nil)); err != nil {
		return Answer{}, err
	}
	file, rows, err := write(ctx, x, target, running.Session, e)
	if err != nil {
		return Answer{}, err
	}
	out, err := json.Marshal(sdk.ExportResponse{File: sdk.FileFromProto(x.proto(file)), RowsCount: rows, SizeBytes: file.SizeBytes})
	return Answer{JSON: out}, err
}

// exporter makes the file of an export and returns it with the rows in it.
type exporter func(ctx context.Context, x *Executor, target *pluginv1.Target, s *engine.Session, e *pluginv1.Export) (registry.File, int64, error)

var exporters = map[string]exporter{"": writePlain, "none": writePlain, "gzip": writeGzip}

// writePlain lets DuckDB write the file.
func writePlain(ctx context.Context, x *Executor, target *pluginv1.Target, s *engine.Session, e *pluginv1.Export) (f registry.File, rows int64, err error) {
	f, err = x.Files.Export(ctx, target.GetProject(), fileSpec(e.GetFile()), func(path string) error {
		rows, err = s.CopyTo(bind(e.GetStatement(), nil), path, engine.CSV)
		return err
	})
	return f, rows, err
}

// writeGzip takes the file from DuckDB through a pipe and compresses it here.
func writeGzip(ctx context.Context, x *Executor, target *pluginv1.Target, s *engine.Session, e *pluginv1.Export) (f registry.File, rows int64, err error) {
	f, err = x.Files.ExportBytes(ctx, target.GetProject(), fileSpec(e.GetFile()), func(to io.Writer) error {
		gzip, err := compress.NewWriter(to)
		if err != nil {
			return err
		}
		defer gzip.Abort()
		if rows, err = s.CopyInto(gzip, bind(e.GetStatement(), nil), engine.CSV); err != nil {
			return err
		}
		return gzip.Close()
	})
	return f, rows, err
}
