package metrics_test

import (
	"testing"
	"time"

	"github.com/keboola/duckdb-storage/core/internal/metrics"
	"github.com/keboola/duckdb-storage/core/internal/pluginhost"
)

// What counting costs a command with two callbacks; its way to a plugin and back
// costs 88 µs.
func BenchmarkCommand(b *testing.B) {
	p := metrics.New().Plugins
	b.ReportAllocs()
	b.RunParallel(func(each *testing.PB) {
		for each.Next() {
			p.Asks("tables")
			p.CalledBack("tables", "Query")
			p.CalledBack("tables", "Query")
			p.Answered("tables", time.Millisecond)
			p.Ran("tables.Info", pluginhost.OutcomeOK, time.Millisecond)
		}
	})
}
