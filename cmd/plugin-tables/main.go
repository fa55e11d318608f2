// Command plugin-tables is the tables area as a process. The host starts it.
package main

import (
	"github.com/keboola/duckdb-storage/plugins/tables"
	"github.com/keboola/duckdb-storage/sdk"
)

var version = "0.1.0"

func main() { sdk.Serve(tables.Plugin(version)) }
