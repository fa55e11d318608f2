package process_test

import (
	"syscall"
	"testing"

	"github.com/keboola/duckdb-storage/core/internal/pluginhost/process"
)

// BenchmarkStart measures from the fork to a plugin that serves.
func BenchmarkStart(b *testing.B) {
	cfg := config(b)
	for b.Loop() {
		p, err := process.Start(b.Context(), cfg)
		if err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		if err := p.Stop(b.Context()); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
}

// BenchmarkCrash measures from SIGKILL to the answer of the next call.
func BenchmarkCrash(b *testing.B) {
	cfg := config(b)
	for b.Loop() {
		b.StopTimer()
		p := start(b, cfg)
		b.StartTimer()
		kill(b, p.Status().PID, syscall.SIGKILL)
		for p.Status().Restarts == 0 { // until then a call may meet the dead process
			if _, err := call[text](b.Context(), p, "test.Echo", text{"ping"}); err == nil {
				break
			}
		}
		echo(b, p)
	}
}

// BenchmarkInvoke measures one hop.
func BenchmarkInvoke(b *testing.B) {
	p := start(b, config(b))
	for b.Loop() {
		echo(b, p)
	}
}

// BenchmarkCallback measures one hop with one callback.
func BenchmarkCallback(b *testing.B) {
	p := start(b, config(b))
	for b.Loop() {
		if _, err := call[text](b.Context(), p, "test.Ask", text{"SELECT 1"}); err != nil {
			b.Fatal(err)
		}
	}
}
