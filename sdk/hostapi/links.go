// Package hostapi holds commands of the host itself that plugins call, as typed
// values: what takes more than one project, which no plan of a plugin can reach.
// They have no routes. Start with [CreateLink].
package hostapi

import (
	"crypto/rand"
	"strings"

	"github.com/keboola/duckdb-storage/sdk"
)

// CreateLink makes a bucket of the caller's project that shows a shared bucket, of
// another project or of the same one: its tables, as they are at any moment, to read.
// When it returns, the link is durable and can be read.
//
// It returns ErrShareNotFound for a handle that is unknown, malformed or withdrawn,
// sdk.ErrReservedName and sdk.ErrBucketExists for the name. Linking projects for the
// first time moves their databases together: it waits up to 10 seconds for what
// runs in them, and ends that with an error that can be retried. After an error there is no
// link, and the call may be repeated.
var CreateLink = sdk.Command[CreateLinkRequest, CreateLinkResponse]{Name: "links.Create", Summary: "Link a shared bucket into the project."}

// CreateLinkRequest names the new bucket and what it shows.
type CreateLinkRequest struct {
	Bucket      sdk.Name `json:"bucket" jsonschema:"name of the new bucket in this project"`
	ShareHandle string   `json:"shareHandle" jsonschema:"as the share of the source answered it"`
}

// CreateLinkResponse is the source of the link.
type CreateLinkResponse struct {
	SourceProject string `json:"sourceProject"`
	SourceBucket  string `json:"sourceBucket"`
}

// RemoveLink removes a linked bucket from the caller's project. The source is not
// touched. It returns sdk.ErrBucketNotFound if there is no such bucket, and ErrLinkNotFound if
// it is not a linked one.
var RemoveLink = sdk.Command[RemoveLinkRequest, sdk.None]{Name: "links.Remove", Summary: "Remove a linked bucket from the project; the source stays."}

// RemoveLinkRequest names the linked bucket.
type RemoveLinkRequest struct {
	Bucket sdk.Name `json:"bucket" jsonschema:"linked bucket of this project"`
}

// RevokeLinks removes links to a bucket of the caller's project from the projects that
// have them. None is fine. A project whose file cannot be opened is an error, after
// all others are done: the call may be repeated.
var RevokeLinks = sdk.Command[RevokeLinksRequest, RevokeLinksResponse]{Name: "links.Revoke", Summary: "Remove links that projects have to a bucket of this project."}

// RevokeLinksRequest says which links.
type RevokeLinksRequest struct {
	Bucket       sdk.Name `json:"bucket" jsonschema:"bucket of this project"`
	Project      string   `json:"project,omitempty" jsonschema:"that has the links; empty is every one"`
	TargetBucket sdk.Name `json:"targetBucket,omitempty" jsonschema:"linked bucket of that project; empty is every one"`
}

// RevokeLinksResponse lists the links that were removed.
type RevokeLinksResponse struct {
	Items []Link `json:"items"`
}

// ListLinks tells who links to a bucket of the caller's project. Links that are being
// made now count.
var ListLinks = sdk.Command[ListLinksRequest, ListLinksResponse]{Name: "links.List", Summary: "List the projects that link to a bucket of this project."}

// ListLinksRequest names the bucket.
type ListLinksRequest struct {
	Bucket sdk.Name `json:"bucket" jsonschema:"bucket of this project"`
}

// ListLinksResponse lists the links by project and bucket.
type ListLinksResponse struct {
	Items []Link `json:"items"`
}

// Link is a bucket that shows another one.
type Link struct {
	ProjectID string `json:"projectId" jsonschema:"that has the link"`
	Bucket    string `json:"bucket" jsonschema:"its linked bucket"`
	Created   string `json:"created" jsonschema:"RFC 3339, UTC"`
}

// The problems of sharing.
var (
	// ErrShareNotFound is the same for a handle that never was and one that was
	// withdrawn: who asks learns nothing of other projects.
	ErrShareNotFound = sdk.Code{Slug: "share-not-found", Title: "Share not found", Kind: sdk.NotFound, Driver: 2000}
	// ErrLinkNotFound is a bucket that is there but not linked.
	ErrLinkNotFound = sdk.Code{Slug: "link-not-found", Title: "The bucket is not linked", Kind: sdk.NotFound, Driver: 2000}
	// ErrBucketLinked refuses to remove what other buckets show.
	ErrBucketLinked = sdk.Code{Slug: "bucket-linked", Title: "Bucket is linked", Kind: sdk.Conflict, Driver: 3000}
)

// NewShareHandle makes the handle of a share: it says in which project to look, and
// its 26 random characters (130 bits) cannot be guessed.
func NewShareHandle(project string) string { return project + "." + rand.Text() }

// ShareProject returns the project of a share handle; ok is false for what is none.
func ShareProject(handle string) (project string, ok bool) {
	project, secret, ok := strings.Cut(handle, ".")
	return project, ok && project != "" && len(secret) == secretLength
}

// secretLength is that of rand.Text.
const secretLength = 26

// Codes lists the problem types above.
func Codes() []sdk.Code { return []sdk.Code{ErrShareNotFound, ErrLinkNotFound, ErrBucketLinked} }
