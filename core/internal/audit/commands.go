package audit

import (
	"time"

	"github.com/google/jsonschema-go/jsonschema"
	"github.com/oklog/ulid/v2"

	"github.com/keboola/duckdb-storage/core/internal/registry"
	"github.com/keboola/duckdb-storage/sdk"
)

// List shows entries.
var List = sdk.Command[ListRequest, ListResponse]{Name: "audit.List", Summary: "List the writes that were asked for, the newest first: who, what, when, and what became of it."}

// ListRequest is a page of the list.
type ListRequest struct {
	Project   string        `json:"project,omitempty" in:"query"`
	Subject   string        `json:"subject,omitempty" in:"query" jsonschema:"name of the key, or plugin:<name>"`
	Command   string        `json:"command,omitempty" in:"query" jsonschema:"for example tables.ImportFile"`
	Outcome   Outcome       `json:"outcome,omitempty" in:"query"`
	RequestID string        `json:"requestId,omitempty" in:"query"`
	Since     string        `json:"since,omitempty" in:"query" jsonschema:"entries from this moment on, RFC 3339"`
	Until     string        `json:"until,omitempty" in:"query" jsonschema:"entries before this moment, RFC 3339"`
	Limit     sdk.PageLimit `json:"limit,omitempty" in:"query"`
	PageToken string        `json:"pageToken,omitempty" in:"query"`
}

// Outcome is what became of a write.
type Outcome string

// JSONSchema lists the outcomes.
func (Outcome) JSONSchema() *jsonschema.Schema {
	return &jsonschema.Schema{Type: "string", Enum: []any{
		string(registry.AuditOK), string(registry.AuditAccepted), string(registry.AuditFailed), string(registry.AuditDenied), string(registry.AuditAborted),
	}}
}

// ListResponse is one page.
type ListResponse struct {
	Items         []Entry `json:"items"`
	NextPageToken string  `json:"nextPageToken,omitempty"`
}

// Entry is an entry as the API shows it. Texts that are not known are empty.
type Entry struct {
	ID             string  `json:"id" jsonschema:"in the order in which they were stored"`
	Time           string  `json:"time" jsonschema:"when the outcome was known; RFC 3339, UTC, microseconds"`
	Subject        string  `json:"subject" jsonschema:"name of the key; plugin:<name> for what a plugin did by itself after an event"`
	KeyID          string  `json:"keyId"`
	Project        string  `json:"project" jsonschema:"empty for the service as a whole"`
	Branch         string  `json:"branch"`
	Command        string  `json:"command"`
	Method         string  `json:"method" jsonschema:"empty for what no request was: the run of a job, a plugin after an event"`
	Path           string  `json:"path" jsonschema:"as asked, percent-encoded, without the query; at most 2048 bytes"`
	Input          string  `json:"input" jsonschema:"the input of the command as JSON text; empty when there was none that could be read, and where it may hold a secret"`
	InputTruncated bool    `json:"inputTruncated" jsonschema:"only the first 4000 bytes of the input are kept"`
	Outcome        Outcome `json:"outcome" jsonschema:"accepted: a job runs it, and has an entry of its own when it ends; aborted: who asked left or cancelled, status tells how it ended all the same"`
	Status         int     `json:"status" jsonschema:"of HTTP; 0 when there was no answer"`
	Problem        string  `json:"problem" jsonschema:"slug of the problem"`
	RequestID      string  `json:"requestId"`
	RunID          string  `json:"runId" jsonschema:"X-KBC-RunId"`
	JobID          string  `json:"jobId" jsonschema:"of the job that was started, or whose run this is"`
	Repeated       bool    `json:"repeated" jsonschema:"answered as an earlier request with the same Idempotency-Key was; nothing ran"`
	DurationMs     float64 `json:"durationMs"`
	RemoteAddress  string  `json:"remoteAddress" jsonschema:"address and port of the client, or of the proxy before it"`
}

// Plugin declares the commands.
func (l *Log) Plugin(version string) *sdk.Plugin {
	p := sdk.New("audit", version)
	p.Summary("Shows who wrote what.")
	sdk.Handle(p, List, l.list, sdk.GET("/admin/audit"), sdk.Permission(sdk.AdminOnly))
	return p
}

func (l *Log) list(c *sdk.Context, in ListRequest) (ListResponse, error) {
	f, err := filter(in)
	if err != nil {
		return ListResponse{}, err
	}
	entries, err := l.store.Audit(c, f)
	if err != nil {
		return ListResponse{}, err
	}
	out := ListResponse{Items: []Entry{}}
	if len(entries) == f.Limit {
		entries = entries[:f.Limit-1]
		out.NextPageToken = entries[len(entries)-1].ID
	}
	for _, e := range entries {
		out.Items = append(out.Items, show(e))
	}
	return out, nil
}

// filter is what a request asks for, with one entry more than it wants: there is another
// page then.
func filter(in ListRequest) (registry.AuditFilter, error) {
	f := registry.AuditFilter{
		Project: in.Project, Subject: in.Subject, Command: in.Command, Outcome: registry.AuditOutcome(in.Outcome), RequestID: in.RequestID,
		Before: in.PageToken, Limit: in.Limit.OrDefault() + 1,
	}
	var err error
	if f.Since, err = moment("since", in.Since); err != nil {
		return f, err
	}
	if f.Until, err = moment("until", in.Until); err != nil {
		return f, err
	}
	if _, err := ulid.ParseStrict(in.PageToken); in.PageToken != "" && err != nil {
		return f, sdk.ErrMalformed.Errorf("pageToken %q is none that this list has given", in.PageToken).At("/pageToken")
	}
	return f, nil
}

// moment reads a time; none is zero.
func moment(name, text string) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return time.Time{}, sdk.ErrMalformed.Errorf("%s %q is not a time as 2026-01-31T12:00:00Z (RFC 3339; a plus is %%2B in a query)", name, text).At("/" + name)
	}
	return t, nil
}

func show(e registry.AuditEntry) Entry {
	return Entry{
		ID: e.ID, Time: e.Time.UTC().Format("2006-01-02T15:04:05.000000Z"), Subject: e.Subject, KeyID: e.Key, Project: e.Project, Branch: e.Branch,
		Command: e.Command, Method: e.Method, Path: e.Path, Input: e.Input, InputTruncated: e.InputCut, Outcome: Outcome(e.Outcome), Status: e.Status,
		Problem: e.Problem, RequestID: e.RequestID, RunID: e.RunID, JobID: e.JobID, Repeated: e.Repeated, DurationMs: milliseconds(e.Duration), RemoteAddress: e.RemoteAddr,
	}
}
