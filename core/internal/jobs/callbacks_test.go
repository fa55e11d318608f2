package jobs_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/keboola/duckdb-storage/core/internal/jobs"
	"github.com/keboola/duckdb-storage/core/internal/registry"
	"github.com/keboola/duckdb-storage/sdk"
	"github.com/keboola/duckdb-storage/sdk/sql"
)

// stranger is the context of a callback that comes from another process: it knows of
// the call by its token alone.
func stranger(c *sdk.Context) *sdk.Context {
	out := *c
	out.Context = context.Background()
	return &out
}

// A command answers with the job that it has started, which works in the same catalog
// for the same key.
func TestPluginStartsAJob(t *testing.T) {
	t.Parallel()
	long := command[output]("x.Long")
	p := sdk.New("x", "1.0.0")
	sdk.Handle(p, long, func(c *sdk.Context, in input) (output, error) {
		return output{fmt.Sprint(in.Name, " ", c.Project(), " ", c.Subject(), " ", c.RequestID(), " ", c.RunID())}, nil
	}, sdk.Writes())
	sdk.Handle(p, command[output]("x.Start"), func(c *sdk.Context, in input) (sdk.Job, error) { return sdk.StartJob(c, long, in) }, sdk.Writes())
	sdk.Handle(p, command[output]("x.Peek"), func(c *sdk.Context, in input) (sdk.Job, error) { return sdk.StartJob(c, long, in) })
	sdk.Handle(p, command[output]("x.Wrong"), func(c *sdk.Context, in input) (sdk.Job, error) {
		return sdk.StartJob(c, command[output]("x.None"), in)
	}, sdk.Writes())
	sdk.Handle(p, command[output]("x.Key"), func(*sdk.Context, input) (output, error) { return output{"secret"}, nil }, sdk.Writes(), sdk.Secret())
	sdk.Handle(p, command[output]("x.KeyLater"), func(c *sdk.Context, in input) (sdk.Job, error) {
		return sdk.StartJob(c, command[output]("x.Key"), in)
	}, sdk.Writes())
	// Where no client gets the 202, the id of the job is the result.
	start := command[sdk.Job]("x.Start")
	sdk.Handle(p, command[output]("x.Call"), func(c *sdk.Context, in input) (output, error) {
		job, err := sdk.Call(c, start, in)
		return output{job.ID}, err
	}, sdk.Writes())
	sdk.Handle(p, command[output]("x.StartLater"), func(c *sdk.Context, in input) (sdk.Job, error) { return sdk.StartJob(c, start, in) }, sdk.Writes())
	h := open(t, t.TempDir(), jobs.Config{}, p)
	answer, err := h.plugins.Invoke(t.Context(), call("x.Start", `{"name":"a"}`))
	if err != nil || answer.Job == "" {
		t.Fatalf("%+v, %v", answer, err)
	}
	var row registry.Job
	eventually(t, "the end of the job", func() bool {
		if row, _, err = h.Find(t.Context(), own, answer.Job); err != nil {
			t.Fatal(err)
		}
		return row.State.Done()
	})
	if row.Command != "x.Long" || string(row.Result) != `{"text":"a 1 project-1 request run"}` {
		t.Errorf("%+v, %s, %s", row, row.Result, row.Error)
	}
	called := output{}
	answer, err = h.plugins.Invoke(t.Context(), call("x.Call", `{"name":"a"}`))
	if err = errors.Join(err, json.Unmarshal(answer.JSON, &called)); err != nil {
		t.Fatal(err)
	}
	if _, _, err := h.Find(t.Context(), own, called.Text); err != nil {
		t.Errorf("a call of a command that starts a job gave the id %q: %v", called.Text, err)
	}
	answer, err = h.plugins.Invoke(t.Context(), call("x.StartLater", `{"name":"a"}`))
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "the end of the job that starts a job", func() bool {
		row, _, err = h.Find(t.Context(), own, answer.Job)
		return err == nil && row.State.Done()
	})
	var started sdk.Job
	if err := json.Unmarshal(row.Result, &started); err != nil {
		t.Fatal(err)
	}
	if _, _, err := h.Find(t.Context(), own, started.ID); err != nil {
		t.Errorf("a job that starts a job has the result %s: %v", row.Result, err)
	}
	for command, want := range map[string]error{"x.Peek": sdk.ErrDenied, "x.Wrong": sdk.ErrUnsupported, "x.KeyLater": sdk.ErrUnsupported} {
		if _, err := h.plugins.Invoke(t.Context(), call(command, `{}`)); !errors.Is(err, want) {
			t.Errorf("%s: %v", command, err)
		}
	}
}

