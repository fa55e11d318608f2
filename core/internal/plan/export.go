package plan

import (
	"context"
	"encoding/json"

	"github.com/keboola/duckdb-storage/core/internal/engine"
	"github.com/keboola/duckdb-storage/sdk"
	pluginv1 "github.com/keboola/duckdb-storage/sdk/proto/duckdbstorage/plugin/v1"
)

// export writes a new file, or streams if the client accepts the format itself.
func (x *Executor) export(ctx context.Context, target *pluginv1.Target, accept string, e *pluginv1.Export) (Answer, error) {
	if engine.Format(accept) != engine.JSON {
		body, err := x.stream(ctx, target, engine.Result{Statement: bind(e.GetStatement(), nil), Format: engine.Format(accept)}, func() {})
		if err != nil {
			return Answer{}, err
		}
		return Answer{Stream: &Stream{ContentType: accept, Body: body}}, nil
	}
	formats := map[string]engine.Format{"csv": engine.CSV}
	format, ok := formats[e.GetFormat()]
	if !ok {
		return Answer{}, sdk.ErrUnsupported.Errorf("export format %q is not supported; use csv", e.GetFormat())
	}
	s, err := x.Session(ctx, target)
	if err != nil {
		return Answer{}, err
	}
	defer s.Close()
	var rows int64
	file, err := x.Files.Export(ctx, target.GetProject(), fileSpec(e.GetFile()), func(path string) error {
		var err error
		rows, err = s.CopyTo(bind(e.GetStatement(), nil), path, format)
		return err
	})
	if err != nil {
		return Answer{}, err
	}
	out, err := json.Marshal(sdk.ExportResponse{File: sdk.FileFromProto(x.proto(file)), RowsCount: rows, SizeBytes: file.SizeBytes})
	return Answer{JSON: out}, err
}
