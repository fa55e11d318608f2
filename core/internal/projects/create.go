package projects

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"maps"
	"os"
	"time"

	"github.com/google/jsonschema-go/jsonschema"

	"github.com/keboola/duckdb-storage/core/internal/auth"
	"github.com/keboola/duckdb-storage/core/internal/disk"
	"github.com/keboola/duckdb-storage/core/internal/engine"
	"github.com/keboola/duckdb-storage/core/internal/plan"
	"github.com/keboola/duckdb-storage/core/internal/registry"
	"github.com/keboola/duckdb-storage/sdk"
	"github.com/keboola/duckdb-storage/sdk/hostapi"
)

// ID is a project's id: 1 to 64 letters, digits, dashes and underscores.
type ID string

// JSONSchema describes the id.
func (ID) JSONSchema() *jsonschema.Schema {
	return &jsonschema.Schema{Type: "string", Pattern: `^[A-Za-z0-9_-]{1,64}$`}
}

// Create makes a project and its first key.
var Create = sdk.Command[CreateRequest, CreateResponse]{Name: "projects.Create", Summary: "Create a project with its DuckDB file; the answer holds its key, once."}

// CreateRequest is the project to make.
type CreateRequest struct {
	ID                      ID             `json:"id"`
	Name                    string         `json:"name,omitempty"`
	DataRetentionTimeInDays int            `json:"dataRetentionTimeInDays,omitempty" jsonschema:"days that drive time travel; default 7"`
	Settings                map[string]any `json:"settings,omitempty"`
}

// CreateResponse is the project with its key.
type CreateResponse struct {
	Project
	KeyID  string `json:"keyId" jsonschema:"id of the project's first key, which may do everything in it"`
	APIKey string `json:"apiKey" jsonschema:"secret of that key; shown only here"`
}

// defaultRetentionDays is Keboola's default for time travel.
const defaultRetentionDays = 7

func (c *Commands) create(ctx *sdk.Context, in CreateRequest) (CreateResponse, error) {
	settings, err := json.Marshal(in.Settings)
	if err != nil {
		return CreateResponse{}, err
	}
	if in.Settings == nil {
		settings = []byte("{}")
	}
	p := registry.Project{
		ID: string(in.ID), Name: in.Name, DataRetentionDays: in.DataRetentionTimeInDays, Timezone: "UTC",
		Settings: settings, Created: time.Now().UTC().Truncate(time.Second),
	}
	if err := checkRetention(p.DataRetentionDays); err != nil {
		return CreateResponse{}, err
	}
	if p.DataRetentionDays == 0 {
		p.DataRetentionDays = defaultRetentionDays
	}
	release, err := c.Turns.Acquire(ctx, "project "+p.ID)
	if err != nil {
		return CreateResponse{}, err
	}
	defer release()
	if err := c.Registry.Reserve(ctx, p, func() error { return c.unclaimed(p.ID) }); err != nil {
		return CreateResponse{}, err
	}
	secret, key := auth.NewKey(registry.Key{Project: p.ID, Description: "made with the project", Level: sdk.LevelAdmin, Created: p.Created})
	if err := c.bringUp(ctx, p, key); err != nil {
		return CreateResponse{}, err
	}
	view, err := show(p)
	return CreateResponse{Project: view, KeyID: key.ID, APIKey: secret}, err
}

// unclaimed refuses an id whose files are there already. They belong to somebody,
// perhaps to a project whose registry was restored from an older copy, and must
// be left alone, by the sweep after a crash as well.
func (c *Commands) unclaimed(id string) error {
	for _, path := range []string{c.catalog(id).Path, c.Executor.Layout.Files(id)} {
		_, err := os.Lstat(path)
		if err == nil {
			return sdk.ErrProjectExists.Errorf("project %q is not registered, but %s exists; move it away first", id, path)
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return disk.Explain(err)
		}
	}
	return nil
}

// bringUp makes the files of a reserved project and activates it, or undoes the
// reservation.
func (c *Commands) bringUp(ctx context.Context, p registry.Project, key registry.Key) error {
	err := c.Executor.Files.CreateProject(p.ID)
	if err == nil {
		err = c.Executor.Engine.Create(ctx, c.catalog(p.ID))
	}
	if err == nil {
		err = c.Registry.Activate(ctx, p, key)
	}
	if err != nil {
		return errors.Join(err, c.remove(context.WithoutCancel(ctx), p.ID))
	}
	return nil
}

// Update changes what is known of a project.
var Update = sdk.Command[UpdateRequest, Project]{Name: "projects.Update", Summary: "Change name, settings, retention or time zone of a project."}

