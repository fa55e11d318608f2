package metrics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/keboola/duckdb-storage/core/internal/audit"
	"github.com/keboola/duckdb-storage/core/internal/registry"
)

// Audit counts the entries of the audit. It is an [audit.Observer].
type Audit struct {
	recorded, lost *prometheus.CounterVec // by outcome
	wait           prometheus.Histogram
}

var _ audit.Observer = (*Audit)(nil)

func newAudit() *Audit {
	return &Audit{
		recorded: counterVec("audit", "entries_total", "Writes that are in the audit, by outcome; the runs of jobs are counted with the jobs.", "outcome"),
		lost:     counterVec("audit", "lost_total", "Writes that could not be stored in the audit, by outcome; their entries are in the log at level error.", "outcome"),
		wait: prometheus.NewHistogram(prometheus.HistogramOpts{
			Namespace: namespace, Subsystem: "audit", Name: "wait_seconds", Buckets: spans(),
			Help: "Seconds that an answer waited until the audit of its write was durable.",
		}),
	}
}

func (a *Audit) collectors() []prometheus.Collector {
	return []prometheus.Collector{a.recorded, a.lost, a.wait}
}

// Recorded implements audit.Observer.
func (a *Audit) Recorded(outcome registry.AuditOutcome, waited time.Duration) {
	a.recorded.WithLabelValues(string(outcome)).Inc()
	observe(a.wait, waited)
}

// Lost implements audit.Observer.
func (a *Audit) Lost(outcome registry.AuditOutcome) { a.lost.WithLabelValues(string(outcome)).Inc() }