// A job that starts itself comes to an end.
func TestJobsDoNotStartEachOtherForEver(t *testing.T) {
	t.Parallel()
	again := command[output]("x.Again")
	last := make(chan error, 1)
	p := sdk.New("x", "1.0.0")
	sdk.Handle(p, again, func(c *sdk.Context, in input) (sdk.Job, error) {
		in.Name += "+"
		job, err := sdk.StartJob(c, again, in)
		if err != nil {
			last <- err
		}
		return job, err
	}, sdk.Writes())
	h := open(t, t.TempDir(), jobs.Config{}, p)
	h.CreateProject("1")
	h.submit(t, "x.Again", `{}`)
	if err := <-last; !errors.Is(err, sdk.ErrConflict) || !strings.Contains(err.Error(), "8 deep") {
		t.Errorf("got %v", err)
	}
	if rows, err := h.List(t.Context(), registry.JobFilter{}); err != nil || len(rows) != sdk.MaxCallDepth {
		t.Errorf("%d jobs, %v", len(rows), err)
	}
}

// A job that starts itself by way of an event comes to an end as well.
func TestJobsAndEventsDoNotStartEachOtherForEver(t *testing.T) {
	t.Parallel()
	again := command[sdk.None]("x.Again")
	done := sdk.Event[input]{Name: "x.Done"}
	last := make(chan error, 1)
	p := sdk.New("x", "1.0.0")
	sdk.Emits(p, done)
	sdk.Handle(p, again, func(*sdk.Context, input) (sdk.Unit, error) {
		return sdk.Unit{Do: []sql.Statement{sql.New("SELECT 1")}, Events: []sdk.Emission{done.Of(input{})}}, nil
	}, sdk.Writes())
	sdk.After(p, done, func(c *sdk.Context, n sdk.Notice[input]) error {
		_, err := sdk.StartJob(c, again, n.Payload)
		if err == nil {
			return nil
		}
		if n.Attempt == 1 {
			last <- err
		}
		return err
	})
	h := open(t, t.TempDir(), jobs.Config{}, p)
	h.CreateProject("1")
	h.submit(t, "x.Again", `{}`)
	select {
	case err := <-last:
		if !errors.Is(err, sdk.ErrConflict) || !strings.Contains(err.Error(), "8 deep: after x.Done") {
			t.Error(err)
		}
	case <-time.After(long):
		t.Fatal("it goes on")
	}
	// The first one, and one for every two links of the chain: the event and its job.
	if rows, err := h.List(t.Context(), registry.JobFilter{}); err != nil || len(rows) != sdk.MaxCallDepth/2 {
		t.Errorf("%d jobs, %v", len(rows), err)
	}
}

func TestCommandReportsItsProgress(t *testing.T) {
	t.Parallel()
	inner := command[output]("x.Inner")
	told, next := make(chan error), make(chan bool)
	p := sdk.New("x", "1.0.0")
	sdk.Handle(p, inner, func(c *sdk.Context, _ input) (output, error) {
		for _, step := range []struct {
			fraction float64
			message  string
		}{{.25, "a"}, {.5, strings.Repeat("ž", 1000)}, {.1, "back"}, {math.NaN(), ""}, {2, ""}} {
			told <- stranger(c).Progress(step.fraction, step.message)
			<-next
		}
		return output{"done"}, nil
	}, sdk.Writes())
	// The progress of what a command calls is that of its job.
	sdk.Handle(p, command[output]("x.Outer"), func(c *sdk.Context, in input) (output, error) { return sdk.Call(c, inner, in) }, sdk.Writes())
	h := open(t, t.TempDir(), jobs.Config{}, p)
	r := h.submit(t, "x.Outer", `{}`)
	shows := func(want float64, message string) {
		t.Helper()
		row, _, err := h.Find(t.Context(), own, r.ID())
		if err != nil || row.Progress == nil {
			t.Fatalf("%+v, %v", row, err)
		}
		if diff := cmp.Diff([]any{want, message}, []any{*row.Progress, row.Message}); diff != "" {
			t.Error(diff)
		}
		next <- true
	}
	for _, want := range []struct {
		fraction float64
		message  string
	}{{.25, "a"}, {.5, strings.Repeat("ž", 499) + "…"}, {.5, "back"}} {
		if err := <-told; err != nil {
			t.Error(err)
		}
		shows(want.fraction, want.message)
	}
	for range 2 {
		if err := <-told; !errors.Is(err, sdk.ErrInvalid) {
			t.Errorf("got %v", err)
		}
		shows(.5, "back")
	}
	if row := h.wait(t, r); row.State != registry.JobSuccess || *row.Progress != 1 || row.Message != "back" {
		t.Errorf("at the end: %+v", row)
	}
}

