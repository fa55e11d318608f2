package registry_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/keboola/duckdb-storage/core/internal/fixture"
	"github.com/keboola/duckdb-storage/core/internal/registry"
)

func job(id, project, command, run string) registry.Job {
	return registry.Job{
		ID: id, Project: project, Branch: "default", Command: command, Subject: `key "of" ` + project, RequestID: "r-" + id, RunID: run,
		State: registry.JobWaiting, Queued: time.Date(2026, 1, 2, 3, 4, 5, 6000, time.UTC),
	}
}

func wantJobs(t *testing.T, r *registry.Registry, f registry.JobFilter, ids ...string) {
	t.Helper()
	jobs, err := r.Jobs(t.Context(), f)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, j := range jobs {
		got = append(got, j.ID)
	}
	if !slices.Equal(got, ids) {
		t.Errorf("%+v: got %v, want %v", f, got, ids)
	}
}

func TestJobsSurviveARestart(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	h := fixture.Open(t, root)
	half := 0.5
	want := job("B", "1", "tables.ImportFile", "run")
	lost := job("A", "", "projects.Create", "")
	for _, j := range []registry.Job{want, lost} {
		if err := h.Registry.AddJob(t.Context(), j); err != nil {
			t.Fatal(err)
		}
	}
	want.Started = want.Queued.Add(time.Second)
	if err := h.Registry.BeginJob(t.Context(), want.ID, want.Started); err != nil {
		t.Fatal(err)
	}
	want.State, want.Ended, want.Progress, want.Message = registry.JobError, want.Started.Add(time.Minute), &half, "it's ž"
	want.Result, want.Error = nil, []byte(`{"detail":"a \"b\" 'c' ?"}`)
	if err := h.Registry.EndJobs(t.Context(), nil, want, job("never", "", "", "")); err != nil {
		t.Fatal(err)
	}
	h.Close()
	got, err := fixture.Open(t, root).Registry.Jobs(t.Context(), registry.JobFilter{})
	if diff := cmp.Diff([]registry.Job{want, lost}, got); err != nil || diff != "" {
		t.Errorf("%v %s", err, diff)
	}
}

func TestJobsAreFiltered(t *testing.T) {
	t.Parallel()
	r := fixture.Open(t, t.TempDir()).Registry
	for _, j := range []registry.Job{
		job("1", "a", "x.Do", "r1"), job("2", "a", "y.Do", "r1"), job("3", "b", "x.Do", "r2"), job("4", "", "x.Do", ""),
	} {
		if err := r.AddJob(t.Context(), j); err != nil {
			t.Fatal(err)
		}
	}
	old := job("2", "a", "y.Do", "r1")
	old.State, old.Ended = registry.JobSuccess, old.Queued
	if err := r.EndJobs(t.Context(), nil, old); err != nil {
		t.Fatal(err)
	}
	wantJobs(t, r, registry.JobFilter{}, "4", "3", "2", "1")
	wantJobs(t, r, registry.JobFilter{Limit: 2}, "4", "3")
	wantJobs(t, r, registry.JobFilter{Before: "3", Limit: 2}, "2", "1")
	wantJobs(t, r, registry.JobFilter{ID: "3"}, "3")
	wantJobs(t, r, registry.JobFilter{Project: "a"}, "2", "1")
	wantJobs(t, r, registry.JobFilter{Command: "x.Do", Project: "a"}, "1")
	wantJobs(t, r, registry.JobFilter{RunID: "r2"}, "3")
	wantJobs(t, r, registry.JobFilter{State: registry.JobWaiting}, "4", "3", "1")
	wantJobs(t, r, registry.JobFilter{Undone: true}, "4", "3", "1")
	wantJobs(t, r, registry.JobFilter{Project: "' OR true --"})

	if n, err := r.ForgetJobs(t.Context(), old.Ended); err != nil || n != 0 {
		t.Errorf("forgot %d jobs that are not old: %v", n, err)
	}
	if n, err := r.ForgetJobs(t.Context(), old.Ended.Add(time.Second)); err != nil || n != 1 {
		t.Errorf("forgot %d jobs: %v", n, err)
	}
	wantJobs(t, r, registry.JobFilter{}, "4", "3", "1")
}

// Long outcomes are in files, which go with their jobs; a list does without them.
func TestLongOutcomes(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	h := fixture.Open(t, root)
	text := func(size int) []byte { return []byte(`"` + strings.Repeat("x", size) + `"`) }
	var ended time.Time
	for n := range 60 { // as many as a checkpoint could not hold
		j := job(fmt.Sprintf("%02d", n), "1", "x.Do", "")
		j.State, j.Ended, j.Result, j.Error = registry.JobSuccess, j.Queued, text(1<<20), text(3)
		ended = j.Ended
		if err := h.Registry.AddJob(t.Context(), j); err != nil {
			t.Fatal(err)
		}
		if err := h.Registry.EndJobs(t.Context(), nil, j); err != nil {
			t.Fatal(err)
		}
	}
	h.Close()
	h = fixture.Open(t, root)
	j, ok, err := h.Registry.Job(t.Context(), "07")
	if !ok || err != nil || string(j.Result) != string(text(1<<20)) || string(j.Error) != string(text(3)) {
		t.Errorf("found %v, %v, %d and %d bytes", ok, err, len(j.Result), len(j.Error))
	}
	if _, ok, err := h.Registry.Job(t.Context(), ""); ok || err != nil {
		t.Errorf("a job without an id: %v, %v", ok, err)
	}
	list, err := h.Registry.Jobs(t.Context(), registry.JobFilter{})
	if err != nil || len(list) != 60 || list[0].Result != nil || list[0].Error != nil {
		t.Errorf("listed %d, %v", len(list), err)
	}
	if n, err := h.Registry.ForgetJobs(t.Context(), ended.Add(time.Second)); n != 60 || err != nil {
		t.Errorf("forgot %d, %v", n, err)
	}
	left, err := os.ReadDir(filepath.Join(h.Layout.Metadata(), "jobs"))
	if err != nil || len(left) != 0 {
		t.Errorf("%d files are left, %v", len(left), err)
	}
}

// A project that is made anew has none of the jobs of the one before it.
func TestJobsGoWithTheirProject(t *testing.T) {
	t.Parallel()
	r := fixture.Open(t, t.TempDir()).Registry
	activate(t, r, "a")
	for _, j := range []registry.Job{job("1", "a", "x.Do", ""), job("2", "a", "projects.Drop", ""), job("3", "b", "x.Do", "")} {
		if err := r.AddJob(t.Context(), j); err != nil {
			t.Fatal(err)
		}
	}
	done := job("1", "a", "x.Do", "")
	done.State, done.Ended = registry.JobSuccess, done.Queued
	if err := r.EndJobs(t.Context(), nil, done); err != nil {
		t.Fatal(err)
	}
	if err := r.Forget(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	// The drop itself may be a job, whose end somebody waits for.
	wantJobs(t, r, registry.JobFilter{}, "3", "2")
}
