package projects

import (
	"strings"

	"github.com/keboola/duckdb-storage/core/internal/doctor"
	"github.com/keboola/duckdb-storage/sdk"
)

// InitBackend checks that the service can work and changes nothing.
var InitBackend = sdk.Command[NoRequest, InitResponse]{
	Name: "backend.Init", Summary: "Check folders, space, limits, DuckDB, clock, plugins and configuration, and report every problem at once.",
}

// InitResponse lists what was checked. None of the checks failed.
type InitResponse struct {
	Status        string         `json:"status" jsonschema:"ok; warnings are among the checks"`
	Checks        []doctor.Check `json:"checks"`
	Version       string         `json:"version"`
	DuckDBVersion string         `json:"duckdbVersion"`
}

func (c *Commands) initBackend(ctx *sdk.Context, _ NoRequest) (InitResponse, error) {
	checks := c.Examine(ctx)
	if failures := doctor.Failures(checks); len(failures) > 0 {
		err := sdk.ErrInvalid.Errorf("Cannot initialize backend. Following errors were encountered:\n%s", strings.Join(failures, "\n"))
		for _, k := range checks {
			if k.Status == doctor.Failed {
				err = err.With(k.Name, k.Detail)
			}
		}
		return InitResponse{}, err
	}
	version, err := c.Executor.Engine.Version(ctx)
	return InitResponse{Status: string(doctor.OK), Checks: checks, Version: c.Version, DuckDBVersion: version}, err
}

// RemoveBackend does nothing, as in Keboola: it must never delete data.
var RemoveBackend = sdk.Command[NoRequest, sdk.None]{Name: "backend.Remove", Summary: "Take leave of the backend. Deletes nothing."}

func (c *Commands) removeBackend(*sdk.Context, NoRequest) (sdk.None, error) { return sdk.None{}, nil }
