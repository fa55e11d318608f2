package httpapi

import (
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/keboola/duckdb-storage/core/internal/auth"
	"github.com/keboola/duckdb-storage/core/internal/plan"
	"github.com/keboola/duckdb-storage/core/internal/pluginhost"
	"github.com/keboola/duckdb-storage/core/internal/projects"
	"github.com/keboola/duckdb-storage/core/internal/registry"
	"github.com/keboola/duckdb-storage/sdk"
)

// asked is what the audit tells of a request, beside its answer.
type asked struct {
	principal       auth.Principal
	authentic       bool // the key is valid
	writes          bool // the command is a write, and not only its plan is wanted
	reads           bool // it turned out to be a read, as most statements of a query
	secret          bool // the input is not kept
	project, branch string
	input           []byte
	job             string     // that was started
	statement       *sdk.Error // that an answer with a success tells of
	repeated        bool
}

// reach notes the command of a request, and where it is to work, before anything of it
// can be refused.
func (o *observed) reach(r *http.Request, c *pluginhost.Command, project, branch string) {
	o.command, o.project, o.branch = c.GetName(), project, branch
	o.writes, o.secret = isWrite(c) && !preferred(r.Header).plan, c.GetSecret()
	if o.project != "" && o.branch == "" {
		o.branch = plan.DefaultBranch
	}
}

// audit records a write before its client hears of the outcome. status is what the
// client is told; 0 is nothing, because its connection is broken off.
//
// Not recorded are reads, and requests without a valid key: whoever has none could fill
// the disk.
func (s *Server) audit(r *http.Request, o *observed, status int, took time.Duration) {
	if !o.authentic || !o.writes || o.reads {
		return
	}
	e := registry.AuditEntry{
		Subject: o.principal.Subject, Key: o.principal.Key, Project: o.project, Branch: o.branch, Command: o.command,
		Method: r.Method, Path: r.URL.EscapedPath(), Outcome: o.outcome(status, r.Context().Err() != nil), Status: status,
		RequestID: o.requestID, RunID: o.runID, JobID: o.job, Repeated: o.repeated, Duration: took, RemoteAddr: r.RemoteAddr,
	}
	if !o.secret {
		e.Input = registry.AuditInput(o.input)
	}
	if o.command == projects.Create.Name {
		e.Project = o.made()
	}
	if problem := o.failure(); problem != nil {
		e.Problem = problem.Slug
	}
	s.cfg.Audit.Record(e)
}

// made is the id of the project that the request makes. The path has none, and the input
// is not kept.
func (o *observed) made() string {
	var in struct {
		ID string `json:"id"`
	}
	_ = json.Unmarshal(o.input, &in) // one that is wrong was refused
	return in.ID
}

// failure is what the client is told that went wrong, or nil.
func (o *observed) failure() *sdk.Error {
	if o.problem != nil {
		return o.problem
	}
	return o.statement
}

// outcome is what became of the write.
func (o *observed) outcome(status int, left bool) registry.AuditOutcome {
	switch failure := o.failure(); {
	case left || status == 0:
		return registry.AuditAborted
	case failure != nil && o.denied(failure):
		return registry.AuditDenied
	case failure != nil || status >= http.StatusBadRequest:
		return registry.AuditFailed
	case status == http.StatusAccepted:
		return registry.AuditAccepted
	}
	return registry.AuditOK
}

// denied reports whether the key has no right to what it asked for. That is told as 404
// where the key may not know what there is.
func (o *observed) denied(problem *sdk.Error) bool {
	return problem.Kind == sdk.Denied ||
		errors.Is(problem, sdk.ErrProjectNotFound) && !o.principal.MayUse(o.project) ||
		errors.Is(problem, sdk.ErrBranchNotFound) && !o.principal.MayUseBranch(o.branch)
}

// answers notes an answer with a success, which may tell that a statement has failed.
func (o *observed) answers(body []byte) {
	if plan.StatementFailed(body) {
		o.statement = sdk.ErrSQL.Errorf("the answer says why")
	}
}

// replayed notes that an answer is an earlier one.
func (o *observed) replayed(answer *kept) {
	o.repeated = true
	o.answers(answer.Body)
	if answer.Status == http.StatusAccepted {
		o.job, _ = strings.CutPrefix(answer.Header["Location"], jobPath)
	}
}
