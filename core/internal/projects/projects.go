// Package projects holds the core's own commands: the backend, the life of a
// project's files, and queries. They are declared and answered as any plugin's
// commands are; what sets them apart is that they hold the engine and the
// registry. Start with [Commands].
package projects

import (
	"context"

	"github.com/keboola/duckdb-storage/core/internal/doctor"
	"github.com/keboola/duckdb-storage/core/internal/links"
	"github.com/keboola/duckdb-storage/core/internal/plan"
	"github.com/keboola/duckdb-storage/core/internal/queue"
	"github.com/keboola/duckdb-storage/core/internal/registry"
	"github.com/keboola/duckdb-storage/sdk"
	"github.com/keboola/duckdb-storage/sdk/hostapi"
)

// Commands is what the commands work with.
type Commands struct {
	Executor *plan.Executor
	Registry *registry.Registry
	Links    *links.Links
	// Turns lets one request at a time make or remove the project of an id: it does so in
	// several steps, and none of them may meet those of another request.
	Turns   *queue.Queue
	Version string // of the service
	// Examine checks the service and where it runs.
	Examine func(context.Context) []doctor.Check
}

const projectPath = "/projects/{project}"

// Plugin declares the commands.
func (c *Commands) Plugin() *sdk.Plugin {
	p := sdk.New("core", c.Version)
	sdk.Handle(p, InitBackend, c.initBackend, sdk.POST("/backend/init"), sdk.Permission(sdk.AdminOnly))
	sdk.Handle(p, RemoveBackend, c.removeBackend, sdk.POST("/backend/remove"), sdk.Permission(sdk.AdminOnly))
	sdk.Handle(p, Create, c.create, sdk.POST("/projects", sdk.Status(201)), sdk.Permission(sdk.AdminOnly), sdk.Writes(), sdk.Secret())
	sdk.Handle(p, List, c.list, sdk.GET("/projects"), sdk.Permission(sdk.AdminOnly))
	sdk.Handle(p, Info, c.info, sdk.GET(projectPath), sdk.GET(projectPath+"/info"), sdk.Permission("project:read"))
	sdk.Handle(p, Update, c.update, sdk.PUT(projectPath), sdk.Permission("project:write"), sdk.Writes())
	sdk.Handle(p, Drop, c.drop, sdk.DELETE(projectPath), sdk.Permission(sdk.AdminOnly), sdk.Writes(), sdk.Fails(hostapi.ErrBucketLinked))
	sdk.Handle(p, Reopen, c.reopen, sdk.POST("/admin"+projectPath+"/reopen"), sdk.Permission(sdk.AdminOnly), sdk.Writes())
	sdk.Handle(p, Queues, c.queues, sdk.GET("/admin/queues"), sdk.Permission(sdk.AdminOnly))
	sdk.Handle(p, Query, c.query, sdk.POST(sdk.Catalog+"/query"), sdk.Permission(ReadQuery), sdk.Writes(), sdk.Fails(hostapi.ErrBucketLinked))
	return p
}

// Project is a project as the API shows it.
type Project struct {
	ID                      string         `json:"id"`
	Name                    string         `json:"name"`
	Created                 string         `json:"created" jsonschema:"RFC 3339, UTC"`
	DataRetentionTimeInDays int            `json:"dataRetentionTimeInDays"`
	Timezone                string         `json:"timezone"`
	Settings                map[string]any `json:"settings"`
}

// NoRequest is the input of a command that takes none.
type NoRequest struct{}
