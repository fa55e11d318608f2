package plan

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"io"
	"time"

	"github.com/keboola/duckdb-storage/core/internal/engine"
	"github.com/keboola/duckdb-storage/sdk"
	pluginv1 "github.com/keboola/duckdb-storage/sdk/proto/duckdbstorage/plugin/v1"
)

const (
	// smallRows is the largest bound of a result that counts as a small read.
	smallRows = 1000
	// smallBytes is what of such a result is taken into memory, so that a slow client
	// keeps neither a connection nor a place.
	smallBytes = 8 << 20
)

// maxReadTime ends every read that has no shorter limit of its own: a read keeps
// what others have deleted since on disk, and DuckDB from checkpoints.
const maxReadTime = 6 * time.Hour

// Stream is an answer that is still being made, or in memory. Close frees its
// connection.
type Stream struct {
	ContentType string
	Body        io.ReadCloser
	// Whole says that all of Body is in memory.
	Whole bool
}

func (x *Executor) rows(ctx context.Context, target *pluginv1.Target, accept string, r *pluginv1.Rows) (Answer, error) {
	result := engine.Result{
		Statement: bind(r.GetStatement(), nil), Format: engine.Format(accept), MaxRows: r.GetMaxRows(),
		Head: r.GetHead(), TypedColumns: r.GetTypedColumns(),
	}
	stream, err := x.stream(ctx, target, result, time.Duration(r.GetTimeoutSeconds())*time.Second)
	if err != nil {
		return Answer{}, failedRows(r, err)
	}
	return Answer{Stream: stream}, nil
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

// read is a place, a time and a session for a read. What it has is given back by
// Close, which may be called twice.
type read struct {
	*engine.Session
	cancel context.CancelFunc
	leave  func()
}

// begin waits for a place and opens a session. The time, 0 for the longest, begins
// after the wait.
func (x *Executor) begin(ctx context.Context, target *pluginv1.Target, a *Admission, u use, most time.Duration) (*read, error) {
	leave, err := a.enter(ctx, u)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, cmp.Or(most, maxReadTime))
	s, err := x.Session(ctx, target)
	if err != nil {
		cancel()
		leave()
		return nil, err
	}
	return &read{Session: s, cancel: cancel, leave: leave}, nil
}

func (r *read) Close() {
	r.Session.Close()
	r.cancel()
	r.leave()
}

// stream runs a read. One that is bounded to few rows is a small one, and is over
// when stream returns unless its rows are very long.
func (x *Executor) stream(ctx context.Context, target *pluginv1.Target, r engine.Result, most time.Duration) (*Stream, error) {
	small := r.MaxRows > 0 && r.MaxRows <= smallRows
	a, u := &x.Streams, streaming
	if small {
		a, u = &x.Reads, smallRead
	}
	running, err := x.begin(ctx, target, a, u, most)
	if err != nil {
		return nil, err
	}
	if err := readable(ctx, running.Session, r.Statement); err != nil {
		running.Close()
		return nil, err
	}
	body, err := running.Stream(r)
	if err != nil {
		running.Close()
		return nil, err
	}
	out := &Stream{ContentType: string(r.Format), Body: &rest{Reader: body, body: body, read: running}}
	if !small {
		return out, nil
	}
	var start bytes.Buffer
	_, err = io.CopyN(&start, body, smallBytes)
	switch {
	case errors.Is(err, io.EOF):
		out.Body.Close()
		out.Body, out.Whole = io.NopCloser(&start), true
	case err != nil:
		out.Body.Close()
		return nil, err
	default:
		out.Body = &rest{Reader: io.MultiReader(&start, body), body: body, read: running}
	}
	return out, nil
}

// rest is what a client has yet to get.
type rest struct {
	io.Reader
	body io.Closer
	read *read
}

func (r *rest) Close() error {
	err := r.body.Close()
	r.read.Close()
	return err
}
