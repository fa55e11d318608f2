package main

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
)

func TestMix(t *testing.T) {
	t.Parallel()
	var asked atomic.Int64
	count := func(context.Context, int64) error { asked.Add(1); return nil }
	kinds := []request{{"a", count}, {"b", count}, {"c", count}}
	took, err := mix(t.Context(), kinds, 0)
	if err != nil {
		t.Fatal(err)
	}
	a, b, c := len(took[0]), len(took[1]), len(took[2])
	if total := a + b + c; int64(total) != asked.Load() || total != clients*(len(cycle)+1) {
		t.Errorf("%d times of %d requests, want %d", total, asked.Load(), clients*(len(cycle)+1))
	}
	// The cycle is not over for every client: one request of each may be too many.
	if a < 3*clients || b < 2*clients || c < clients {
		t.Errorf("asked %d, %d and %d times, want 3 to 2 to 1", a, b, c)
	}

	broken := errors.New("broken")
	kinds[2].ask = func(context.Context, int64) error { return broken }
	if _, err := mix(t.Context(), kinds, 0); !errors.Is(err, broken) || !strings.HasPrefix(err.Error(), "c: ") {
		t.Errorf("got %v, want the error of the request that failed", err)
	}
}
