package jobs

import (
	"cmp"
	"encoding/json"
	"time"

	"github.com/google/jsonschema-go/jsonschema"

	"github.com/keboola/duckdb-storage/core/internal/auth"
	"github.com/keboola/duckdb-storage/core/internal/registry"
	"github.com/keboola/duckdb-storage/sdk"
)

// Job is a job as the API shows it.
type Job struct {
	ID        string   `json:"id"`
	Command   string   `json:"command"`
	State     State    `json:"state"`
	Progress  *float64 `json:"progress" jsonschema:"from 0 to 1; null when unknown"`
	Message   string   `json:"message" jsonschema:"what the command says that it does"`
	Project   string   `json:"project" jsonschema:"empty for a command of the service as a whole"`
	Branch    string   `json:"branch"`
	Subject   string   `json:"subject" jsonschema:"name of the key that asked"`
	RequestID string   `json:"requestId"`
	RunID     string   `json:"runId"`
	QueuedAt  string   `json:"queuedAt" jsonschema:"RFC 3339, UTC"`
	StartedAt *string  `json:"startedAt"`
	EndedAt   *string  `json:"endedAt"`
	Result    any      `json:"result" jsonschema:"what the command answered; null when nothing, before the end, and in a list when it is over 4000 bytes"`
	Error     any      `json:"error" jsonschema:"the problem that the command was answered with, or null; as result"`
}

// State is the state of a job.
type State string

// JSONSchema lists the states.
func (State) JSONSchema() *jsonschema.Schema {
	return &jsonschema.Schema{Type: "string", Enum: []any{
		string(registry.JobWaiting), string(registry.JobProcessing), string(registry.JobSuccess), string(registry.JobError), string(registry.JobCancelled),
	}}
}

// Show is a job as the API shows it.
func Show(j registry.Job) Job {
	return Job{
		ID: j.ID, Command: j.Command, State: State(j.State), Progress: j.Progress, Message: j.Message, Project: j.Project, Branch: j.Branch,
		Subject: j.Subject, RequestID: j.RequestID, RunID: j.RunID,
		QueuedAt: *moment(j.Queued), StartedAt: moment(j.Started), EndedAt: moment(j.Ended), Result: orNull(j.Result), Error: orNull(j.Error),
	}
}

// moment is a time in the API; nil for one that has not come.
func moment(t time.Time) *string {
	if t.IsZero() {
		return nil
	}
	text := t.UTC().Format("2006-01-02T15:04:05.000Z")
	return &text
}

func orNull(raw json.RawMessage) any {
	if len(raw) == 0 {
		return nil
	}
	return raw
}

// The commands.
var (
	List   = sdk.Command[ListRequest, ListResponse]{Name: "jobs.List", Summary: "List jobs, the newest first."}
	Get    = sdk.Command[IDRequest, Job]{Name: "jobs.Get", Summary: "Show a job: its state, its progress, its result."}
	Cancel = sdk.Command[IDRequest, Job]{Name: "jobs.Cancel", Summary: "Cancel a job that waits or runs; nothing half of it stays."}
)

// ListRequest is a page of the list.
type ListRequest struct {
	State     State         `json:"state,omitempty" in:"query"`
	Command   string        `json:"command,omitempty" in:"query" jsonschema:"name of the command, for example tables.ImportFile"`
	Project   string        `json:"project,omitempty" in:"query"`
	RunID     string        `json:"runId,omitempty" in:"query" jsonschema:"the X-KBC-RunId that the job was started with"`
	Limit     sdk.PageLimit `json:"limit,omitempty" in:"query"`
	PageToken string        `json:"pageToken,omitempty" in:"query"`
}

// ListResponse is one page.
type ListResponse struct {
	Items         []Job  `json:"items"`
	NextPageToken string `json:"nextPageToken,omitempty"`
}

// IDRequest names a job.
type IDRequest struct {
	ID string `json:"id" in:"path"`
}

// Plugin declares the commands. Any key may run them, and sees what it may see.
func (j *Jobs) Plugin(version string) *sdk.Plugin {
	p := sdk.New("jobs", version)
	p.Summary("Shows and cancels what runs in the background.")
	sdk.Handle(p, List, j.list, sdk.GET("/jobs"), sdk.Permission(sdk.AnyKey))
	sdk.Handle(p, Get, j.get, sdk.GET("/jobs/{id}"), sdk.Permission(sdk.AnyKey), sdk.Fails(ErrJobNotFound))
	sdk.Handle(p, Cancel, j.cancel, sdk.DELETE("/jobs/{id}"), sdk.Permission(sdk.AnyKey), sdk.Writes(), sdk.Fails(ErrJobNotFound))
	return p
}

func (j *Jobs) list(c *sdk.Context, in ListRequest) (ListResponse, error) {
	out := ListResponse{Items: []Job{}}
	f := registry.JobFilter{
		State: registry.JobState(in.State), Command: in.Command, Project: in.Project, RunID: in.RunID,
		Before: in.PageToken, Limit: in.Limit.OrDefault() + 1,
	}
	who := auth.Of(c)
	if !who.MayUse(cmp.Or(in.Project, who.Project)) {
		return out, nil // none that this key may see
	}
	visible(who, &f)
	rows, err := j.List(c, f)
	if err != nil {
		return ListResponse{}, err
	}
	if len(rows) == f.Limit {
		rows = rows[:f.Limit-1]
		out.NextPageToken = rows[len(rows)-1].ID
	}
	for _, row := range rows {
		out.Items = append(out.Items, Show(row))
	}
	return out, nil
}

func (j *Jobs) get(c *sdk.Context, in IDRequest) (Job, error) {
	row, _, err := j.Find(c, auth.Of(c), in.ID)
	if err != nil {
		return Job{}, err
	}
	return Show(row), nil
}

func (j *Jobs) cancel(c *sdk.Context, in IDRequest) (Job, error) {
	row, err := j.Cancel(c, auth.Of(c), in.ID)
	if err != nil {
		return Job{}, err
	}
	return Show(row), nil
}
