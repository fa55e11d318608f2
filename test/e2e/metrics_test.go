package e2e_test

import (
	"context"
	"io"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/keboola/duckdb-storage/sdk/sdktest/service"
)

// sample is a line of the text format: name, labels, value.
var sample = regexp.MustCompile(`^([a-zA-Z_:][a-zA-Z0-9_:]*(?:\{(?:[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\.)*",?)*\})?) (\S+)$`)

// scrape returns every sample of /metrics, by name and labels as they are written.
func scrape(t *testing.T, admin service.Client) map[string]float64 {
	t.Helper()
	resp, err := admin.Send(t.Context(), http.MethodGet, "/metrics", nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if got := resp.Header.Get("Content-Type"); err != nil || resp.StatusCode != http.StatusOK || !strings.HasPrefix(got, "text/plain; version=0.0.4") {
		t.Fatalf("status %d, %s, %v: %s", resp.StatusCode, got, err, text)
	}
	out := map[string]float64{}
	for l := range strings.Lines(string(text)) {
		l = strings.TrimSuffix(l, "\n")
		if strings.HasPrefix(l, "# HELP ") || strings.HasPrefix(l, "# TYPE ") {
			continue
		}
		m := sample.FindStringSubmatch(l)
		if m == nil {
			t.Errorf("no line of the text format: %q", l)
			continue
		}
		if out[m[1]], err = strconv.ParseFloat(m[2], 64); err != nil {
			t.Error(err)
		}
	}
	return out
}

// quiet returns the samples of a service in which no other request runs.
func quiet(t *testing.T, admin service.Client) map[string]float64 {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	poll := time.NewTicker(5 * time.Millisecond)
	defer poll.Stop()
	for {
		got := scrape(t, admin)
		if got["duckdb_storage_http_requests_in_flight"] == 1 {
			return got
		}
		select {
		case <-poll.C:
		case <-ctx.Done():
			t.Fatal("the service is never quiet")
		}
	}
}

// want compares samples; one that is not there counts as 0.
func want(t *testing.T, got, want map[string]float64) {
	t.Helper()
	for name, value := range want {
		if got["duckdb_storage_"+name] != value {
			t.Errorf("%s is %v, want %v", name, got["duckdb_storage_"+name], value)
		}
	}
}

// The metrics tell what the writes of a project do, while they do it and
// afterwards.
func TestMetrics(t *testing.T) {
	t.Parallel()
	s := start(t)
	admin := s.Admin()
	p, err := admin.CreateProject(t.Context(), "1")
	if err != nil {
		t.Fatal(err)
	}
	if err := p.CreateBucket(t.Context(), "b"); err != nil {
		t.Fatal(err)
	}
	const (
		waits = `write_queue_wait_seconds_count{line="turn"}`
		holds = `write_queue_hold_seconds_count{line="turn"}`
		depth = `write_queue_waiting{catalog="project_1_main",line="turn"}`
		busy  = `write_queue_held{line="turn"}`
		left  = `write_queue_refusals_total{reason="cancelled"}`
		ended = `http_requests_total{command="query.Execute",status="2xx"}`
	)
	before := scrape(t, admin)
	want(t, before, map[string]float64{
		waits: 1, holds: 1, busy: 0, depth: 0, left: 0, ended: 0, "http_requests_in_flight": 1, "write_queue_longest_hold_seconds": 0,
		`http_requests_total{command="buckets.Create",status="2xx"}`: 1, `plugin_state{plugin="tables",state="running"}`: 1,
		`plugin_restarts_total{plugin="tables"}`: 0, "engine_fatal_errors_total": 0,
		`command_runs_total{command="buckets.Create",outcome="ok"}`: 1, `command_duration_seconds_count{command="buckets.Create"}`: 1,
		`plugin_call_duration_seconds_count{plugin="buckets"}`: 1, `plugin_calls_in_flight{plugin="buckets"}`: 0,
	})
	if used := before["duckdb_storage_engine_memory_used_bytes"]; used <= 0 || used < before["duckdb_storage_engine_memory_used_largest_bytes"] {
		t.Errorf("open cells hold %v bytes", used)
	}

	runs := begin(t, p, strings.ReplaceAll(endless, "%d", "1"))
	awaitLine(t, admin, func(l line) bool { return l.Holder.HeldSeconds > 0 })
	gone := begin(t, p, "CREATE TABLE b.gone (i INTEGER)")
	next := begin(t, p, "CREATE TABLE b.next (i INTEGER)")
	awaitLine(t, admin, func(l line) bool { return l.Waiting == 2 })
	during := scrape(t, admin)
	want(t, during, map[string]float64{waits: 2, holds: 1, busy: 1, depth: 2, left: 0, "http_requests_in_flight": 4})
	for _, name := range []string{"write_queue_longest_hold_seconds", "write_queue_longest_wait_seconds"} {
		if during["duckdb_storage_"+name] <= 0 {
			t.Errorf("%s is %v", name, during["duckdb_storage_"+name])
		}
	}

	gone.leave(t)
	awaitLine(t, admin, func(l line) bool { return l.Waiting == 1 })
	runs.leave(t)
	if o := <-next.done; o.err != nil || o.answer.status != http.StatusOK {
		t.Errorf("the next write: %+v", o)
	}
	after := quiet(t, admin)
	want(t, after, map[string]float64{
		waits: 3, holds: 3, busy: 0, depth: 0, left: 1, ended: 1, `http_requests_total{command="query.Execute",status="aborted"}`: 2,
	})
	const sum = `duckdb_storage_write_queue_hold_seconds_sum{line="turn"}`
	if held := after[sum] - before[sum]; held < during["duckdb_storage_write_queue_longest_hold_seconds"] {
		t.Errorf("turns were held for %v s, less than the one that was held", held)
	}
	for _, name := range []string{"http_received_bytes_total", "http_sent_bytes_total"} {
		if after["duckdb_storage_"+name] <= before["duckdb_storage_"+name] {
			t.Errorf("%s did not grow", name)
		}
	}
}

// Labels show the ids of projects, so a project's key does not open the metrics.
func TestMetricsTakeTheAdminKey(t *testing.T) {
	t.Parallel()
	s := start(t)
	p, err := s.Admin().CreateProject(t.Context(), "1")
	if err != nil {
		t.Fatal(err)
	}
	for key, slug := range map[string]string{"": "unauthenticated", "none": "unauthenticated", p.Key: "permission-denied"} {
		_, err := service.Client{URL: s.URL(), Key: key}.Do(t.Context(), http.MethodGet, "/metrics", nil, nil)
		if !service.IsProblem(err, slug) {
			t.Errorf("with key %q: %v, want %s", key, err, slug)
		}
	}
}
