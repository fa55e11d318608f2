package metrics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/keboola/duckdb-storage/core/internal/pluginhost"
)

// Plugins counts commands and what plugins do for them. It is a
// [pluginhost.Observer]. A command costs about a microsecond in all (bench_test.go).
type Plugins struct {
	commands  *prometheus.CounterVec   // by command and outcome
	duration  *prometheus.HistogramVec // by command
	inFlight  *prometheus.GaugeVec     // by plugin
	calls     *prometheus.HistogramVec // by plugin
	callbacks *prometheus.CounterVec   // by plugin and callback
}

var _ pluginhost.Observer = (*Plugins)(nil)

func newPlugins() *Plugins {
	return &Plugins{
		commands: counterVec("command", "runs_total",
			"Commands that have ended, whoever asked for them: clients, other commands, jobs; by outcome: ok, refused (the request), unavailable (not now), failed (a fault of the service or a plugin), cancelled.",
			"command", "outcome"),
		duration: histogramVec("command", "duration_seconds",
			"Seconds that a command took, its wait in the write queue included; of one that streams, to the first bytes.", "command"),
		inFlight: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Namespace: namespace, Subsystem: "plugin", Name: "calls_in_flight",
			Help: "Calls of a plugin that run now: commands, before-hooks, events.",
		}, []string{"plugin"}),
		calls: histogramVec("plugin", "call_duration_seconds",
			"Seconds that a plugin took to answer a call, its callbacks included.", "plugin"),
		callbacks: counterVec("plugin", "callbacks_total", "What the handlers of a plugin asked of the host.", "plugin", "callback"),
	}
}

func (p *Plugins) collectors() []prometheus.Collector {
	return []prometheus.Collector{p.commands, p.duration, p.inFlight, p.calls, p.callbacks}
}

// Ran implements pluginhost.Observer.
func (p *Plugins) Ran(command string, how pluginhost.Outcome, took time.Duration) {
	p.commands.WithLabelValues(command, string(how)).Inc()
	observe(p.duration.WithLabelValues(command), took)
}

// Asks implements pluginhost.Observer.
func (p *Plugins) Asks(plugin string) { p.inFlight.WithLabelValues(plugin).Inc() }

// Answered implements pluginhost.Observer.
func (p *Plugins) Answered(plugin string, took time.Duration) {
	p.inFlight.WithLabelValues(plugin).Dec()
	observe(p.calls.WithLabelValues(plugin), took)
}

// CalledBack implements pluginhost.Observer.
func (p *Plugins) CalledBack(plugin, callback string) {
	p.callbacks.WithLabelValues(plugin, callback).Inc()
}
