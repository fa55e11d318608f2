package metrics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/keboola/duckdb-storage/core/internal/jobs"
	"github.com/keboola/duckdb-storage/core/internal/registry"
)

// Jobs counts what becomes of jobs. It is a [jobs.Observer].
type Jobs struct {
	now       *prometheus.GaugeVec     // by state
	ended     *prometheus.CounterVec   // by command and state
	wait, ran *prometheus.HistogramVec // by command
}

var _ jobs.Observer = (*Jobs)(nil)

func newJobs() *Jobs {
	j := &Jobs{
		now: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Namespace: namespace, Subsystem: "jobs", Name: "now", Help: "Jobs that wait for a place, and jobs that run.",
		}, []string{"state"}),
		ended: counterVec("jobs", "ended_total", "Jobs that have ended, by command and by how they did.", "command", "state"),
		wait:  histogramVec("jobs", "wait_seconds", "Seconds that a job waited for its place.", "command"),
		ran:   histogramVec("jobs", "duration_seconds", "Seconds that a job ran, its wait in the write queue included.", "command"),
	}
	j.Load(0, 0)
	return j
}

func (j *Jobs) collectors() []prometheus.Collector {
	return []prometheus.Collector{j.now, j.ended, j.wait, j.ran}
}

// Load implements jobs.Observer.
func (j *Jobs) Load(waiting, processing int) {
	j.now.WithLabelValues(string(registry.JobWaiting)).Set(float64(waiting))
	j.now.WithLabelValues(string(registry.JobProcessing)).Set(float64(processing))
}

// Ended implements jobs.Observer.
func (j *Jobs) Ended(command string, state registry.JobState, waited, ran time.Duration) {
	j.ended.WithLabelValues(command, string(state)).Inc()
	observe(j.wait.WithLabelValues(command), waited)
	observe(j.ran.WithLabelValues(command), ran)
}
