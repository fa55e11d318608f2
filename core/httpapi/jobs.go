package httpapi

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/gorilla/mux"

	"github.com/keboola/duckdb-storage/core/internal/jobs"
	"github.com/keboola/duckdb-storage/core/internal/plan"
	"github.com/keboola/duckdb-storage/core/internal/pluginhost"
	"github.com/keboola/duckdb-storage/core/internal/registry"
	"github.com/keboola/duckdb-storage/sdk"
)

// maxJobWait is the longest that a client may wait for the end of its job. Proxies
// give up after a minute.
const maxJobWait = time.Minute

// startJob makes a call a job. It answers 202 with the job, or as if the command had
// run at once when the job ends within the time that the client wishes to wait.
func (s *Server) startJob(w http.ResponseWriter, r *http.Request, route route, call pluginhost.Call, wait time.Duration) {
	job, err := s.cfg.Jobs.Submit(r.Context(), call, r.URL.EscapedPath())
	if err != nil {
		s.fail(w, r, err)
		return
	}
	observedOf(r.Context()).job = job.ID()
	if s.endsWithin(r, job, min(wait, maxJobWait)) {
		w.Header().Set("Preference-Applied", fmt.Sprintf("wait=%d", wait/time.Second))
		result, err := job.Outcome()
		if err != nil {
			s.fail(w, r, err)
			return
		}
		s.answer(w, r, route, call, plan.Answer{JSON: result})
		return
	}
	w.Header().Set("Preference-Applied", "respond-async")
	row, _ := job.Look()
	accepted(w, job.ID(), jobs.Show(row))
}

// endsWithin waits for the end of a job, but no longer than its client, or the
// service, is there.
func (s *Server) endsWithin(r *http.Request, job *jobs.Running, wait time.Duration) bool {
	if wait <= 0 {
		return false
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-job.Done():
		return true
	case <-timer.C:
	case <-r.Context().Done():
	case <-s.stopping:
	}
	return false
}

// jobPath is where the jobs are.
const jobPath = "/jobs/"

// accepted answers with a job.
func accepted(w http.ResponseWriter, id string, body any) {
	w.Header().Set("Location", jobPath+id)
	w.Header().Set("Cache-Control", "no-store")
	writeJSON(w, http.StatusAccepted, body)
}

// jobStarted answers with a job that the command has started.
func (s *Server) jobStarted(w http.ResponseWriter, r *http.Request, call pluginhost.Call, id string) {
	observedOf(r.Context()).job = id
	row, _, err := s.cfg.Jobs.Find(r.Context(), call.Principal, id)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	accepted(w, id, jobs.Show(row))
}

const (
	// lookEvery is how often a stream of events looks at the progress of its job.
	lookEvery = 500 * time.Millisecond
	// heartbeat is how long a stream is silent at most: proxies close what is.
	heartbeat = 15 * time.Second
)

// jobEvents streams what becomes of a job as server-sent events: an event "job" with
// the job at once, at each change of its state, and at most twice a second when its
// progress has grown. It ends after the last state.
func (s *Server) jobEvents(w http.ResponseWriter, r *http.Request) {
	principal, err := s.principal(r)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	row, running, err := s.cfg.Jobs.Find(r.Context(), principal, mux.Vars(r)["id"])
	if err != nil {
		s.fail(w, r, err)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Accel-Buffering", "no") // nginx would hold the events back
	events := &eventStream{to: w, connection: http.NewResponseController(w)}
	if running != nil {
		err = s.follow(r, events, running)
	} else {
		err = events.job(row)
	}
	if err != nil {
		loggerOf(r.Context(), s.cfg.Logger).Info("the client left before the end of its stream", "error", err)
	}
}

// follow sends events until the job is done, the client has left, or the service
// stops: then the client connects again.
func (s *Server) follow(r *http.Request, events *eventStream, job *jobs.Running) error {
	look, beat := time.NewTicker(lookEvery), time.NewTicker(heartbeat)
	defer look.Stop()
	defer beat.Stop()
	for {
		row, changed := job.Look()
		if err := events.job(row); err != nil || row.State.Done() {
			return err
		}
		select {
		case <-changed:
		case <-look.C:
		case <-beat.C:
			if err := events.alive(); err != nil {
				return err
			}
		case <-r.Context().Done():
			return r.Context().Err()
		case <-s.stopping:
			return nil
		}
	}
}

// eventStream writes server-sent events, each with a number.
type eventStream struct {
	to         http.ResponseWriter
	connection *http.ResponseController
	number     int
	last       string // what was sent last
}

// job sends a job, unless the client knows it as it is.
func (e *eventStream) job(row registry.Job) error {
	body, err := json.Marshal(jobs.Show(row))
	if err != nil || string(body) == e.last {
		return err
	}
	e.last = string(body)
	e.number++
	return e.send(fmt.Sprintf("id: %d\nevent: job\ndata: %s\n\n", e.number, body))
}

// alive sends a comment.
func (e *eventStream) alive() error { return e.send(": still here\n\n") }

func (e *eventStream) send(text string) error {
	if _, err := e.to.Write([]byte(text)); err != nil {
		return err
	}
	return e.connection.Flush()
}

// Problem is the JSON that a request at the path instance would have been answered
// with, had it failed so. It is the error of a job.
func Problem(err error, instance, requestID string) json.RawMessage {
	var e *sdk.Error
	if !errors.As(err, &e) {
		e = sdk.ErrInternal.Errorf("internal error; see the log for request %s", requestID)
	}
	out, _ := json.Marshal(newProblem(e, err, instance, requestID)) // texts and numbers always marshal
	return out
}

// errNoAsync refuses to make an upload a job.
func errNoAsync(command string) error {
	return sdk.ErrMalformed.Errorf("%s receives the body of its request, so it cannot outlive it; send it without Prefer: respond-async", command)
}
