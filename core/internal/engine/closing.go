package engine

import (
	"context"
	"errors"
	"time"

	"github.com/keboola/duckdb-storage/sdk"
)

// moveGrace is how long sessions may go on that use a cell which is to close. It
// bounds what a link costs the requests that wait meanwhile.
const moveGrace = 10 * time.Second

var (
	// errMoved ends the sessions of a cell that closes so that another one opens.
	errMoved = sdk.ErrUnavailable.Errorf("the project's database was moved while the request ran; repeat the request")
	// errReopened ends the sessions of a cell that DuckDB made unusable.
	errReopened = sdk.ErrUnavailable.Errorf("the project's database had to be reopened; repeat the request")
)

// claim marks the cell of a catalog as going away, and returns it. For a catalog that
// is in no cell it makes one that never opens, so that nobody else opens it. The
// caller calls empty.
func (e *Engine) claim(ctx context.Context, cat Catalog) ([]*cell, error) {
	for {
		c, wait := e.tryClaim(cat)
		if wait == nil {
			return []*cell{c}, nil
		}
		select {
		case <-wait:
		case <-ctx.Done():
			return nil, classify(ctx, ctx.Err())
		}
	}
}

// tryClaim returns a channel instead that closes when somebody else's claim is over.
func (e *Engine) tryClaim(cat Catalog) (*cell, <-chan struct{}) {
	e.mu.Lock()
	defer e.mu.Unlock()
	c := e.homes[cat.Alias]
	if c == nil {
		c = e.settle([]Catalog{cat})
	}
	if c.gone != nil {
		return nil, c.gone
	}
	c.gone = make(chan struct{})
	return c, nil
}

// empty gives the sessions of claimed cells time to end, ends those that do not
// with the cause, closes the cells, and then does what is to be done while nobody
// can open their catalogs.
func (e *Engine) empty(ctx context.Context, cells []*cell, cause error, then func() error) error {
	bounded, cancel := context.WithTimeout(ctx, moveGrace)
	defer cancel()
	return e.emptyWithin(bounded, cells, cause, then)
}

func (e *Engine) emptyWithin(ctx context.Context, cells []*cell, cause error, then func() error) error {
	defer e.forget(cells)
	for _, c := range cells {
		e.waitUnused(ctx, c)
	}
	e.endSessions(cells, cause)
	var errs []error
	for _, c := range cells {
		// A session that was told to end does so without its holder.
		e.waitUnused(context.Background(), c)
		errs = append(errs, e.shut(c))
	}
	return errors.Join(append(errs, then())...)
}

// waitUnused waits until no session uses a cell or ctx ends.
func (e *Engine) waitUnused(ctx context.Context, c *cell) {
	e.mu.Lock()
	if c.refs == 0 {
		e.mu.Unlock()
		return
	}
	ch := make(chan struct{})
	c.idle = append(c.idle, ch)
	e.mu.Unlock()
	select {
	case <-ch:
	case <-ctx.Done():
	}
}

// endSessions interrupts the sessions of cells, and those that are still to begin.
func (e *Engine) endSessions(cells []*cell, cause error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, c := range cells {
		c.end = cause
		for _, a := range c.attached {
			a.cancel(cause)
		}
	}
}

// shut checkpoints and detaches the catalogs of a cell that nobody uses, and ends
// its instance.
func (e *Engine) shut(c *cell) error {
	defer c.close()
	var errs []error
	for _, a := range c.attached { // no session is left that could attach more
		errs = append(errs, c.detach(a.cat.Alias))
		a.cancel(errShutdown)
	}
	return errors.Join(errs...)
}

// forget lets catalogs be opened anew whose cells are closed.
func (e *Engine) forget(cells []*cell) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, c := range cells {
		delete(e.cells, c)
		for _, m := range c.members {
			delete(e.homes, m.Alias)
		}
		close(c.gone)
	}
	e.rebalance()
}

// condemn closes a cell after a fatal error of DuckDB. Its sessions end, and the
// next request for one of its catalogs opens a new cell.
func (e *Engine) condemn(c *cell, cause error) {
	if !e.retire(c, errReopened) {
		return
	}
	e.mu.Lock()
	e.counts.FatalErrors++
	e.mu.Unlock()
	e.cfg.Logger.Error("fatal error in DuckDB, closing the cell", "cell", c.members[0].Alias, "error", cause)
}

// retire closes a cell in the background without touching its catalogs, once its
// sessions have ended. It reports false if the cell is going away already.
func (e *Engine) retire(c *cell, end error) bool {
	e.mu.Lock()
	mine := c.gone == nil
	if mine {
		c.gone = make(chan struct{})
	}
	e.mu.Unlock()
	if !mine {
		return false
	}
	e.endSessions([]*cell{c}, end)
	go func() {
		e.waitUnused(context.Background(), c)
		// The file must be closed before it is opened again: DuckDB's lock is per
		// process and would not stop a second instance from reading garbage.
		c.close()
		e.forget([]*cell{c})
	}()
	return true
}
