// Package api holds the commands of the buckets area as typed values, for other
// plugins to Call.
package api

import "github.com/keboola/duckdb-storage/sdk"

// Create makes an empty bucket. It returns ErrBucketExists if there is one of
// that name in any case, and ErrReservedName.
var Create = sdk.Command[CreateRequest, Bucket]{Name: "buckets.Create", Summary: "Create a bucket: a schema of the project's catalog."}

// CreateRequest is the bucket to make.
type CreateRequest struct {
	Name        sdk.Name `json:"name" jsonschema:"kept verbatim, for example in.c-main"`
	Description string   `json:"description,omitempty"`
}

// List shows the buckets by name.
var List = sdk.Command[ListRequest, ListResponse]{Name: "buckets.List", Summary: "List the buckets by name."}

// ListRequest is a page of the list.
type ListRequest struct {
	Limit     sdk.PageLimit `json:"limit,omitempty" in:"query"`
	PageToken string        `json:"pageToken,omitempty" in:"query"`
}

// ListResponse is one page.
type ListResponse struct {
	Items         []Bucket `json:"items"`
	NextPageToken string   `json:"nextPageToken,omitempty"`
}

// Info shows a bucket with its tables, or returns ErrBucketNotFound.
var Info = sdk.Command[InfoRequest, Detail]{Name: "buckets.Info", Summary: "Show a bucket and its tables."}

// InfoRequest names the bucket.
type InfoRequest struct {
	Bucket sdk.Name `json:"bucket" in:"path"`
}

// Update changes what a bucket says of itself. It may be a linked one.
var Update = sdk.Command[UpdateRequest, Bucket]{Name: "buckets.Update", Summary: "Change the description of a bucket."}

// UpdateRequest names the bucket.
type UpdateRequest struct {
	Bucket      sdk.Name `json:"bucket" in:"path"`
	Description string   `json:"description"`
}

// Drop removes a bucket. One that holds tables is refused with ErrNotEmpty
// unless Cascade is set; then they go with it. One that others link is refused with
// hostapi.ErrBucketLinked unless Force is set; then the share ends, the links go first,
// and a drop that fails after that may be repeated. A linked bucket is refused with
// sdk.ErrDenied: Unlink removes it.
var Drop = sdk.Command[DropRequest, sdk.None]{Name: "buckets.Drop", Summary: "Remove a bucket; with cascade, its tables too; with force, also one that other projects link."}

// DropRequest names the bucket.
type DropRequest struct {
	Bucket  sdk.Name `json:"bucket" in:"path"`
	Cascade bool     `json:"cascade,omitempty" in:"query" jsonschema:"the tables go with it"`
	Force   bool     `json:"force,omitempty" in:"query" jsonschema:"links of other buckets to it go with it"`
}

// BucketRequest names a bucket.
type BucketRequest struct {
	Bucket sdk.Name `json:"bucket" in:"path"`
}

// Bucket is a bucket as the API shows it. Sizes are in bytes; those of a linked bucket
// are of its source.
type Bucket struct {
	Name           string        `json:"name"`
	Description    string        `json:"description"`
	Created        string        `json:"created" jsonschema:"RFC 3339, UTC; empty if it was made by SQL"`
	IsReadOnly     bool          `json:"isReadOnly"`
	IsLinked       bool          `json:"isLinked"`
	ReadOnlyAccess bool          `json:"readOnlyAccess" jsonschema:"read-only keys and workspaces may read it"`
	TablesCount    int64         `json:"tablesCount"`
	SizeBytes      int64         `json:"sizeBytes"`
	SourceBucket   *SourceBucket `json:"sourceBucket" jsonschema:"what a linked bucket shows; null for any other"`
}

// SourceBucket is what a linked bucket shows.
type SourceBucket struct {
	ProjectID   string `json:"projectId"`
	Name        string `json:"name"`
	IsAvailable bool   `json:"isAvailable" jsonschema:"false when it is gone or no longer shared: then the linked bucket has no tables"`
}

// Detail is a bucket with its tables.
type Detail struct {
	Bucket
	Tables []Object     `json:"tables"`
	Share  *ShareDetail `json:"share" jsonschema:"null for a bucket that is not shared"`
}

// Object is a table or view of a bucket; of a linked one, what it is in the source.
type Object struct {
	Name string `json:"name"`
	Type string `json:"type" jsonschema:"TABLE or VIEW"`
}

// ErrNotEmpty refuses to drop a bucket that holds tables.
var ErrNotEmpty = sdk.Code{Slug: "bucket-not-empty", Title: "Bucket is not empty", Kind: sdk.Conflict, Driver: 3000}
