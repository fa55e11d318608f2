package sdk

import (
	"os"

	"github.com/keboola/duckdb-storage/sdk/internal/wire"
)

// Serve runs the plugin as a process of its own until the host ends it. It is
// all that a plugin's main does:
//
//	func main() { sdk.Serve(tables.Plugin()) }
//
// Run by hand, the program says what it is. --manifest and --doc print what it
// offers, as JSON and as Markdown; --debug serves for a debugger. Its exit status is
// 1 when it was not the host that started it, and 2 for an argument that it does not know.
func Serve(p *Plugin) { os.Exit(wire.Main(p, os.Args[1:], os.Stdout, os.Stderr)) }
