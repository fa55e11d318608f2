package metrics

import (
	"regexp"

	"github.com/prometheus/client_golang/prometheus"
)

var fqName = regexp.MustCompile(`fqName: "([^"]*)"`)

// Declared names the metrics that are there whether or not anything was counted. A
// description tells its name to people only.
func (m *Metrics) Declared() []string {
	descriptions := make(chan *prometheus.Desc)
	go func() {
		defer close(descriptions)
		m.registry.Describe(descriptions)
	}()
	var out []string
	for d := range descriptions {
		out = append(out, fqName.FindStringSubmatch(d.String())[1])
	}
	return out
}
