package jobs

import (
	"encoding/json"
	"strings"

	"github.com/keboola/duckdb-storage/core/internal/plan"
	"github.com/keboola/duckdb-storage/core/internal/registry"
	"github.com/keboola/duckdb-storage/sdk"
)

// audited is the entry of the audit about the run of a job. Its request has one of its
// own. input and key are what is known of the call, which a restart forgets.
func audited(row registry.Job, key string, input []byte) registry.AuditEntry {
	e := registry.AuditEntry{
		Subject: row.Subject, Key: key, Project: row.Project, Branch: row.Branch, Command: row.Command, Input: registry.AuditInput(input),
		Outcome: registry.AuditOK, RequestID: row.RequestID, RunID: row.RunID, JobID: row.ID,
	}
	if !row.Started.IsZero() {
		e.Duration = row.Ended.Sub(row.Started)
	}
	if row.State == registry.JobSuccess {
		if plan.StatementFailed(row.Result) {
			e.Outcome, e.Problem = registry.AuditFailed, sdk.ErrSQL.Slug
		}
		return e
	}
	var problem struct {
		Type   string `json:"type"`
		Status int    `json:"status"`
	}
	_ = json.Unmarshal(row.Error, &problem) // it is what Config.Problem made
	e.Status, e.Problem = problem.Status, problem.Type[strings.LastIndexByte(problem.Type, '/')+1:]
	switch {
	case row.State == registry.JobCancelled:
		e.Outcome = registry.AuditAborted
	case e.Problem == sdk.ErrDenied.Slug:
		e.Outcome = registry.AuditDenied
	default:
		e.Outcome = registry.AuditFailed
	}
	return e
}

// audited is the entry about the run of the job, which ended as row says.
func (r *Running) audited(row registry.Job) registry.AuditEntry {
	return audited(row, r.call.Principal.Key, r.call.Payload)
}
