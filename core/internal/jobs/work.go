package jobs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"runtime/debug"
	"time"

	"github.com/keboola/duckdb-storage/core/internal/plan"
	"github.com/keboola/duckdb-storage/core/internal/registry"
	"github.com/keboola/duckdb-storage/sdk"
)

// maxRowsBytes bounds the rows that are the result of a job.
const maxRowsBytes = 1 << 20

// work runs a job and gives its place to the next.
func (j *Jobs) work(r *Running) {
	defer func() {
		j.mu.Lock()
		defer j.mu.Unlock()
		j.running--
		j.dispatch()
	}()
	if r.ctx.Err() != nil { // cancelled in the last moment
		j.end(r, nil, context.Cause(r.ctx))
		return
	}
	err := r.begin()
	if err == nil {
		err = j.registry.Alive(r.ctx, r.call.Target.GetProject())
	}
	if err != nil {
		j.end(r, nil, err)
		return
	}
	result, err := j.run(r)
	j.end(r, result, err)
}

// run runs the command of a job.
func (j *Jobs) run(r *Running) (result json.RawMessage, err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("panic: %v\n%s", v, debug.Stack())
		}
	}()
	answer, err := j.runner.Invoke(r.ctx, r.call)
	if err != nil {
		return inline(err)
	}
	switch {
	case answer.Stream != nil:
		defer answer.Stream.Body.Close()
		return readRows(answer.Stream.Body)
	case answer.File != "" || answer.Upload != "":
		return nil, sdk.ErrUnsupported.Errorf("%s moves the bytes of a file; run it without respond-async", r.call.Command)
	case answer.Job != "":
		return json.Marshal(sdk.Job{ID: answer.Job})
	}
	return answer.JSON, nil
}

// inline makes the error of a user's statement the result, where the command says so.
func inline(err error) (json.RawMessage, error) {
	var statement *plan.StatementError
	if errors.As(err, &statement) {
		return statement.JSON(), nil
	}
	return nil, err
}

func readRows(body io.Reader) (json.RawMessage, error) {
	out, err := io.ReadAll(io.LimitReader(body, maxRowsBytes+1))
	if err == nil && len(out) > maxRowsBytes {
		err = sdk.ErrTooLarge.Errorf("the rows are over %d bytes, which is too much for the result of a job; read them without respond-async, or export them into a file", maxRowsBytes)
	}
	return out, err
}

// end makes durable how a job ended, and then shows it.
func (j *Jobs) end(r *Running, result json.RawMessage, err error) {
	row, first := r.settle(result, err)
	if !first {
		return
	}
	j.note(r, row)
	err = j.registry.EndJobs(context.Background(), []registry.AuditEntry{r.audited(row)}, row)
	if err != nil {
		// It is shown until the next start, which says that the job was lost.
		j.cfg.Logger.Error("the end of a job could not be written", "job", row.ID, "command", row.Command, "state", row.State, "error", err)
	}
	r.finish(row, err == nil)
}

// note tells log and observer how a job ended.
func (j *Jobs) note(r *Running, row registry.Job) {
	waited, ran := row.Ended.Sub(row.Queued), time.Duration(0)
	if !row.Started.IsZero() {
		waited, ran = row.Started.Sub(row.Queued), row.Ended.Sub(row.Started)
	}
	j.cfg.Observer.Ended(row.Command, row.State, waited, ran)
	log := j.cfg.Logger.With("job", row.ID, "command", row.Command, "request_id", row.RequestID, "run_id", row.RunID)
	var known *sdk.Error
	if r.err != nil && !errors.As(r.err, &known) {
		log.Error("unclassified error", "error", r.err)
	}
	log.Info("job", "state", row.State, "subject", row.Subject, "waited_ms", waited.Milliseconds(), "ran_ms", ran.Milliseconds(), "error", r.err)
}