// UpdateRequest holds what is to change; a missing member stays.
type UpdateRequest struct {
	Name                    *string        `json:"name,omitempty"`
	DataRetentionTimeInDays *int           `json:"dataRetentionTimeInDays,omitempty"`
	Timezone                *string        `json:"timezone,omitempty" jsonschema:"IANA name, for example Europe/Prague"`
	Settings                map[string]any `json:"settings,omitempty" jsonschema:"members to set; a member set to null is removed"`
}

func (c *Commands) update(ctx *sdk.Context, in UpdateRequest) (Project, error) {
	p, err := c.Registry.Change(ctx, ctx.Project(), in.apply)
	if err != nil {
		return Project{}, err
	}
	return show(p)
}

func (in UpdateRequest) apply(p *registry.Project) (err error) {
	if in.Name != nil {
		p.Name = *in.Name
	}
	if in.DataRetentionTimeInDays != nil {
		if err := checkRetention(*in.DataRetentionTimeInDays); err != nil {
			return err
		}
		p.DataRetentionDays = *in.DataRetentionTimeInDays
	}
	if in.Timezone != nil {
		// Go takes two names that are none: the machine's zone, and nothing.
		if _, err := time.LoadLocation(*in.Timezone); err != nil || *in.Timezone == "Local" || *in.Timezone == "" {
			return sdk.ErrInvalid.Errorf("time zone %q is not known; use an IANA name such as Europe/Prague", *in.Timezone).At("/timezone")
		}
		p.Timezone = *in.Timezone
	}
	p.Settings, err = mergeSettings(p.Settings, in.Settings)
	return err
}

func checkRetention(days int) error {
	if days < 0 {
		return sdk.ErrInvalid.Errorf("dataRetentionTimeInDays must not be negative").At("/dataRetentionTimeInDays")
	}
	return nil
}

func mergeSettings(old json.RawMessage, changes map[string]any) (json.RawMessage, error) {
	merged := map[string]any{}
	if err := json.Unmarshal(old, &merged); err != nil {
		return nil, err
	}
	maps.Copy(merged, changes)
	maps.DeleteFunc(merged, func(_ string, v any) bool { return v == nil })
	return json.Marshal(merged)
}

// Drop removes a project with everything in it. One whose buckets other projects link to
// is refused with hostapi.ErrBucketLinked unless Force is set: then those links go first.
var Drop = sdk.Command[DropRequest, sdk.None]{Name: "projects.Drop", Summary: "Remove a project: its tables, its files, its keys; with force, also the links that others have to it."}

// DropRequest says how.
type DropRequest struct {
	Force bool `json:"force,omitempty" in:"query" jsonschema:"remove the buckets of other projects that are linked to this one"`
}

// dropAttempts is how often a forced drop removes links that were made meanwhile.
const dropAttempts = 3

func (c *Commands) drop(ctx *sdk.Context, in DropRequest) (sdk.None, error) {
	release, err := c.Turns.Acquire(ctx, "project "+ctx.Project())
	if err != nil {
		return sdk.None{}, err
	}
	defer release()
	for attempt := 1; ; attempt++ {
		err := c.Links.Release(ctx, ctx.Project(), in.Force)
		if err == nil {
			err = c.Registry.BeginDrop(ctx, ctx.Project())
		}
		if err == nil {
			break
		}
		if !in.Force || !errors.Is(err, hostapi.ErrBucketLinked) || attempt == dropAttempts {
			return sdk.None{}, err
		}
	}
	// The project is gone for every client from here on; a crash or a client
	// that leaves must not bring it back. After an error the drop can be repeated.
	return sdk.None{}, c.remove(context.WithoutCancel(ctx), ctx.Project())
}

func (c *Commands) remove(ctx context.Context, id string) error {
	if err := c.Executor.Engine.Drop(ctx, c.catalog(id)); err != nil {
		return disk.Explain(err)
	}
	if err := c.Executor.Files.DropProject(ctx, id); err != nil {
		return disk.Explain(err)
	}
	return c.Registry.Forget(ctx, id)
}

// Sweep finishes what a crash left half made or half removed. It runs before
// the first request and returns how many projects it put right.
func (c *Commands) Sweep(ctx context.Context) (int, error) {
	half := append(c.Registry.Projects(registry.Creating), c.Registry.Projects(registry.Dropping)...)
	for _, p := range half {
		if err := c.remove(ctx, p.ID); err != nil {
			return 0, err
		}
	}
	return len(half), nil
}

func (c *Commands) catalog(project string) engine.Catalog {
	return engine.Project(c.Executor.Layout, project, plan.DefaultBranch)
}

func show(p registry.Project) (Project, error) {
	out := Project{
		ID: p.ID, Name: p.Name, Created: p.Created.Format(time.RFC3339),
		DataRetentionTimeInDays: p.DataRetentionDays, Timezone: p.Timezone,
	}
	return out, json.Unmarshal(p.Settings, &out.Settings)
}
