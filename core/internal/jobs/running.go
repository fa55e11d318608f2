package jobs

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"sync"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/keboola/duckdb-storage/core/internal/engine"
	"github.com/keboola/duckdb-storage/core/internal/pluginhost"
	"github.com/keboola/duckdb-storage/core/internal/registry"
	"github.com/keboola/duckdb-storage/sdk"
)

// Running is a job that is not done, or was not when it was asked for.
type Running struct {
	jobs     *Jobs
	id       string
	call     pluginhost.Call
	instance string
	ctx      context.Context
	cancel   context.CancelCauseFunc
	progress *engine.Progress

	mu       sync.Mutex
	row      registry.Job
	reported bool            // the command itself says how far it is
	settled  bool            // how it ends is decided
	result   json.RawMessage // what the command answered
	err      error           // what it failed with
	changed  chan struct{}
	done     chan struct{}
}

func newRunning(from context.Context, j *Jobs, call pluginhost.Call, instance string) *Running {
	id := ulid.Make().String()
	r := &Running{
		jobs: j, id: id, call: call, instance: instance, progress: engine.NewProgress(),
		changed: make(chan struct{}), done: make(chan struct{}),
		row: registry.Job{
			ID: id, Project: call.Target.GetProject(), Branch: call.Target.GetBranch(), Command: call.Command,
			Subject: call.Principal.Subject, RequestID: call.RequestID, RunID: call.RunID,
			State: registry.JobWaiting, Queued: j.now(),
		},
	}
	r.instance = cmp.Or(r.instance, path(id))
	own := registry.Carry(context.Background(), from)
	ctx, cancel := context.WithCancelCause(j.registry.Within(own, call.Target.GetProject()))
	r.ctx, r.cancel = r.within(ctx), cancel
	return r
}

// now is the time as it is stored.
func (j *Jobs) now() time.Time { return j.cfg.Now().UTC().Truncate(time.Microsecond) }

// ID names the job.
func (r *Running) ID() string { return r.id }

// Done is closed when the job is done.
func (r *Running) Done() <-chan struct{} { return r.done }

// Outcome is the JSON answer of the command, nil for none, or what it failed with. It
// is for a job that is done.
func (r *Running) Outcome() (json.RawMessage, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.result, r.err
}

// Look shows the job as it is now, and returns a channel that is closed at the next
// change of its state. Its progress and message change without that.
func (r *Running) Look() (registry.Job, <-chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.measure()
	return r.row, r.changed
}

// measure asks for the progress. The caller holds mu.
func (r *Running) measure() {
	if r.reported || r.row.State != registry.JobProcessing {
		return
	}
	if fraction, ok := r.progress.Fraction(); ok {
		r.row.Progress = &fraction
	}
}

// report notes what the command says of itself. From the first time on it counts, and
// not what DuckDB says; it never goes back.
func (r *Running) report(fraction float64, message string) error {
	if r.ctx.Err() != nil {
		return sdk.ErrCancelled.Errorf("job %s was cancelled", r.id)
	}
	if math.IsNaN(fraction) || fraction < 0 || fraction > 1 {
		return sdk.ErrInvalid.Errorf("a progress of %v is not between 0 and 1", fraction)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.row.State.Done() {
		return nil
	}
	r.measure()
	r.reported = true
	if r.row.Progress != nil {
		fraction = max(fraction, *r.row.Progress)
	}
	r.row.Progress, r.row.Message = &fraction, short(message)
	return nil
}

// maxMessage is how many characters of a message are kept.
const maxMessage = 500

func short(message string) string {
	if runes := []rune(message); len(runes) > maxMessage {
		return string(runes[:maxMessage-1]) + "…"
	}
	return message
}

// begin makes the job processing.
func (r *Running) begin() error {
	started := r.jobs.now()
	if err := r.jobs.registry.BeginJob(context.Background(), r.id, started); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.row.State, r.row.Started = registry.JobProcessing, started
	r.change()
	return nil
}

// change wakes those who look. The caller holds mu.
func (r *Running) change() {
	close(r.changed)
	r.changed = make(chan struct{})
}

// maxKept bounds a result: it is kept for days.
const maxKept = 4 << 20

// settle decides how the job ends, once. It is not visible before finish.
func (r *Running) settle(result json.RawMessage, err error) (row registry.Job, first bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.settled {
		return row, false
	}
	r.settled = true
	r.measure()
	if r.err = r.why(err); r.err == nil {
		r.result = result
	}
	row = r.row
	row.Ended = r.jobs.now()
	row.State, row.Result = registry.JobSuccess, r.result
	if r.err != nil {
		row.State = registry.JobError
		row.Error = r.jobs.cfg.Problem(r.err, r.instance, row.RequestID)
		var e *sdk.Error
		if errors.As(r.err, &e) && e == byRequest {
			row.State = registry.JobCancelled
		}
	} else {
		whole := 1.0
		row.Progress = &whole
		if len(result) > maxKept {
			row.Result, row.Message = nil, fmt.Sprintf("the result has %d bytes, over %d, and is not kept", len(result), maxKept)
		}
	}
	return row, true
}

// finish shows how the job ended. One whose end is durable is held in memory no longer.
func (r *Running) finish(row registry.Job, durable bool) {
	r.mu.Lock()
	r.row = row
	r.change()
	r.mu.Unlock()
	r.cancel(nil)
	if durable {
		r.jobs.forget(r)
	}
	close(r.done)
}

// byRequest is why a job ends that somebody cancelled.
var byRequest = sdk.ErrCancelled.Errorf("the job was cancelled; what it had committed before that is kept, and nothing half")

// why turns the error of a command that was cancelled into the reason of that. Any
// other error is the command's own, although it was cancelled: a commit without an
// answer, for example.
func (r *Running) why(err error) error {
	if err == nil || r.ctx.Err() == nil {
		return err
	}
	var e *sdk.Error
	if errors.As(err, &e) && !errors.Is(err, sdk.ErrCancelled) {
		return err
	}
	return context.Cause(r.ctx)
}
