package metrics_test

import (
	"bytes"
	"context"
	"flag"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"github.com/keboola/duckdb-storage/core/internal/engine"
	"github.com/keboola/duckdb-storage/core/internal/links"
	"github.com/keboola/duckdb-storage/core/internal/metrics"
	"github.com/keboola/duckdb-storage/core/internal/outbox"
	"github.com/keboola/duckdb-storage/core/internal/plan"
	"github.com/keboola/duckdb-storage/core/internal/pluginhost"
	"github.com/keboola/duckdb-storage/core/internal/queue"
	"github.com/keboola/duckdb-storage/core/internal/registry"
)

var update = flag.Bool("update", false, "rewrite testdata")

// filled has something of everything.
func filled() *metrics.Metrics {
	m := metrics.New()
	m.Collect(metrics.Sources{
		Version: "1.2.3", DuckDBVersion: "v1.5.6",
		Links: func() links.Stats {
			return links.Stats{Links: 2, Whole: 3, Named: 4, Failed: 1, Time: time.Second, ViewsMade: 7, ViewsGone: 5}
		},
		Lines: func() []queue.Line {
			return []queue.Line{
				{Catalog: "project_1_main", Held: time.Minute, Waiting: 3, Longest: 2 * time.Second, Lease: true},
				{Catalog: "project_1_main", Lock: "table a", Held: 2 * time.Minute, Waiting: 1, Longest: time.Second},
				{Catalog: "project_1_main", Lock: "table b", Held: time.Second, Waiting: 2, Longest: time.Second},
				{Catalog: "project_2_main", Held: time.Second},
			}
		},
		Reads:   func() plan.Load { return plan.Load{Running: 4, Waiting: 5} },
		Streams: func() plan.Load { return plan.Load{Running: 6, Waiting: 7} },
		Plugins: func() []pluginhost.Status {
			return []pluginhost.Status{{Name: "files", State: "running", Restarts: 2}, {Name: "tables", State: "failed"}}
		},
		Engine: func() engine.Stats {
			return engine.Stats{
				Cells: 1, Catalogs: 2, Quarantined: 3, MemoryBudget: 4, MemoryLimits: 5,
				Attaches: 6, AttachTime: 1500 * time.Millisecond, DetachedIdle: 7, FatalErrors: 8,
			}
		},
		Events: func() []outbox.Counts {
			return []outbox.Counts{{Subscriber: "tables", Pending: 1, Delivered: 2, Repeated: 3, Failed: 4}}
		},
		Usage: func(context.Context) engine.Usage { return engine.Usage{Memory: 9, Largest: 10, Temp: 11} },
	})
	m.Plugins.Ran("tables.Info", pluginhost.OutcomeOK, 2*time.Millisecond)
	m.Plugins.Ran("tables.Info", pluginhost.OutcomeRefused, time.Millisecond)
	m.Plugins.Asks("tables")
	m.Plugins.Asks("tables")
	m.Plugins.Answered("tables", time.Millisecond)
	m.Plugins.CalledBack("tables", "Query")
	m.Jobs.Load(1, 2)
	m.Jobs.Ended("tables.ImportFile", registry.JobSuccess, time.Second, time.Minute)
	m.Audit.Recorded(registry.AuditOK, 2*time.Millisecond)
	m.Audit.Lost(registry.AuditFailed)
	m.Queue.Waited(false, 0)
	m.Queue.Waited(true, 2*time.Second)
	m.Queue.Held(false, time.Hour)
	m.Queue.Refused(queue.Full)
	m.HTTP.Began()
	m.HTTP.Began()
	m.HTTP.Began()
	m.HTTP.Received(10)
	m.HTTP.Sent(20)
	m.HTTP.Sent(1)
	m.HTTP.Ended("tables.Info", 200, false, 2*time.Millisecond)
	m.HTTP.Ended("", 404, false, 0)
	m.HTTP.Began()
	m.HTTP.Ended("tables.Preview", 200, true, 20*time.Second)
	return m
}

// The exposition is what the golden file says, but for the standard metrics of the
// runtime and the process.
func TestText(t *testing.T) {
	t.Parallel()
	text, err := filled().Text()
	if err != nil {
		t.Fatal(err)
	}
	var own strings.Builder
	standard := map[string]bool{}
	for line := range strings.Lines(string(text)) {
		name := strings.TrimPrefix(strings.TrimPrefix(line, "# HELP "), "# TYPE ")
		if prefix, _, _ := strings.Cut(name, "_"); prefix != "duckdb" {
			standard[prefix] = true
			continue
		}
		own.WriteString(line)
	}
	if diff := cmp.Diff(map[string]bool{"go": true, "process": true}, standard); diff != "" {
		t.Errorf("other prefixes (-want +got):\n%s", diff)
	}
	const path = "testdata/metrics.golden"
	if *update {
		if err := os.WriteFile(path, []byte(own.String()), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(strings.Split(string(want), "\n"), strings.Split(own.String(), "\n")); diff != "" {
		t.Errorf("%s (-want +got; go test -update rewrites it):\n%s", path, diff)
	}
}

// Names and types keep to what Prometheus advises.
func TestConventions(t *testing.T) {
	t.Parallel()
	text, err := filled().Text()
	if err != nil {
		t.Fatal(err)
	}
	problems, err := promlint.New(bytes.NewReader(text)).Lint()
	if err != nil || len(text) == 0 {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}
