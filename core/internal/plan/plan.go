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
	"io"
	"time"

	"github.com/keboola/duckdb-storage/core/internal/disk"
	"github.com/keboola/duckdb-storage/core/internal/engine"
	"github.com/keboola/duckdb-storage/core/internal/files"
	"github.com/keboola/duckdb-storage/core/internal/queue"
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
	Engine *engine.Engine
	Queue  *queue.Queue
	Files  *files.Store
	Layout disk.Layout
}

// Answer is what goes to the client. At most one member is set; none is an
// answer without content.
type Answer struct {
	JSON   []byte
	Stream *Stream
	File   string // id of the file to send
	Upload string // id of the file that takes the request's body
}

// Stream is an answer that is still being made. Close frees its connection.
type Stream struct {
	ContentType string
	Body        io.ReadCloser
}

// Run does what a handler answered. accept is the negotiated media type.
func (x *Executor) Run(ctx context.Context, target *pluginv1.Target, accept string, resp *pluginv1.InvokeResponse) (Answer, error) {
	switch r := resp.GetResult().(type) {
	case *pluginv1.InvokeResponse_Json:
		return Answer{JSON: r.Json}, nil
	case *pluginv1.InvokeResponse_Rows:
		return x.rows(ctx, target, accept, r.Rows)
	case *pluginv1.InvokeResponse_Unit:
		out, err := x.Write(ctx, target, r.Unit)
		return Answer{JSON: out.GetAnswer()}, err
	case *pluginv1.InvokeResponse_File:
		return Answer{File: r.File.GetFileId()}, nil
	case *pluginv1.InvokeResponse_Upload:
		return Answer{Upload: r.Upload.GetFileId()}, nil
	case *pluginv1.InvokeResponse_Export:
		return x.export(ctx, target, accept, r.Export)
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
	s, err := x.Session(ctx, target)
	if err != nil {
		return nil, err
	}
	defer s.Close()
	rows, err := s.Objects(bind(st, nil), maxInlineRows, maxInlineBytes)
	if err != nil {
		return nil, err
	}
	return json.Marshal(rows)
}

// Write runs a Unit as one transaction in the catalog's turn.
func (x *Executor) Write(ctx context.Context, target *pluginv1.Target, u *pluginv1.Unit) (*pluginv1.WriteResponse, error) {
	release, err := x.Queue.Acquire(ctx, disk.CatalogName(target.GetProject(), target.GetBranch()))
	if err != nil {
		return nil, err
	}
	defer release()
	s, err := x.Session(ctx, target)
	if err != nil {
		return nil, err
	}
	defer s.Close()
	var steps []done
	err = s.Transaction(func() error {
		steps, err = unit(s, u)
		return err
	})
	if err != nil {
		return nil, err
	}
	out := &pluginv1.WriteResponse{}
	for _, step := range steps {
		out.RowsAffected = append(out.RowsAffected, step.rows)
	}
	// Still in this turn of the queue: nobody wrote between the commit and this.
	out.Answer, err = answer(s, u.GetAnswer(), steps)
	return out, err
}

// done is what a statement of a Unit did, for those after it.
type done struct {
	rows    int64
	elapsed time.Duration
}

func unit(s *engine.Session, u *pluginv1.Unit) ([]done, error) {
	for _, p := range u.GetRequire() {
		found, err := s.HasRows(bind(p.GetStatement(), nil))
		if err != nil {
			return nil, err
		}
		if found != p.GetRowsExpected() {
			return nil, sdk.ErrorFromProto(p.GetOtherwise())
		}
	}
	var steps []done
	for _, st := range u.GetStatements() {
		start := time.Now()
		n, err := s.Exec(bind(st, steps))
		if err != nil {
			return nil, err
		}
		steps = append(steps, done{rows: n, elapsed: time.Since(start)})
	}
	return steps, nil
}

// errAnswer tells a client that its write happened although there is no answer.
var errAnswer = sdk.Code{Slug: "answer-failed", Title: "Committed without an answer", Kind: sdk.Internal, Driver: 0}

// answer runs the statement whose one row is the answer of a Unit.
func answer(s *engine.Session, st *pluginv1.Statement, steps []done) ([]byte, error) {
	if st == nil {
		return nil, nil
	}
	rows, err := s.Objects(bind(st, steps), 1, maxInlineBytes)
	if err != nil {
		return nil, errAnswer.Errorf("the write is committed, but its answer could not be made: %v", err)
	}
	if len(rows) != 1 {
		return nil, errAnswer.Errorf("the write is committed, but its answer has %d rows and not one", len(rows))
	}
	return rows[0], nil
}

func (x *Executor) rows(ctx context.Context, target *pluginv1.Target, accept string, r *pluginv1.Rows) (Answer, error) {
	cancel := context.CancelFunc(func() {})
	if r.GetTimeoutSeconds() > 0 {
		ctx, cancel = context.WithTimeout(ctx, time.Duration(r.GetTimeoutSeconds())*time.Second)
	}
	body, err := x.stream(ctx, target, engine.Result{
		Statement: bind(r.GetStatement(), nil), Format: engine.Format(accept), MaxRows: r.GetMaxRows(),
		Head: r.GetHead(), TypedColumns: r.GetTypedColumns(),
	}, cancel)
	if err != nil {
		cancel()
		return Answer{}, failedRows(r, err)
	}
	return Answer{Stream: &Stream{ContentType: accept, Body: body}}, nil
}

// failedRows marks an error that the client wants as an answer.
func failedRows(r *pluginv1.Rows, err error) error {
	var e *sdk.Error
	if r.GetErrorsAreAnswers() && errors.As(err, &e) && engine.ErrIsStatement(e) {
		return &StatementError{e}
	}
	return err
}

// StatementError is an error of the client's own statement in a command whose
// answer carries it with status 200.
type StatementError struct{ Err *sdk.Error }

func (e *StatementError) Error() string { return e.Err.Error() }
func (e *StatementError) Unwrap() error { return e.Err }

// JSON is the answer that carries the error.
func (e *StatementError) JSON() json.RawMessage {
	out, _ := json.Marshal(map[string]string{"status": "error", "message": e.Err.Detail}) // two strings always marshal
	return out
}

// stream opens a session for a result; the session and cancel end with it.
func (x *Executor) stream(ctx context.Context, target *pluginv1.Target, r engine.Result, cancel context.CancelFunc) (io.ReadCloser, error) {
	s, err := x.Session(ctx, target)
	if err != nil {
		return nil, err
	}
	body, err := s.Stream(r)
	if err != nil {
		s.Close()
		return nil, err
	}
	return &sessionStream{ReadCloser: body, session: s, cancel: cancel}, nil
}

type sessionStream struct {
	io.ReadCloser
	session *engine.Session
	cancel  context.CancelFunc
}

func (s *sessionStream) Close() error {
	err := s.ReadCloser.Close()
	s.session.Close()
	s.cancel()
	return err
}

// export writes a new file, or streams if the client accepts the format itself.
func (x *Executor) export(ctx context.Context, target *pluginv1.Target, accept string, e *pluginv1.Export) (Answer, error) {
	if engine.Format(accept) != engine.JSON {
		body, err := x.stream(ctx, target, engine.Result{Statement: bind(e.GetStatement(), nil), Format: engine.Format(accept)}, func() {})
		if err != nil {
			return Answer{}, err
		}
		return Answer{Stream: &Stream{ContentType: accept, Body: body}}, nil
	}
	formats := map[string]engine.Format{"csv": engine.CSV}
	format, ok := formats[e.GetFormat()]
	if !ok {
		return Answer{}, sdk.ErrUnsupported.Errorf("export format %q is not supported; use csv", e.GetFormat())
	}
	s, err := x.Session(ctx, target)
	if err != nil {
		return Answer{}, err
	}
	defer s.Close()
	var rows int64
	file, err := x.Files.Export(ctx, target.GetProject(), fileSpec(e.GetFile()), func(path string) error {
		var err error
		rows, err = s.CopyTo(bind(e.GetStatement(), nil), path, format)
		return err
	})
	if err != nil {
		return Answer{}, err
	}
	out, err := json.Marshal(sdk.ExportResponse{File: sdk.FileFromProto(x.proto(file)), RowsCount: rows, SizeBytes: file.SizeBytes})
	return Answer{JSON: out}, err
}

// Session opens the catalog of a target. A catalog without a file is a project
// that was dropped meanwhile, or a branch that never was.
func (x *Executor) Session(ctx context.Context, target *pluginv1.Target) (*engine.Session, error) {
	if target.GetProject() == "" {
		return nil, sdk.ErrInvalid.Errorf("this command works on no project")
	}
	s, err := x.Engine.Session(ctx, engine.Project(x.Layout, target.GetProject(), target.GetBranch()))
	if errors.Is(err, sdk.ErrNotFound) {
		if target.GetBranch() != DefaultBranch {
			return nil, sdk.ErrBranchNotFound.Errorf("branch %q does not exist in project %q", target.GetBranch(), target.GetProject())
		}
		return nil, sdk.ErrProjectNotFound.Errorf("project %q does not exist", target.GetProject())
	}
	return s, err
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
