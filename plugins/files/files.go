// Package files is the area of storage files. It decides what a request means;
// the host keeps the bytes and the registry, and bytes never pass through here.
package files

import (
	"path"

	"github.com/keboola/duckdb-storage/plugins/files/api"
	"github.com/keboola/duckdb-storage/sdk"
)

const (
	all     = "/projects/{project}/files"
	one     = all + "/{file}"
	content = one + "/content"
)

// Plugin declares the area's commands.
func Plugin(version string) *sdk.Plugin {
	p := sdk.New("files", version)
	p.Summary("Storage files: prepare, upload, register, download, delete.")
	sdk.Handle(p, api.Prepare, prepare, sdk.POST(all+"/prepare", sdk.Status(201)), sdk.Permission("files:write"), sdk.Writes())
	sdk.Handle(p, api.Receive, receive, sdk.PUT(content), sdk.Permission("files:write"), sdk.Writes())
	sdk.Handle(p, api.Register, register, sdk.POST(all, sdk.Status(201)), sdk.POST(all+"/upload", sdk.Status(201)), sdk.Permission("files:write"), sdk.Writes())
	sdk.Handle(p, api.Get, get, sdk.GET(one), sdk.Permission("files:read"))
	sdk.Handle(p, api.Download, download, sdk.GET(content), sdk.Permission("files:read"))
	sdk.Handle(p, api.Delete, remove, sdk.DELETE(one), sdk.Permission("files:write"), sdk.Writes())
	return p
}

func prepare(c *sdk.Context, in api.PrepareRequest) (api.PrepareResponse, error) {
	if in.IsSliced {
		return api.PrepareResponse{}, sdk.ErrUnsupported.Errorf("sliced files are not supported yet; upload one file").At("/isSliced")
	}
	f, err := c.Files().Create(sdk.FileSpec{
		Name: string(in.Name), ContentType: in.ContentType, Tags: in.Tags, Permanent: in.IsPermanent,
		MaxAgeDays: int(in.MaxAgeDays), SizeBytes: int64(in.SizeBytes),
	})
	if err != nil {
		return api.PrepareResponse{}, err
	}
	return api.PrepareResponse{
		ID: f.ID, StagingPath: f.Path, State: f.State,
		Upload: api.Upload{Method: "PUT", URL: "/projects/" + c.Project() + "/files/" + f.ID + "/content"},
	}, nil
}

func receive(_ *sdk.Context, in api.FileRequest) (sdk.Upload, error) {
	return sdk.Upload{FileID: in.File}, nil
}

func register(c *sdk.Context, in api.RegisterRequest) (sdk.FileInfo, error) {
	switch {
	case (in.ID == "") == (in.Path == ""):
		return sdk.FileInfo{}, sdk.ErrInvalid.Errorf("give either id, after an upload, or path, for bytes in staging")
	case in.ID != "":
		return c.Files().Register(in.ID)
	}
	if in.Name == "" {
		in.Name = sdk.Name(path.Base(in.Path))
	}
	return c.Files().RegisterPath(in.Path, sdk.FileSpec{
		Name: string(in.Name), ContentType: in.ContentType, Tags: in.Tags, Permanent: in.IsPermanent, MaxAgeDays: int(in.MaxAgeDays),
	})
}

func get(c *sdk.Context, in api.FileRequest) (sdk.FileInfo, error) { return c.Files().Get(in.File) }

func download(_ *sdk.Context, in api.FileRequest) (sdk.File, error) {
	return sdk.File{ID: in.File}, nil
}

func remove(c *sdk.Context, in api.FileRequest) (sdk.None, error) {
	return sdk.None{}, c.Files().Delete(in.File)
}
