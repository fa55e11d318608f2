package jobs_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/keboola/duckdb-storage/core/internal/engine"
	"github.com/keboola/duckdb-storage/core/internal/jobs"
	"github.com/keboola/duckdb-storage/core/internal/plan"
	"github.com/keboola/duckdb-storage/core/internal/registry"
	"github.com/keboola/duckdb-storage/sdk"
)

// What a kill left is an error that says so after the next start.
func TestLostJobsEndWithTheReason(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	h := open(t, root, jobs.Config{}, gated(newGate()))
	queued := time.Now().UTC().Truncate(time.Microsecond)
	for _, id := range []string{"W", "P"} {
		row := registry.Job{ID: id, Project: "1", Command: "x.Gate", RequestID: "r" + id, State: registry.JobWaiting, Queued: queued}
		if err := h.Registry.AddJob(t.Context(), row); err != nil {
			t.Fatal(err)
		}
	}
	if err := h.Registry.BeginJob(t.Context(), "P", queued); err != nil {
		t.Fatal(err)
	}
	h.stop(t.Context(), t)
	h.Host.Close()

	h = open(t, root, jobs.Config{}, gated(newGate()))
	for id, want := range map[string]string{
		"W": `{"detail":"the service was restarted before the job began; nothing of it happened; repeat it","instance":"/jobs/W","requestId":"rW"}`,
		"P": `{"detail":"the service was restarted while the job was processing; what it had committed is kept, nothing half; repeat it","instance":"/jobs/P","requestId":"rP"}`,
	} {
		row, running, err := h.Find(t.Context(), admin, id)
		if err != nil || running != nil || row.State != registry.JobError || row.Ended.Before(queued) || string(row.Error) != want {
			t.Errorf("%s: %+v, %s, %v", id, row, row.Error, err)
		}
	}
}

func TestCloseLetsRunningJobsEnd(t *testing.T) {
	t.Parallel()
	g := newGate()
	h := open(t, t.TempDir(), jobs.Config{Workers: 1}, gated(g))
	running, waiting := h.submit(t, "x.Gate", `{"name":"running"}`), h.submit(t, "x.Gate", `{"name":"waiting"}`)
	<-g.begun
	closed := make(chan error)
	go func() { closed <- h.Jobs.Close(context.Background()) }()
	// What waits ends at once and is told that nothing happened.
	if row := h.wait(t, waiting); row.State != registry.JobError || !strings.Contains(string(row.Error), "stopped before the job began") {
		t.Errorf("waiting: %s, %s", row.State, row.Error)
	}
	if _, err := h.Submit(t.Context(), call("x.Gate", `{}`), ""); !errors.Is(err, sdk.ErrUnavailable) {
		t.Errorf("a new job: %v", err)
	}
	close(g.open)
	if err := <-closed; err != nil {
		t.Error(err)
	}
	if row := h.wait(t, running); row.State != registry.JobSuccess {
		t.Errorf("running: %s, %s", row.State, row.Error)
	}
}

// A job that waits while its project is dropped does not run in the next one of that id,
// nor does one that a request of the old project starts late.
func TestJobsEndWithTheirProject(t *testing.T) {
	t.Parallel()
	g := newGate()
	h := open(t, t.TempDir(), jobs.Config{Workers: 1}, gated(g))
	h.CreateProject("1")
	running, waiting := h.submit(t, "x.Gate", `{"name":"running"}`), h.submit(t, "x.Gate", `{"name":"waiting"}`)
	<-g.begun
	old := h.Registry.Within(t.Context(), "1")
	if err := errors.Join(h.Registry.BeginDrop(t.Context(), "1"), h.Engine.Drop(t.Context(), engine.Project(h.Layout, "1", plan.DefaultBranch)),
		h.Files.DropProject(t.Context(), "1"), h.Registry.Forget(t.Context(), "1")); err != nil {
		t.Fatal(err)
	}
	h.CreateProject("1")
	next := h.submit(t, "x.Gate", `{"name":"next"}`)
	late, err := h.Submit(old, call("x.Gate", `{"name":"late"}`), "")
	if err != nil {
		t.Fatal(err)
	}
	close(g.open)
	h.wait(t, running)
	for name, r := range map[string]*jobs.Running{"waiting": waiting, "late": late} {
		if row := h.wait(t, r); row.State != registry.JobError || !strings.Contains(string(row.Error), "the project was dropped") {
			t.Errorf("%s: %s, %s", name, row.State, row.Error)
		}
	}
	if row := h.wait(t, next); row.State != registry.JobSuccess {
		t.Errorf("of the next project: %s, %s", row.State, row.Error)
	}
}

func TestCloseCancelsWhatTakesTooLong(t *testing.T) {
	t.Parallel()
	g := newGate()
	h := open(t, t.TempDir(), jobs.Config{}, gated(g))
	r := h.submit(t, "x.Gate", `{}`)
	<-g.begun
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	h.stop(ctx, t)
	row := h.wait(t, r)
	if row.State != registry.JobError || !strings.Contains(string(row.Error), "the service stopped while the job was processing") {
		t.Errorf("%s, %s", row.State, row.Error)
	}
	h.stop(t.Context(), t) // twice
}

func TestOldJobsAreForgotten(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	g := newGate()
	close(g.open)
	h := open(t, root, jobs.Config{}, gated(g))
	r := h.submit(t, "x.Gate", `{}`)
	h.wait(t, r)
	h.stop(t.Context(), t)
	h.Host.Close()
	for _, tc := range []struct {
		keep, later time.Duration
		kept        bool
	}{{time.Hour, time.Minute, true}, {time.Hour, 2 * time.Hour, false}} {
		h := open(t, root, jobs.Config{Keep: tc.keep, Now: func() time.Time { return time.Now().Add(tc.later) }}, gated(g))
		if _, _, err := h.Find(t.Context(), admin, r.ID()); (err == nil) != tc.kept {
			t.Errorf("%s later: %v", tc.later, err)
		}
		h.stop(t.Context(), t)
		h.Host.Close()
	}
}
