package main

import (
	"context"
	"sync"
)

// together runs things at the same time and waits for all of them. The first
// error cancels the others and is returned.
func together(ctx context.Context, things ...func(context.Context) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var running sync.WaitGroup
	for _, thing := range things {
		running.Go(func() {
			if err := thing(ctx); err != nil {
				cancel(err)
			}
		})
	}
	running.Wait()
	return context.Cause(ctx)
}
