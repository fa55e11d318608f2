package pluginhost

import (
	"context"
	"errors"

	"github.com/keboola/duckdb-storage/sdk"
	pluginv1 "github.com/keboola/duckdb-storage/sdk/proto/duckdbstorage/plugin/v1"
)

// failure is an error as data. What is no *sdk.Error stays inside the host: the
// plugin learns only that it is internal.
func (c callbacks) failure(i *invocation, callback string, err error) *pluginv1.Error {
	id := ""
	if i != nil {
		id = i.RequestID
	}
	log := c.host.cfg.Logger.With("callback", callback, "request_id", id)
	var e *sdk.Error
	if !errors.As(err, &e) {
		log.Error("callback failed", "error", err)
		return sdk.ErrInternal.Errorf("internal error; see the log for request %s", id).Proto()
	}
	if e.Kind == sdk.Unavailable && err.Error() != e.Detail {
		log.Warn("callback failed", "error", err)
	}
	return e.Proto()
}

func (c callbacks) Query(ctx context.Context, r *pluginv1.QueryRequest) (*pluginv1.QueryResponse, error) {
	i, ctx, end, err := c.within(ctx, r.GetCallToken(), false)
	if err != nil {
		return &pluginv1.QueryResponse{Error: c.failure(nil, "Query", err)}, nil
	}
	defer end()
	rows, err := c.host.cfg.Executor.Query(ctx, i.Target, r.GetStatement())
	if err != nil {
		return &pluginv1.QueryResponse{Error: c.failure(i, "Query", err)}, nil
	}
	return &pluginv1.QueryResponse{Rows: rows}, nil
}

func (c callbacks) Write(ctx context.Context, r *pluginv1.WriteRequest) (*pluginv1.WriteResponse, error) {
	i, ctx, end, err := c.within(ctx, r.GetCallToken(), true)
	if err != nil {
		return &pluginv1.WriteResponse{Error: c.failure(nil, "Write", err)}, nil
	}
	defer end()
	out, err := c.host.cfg.Executor.Write(ctx, i.Target, r.GetUnit())
	if err != nil {
		return &pluginv1.WriteResponse{Error: c.failure(i, "Write", err)}, nil
	}
	return out, nil
}

func (c callbacks) Call(ctx context.Context, r *pluginv1.CallRequest) (*pluginv1.CallResponse, error) {
	called, err := c.host.table.command(r.GetCommand())
	if err != nil {
		return &pluginv1.CallResponse{Error: c.failure(nil, "Call", err)}, nil
	}
	i, ctx, end, err := c.within(ctx, r.GetCallToken(), isWrite(called))
	if err != nil {
		return &pluginv1.CallResponse{Error: c.failure(nil, "Call", err)}, nil
	}
	defer end()
	out, err := c.call(ctx, i, r.GetCommand(), r.GetPayload())
	if err != nil {
		return &pluginv1.CallResponse{Error: c.failure(i, "Call", err)}, nil
	}
	return &pluginv1.CallResponse{Json: out}, nil
}

func (c callbacks) Lease(ctx context.Context, r *pluginv1.LeaseRequest) (*pluginv1.LeaseResponse, error) {
	i, ctx, end, err := c.within(ctx, r.GetCallToken(), false)
	if err != nil {
		return &pluginv1.LeaseResponse{Error: c.failure(nil, "Lease", err)}, nil
	}
	defer end()
	if err := c.host.lease(ctx, i, r.GetCallToken()); err != nil {
		return &pluginv1.LeaseResponse{Error: c.failure(i, "Lease", err)}, nil
	}
	return &pluginv1.LeaseResponse{}, nil
}

func (c callbacks) CreateFile(ctx context.Context, r *pluginv1.CreateFileRequest) (*pluginv1.CreateFileResponse, error) {
	f, e := c.file(ctx, r.GetCallToken(), "CreateFile", true, func(ctx context.Context, project string) (*pluginv1.File, error) {
		return c.host.cfg.Executor.CreateFile(ctx, project, r.GetSpec())
	})
	return &pluginv1.CreateFileResponse{File: f, Error: e}, nil
}

func (c callbacks) GetFile(ctx context.Context, r *pluginv1.GetFileRequest) (*pluginv1.GetFileResponse, error) {
	f, e := c.file(ctx, r.GetCallToken(), "GetFile", false, func(ctx context.Context, project string) (*pluginv1.File, error) {
		return c.host.cfg.Executor.GetFile(ctx, project, r.GetFileId())
	})
	return &pluginv1.GetFileResponse{File: f, Error: e}, nil
}

func (c callbacks) RegisterFile(ctx context.Context, r *pluginv1.RegisterFileRequest) (*pluginv1.RegisterFileResponse, error) {
	f, e := c.file(ctx, r.GetCallToken(), "RegisterFile", true, func(ctx context.Context, project string) (*pluginv1.File, error) {
		if r.GetFileId() != "" {
			return c.host.cfg.Executor.RegisterFile(ctx, project, r.GetFileId())
		}
		return c.host.cfg.Executor.RegisterPath(ctx, project, r.GetStagingPath(), r.GetSpec())
	})
	return &pluginv1.RegisterFileResponse{File: f, Error: e}, nil
}

func (c callbacks) DeleteFile(ctx context.Context, r *pluginv1.DeleteFileRequest) (*pluginv1.DeleteFileResponse, error) {
	_, e := c.file(ctx, r.GetCallToken(), "DeleteFile", true, func(ctx context.Context, project string) (*pluginv1.File, error) {
		return nil, c.host.cfg.Executor.DeleteFile(ctx, project, r.GetFileId())
	})
	return &pluginv1.DeleteFileResponse{Error: e}, nil
}

// file runs one of the file callbacks for the project of the invocation.
func (c callbacks) file(ctx context.Context, token, callback string, writes bool, fn func(ctx context.Context, project string) (*pluginv1.File, error)) (*pluginv1.File, *pluginv1.Error) {
	i, ctx, end, err := c.within(ctx, token, writes)
	if err != nil {
		return nil, c.failure(nil, callback, err)
	}
	defer end()
	f, err := fn(ctx, i.Target.GetProject())
	if err != nil {
		return nil, c.failure(i, callback, err)
	}
	return f, nil
}
