package plan

import (
	"context"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/keboola/duckdb-storage/core/internal/registry"
	"github.com/keboola/duckdb-storage/sdk"
	pluginv1 "github.com/keboola/duckdb-storage/sdk/proto/duckdbstorage/plugin/v1"
)

// CreateFile reserves a file of the project.
func (x *Executor) CreateFile(ctx context.Context, project string, spec *pluginv1.FileSpec) (*pluginv1.File, error) {
	return x.result(x.Files.Create(ctx, project, fileSpec(spec)))
}

// GetFile returns a file of the project.
func (x *Executor) GetFile(ctx context.Context, project, id string) (*pluginv1.File, error) {
	return x.result(x.Files.Get(ctx, project, id))
}

// RegisterFile registers an uploaded file of the project.
func (x *Executor) RegisterFile(ctx context.Context, project, id string) (*pluginv1.File, error) {
	return x.result(x.Files.Register(ctx, project, id))
}

// RegisterPath registers bytes in the project's staging folder.
func (x *Executor) RegisterPath(ctx context.Context, project, path string, spec *pluginv1.FileSpec) (*pluginv1.File, error) {
	return x.result(x.Files.RegisterPath(ctx, project, path, fileSpec(spec)))
}

// DeleteFile removes a file of the project.
func (x *Executor) DeleteFile(ctx context.Context, project, id string) error {
	return x.Files.Delete(ctx, project, id)
}

func (x *Executor) result(f registry.File, err error) (*pluginv1.File, error) {
	if err != nil {
		return nil, err
	}
	return x.proto(f), nil
}

func (x *Executor) proto(f registry.File) *pluginv1.File {
	out := &pluginv1.File{
		Id: f.ID, Name: f.Name, ContentType: f.ContentType, Tags: f.Tags, Permanent: f.Permanent,
		Created: timestamppb.New(f.Created), SizeBytes: f.SizeBytes, Sha256: f.SHA256, State: f.State,
		Path: f.Path, HostPath: x.Files.HostPath(f),
	}
	if !f.Expires.IsZero() {
		out.Expires = timestamppb.New(f.Expires)
	}
	if f.State == registry.FileRegistering || f.State == registry.FileReplacing {
		out.State = sdk.FileUploaded
	}
	return out
}

func fileSpec(s *pluginv1.FileSpec) sdk.FileSpec {
	return sdk.FileSpec{
		Name: s.GetName(), ContentType: s.GetContentType(), Tags: s.GetTags(), Permanent: s.GetPermanent(),
		MaxAgeDays: int(int32(s.GetMaxAgeDays())), SizeBytes: s.GetSizeBytes(),
	}
}
