package plan

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"time"

	"github.com/keboola/duckdb-storage/core/internal/engine"
	"github.com/keboola/duckdb-storage/sdk"
	pluginv1 "github.com/keboola/duckdb-storage/sdk/proto/duckdbstorage/plugin/v1"
)

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
