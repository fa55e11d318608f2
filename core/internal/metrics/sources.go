package metrics

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/keboola/duckdb-storage/core/internal/engine"
	"github.com/keboola/duckdb-storage/core/internal/links"
	"github.com/keboola/duckdb-storage/core/internal/outbox"
	"github.com/keboola/duckdb-storage/core/internal/plan"
	"github.com/keboola/duckdb-storage/core/internal/pluginhost"
	"github.com/keboola/duckdb-storage/core/internal/queue"
)

// Sources tell what is so at the moment of a collection. They are called from
// several goroutines and must answer at once.
type Sources struct {
	Version       string // of the service
	DuckDBVersion string
	Lines         func() []queue.Line
	Reads         func() plan.Load // of small reads
	Streams       func() plan.Load // of streams and exports
	Plugins       func() []pluginhost.Status
	Events        func() []outbox.Counts
	Engine        func() engine.Stats
	Usage         func(context.Context) engine.Usage
	Links         func() links.Stats
}

// Collect adds what the sources tell to the exposition. It is called once.
func (m *Metrics) Collect(s Sources) { m.registry.MustRegister(sources{s}) }

// sources is a collector: it makes its metrics anew each time.
type sources struct{ Sources }

// Describe sends nothing: which metrics there are depends on the moment.
func (sources) Describe(chan<- *prometheus.Desc) {}

func (s sources) Collect(to chan<- prometheus.Metric) {
	gauge(to, "", "build_info", "1 for the versions that run.", 1, "version", s.Version, "duckdb_version", s.DuckDBVersion)
	s.queue(to)
	s.reads(to)
	s.plugins(to)
	s.events(to)
	s.engine(to)
	s.links(to)
}

func (s sources) queue(to chan<- prometheus.Metric) {
	held := map[string]int{kind(false): 0, kind(true): 0}
	var leases int
	var hold, wait time.Duration
	waiting := map[[2]string]int{} // by catalog and line
	for _, l := range s.Lines() {
		line := kind(l.Lock != "")
		held[line]++
		waiting[[2]string{l.Catalog, line}] += l.Waiting
		if l.Lease {
			leases++
		}
		hold, wait = max(hold, l.Held), max(wait, l.Longest)
	}
	for line, n := range held {
		gauge(to, "write_queue", "held", "Turns of catalogs, and locks within them, that a write has now.", float64(n), "line", line)
	}
	for k, n := range waiting {
		gauge(to, "write_queue", "waiting", "Writes that wait now, by catalog; a catalog that nobody writes to is left out.",
			float64(n), "catalog", k[0], "line", k[1])
	}
	gauge(to, "write_queue", "leases", "Turns that a command keeps for several writes now.", float64(leases))
	gauge(to, "write_queue", "longest_hold_seconds", "Seconds for which the turn or lock that is held the longest is held now.", hold.Seconds())
	gauge(to, "write_queue", "longest_wait_seconds", "Seconds for which the write that waits the longest waits now.", wait.Seconds())
}

func (s sources) reads(to chan<- prometheus.Metric) {
	for kind, load := range map[string]plan.Load{"small": s.Reads(), "stream": s.Streams()} {
		gauge(to, "reads", "running", "Reads that run now: small ones, or streams and exports.", float64(load.Running), "kind", kind)
		gauge(to, "reads", "waiting", "Reads that wait for a place now.", float64(load.Waiting), "kind", kind)
	}
}

func (s sources) plugins(to chan<- prometheus.Metric) {
	for _, p := range s.Plugins() {
		gauge(to, "plugin", "state", "1 for the state that a plugin is in.", 1, "plugin", p.Name, "state", p.State)
		count(to, "plugin", "restarts_total", "How often a plugin was started again after its process had ended.", float64(p.Restarts), "plugin", p.Name)
	}
}

func (s sources) engine(to chan<- prometheus.Metric) {
	e := s.Engine()
	gauge(to, "engine", "open_cells", "DuckDB instances that are open.", float64(e.Cells))
	gauge(to, "engine", "open_catalogs", "Catalogs that are open.", float64(e.Catalogs))
	gauge(to, "engine", "quarantined_catalogs", "Catalogs that are refused because their file could not be opened.", float64(e.Quarantined))
	gauge(to, "engine", "memory_budget_bytes", "Bytes of memory for all open cells together.", float64(e.MemoryBudget))
	gauge(to, "engine", "memory_limits_bytes", "Bytes of memory that the open cells may use; over the budget only where each has its least.", float64(e.MemoryLimits))
	count(to, "engine", "fatal_errors_total", "Errors of DuckDB that closed a cell.", float64(e.FatalErrors))
	count(to, "engine", "idle_detaches_total", "Catalogs that were closed because nobody used them, or to make room.", float64(e.DetachedIdle))
	usage := s.Usage(context.Background())
	gauge(to, "engine", "memory_used_bytes", "Bytes of memory that DuckDB holds for all open cells together.", float64(usage.Memory))
	gauge(to, "engine", "memory_used_largest_bytes", "Bytes of memory that DuckDB holds for the open cell that has the most.", float64(usage.Largest))
	gauge(to, "engine", "temp_used_bytes", "Bytes that all open cells together have spilled to disk.", float64(usage.Temp))
	attach := prometheus.NewDesc(prometheus.BuildFQName(namespace, "engine", "attach_seconds"),
		"Seconds that it took to open a catalog: attach its file, replay its log, migrate it.", nil, nil)
	to <- prometheus.MustNewConstSummary(attach, e.Attaches, e.AttachTime.Seconds(), nil)
}

func (s sources) links(to chan<- prometheus.Metric) {
	l := s.Links()
	gauge(to, "links", "buckets", "Buckets that are linked.", float64(l.Links))
	for kind, n := range map[string]uint64{"whole": l.Whole, "names": l.Named} {
		count(to, "links", "refreshes_total", "Comparisons of the linked buckets of a project with their sources: of everything, or of the names that statements had.", float64(n), "kind", kind)
	}
	count(to, "links", "refresh_failures_total", "Comparisons that failed: linked buckets show what they showed before, until one succeeds.", float64(l.Failed))
	count(to, "links", "refresh_seconds_total", "Seconds that comparisons took.", l.Time.Seconds())
	count(to, "links", "stale_sessions_total", "Requests that did not wait for a comparison any longer.", float64(l.StaleServed))
	for what, n := range map[string]uint64{"made": l.ViewsMade, "removed": l.ViewsGone} {
		count(to, "links", "views_total", "Views that were made in linked buckets, and removed.", float64(n), "change", what)
	}
}

// gauge and count send one value; labels are pairs of name and value.
func gauge(to chan<- prometheus.Metric, subsystem, name, help string, value float64, labels ...string) {
	send(to, prometheus.GaugeValue, subsystem, name, help, value, labels)
}

func count(to chan<- prometheus.Metric, subsystem, name, help string, value float64, labels ...string) {
	send(to, prometheus.CounterValue, subsystem, name, help, value, labels)
}

func send(to chan<- prometheus.Metric, of prometheus.ValueType, subsystem, name, help string, value float64, labels []string) {
	var names, values []string
	for i := 0; i < len(labels); i += 2 {
		names, values = append(names, labels[i]), append(values, labels[i+1])
	}
	desc := prometheus.NewDesc(prometheus.BuildFQName(namespace, subsystem, name), help, names, nil)
	to <- prometheus.MustNewConstMetric(desc, of, value, values...)
}
