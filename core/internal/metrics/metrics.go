// Package metrics counts what operators watch and writes it in the text format of
// Prometheus. It is the only importer of the Prometheus library. Start with [New]:
// it tells the parts of the host what to report to, [Metrics.Collect] tells it what
// to ask, and [Metrics.Text] is the exposition.
//
// Every name starts with duckdb_storage_, but for the standard ones of the Go
// runtime (go_) and of the process (process_). Values are in base units: seconds,
// bytes. Counters count from the start of the service. Labels have few values, all
// of them from the service itself: names of commands and plugins. The one
// exception is the line of a catalog that has a writer at this moment; since its
// name shows the id of a project, the exposition is for the admin key.
package metrics

import (
	"bytes"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/common/expfmt"
)

// namespace starts every name.
const namespace = "duckdb_storage"

// ContentType is the media type of Text.
const ContentType = "text/plain; version=0.0.4; charset=utf-8"

// Metrics holds every metric of the service.
type Metrics struct {
	// Queue is the observer of the write queue.
	Queue *Queue
	// HTTP is told of requests.
	HTTP *HTTP
	// Jobs is the observer of jobs.
	Jobs *Jobs
	// Plugins is the observer of commands and plugins.
	Plugins *Plugins
	// Audit is the observer of the audit.
	Audit *Audit

	registry *prometheus.Registry
}

// New makes the metrics of a service.
func New() *Metrics {
	r := prometheus.NewRegistry()
	r.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	m := &Metrics{Queue: newQueue(), HTTP: newHTTP(), Jobs: newJobs(), Plugins: newPlugins(), Audit: newAudit(), registry: r}
	r.MustRegister(m.Queue.collectors()...)
	r.MustRegister(m.HTTP.collectors()...)
	r.MustRegister(m.Jobs.collectors()...)
	r.MustRegister(m.Plugins.collectors()...)
	r.MustRegister(m.Audit.collectors()...)
	return m
}

// Text is the exposition of this moment.
func (m *Metrics) Text() ([]byte, error) {
	families, err := m.registry.Gather()
	if err != nil {
		return nil, err
	}
	var out bytes.Buffer
	for _, f := range families {
		if _, err := expfmt.MetricFamilyToText(&out, f); err != nil {
			return nil, err
		}
	}
	return out.Bytes(), nil
}

// spans are the buckets of every duration, in seconds: from a commit of a
// millisecond to an import of most of an hour, two to the decade.
func spans() []float64 {
	return []float64{.001, .003, .01, .03, .1, .3, 1, 3, 10, 30, 100, 300, 1000, 3000}
}

func counter(subsystem, name, help string) prometheus.Counter {
	return prometheus.NewCounter(prometheus.CounterOpts{Namespace: namespace, Subsystem: subsystem, Name: name, Help: help})
}

func counterVec(subsystem, name, help string, labels ...string) *prometheus.CounterVec {
	return prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: namespace, Subsystem: subsystem, Name: name, Help: help}, labels)
}

func histogramVec(subsystem, name, help string, labels ...string) *prometheus.HistogramVec {
	return prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Namespace: namespace, Subsystem: subsystem, Name: name, Help: help, Buckets: spans(),
	}, labels)
}

// observe adds a duration to a histogram.
func observe(h prometheus.Observer, d time.Duration) { h.Observe(d.Seconds()) }
