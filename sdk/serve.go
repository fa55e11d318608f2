package sdk

import "github.com/keboola/duckdb-storage/sdk/internal/wire"

// Serve runs the plugin as a process of its own until the host ends it. It is
// all that a plugin's main does:
//
//	func main() { sdk.Serve(tables.Plugin()) }
func Serve(p *Plugin) { wire.Serve(p) }
