// Command duckdb-storage is the host of DuckDB Storage.
package main

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"
)

// version is set by the build.
var version = "0.1.0-dev"

func main() {
	root := &cobra.Command{
		Use:           "duckdb-storage",
		Short:         "On-premise storage backend for Keboola on DuckDB",
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.AddCommand(serveCommand(), pluginsCommand(), doctorCommand(), versionCommand())
	if err := root.Execute(); err != nil {
		fmt.Fprintln(os.Stderr, "duckdb-storage:", err)
		os.Exit(1)
	}
}
