package engine

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"time"

	"github.com/keboola/duckdb-storage/sdk"
)

// attachment is an open catalog, or one that is being opened or closed.
type attachment struct {
	cat   Catalog
	cell  *cell
	ready chan struct{} // closed when attached or failed
	err   error         // why it failed

	ctx    context.Context // ends the sessions, with the cause, when the catalog goes
	cancel context.CancelCauseFunc

	// Guarded by Engine.mu.
	refs    int
	used    time.Time       // when it was attached, or refs last became 0
	idle    []chan struct{} // closed when refs reaches 0
	closing chan struct{}   // not nil once it is going away; closed when it is gone
}

func newAttachment(cat Catalog) *attachment {
	a := &attachment{cat: cat, ready: make(chan struct{})}
	a.ctx, a.cancel = context.WithCancelCause(context.Background())
	return a
}

// acquire returns the attachment of a catalog with one reference more.
func (e *Engine) acquire(ctx context.Context, cat Catalog, create bool) (*attachment, error) {
	for {
		e.mu.Lock()
		if e.closed {
			e.mu.Unlock()
			return nil, errShutdown
		}
		a, open := e.catalogs[cat.Alias]
		var surplus []*attachment
		if !open {
			a = newAttachment(cat)
			e.catalogs[cat.Alias] = a
			surplus = e.surplus()
		}
		wait := a.ready
		if a.closing != nil {
			wait = a.closing
		}
		e.mu.Unlock()

		e.letGo(surplus)
		if !open {
			e.attach(ctx, a, create)
		}
		select {
		case <-wait:
		case <-ctx.Done():
			return nil, classify(ctx, ctx.Err())
		}
		e.mu.Lock()
		if a.err == nil && a.closing == nil {
			a.refs++
			e.mu.Unlock()
			return a, nil
		}
		err := a.err
		e.mu.Unlock()
		if err != nil && !open {
			return nil, err
		}
		// Somebody else's attempt failed or the catalog went away: try ourselves.
	}
}

// attach opens the file in its cell and reports through a.ready.
func (e *Engine) attach(ctx context.Context, a *attachment, create bool) {
	// The work is shared with every other request for the catalog, so it must
	// not end with the one that happened to start it.
	err := e.open(context.WithoutCancel(ctx), a, create)
	e.mu.Lock()
	defer e.mu.Unlock()
	a.used = time.Now()
	if a.err = err; err != nil {
		delete(e.catalogs, a.cat.Alias)
		a.cancel(err)
	}
	close(a.ready)
}

func (e *Engine) open(ctx context.Context, a *attachment, create bool) error {
	if _, err := os.Stat(a.cat.Path); errors.Is(err, fs.ErrNotExist) {
		if !create {
			return sdk.ErrNotFound.Errorf("catalog %q has no file", a.cat.Alias)
		}
	} else if err != nil {
		return classify(ctx, err)
	}
	c, err := e.cell(ctx, a.cat)
	if err != nil {
		return err
	}
	e.mu.Lock()
	a.cell = c
	e.mu.Unlock()
	if err := c.attach(ctx, a.cat); err != nil {
		return e.unopened(a.cat, err)
	}
	if e.cfg.OnAttach == nil {
		return nil
	}
	s, err := newSession(ctx, e, a)
	if err != nil {
		return err
	}
	err = e.cfg.OnAttach(ctx, s)
	s.Close()
	if err != nil {
		err = e.unopened(a.cat, err)
		if detachErr := c.detach(ctx, a.cat.Alias); detachErr != nil {
			e.cfg.Logger.Error("detach after a failed attach", "catalog", a.cat.Alias, "error", detachErr)
		}
	}
	return err
}

// errBroken refuses a project whose file cannot be opened. All others are served,
// and the next request tries again: a file that was put back is served at once.
var errBroken = sdk.Code{Slug: "catalog-broken", Title: "The database file cannot be opened", Kind: sdk.Unavailable, Driver: 1001}

// unopened says of a file why it could not be opened: what passes, such as a full
// disk, or that the file is broken, which only the log explains.
func (e *Engine) unopened(cat Catalog, err error) error {
	var known *sdk.Error
	if errors.As(err, &known) && known.Retryable {
		return err
	}
	e.cfg.Logger.Error("catalog cannot be opened", "catalog", cat.Alias, "path", cat.Path, "error", err)
	broken := errBroken.Errorf("the database file of catalog %s cannot be opened; the log says why; put back a good copy of it and repeat the request", cat.Alias)
	broken.Retryable = false
	return broken
}

