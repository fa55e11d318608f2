package main

import (
	"context"
	"errors"
	"testing"
)

func TestTogether(t *testing.T) {
	t.Parallel()
	if err := together(t.Context()); err != nil {
		t.Errorf("nothing to do: %v", err)
	}
	// Each waits for the other: one after the other they would never end.
	left, right := make(chan struct{}), make(chan struct{})
	err := together(t.Context(),
		func(context.Context) error { close(left); <-right; return nil },
		func(context.Context) error { <-left; close(right); return nil })
	if err != nil {
		t.Error(err)
	}
	broken := errors.New("broken")
	err = together(t.Context(),
		func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() },
		func(context.Context) error { return broken })
	if !errors.Is(err, broken) {
		t.Errorf("got %v, want the first error", err)
	}
}
