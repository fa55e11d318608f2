// Package api holds the commands of the files area as typed values, for other
// plugins to Call.
package api

import (
	"github.com/google/jsonschema-go/jsonschema"

	"github.com/keboola/duckdb-storage/sdk"
)

// Days is how long a file is kept, up to sdk.MaxFileAgeDays; 0 is the default.
type Days int

// JSONSchema describes the bounds.
func (Days) JSONSchema() *jsonschema.Schema {
	return &jsonschema.Schema{Type: "integer", Minimum: jsonschema.Ptr(0.0), Maximum: jsonschema.Ptr(float64(sdk.MaxFileAgeDays))}
}

// Size is a number of bytes.
type Size int64

// JSONSchema describes the bound.
func (Size) JSONSchema() *jsonschema.Schema {
	return &jsonschema.Schema{Type: "integer", Minimum: jsonschema.Ptr(0.0)}
}

// Prepare reserves a file and says where its bytes are to go.
var Prepare = sdk.Command[PrepareRequest, PrepareResponse]{Name: "files.Prepare", Summary: "Reserve a file and learn where to upload its bytes."}

// PrepareRequest describes the file.
type PrepareRequest struct {
	Name        sdk.Name `json:"name"`
	SizeBytes   Size     `json:"sizeBytes,omitempty" jsonschema:"expected; 0 when unknown"`
	ContentType string   `json:"contentType,omitempty"`
	Tags        []string `json:"tags,omitempty"`
	IsPermanent bool     `json:"isPermanent,omitempty"`
	MaxAgeDays  Days     `json:"maxAgeDays,omitempty" jsonschema:"days to keep the file; default 15"`
	IsSliced    bool     `json:"isSliced,omitempty" jsonschema:"sliced files are not supported yet"`
}

// PrepareResponse says where the bytes go: by HTTP to Upload, or by other means
// to StagingPath below the project's files.
type PrepareResponse struct {
	ID          string `json:"id"`
	StagingPath string `json:"stagingPath"`
	Upload      Upload `json:"upload"`
	State       string `json:"state"`
}

// Upload is the request that takes the bytes.
type Upload struct {
	Method string `json:"method"`
	URL    string `json:"url" jsonschema:"path on this service"`
}

// Receive takes the bytes of a prepared file, as the body of the request.
var Receive = sdk.Command[FileRequest, sdk.UploadResponse]{Name: "files.Upload", Summary: "Upload the bytes of a prepared file."}

// FileRequest names a file.
type FileRequest struct {
	File string `json:"file" in:"path"`
}

// Register gives a file its final place.
var Register = sdk.Command[RegisterRequest, sdk.FileInfo]{Name: "files.Register", Summary: "Register an uploaded file, or bytes put into staging by other means."}

// RegisterRequest names an uploaded file by ID, or bytes in staging by Path
// together with what Prepare would have been told.
type RegisterRequest struct {
	ID          string   `json:"id,omitempty"`
	Path        string   `json:"path,omitempty" jsonschema:"below staging/"`
	Name        sdk.Name `json:"name,omitempty" jsonschema:"default: the last part of path"`
	ContentType string   `json:"contentType,omitempty"`
	Tags        []string `json:"tags,omitempty"`
	IsPermanent bool     `json:"isPermanent,omitempty"`
	MaxAgeDays  Days     `json:"maxAgeDays,omitempty"`
}

// Get shows a file, or returns ErrFileNotFound.
var Get = sdk.Command[FileRequest, sdk.FileInfo]{Name: "files.Get", Summary: "Show a file."}

// Download sends the bytes, with ranges and ETag.
var Download = sdk.Command[FileRequest, sdk.File]{Name: "files.Download", Summary: "Download the bytes of a file."}

// Delete removes a file and its bytes.
var Delete = sdk.Command[FileRequest, sdk.None]{Name: "files.Delete", Summary: "Delete a file and its bytes."}
