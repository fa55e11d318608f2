package metrics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/keboola/duckdb-storage/core/internal/queue"
)

// Queue counts what becomes of writers. It is a [queue.Observer].
type Queue struct {
	wait, hold *prometheus.HistogramVec // by line
	refusals   *prometheus.CounterVec   // by reason
}

var _ queue.Observer = (*Queue)(nil)

func newQueue() *Queue {
	q := &Queue{
		wait: histogramVec("write_queue", "wait_seconds",
			"Seconds that a write waited for its turn, or for a lock within its catalog; 0 when nobody was there.", "line"),
		hold: histogramVec("write_queue", "hold_seconds",
			"Seconds that a write had its turn or its lock. A lease is one turn.", "line"),
		refusals: counterVec("write_queue", "refusals_total",
			"Writes that got no turn: the line was full, they waited for too long, or their request ended before.", "reason"),
	}
	for _, lock := range []bool{false, true} {
		q.wait.WithLabelValues(kind(lock))
		q.hold.WithLabelValues(kind(lock))
	}
	for _, why := range []queue.Refusal{queue.Full, queue.TimedOut, queue.Cancelled} {
		q.refusals.WithLabelValues(string(why))
	}
	return q
}

func (q *Queue) collectors() []prometheus.Collector {
	return []prometheus.Collector{q.wait, q.hold, q.refusals}
}

// kind is the label of a line: the turn of a catalog, or a lock within it.
func kind(lock bool) string {
	if lock {
		return "lock"
	}
	return "turn"
}

// Waited implements queue.Observer.
func (q *Queue) Waited(lock bool, d time.Duration) { observe(q.wait.WithLabelValues(kind(lock)), d) }

// Held implements queue.Observer.
func (q *Queue) Held(lock bool, d time.Duration) { observe(q.hold.WithLabelValues(kind(lock)), d) }

// Refused implements queue.Observer.
func (q *Queue) Refused(why queue.Refusal) { q.refusals.WithLabelValues(string(why)).Inc() }
