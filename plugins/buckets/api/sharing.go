package api

import (
	"github.com/keboola/duckdb-storage/sdk"
	"github.com/keboola/duckdb-storage/sdk/hostapi"
)

// Share lets other projects link a bucket and returns the handle for that; again, the
// same one. Whoever has the handle can link the bucket. It refuses a linked bucket with
// sdk.ErrConflict.
var Share = sdk.Command[BucketRequest, ShareResponse]{Name: "buckets.Share", Summary: "Share a bucket: whoever has the handle can link it."}

// ShareResponse has the handle.
type ShareResponse struct {
	ShareHandle string `json:"shareHandle" jsonschema:"for POST …/buckets/{bucket}/link of the project that is to read the bucket"`
}

// Unshare ends the reading through all links of a bucket. The links stay until they are
// removed; they do not come back with a new share. It is fine if there was no share.
var Unshare = sdk.Command[BucketRequest, sdk.None]{Name: "buckets.Unshare", Summary: "End the share of a bucket: nothing can be read through its links any more."}

// Link makes a bucket that shows a shared one of any project, this one included: its
// tables as they are at any moment, to read. It returns hostapi.ErrShareNotFound for a
// handle that is not valid, sdk.ErrBucketExists and sdk.ErrReservedName for the name.
var Link = sdk.Command[LinkRequest, Bucket]{Name: "buckets.Link", Summary: "Make a read-only bucket that shows a shared one."}

// LinkRequest names the new bucket and what it shows.
type LinkRequest struct {
	Bucket      sdk.Name `json:"bucket" in:"path" jsonschema:"the bucket to make"`
	ShareHandle string   `json:"shareHandle" jsonschema:"as the share of the source answered it"`
}

// Unlink removes a linked bucket and nothing of its source. It returns
// hostapi.ErrLinkNotFound for a bucket that is not linked.
var Unlink = sdk.Command[BucketRequest, sdk.None]{Name: "buckets.Unlink", Summary: "Remove a linked bucket; its source stays as it is."}

// RevokeLinks removes the links that a project has to a bucket of this one. It returns
// hostapi.ErrLinkNotFound if there is none. The share goes on: with its handle the
// project can link the bucket again.
var RevokeLinks = sdk.Command[RevokeLinksRequest, sdk.None]{Name: "buckets.RevokeLinks", Summary: "Remove the links that a project has to a bucket of this one."}

// RevokeLinksRequest says which links.
type RevokeLinksRequest struct {
	Bucket        sdk.Name `json:"bucket" in:"path"`
	TargetProject string   `json:"targetProject" in:"path" jsonschema:"project that has the links"`
	TargetBucket  sdk.Name `json:"targetBucket,omitempty" in:"query" jsonschema:"linked bucket of that project; default all"`
}

// ShareDetail is a share and who links to it.
type ShareDetail struct {
	ShareHandle string         `json:"shareHandle,omitempty" jsonschema:"not for keys that may only read"`
	Created     string         `json:"created" jsonschema:"RFC 3339, UTC"`
	LinkedBy    []hostapi.Link `json:"linkedBy"`
}

// GrantReadOnly lets read-only keys and workspaces read a bucket, as they may read each
// new one; RevokeReadOnly takes that away. Both may be repeated.
var (
	GrantReadOnly  = sdk.Command[BucketRequest, Bucket]{Name: "buckets.GrantReadOnly", Summary: "Let read-only keys and workspaces read a bucket, as they may read each new one."}
	RevokeReadOnly = sdk.Command[BucketRequest, sdk.None]{Name: "buckets.RevokeReadOnly", Summary: "Close a bucket to read-only keys and workspaces."}
)
