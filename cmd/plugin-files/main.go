// Command plugin-files is the files area as a process. The host starts it.
package main

import (
	"github.com/keboola/duckdb-storage/plugins/files"
	"github.com/keboola/duckdb-storage/sdk"
)

var version = "0.1.0"

func main() { sdk.Serve(files.Plugin(version)) }
