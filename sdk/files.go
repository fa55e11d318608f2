package sdk

import (
	"time"

	pluginv1 "github.com/keboola/duckdb-storage/sdk/proto/duckdbstorage/plugin/v1"
)

// FileSpec describes a file that is to be made.
type FileSpec struct {
	Name        string
	ContentType string
	Tags        []string
	Permanent   bool
	MaxAgeDays  int   // until the file may be removed, at most MaxFileAgeDays; 0 is the default of 15; ignored when Permanent
	SizeBytes   int64 // expected; 0 is unknown
}

// MaxFileAgeDays is a hundred years; a file that is to stay is permanent.
const MaxFileAgeDays = 36500

// FileInfo is a file of the project as the API shows it. Times are UTC.
type FileInfo struct {
	ID          string     `json:"id"`
	Name        string     `json:"name"`
	Created     time.Time  `json:"created"`
	SizeBytes   int64      `json:"sizeBytes"`
	ContentType string     `json:"contentType"`
	Tags        []string   `json:"tags"`
	IsPermanent bool       `json:"isPermanent"`
	Expires     *time.Time `json:"expires" jsonschema:"null for a permanent file"`
	State       string     `json:"state" jsonschema:"prepared, uploaded or registered"`
	SHA256      string     `json:"sha256" jsonschema:"hex; empty until the bytes are there"`

	// Path is below the project's files, HostPath is the same on the host: what
	// a statement may read from. HostPath is never shown to a client.
	Path     string `json:"-"`
	HostPath string `json:"-"`
}

// The states of a file.
const (
	FilePrepared   = "prepared"   // reserved, no bytes yet
	FileUploaded   = "uploaded"   // the bytes are in staging
	FileRegistered = "registered" // the bytes are in their final place
)

// Files are the files of the project that the invocation is for.
type Files struct{ c *Context }

// Files gives access to the project's files.
func (c *Context) Files() Files { return Files{c} }

// Create reserves a file in state prepared.
func (f Files) Create(spec FileSpec) (FileInfo, error) {
	resp, err := f.c.host.CreateFile(f.c, &pluginv1.CreateFileRequest{CallToken: f.c.request.GetCallToken(), Spec: spec.proto()})
	return fileResult(f.c, "CreateFile", resp, err)
}

// Get returns a file, or ErrFileNotFound.
func (f Files) Get(id string) (FileInfo, error) {
	resp, err := f.c.host.GetFile(f.c, &pluginv1.GetFileRequest{CallToken: f.c.request.GetCallToken(), FileId: id})
	return fileResult(f.c, "GetFile", resp, err)
}

// Register moves an uploaded file to its final place. Registering it again
// returns it unchanged; a file without bytes is ErrConflict.
func (f Files) Register(id string) (FileInfo, error) {
	resp, err := f.c.host.RegisterFile(f.c, &pluginv1.RegisterFileRequest{CallToken: f.c.request.GetCallToken(), FileId: id})
	return fileResult(f.c, "RegisterFile", resp, err)
}

// RegisterPath registers bytes that were put below the project's staging folder
// by other means. It fails with ErrInvalid for a path that leads elsewhere.
func (f Files) RegisterPath(path string, spec FileSpec) (FileInfo, error) {
	resp, err := f.c.host.RegisterFile(f.c, &pluginv1.RegisterFileRequest{
		CallToken: f.c.request.GetCallToken(), StagingPath: path, Spec: spec.proto(),
	})
	return fileResult(f.c, "RegisterFile", resp, err)
}

// Delete removes a file and its bytes, or fails with ErrFileNotFound.
func (f Files) Delete(id string) error {
	resp, err := f.c.host.DeleteFile(f.c, &pluginv1.DeleteFileRequest{CallToken: f.c.request.GetCallToken(), FileId: id})
	if err != nil {
		return callbackError(f.c, "DeleteFile", err)
	}
	return ErrorFromProto(resp.GetError())
}

// fileResponse is what the answers of the three file callbacks share.
type fileResponse interface {
	GetFile() *pluginv1.File
	GetError() *pluginv1.Error
}

func fileResult(c *Context, callback string, resp fileResponse, err error) (FileInfo, error) {
	if err != nil {
		return FileInfo{}, callbackError(c, callback, err)
	}
	if resp.GetError() != nil {
		return FileInfo{}, ErrorFromProto(resp.GetError())
	}
	return FileFromProto(resp.GetFile()), nil
}

func (s FileSpec) proto() *pluginv1.FileSpec {
	return &pluginv1.FileSpec{
		Name: s.Name, ContentType: s.ContentType, Tags: s.Tags, Permanent: s.Permanent,
		MaxAgeDays: uint32(s.MaxAgeDays), SizeBytes: s.SizeBytes,
	}
}

// FileFromProto converts a file from its form on the wire.
func FileFromProto(f *pluginv1.File) FileInfo {
	out := FileInfo{
		ID: f.GetId(), Name: f.GetName(), Created: f.GetCreated().AsTime(), SizeBytes: f.GetSizeBytes(),
		ContentType: f.GetContentType(), Tags: f.GetTags(), IsPermanent: f.GetPermanent(),
		State: f.GetState(), SHA256: f.GetSha256(), Path: f.GetPath(), HostPath: f.GetHostPath(),
	}
	if out.Tags == nil {
		out.Tags = []string{}
	}
	if f.GetExpires() != nil {
		t := f.GetExpires().AsTime()
		out.Expires = &t
	}
	return out
}
