package metrics

import "github.com/prometheus/client_golang/prometheus"

// events tells what becomes of the events of each subscriber.
func (s sources) events(to chan<- prometheus.Metric) {
	for _, c := range s.Events() {
		gauge(to, "events", "pending", "Events that wait to be delivered to a plugin, as far as they are known now.", float64(c.Pending), "plugin", c.Subscriber)
		count(to, "events", "delivered_total", "Events that a plugin has taken.", float64(c.Delivered), "plugin", c.Subscriber)
		count(to, "events", "repeated_total", "Deliveries of events that failed and are made again.", float64(c.Repeated), "plugin", c.Subscriber)
		count(to, "events", "failed_total", "Events that were set aside, because a plugin could not take them; the log has the errors.", float64(c.Failed), "plugin", c.Subscriber)
	}
}
