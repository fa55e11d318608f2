package projects

import (
	"os"

	"github.com/keboola/duckdb-storage/core/internal/registry"
	"github.com/keboola/duckdb-storage/sdk"
	"github.com/keboola/duckdb-storage/sdk/sql"
)

// List shows every project.
var List = sdk.Command[ListRequest, ListResponse]{Name: "projects.List", Summary: "List the projects by id."}

// ListRequest is a page of the list.
type ListRequest struct {
	Limit     sdk.PageLimit `json:"limit,omitempty" in:"query"`
	PageToken string        `json:"pageToken,omitempty" in:"query"`
}

// ListResponse is one page.
type ListResponse struct {
	Items         []Project `json:"items"`
	NextPageToken string    `json:"nextPageToken,omitempty"`
}

func (c *Commands) list(_ *sdk.Context, in ListRequest) (ListResponse, error) {
	out := ListResponse{Items: []Project{}}
	for _, p := range c.Registry.Projects(registry.Active) {
		if p.ID <= in.PageToken {
			continue
		}
		if len(out.Items) == in.Limit.OrDefault() {
			out.NextPageToken = out.Items[len(out.Items)-1].ID
			break
		}
		view, err := show(p)
		if err != nil {
			return ListResponse{}, err
		}
		out.Items = append(out.Items, view)
	}
	return out, nil
}

// Info shows a project and what is in it.
var Info = sdk.Command[NoRequest, InfoResponse]{Name: "projects.Info", Summary: "Show a project, its counts, its size and its buckets."}

// InfoResponse is a project with what is in it.
type InfoResponse struct {
	Project
	BucketsCount  int      `json:"bucketsCount"`
	TablesCount   int      `json:"tablesCount"`
	BranchesCount int      `json:"branchesCount" jsonschema:"dev branches, the default one not counted"`
	SizeBytes     int64    `json:"sizeBytes" jsonschema:"of the project's DuckDB file and its log"`
	Objects       []Object `json:"objects"`
}

// Object is a schema of the project.
type Object struct {
	Name string `json:"name"`
	Type string `json:"type" jsonschema:"BUCKET"`
}

func (c *Commands) info(ctx *sdk.Context, _ NoRequest) (InfoResponse, error) {
	p, err := c.Registry.Project(ctx.Project())
	if err != nil {
		return InfoResponse{}, err
	}
	view, err := show(p)
	if err != nil {
		return InfoResponse{}, err
	}
	out := InfoResponse{Project: view, Objects: []Object{}}
	type content struct {
		Buckets []string `json:"buckets"`
		Tables  int      `json:"tables"`
	}
	found, err := sdk.Query[content](ctx, sql.New(`
		SELECT
			(SELECT coalesce(list(schema_name ORDER BY schema_name), []) FROM duckdb_schemas()
				WHERE database_name = current_database() AND NOT internal AND NOT starts_with(schema_name, ?)) AS buckets,
			(SELECT count(*) FROM duckdb_tables()
				WHERE database_name = current_database() AND NOT internal AND NOT starts_with(schema_name, ?)) AS tables`,
		sdk.MetadataPrefix, sdk.MetadataPrefix))
	if err != nil {
		return InfoResponse{}, err
	}
	out.BucketsCount, out.TablesCount = len(found[0].Buckets), found[0].Tables
	for _, name := range found[0].Buckets {
		out.Objects = append(out.Objects, Object{Name: name, Type: "BUCKET"})
	}
	// The file is asked for its size but never opened: closing any descriptor of
	// it would drop DuckDB's lock.
	for _, path := range []string{c.catalog(p.ID).Path, c.catalog(p.ID).Path + ".wal"} {
		if stat, err := os.Stat(path); err == nil {
			out.SizeBytes += stat.Size()
		}
	}
	return out, nil
}
