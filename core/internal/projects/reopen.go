package projects

import (
	"github.com/keboola/duckdb-storage/core/internal/plan"
	"github.com/keboola/duckdb-storage/sdk"
	pluginv1 "github.com/keboola/duckdb-storage/sdk/proto/duckdbstorage/plugin/v1"
)

// Reopen closes the database file of a project and opens it again.
var Reopen = sdk.Command[NoRequest, sdk.None]{Name: "projects.Reopen", Summary: "Close the project's DuckDB file and open it again; needed when a file that could not be opened is to be tried again as it is."}

// reopen answers with the problem of a file that still cannot be opened. Requests of
// a healthy project may go on for a while, and then end so that they can be repeated.
func (c *Commands) reopen(ctx *sdk.Context, _ NoRequest) (sdk.None, error) {
	if _, err := c.Registry.Project(ctx.Project()); err != nil {
		return sdk.None{}, err
	}
	if err := c.Executor.Engine.Reopen(ctx, c.catalog(ctx.Project())); err != nil {
		return sdk.None{}, err
	}
	s, err := c.Executor.Session(ctx, &pluginv1.Target{Project: ctx.Project(), Branch: plan.DefaultBranch})
	if err != nil {
		return sdk.None{}, err
	}
	s.Close()
	return sdk.None{}, nil
}
