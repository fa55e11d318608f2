package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
)

// warmUp is how many requests of each kind do not count.
const warmUp = 20

// way is one way to ask for the same.
type way struct {
	name  string
	ask   func(context.Context) error
	times times
}

// latencies asks in each way in turns and prints a line for each.
func (b *bench) latencies(ctx context.Context, ways []*way) error {
	for i := range warmUp + b.requests {
		for _, w := range ways {
			took, err := timed(ctx, w.ask)
			if err != nil {
				return fmt.Errorf("%s: %w", w.name, err)
			}
			if i >= warmUp {
				w.times = append(w.times, took)
			}
		}
	}
	fmt.Fprintln(b.out)
	for _, w := range ways {
		fmt.Fprintf(b.out, "%-40s p50 %6d µs   p95 %6d µs\n", w.name, w.times.median().Microseconds(), w.times.at(0.95).Microseconds())
	}
	return nil
}

// health is the floor: HTTP, and nothing behind it.
func health(ctx context.Context, b *bench) error {
	return b.latencies(ctx, []*way{{name: "GET /health", ask: func(ctx context.Context) error {
		_, err := b.project.Do(ctx, http.MethodGet, "/health", nil, io.Discard)
		return err
	}}})
}
