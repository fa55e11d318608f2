package pluginhost

import (
	"context"

	"github.com/keboola/duckdb-storage/sdk"
	pluginv1 "github.com/keboola/duckdb-storage/sdk/proto/duckdbstorage/plugin/v1"
)

// The callbacks about files of the invocation's project. They take no turn of the
// catalog: files have a registry of their own.

func (c callbacks) CreateFile(ctx context.Context, r *pluginv1.CreateFileRequest) (*pluginv1.CreateFileResponse, error) {
	f, e := c.file(ctx, r.GetCallToken(), changesFiles("CreateFile"), func(ctx context.Context, project string) (*pluginv1.File, error) {
		return c.host.cfg.Executor.CreateFile(ctx, project, r.GetSpec())
	})
	return &pluginv1.CreateFileResponse{File: f, Error: e}, nil
}

func (c callbacks) GetFile(ctx context.Context, r *pluginv1.GetFileRequest) (*pluginv1.GetFileResponse, error) {
	f, e := c.file(ctx, r.GetCallToken(), use{callback: "GetFile", permission: sdk.ReadFiles}, func(ctx context.Context, project string) (*pluginv1.File, error) {
		return c.host.cfg.Executor.GetFile(ctx, project, r.GetFileId())
	})
	return &pluginv1.GetFileResponse{File: f, Error: e}, nil
}

func (c callbacks) RegisterFile(ctx context.Context, r *pluginv1.RegisterFileRequest) (*pluginv1.RegisterFileResponse, error) {
	f, e := c.file(ctx, r.GetCallToken(), changesFiles("RegisterFile"), func(ctx context.Context, project string) (*pluginv1.File, error) {
		if r.GetFileId() != "" {
			return c.host.cfg.Executor.RegisterFile(ctx, project, r.GetFileId())
		}
		return c.host.cfg.Executor.RegisterPath(ctx, project, r.GetStagingPath(), r.GetSpec())
	})
	return &pluginv1.RegisterFileResponse{File: f, Error: e}, nil
}

func (c callbacks) DeleteFile(ctx context.Context, r *pluginv1.DeleteFileRequest) (*pluginv1.DeleteFileResponse, error) {
	_, e := c.file(ctx, r.GetCallToken(), changesFiles("DeleteFile"), func(ctx context.Context, project string) (*pluginv1.File, error) {
		return nil, c.host.cfg.Executor.DeleteFile(ctx, project, r.GetFileId())
	})
	return &pluginv1.DeleteFileResponse{Error: e}, nil
}

func changesFiles(callback string) use {
	return use{callback: callback, permission: sdk.WriteFiles, writes: true}
}

// file runs one of the file callbacks for the project of the invocation.
func (c callbacks) file(ctx context.Context, token string, u use, fn func(ctx context.Context, project string) (*pluginv1.File, error)) (*pluginv1.File, *pluginv1.Error) {
	i, ctx, end, err := c.within(ctx, token, u)
	if err != nil {
		return nil, c.failure(nil, u.callback, err)
	}
	defer end()
	f, err := fn(ctx, i.Target.GetProject())
	if err != nil {
		return nil, c.failure(i, u.callback, err)
	}
	return f, nil
}
