package metrics

import (
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// HTTP counts requests.
type HTTP struct {
	requests       *prometheus.CounterVec   // by command and class of status
	duration       *prometheus.HistogramVec // by command
	inFlight       prometheus.Gauge
	received, sent prometheus.Counter
}

func newHTTP() *HTTP {
	return &HTTP{
		requests: counterVec("http", "requests_total",
			"Requests that have ended, by command (none: health, documents, unknown paths) and class of status; aborted is a connection that was broken off, by either side.",
			"command", "status"),
		duration: histogramVec("http", "request_duration_seconds",
			"Seconds from the head of a request to the last byte of its answer.", "command"),
		inFlight: prometheus.NewGauge(prometheus.GaugeOpts{
			Namespace: namespace, Subsystem: "http", Name: "requests_in_flight", Help: "Requests that run now.",
		}),
		received: counter("http", "received_bytes_total", "Bytes of bodies that clients have sent."),
		sent:     counter("http", "sent_bytes_total", "Bytes of bodies that were sent to clients."),
	}
}

func (h *HTTP) collectors() []prometheus.Collector {
	return []prometheus.Collector{h.requests, h.duration, h.inFlight, h.received, h.sent}
}

// Began counts a request in.
func (h *HTTP) Began() { h.inFlight.Inc() }

// Ended counts a request out. command is empty for what is no command; a request
// is aborted if its connection was broken off, whatever status was noted for it.
func (h *HTTP) Ended(command string, status int, aborted bool, took time.Duration) {
	h.inFlight.Dec()
	if command == "" {
		command = "none"
	}
	class := fmt.Sprintf("%dxx", status/100)
	if aborted || status == 0 {
		class = "aborted"
	}
	h.requests.WithLabelValues(command, class).Inc()
	observe(h.duration.WithLabelValues(command), took)
}

// Received counts bytes of a request's body, as they come.
func (h *HTTP) Received(n int) { h.received.Add(float64(n)) }

// Sent counts bytes of an answer's body, as they go.
func (h *HTTP) Sent(n int) { h.sent.Add(float64(n)) }
