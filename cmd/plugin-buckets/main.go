// Command plugin-buckets is the buckets area as a process. The host starts it.
package main

import (
	"github.com/keboola/duckdb-storage/plugins/buckets"
	"github.com/keboola/duckdb-storage/sdk"
)

var version = "0.1.0"

func main() { sdk.Serve(buckets.Plugin(version)) }
