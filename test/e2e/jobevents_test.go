package e2e_test

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/keboola/duckdb-storage/sdk/sdktest/service"
)

// event is one server-sent event.
type event struct {
	id, name string
	job      job
}

// follow reads the events of a job. The channel is closed at the end of the stream.
func follow(ctx context.Context, t *testing.T, c service.Client, id string) (events <-chan event, leave func()) {
	t.Helper()
	ctx, leave = context.WithCancel(ctx)
	out := make(chan event)
	go func() {
		defer close(out)
		resp, err := c.Send(ctx, http.MethodGet, "/jobs/"+id+"/events", http.Header{"Accept-Encoding": {"gzip"}}, nil)
		if err != nil {
			return // the client has left already
		}
		defer resp.Body.Close()
		if resp.StatusCode != http.StatusOK || resp.Header.Get("Content-Type") != "text/event-stream" || resp.Header.Get("Content-Encoding") != "" {
			t.Errorf("%d %v", resp.StatusCode, resp.Header)
		}
		read(ctx, t, resp.Body, out)
	}()
	return out, leave
}

// read splits a stream into its events.
func read(ctx context.Context, t *testing.T, body io.Reader, out chan<- event) {
	var e event
	for lines := bufio.NewScanner(body); lines.Scan(); {
		field, value, _ := strings.Cut(lines.Text(), ": ")
		switch field {
		case "id":
			e.id = value
		case "event":
			e.name = value
		case "data":
			if err := json.Unmarshal([]byte(value), &e.job); err != nil {
				t.Error(err)
			}
		case "":
			if e.name == "" {
				continue // after a comment
			}
			select {
			case out <- e:
			case <-ctx.Done():
				return
			}
			e = event{}
		}
	}
}

// The events of a job tell of each state, and end with the last.
func TestJobEvents(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	// A stream outlives the time that a client has for a part of an answer.
	s := start(t, "DUCKDB_STORAGE_JOBS__WORKERS=1", "DUCKDB_STORAGE_HTTP__WRITE_TIMEOUT=200ms")
	p, err := s.Admin().CreateProject(ctx, "1")
	must(t, err)
	blocks := sqlJob(ctx, t, p, endlessOf("blocks"))
	// Of this one DuckDB knows how far it is.
	grows := sqlJob(ctx, t, p, "CREATE TABLE main.grows AS SELECT DISTINCT md5(i::VARCHAR) AS h FROM (SELECT unnest(range(2000000)) AS i)")
	events, leave := follow(ctx, t, p.Client, grows.ID)
	defer leave()
	if first := <-events; first.id != "1" || first.name != "job" || first.job.State != "waiting" {
		t.Errorf("the first event is %+v", first)
	}
	other, left := follow(ctx, t, p.Client, grows.ID)
	<-other
	left() // a client that leaves disturbs nobody
	for range other {
	}
	_, err = p.Do(ctx, http.MethodDelete, "/jobs/"+blocks.ID, nil, nil)
	must(t, err)
	var states []string
	var last event
	for e := range events {
		if len(states) == 0 || states[len(states)-1] != e.job.State {
			states = append(states, e.job.State)
		}
		last = e
	}
	if diff := cmp.Diff([]string{"processing", "success"}, states); diff != "" {
		t.Errorf("states after the first (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(getJob(ctx, t, p.Client, grows.ID), last.job); diff != "" || last.job.Result == nil {
		t.Errorf("the last event (-job +event):\n%s", diff)
	}
	events, leave = follow(ctx, t, p.Client, grows.ID)
	defer leave()
	if only := <-events; only.job.State != "success" {
		t.Errorf("of a job that is done: %+v", only)
	}
	if more, ok := <-events; ok {
		t.Errorf("after the last state: %+v", more)
	}
	must(t, s.Stop())
}

// A stop waits for the jobs that run, and no longer than it may.
func TestStopWithARunningJob(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	dir := dataDir(t)
	run := func(timeout, sql string) job {
		t.Helper()
		s, err := service.Start(ctx, service.Options{Bin: bin, DataDir: dir, Env: []string{"DUCKDB_STORAGE_SHUTDOWN_TIMEOUT=" + timeout}})
		must(t, err)
		t.Cleanup(func() { s.Kill() })
		p, err := s.Admin().CreateProject(ctx, "1")
		if err != nil && !service.IsProblem(err, "project-exists") {
			t.Fatal(err)
		}
		p = service.Project{Client: s.Admin(), ID: p.ID}
		j := sqlJob(ctx, t, p, sql)
		awaitJob(ctx, t, s.Admin(), j.ID, func(j job) bool { return j.State == "processing" })
		events, leave := follow(ctx, t, s.Admin(), j.ID)
		defer leave()
		<-events
		must(t, s.Stop())
		for range events { // the stream has ended, and did not hold up the stop
		}
		s, err = service.Start(ctx, service.Options{Bin: bin, DataDir: dir})
		must(t, err)
		j = getJob(ctx, t, s.Admin(), j.ID)
		must(t, s.Stop())
		return j
	}
	if j := run("40s", "CREATE TABLE main.short AS SELECT count(DISTINCT md5(range::VARCHAR)) AS n FROM range(2000000)"); j.State != "success" {
		t.Errorf("a job that ends in time: %+v", j)
	}
	if j := run("1s", endlessOf("long")); j.State != "error" || j.Error == nil || !strings.Contains(j.Error.Detail, "the service stopped while the job was processing") {
		t.Errorf("a job that does not: %+v, %v", j, j.Error)
	}
}