func (e *Engine) release(a *attachment) {
	e.mu.Lock()
	defer e.mu.Unlock()
	a.refs--
	if a.refs == 0 {
		a.used = time.Now()
		for _, ch := range a.idle {
			close(ch)
		}
		a.idle = nil
	}
}

// waitIdle waits until no session uses the attachment or ctx ends.
func (e *Engine) waitIdle(ctx context.Context, a *attachment) {
	e.mu.Lock()
	if a.refs == 0 {
		e.mu.Unlock()
		return
	}
	ch := make(chan struct{})
	a.idle = append(a.idle, ch)
	e.mu.Unlock()
	select {
	case <-ch:
	case <-ctx.Done():
	}
}

// detach ends the sessions of a catalog with a cause, takes it out of its cell
// and then does what is to be done while nobody can attach it. The last catalog
// takes the cell with it.
func (e *Engine) detach(ctx context.Context, cat Catalog, cause error, then func() error) error {
	for {
		a, mine := e.beginClosing(cat)
		if mine {
			a.cancel(cause)
			e.waitIdle(ctx, a)
			return e.finishClosing(ctx, a, then)
		}
		// Somebody else lets go of it, who knows nothing of what is to be done then.
		<-a.closing
	}
}

// finishClosing takes a catalog that is marked as going away out of its cell.
func (e *Engine) finishClosing(ctx context.Context, a *attachment, then func() error) error {
	var err error
	if a.cell != nil {
		err = a.cell.detach(context.WithoutCancel(ctx), a.cat.Alias)
	}
	lonely := e.abandoned(a)
	if lonely != nil {
		lonely.close()
	}
	if err == nil {
		err = then()
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(e.catalogs, a.cat.Alias)
	close(a.closing)
	return err
}

// beginClosing marks a catalog as going away, open or not, and reports whether
// it was this call that did so.
func (e *Engine) beginClosing(cat Catalog) (a *attachment, mine bool) {
	for {
		e.mu.Lock()
		a := e.catalogs[cat.Alias]
		if a == nil {
			a = newAttachment(cat)
			close(a.ready)
			e.catalogs[cat.Alias] = a
		}
		select {
		case <-a.ready:
			mine := a.closing == nil
			if mine {
				a.closing = make(chan struct{})
			}
			e.mu.Unlock()
			return a, mine
		default:
			e.mu.Unlock()
			<-a.ready
		}
	}
}

// abandoned takes the cell of a closing catalog out of the list, and returns it,
// if no other catalog lives in it.
func (e *Engine) abandoned(a *attachment) *cell {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, other := range e.catalogs {
		if other != a && other.cat.Cell == a.cat.Cell && other.closing == nil {
			return nil
		}
	}
	if a.cell != nil && e.cells[a.cell.name] == a.cell {
		delete(e.cells, a.cell.name)
	}
	return a.cell
}

// errReopened ends the sessions of a cell that DuckDB made unusable.
var errReopened = sdk.ErrUnavailable.Errorf("the project's database had to be reopened; repeat the request")

// condemn closes a cell after a fatal error of DuckDB. Its sessions end, and the
// next request for one of its catalogs opens a new cell.
func (e *Engine) condemn(c *cell, cause error) {
	e.mu.Lock()
	if e.cells[c.name] != c {
		e.mu.Unlock()
		return
	}
	delete(e.cells, c.name)
	var gone []*attachment
	for _, a := range e.catalogs {
		if a.cell == c && a.closing == nil {
			a.closing = make(chan struct{})
			gone = append(gone, a)
		}
	}
	e.mu.Unlock()
	e.cfg.Logger.Error("fatal error in DuckDB, closing the cell", "cell", c.name, "error", cause)
	go func() {
		for _, a := range gone {
			a.cancel(errReopened)
			e.waitIdle(context.Background(), a)
		}
		// The file must be closed before it is opened again: DuckDB's lock is per
		// process and would not stop a second instance from reading garbage.
		c.close()
		e.mu.Lock()
		defer e.mu.Unlock()
		for _, a := range gone {
			delete(e.catalogs, a.cat.Alias)
			close(a.closing)
		}
	}()
}
