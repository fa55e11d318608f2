// Package plan does what a command's handler decided: it runs a Unit on the
// catalog's write queue, starts the stream of a Rows, writes the file of an
// Export. Start with [Executor.Run].
//
// Data flows one way: plan, queue, engine, stream. A plan names no catalog: it
// can only touch the one its request is for.
package plan

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/keboola/duckdb-storage/core/internal/disk"
	"github.com/keboola/duckdb-storage/core/internal/engine"
	"github.com/keboola/duckdb-storage/core/internal/files"
	"github.com/keboola/duckdb-storage/core/internal/queue"
	"github.com/keboola/duckdb-storage/core/internal/registry"
	"github.com/keboola/duckdb-storage/sdk"
	pluginv1 "github.com/keboola/duckdb-storage/sdk/proto/duckdbstorage/plugin/v1"
	"github.com/keboola/duckdb-storage/sdk/sql"
)

// Bounds of the Query callback and of a called command's rows.
const (
	maxInlineRows  = sdk.MaxQueryRows
	maxInlineBytes = 1 << 20
)

// DefaultBranch names a project's main branch in paths and targets.
const DefaultBranch = "default"

// Executor runs plans.
type Executor struct {
	Registry *registry.Registry
	Engine   *engine.Engine
	Queue    *queue.Queue
	Files    *files.Store
	Layout   disk.Layout
	// Reads admits small reads, Streams what leaves through a pipe or into a file.
	Reads, Streams Admission
	// Links keeps linked buckets; nil is a host without any.
	Links Links
	// Idle is how long a transaction may wait for its next request, Longest how long it
	// may last; 0 is a minute and ten minutes. See Transact.
	Idle, Longest time.Duration
}

// Answer is what goes to the client. At most one member is set; none is an
// answer without content.
type Answer struct {
	JSON   []byte
	Stream *Stream
	File   string // id of the file to send
	Upload string // id of the file that takes the request's body
	Job    string // id of the job that the command has started
	Reads  bool   // nothing was written: it is rows, and the handler wrote nothing else
}

// Run does what a handler answered. accept is the negotiated media type; with is
// committed together with a Unit.
func (x *Executor) Run(ctx context.Context, target *pluginv1.Target, accept string, resp *pluginv1.InvokeResponse, with ...Along) (Answer, error) {
	switch r := resp.GetResult().(type) {
	case *pluginv1.InvokeResponse_Json:
		return Answer{JSON: r.Json}, nil
	case *pluginv1.InvokeResponse_Rows:
		return x.rows(ctx, target, accept, r.Rows)
	case *pluginv1.InvokeResponse_Unit:
		out, err := x.Write(ctx, target, r.Unit, with...)
		return Answer{JSON: out.GetAnswer()}, err
	case *pluginv1.InvokeResponse_File:
		return Answer{File: r.File.GetFileId()}, nil
	case *pluginv1.InvokeResponse_Upload:
		return Answer{Upload: r.Upload.GetFileId()}, nil
	case *pluginv1.InvokeResponse_Export:
		return x.export(ctx, target, accept, r.Export)
	case *pluginv1.InvokeResponse_Job:
		return Answer{Job: r.Job.GetJobId()}, nil
	case *pluginv1.InvokeResponse_Error:
		return Answer{}, sdk.ErrorFromProto(r.Error)
	default:
		return Answer{}, sdk.ErrPluginDied.Errorf("the plugin answered with a plan that this host does not know")
	}
}

// Writes reports whether a plan changes something.
func Writes(resp *pluginv1.InvokeResponse) bool {
	switch resp.GetResult().(type) {
	case *pluginv1.InvokeResponse_Unit, *pluginv1.InvokeResponse_Upload, *pluginv1.InvokeResponse_Export:
		return true
	}
	return false
}

// Query runs a small read and returns a JSON array of objects.
func (x *Executor) Query(ctx context.Context, target *pluginv1.Target, st *pluginv1.Statement) ([]byte, error) {
	running, err := x.begin(ctx, target, &x.Reads, smallRead, 0)
	if err != nil {
		return nil, err
	}
	defer running.Close()
	if err := readable(ctx, running.Session, bind(st, nil)); err != nil {
		return nil, err
	}
	rows, err := running.Objects(bind(st, nil), maxInlineRows, maxInlineBytes)
	if err != nil {
		return nil, err
	}
	return json.Marshal(rows)
}

// Session opens the catalog of a target, with its linked buckets up to date. A catalog
// without a file is a project that was dropped meanwhile, a branch that never was, or
// a loss.
func (x *Executor) Session(ctx context.Context, target *pluginv1.Target) (*engine.Session, error) {
	s, err := x.open(ctx, target)
	if err != nil || x.Links == nil || !x.Links.Update(ctx, target, s) {
		return s, err
	}
	// Who moves catalogs waits for their sessions.
	s.Close()
	x.Links.Join(ctx, target)
	if s, err = x.open(ctx, target); err == nil {
		x.Links.Update(ctx, target, s)
	}
	return s, err
}

func (x *Executor) open(ctx context.Context, target *pluginv1.Target) (*engine.Session, error) {
	project, branch := target.GetProject(), target.GetBranch()
	if project == "" {
		return nil, sdk.ErrInvalid.Errorf("this command works on no project")
	}
	s, err := x.Engine.Session(ctx, engine.Project(x.Layout, project, branch))
	if err == nil {
		// Afterwards: from here on a drop ends the session.
		if err := x.Registry.Alive(ctx, project); err != nil {
			s.Close()
			return nil, err
		}
	}
	if !errors.Is(err, sdk.ErrNotFound) {
		return s, err
	}
	if branch != DefaultBranch {
		return nil, sdk.ErrBranchNotFound.Errorf("branch %q does not exist in project %q", branch, project)
	}
	if _, err := x.Registry.Project(project); err != nil {
		return nil, err
	}
	lost := engine.ErrBroken.Errorf("the database file of project %q is missing; put it back from a backup and repeat the request", project)
	lost.Retryable = false
	return nil, lost
}

// bind turns a statement of the contract into one of the engine, with what the
// statements before it did.
func bind(st *pluginv1.Statement, before []done) sql.Statement {
	args := make([]any, len(st.GetArgs()))
	for i, a := range st.GetArgs() {
		switch v := a.GetKind().(type) {
		case *pluginv1.Value_Boolean:
			args[i] = v.Boolean
		case *pluginv1.Value_Integer:
			args[i] = v.Integer
		case *pluginv1.Value_Number:
			args[i] = v.Number
		case *pluginv1.Value_Text:
			args[i] = v.Text
		case *pluginv1.Value_Blob:
			args[i] = v.Blob
		case *pluginv1.Value_RowsAffected:
			if int(v.RowsAffected) < len(before) {
				args[i] = before[v.RowsAffected].rows
			}
		case *pluginv1.Value_Elapsed:
			if int(v.Elapsed) < len(before) {
				args[i] = before[v.Elapsed].elapsed.Seconds()
			}
		}
	}
	return sql.Raw(st.GetSql(), args...)
}
