package api

import "github.com/keboola/duckdb-storage/sdk"

// The events of buckets. They tell of this area's commands: a schema that a statement
// of a user made or dropped has none.
var (
	Created = sdk.Event[BucketEvent]{Name: "buckets.Created", Summary: "A bucket was created."}
	Dropped = sdk.Event[BucketEvent]{Name: "buckets.Dropped", Summary: "A bucket was dropped, with all tables that it held."}
)

// BucketEvent names the bucket.
type BucketEvent struct {
	Bucket string `json:"bucket"`
}
