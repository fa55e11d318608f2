// Command plugin-hop does nothing, so that what a call of a plugin costs can be
// measured alone.
package main

import "github.com/keboola/duckdb-storage/sdk"

// name is set by the build, to have several.
var name = "hop"

func main() {
	p := sdk.New(name, "0.1.0")
	nothing := sdk.Command[struct{}, struct{}]{Name: name + ".Nothing", Summary: "Do nothing."}
	sdk.Handle(p, nothing, func(*sdk.Context, struct{}) (struct{}, error) { return struct{}{}, nil },
		sdk.GET(sdk.Catalog+"/x/"+name), sdk.Permission(name+":read"))
	sdk.Serve(p)
}