func TestProgressOutsideOfAJobIsNothing(t *testing.T) {
	t.Parallel()
	p := sdk.New("x", "1.0.0")
	sdk.Handle(p, command[output]("x.Do"), func(c *sdk.Context, _ input) (output, error) { return output{"done"}, c.Progress(.5, "half") })
	h := open(t, t.TempDir(), jobs.Config{}, p)
	if answer, err := h.plugins.Invoke(t.Context(), call("x.Do", `{}`)); err != nil || string(answer.JSON) != `{"text":"done"}` {
		t.Errorf("%+v, %v", answer, err)
	}
}

func TestProgressTellsOfACancel(t *testing.T) {
	t.Parallel()
	begun, told := make(chan bool), make(chan error, 1)
	p := sdk.New("x", "1.0.0")
	sdk.Handle(p, command[output]("x.Do"), func(c *sdk.Context, _ input) (output, error) {
		begun <- true
		<-c.Done()
		told <- c.Progress(.5, "")
		return output{}, c.Err()
	}, sdk.Writes())
	h := open(t, t.TempDir(), jobs.Config{}, p)
	r := h.submit(t, "x.Do", `{}`)
	<-begun
	if _, err := h.Cancel(t.Context(), own, r.ID()); err != nil {
		t.Fatal(err)
	}
	if err := <-told; !errors.Is(err, sdk.ErrCancelled) {
		t.Errorf("got %v", err)
	}
}

// What DuckDB tells of the statements of a job is its progress, whether they are in
// its plan or in a callback.
func TestProgressOfStatements(t *testing.T) {
	t.Parallel()
	slow := sdk.Unit{Do: []sql.Statement{sql.New("CREATE OR REPLACE TABLE main.slow AS SELECT DISTINCT md5(i::VARCHAR) AS h FROM main.numbers")}}
	p := sdk.New("x", "1.0.0")
	sdk.Handle(p, command[sdk.None]("x.Plan"), func(*sdk.Context, input) (sdk.Unit, error) { return slow, nil }, sdk.Writes())
	sdk.Handle(p, command[sdk.None]("x.Callback"), func(c *sdk.Context, _ input) (sdk.None, error) {
		_, err := stranger(c).Write(slow)
		return sdk.None{}, err
	}, sdk.Writes())
	h := open(t, t.TempDir(), jobs.Config{}, p)
	h.CreateProject("1")
	s, err := h.Executor.Session(t.Context(), call("", "").Target)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if _, err := s.Exec(sql.New("CREATE TABLE main.numbers AS SELECT range AS i FROM range(6_000_000)")); err != nil {
		t.Fatal(err)
	}
	for _, command := range []string{"x.Plan", "x.Callback"} {
		r := h.submit(t, command, `{}`)
		seen := map[float64]bool{}
		eventually(t, "the end of "+command, func() bool {
			row, _ := r.Look()
			if row.Progress != nil && row.State == registry.JobProcessing {
				seen[*row.Progress] = true
			}
			return row.State.Done()
		})
		if row := h.wait(t, r); row.State != registry.JobSuccess || len(seen) < 2 {
			t.Errorf("%s: %s, %s, seen %v", command, row.State, row.Error, seen)
		}
	}
}
