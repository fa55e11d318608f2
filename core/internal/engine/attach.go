package engine

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/keboola/duckdb-storage/sdk"
)

// attachment is a catalog in its cell, or one that is being attached.
type attachment struct {
	cat   Catalog
	cell  *cell
	ready chan struct{} // closed when attached or failed
	err   error         // why it failed

	ctx    context.Context // ends the sessions, with the cause, when the catalog goes
	cancel context.CancelCauseFunc
}

func newAttachment(c *cell, cat Catalog) *attachment {
	a := &attachment{cat: cat, cell: c, ready: make(chan struct{})}
	a.ctx, a.cancel = context.WithCancelCause(context.Background())
	return a
}

// attempts is how often acquire tries a new cell because the one that it waited for
// came to its end meanwhile.
const attempts = 5

// acquire returns the attachment of a catalog, with a reference on its cell that
// leave gives back. The other members of the cell are attached too, as far as
// their files can be opened.
func (e *Engine) acquire(ctx context.Context, cat Catalog, create bool) (*attachment, error) {
	var end error
	for range attempts {
		c, err := e.enter(ctx, cat)
		if err != nil {
			return nil, err
		}
		a, err := e.member(ctx, c, cat, create)
		if err == nil {
			err = e.company(ctx, c)
		}
		end = e.endOf(c)
		if err == nil && end == nil {
			return a, nil
		}
		e.leave(c)
		if end == nil {
			return nil, err
		}
	}
	return nil, end
}

// enter returns the cell of a catalog with one reference more, making it if there
// is none. A cell that is going away is waited for.
func (e *Engine) enter(ctx context.Context, cat Catalog) (*cell, error) {
	for {
		e.mu.Lock()
		if e.closed {
			e.mu.Unlock()
			return nil, errShutdown
		}
		c, wait := e.home(cat)
		if c == nil {
			e.mu.Unlock()
			select {
			case <-wait:
				continue
			case <-ctx.Done():
				return nil, classify(ctx, ctx.Err())
			}
		}
		c.refs++
		var granted <-chan struct{}
		if c.started {
			granted = e.needsMemory(c)
		}
		e.mu.Unlock()
		e.awaitMemory(c, granted)
		return c, nil
	}
}

// home returns the cell of a catalog, a new one if no member of its group is in
// one. It returns a channel instead that closes when the cell of one of them is
// gone. The caller holds e.mu.
func (e *Engine) home(cat Catalog) (*cell, <-chan struct{}) {
	// A new link closes the open cells that do not hold all of its group. So an open
	// cell holds the group of each of its members, and those that have parted since.
	if c := e.homes[cat.Alias]; c != nil && c.gone == nil {
		return c, nil
	}
	members := e.groups.of(cat)
	for _, m := range members {
		if c := e.homes[m.Alias]; c != nil {
			return nil, c.gone
		}
	}
	return e.settle(members), nil
}

// settle makes the cell of catalogs that are in none. The caller holds e.mu.
func (e *Engine) settle(members []Catalog) *cell {
	c := newCell(e.cfg, members)
	e.cells[c] = true
	for _, m := range members {
		e.homes[m.Alias] = c
	}
	return c
}

// leave gives a reference back. A cell without a catalog does not stay.
func (e *Engine) leave(c *cell) {
	e.mu.Lock()
	c.refs--
	empty := false
	if c.refs == 0 {
		c.used = time.Now()
		for _, ch := range c.idle {
			close(ch)
		}
		c.idle = nil
		if empty = c.ready == 0 && c.gone == nil; empty {
			c.gone = make(chan struct{})
		}
	}
	e.mu.Unlock()
	if empty {
		c.close()
		e.forget([]*cell{c})
	}
}

// endOf tells why a cell's sessions end, if they do.
func (e *Engine) endOf(c *cell) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	return c.end
}

// company attaches what is missing of a cell's members. One that cannot be opened
// does not keep the others from being served.
func (e *Engine) company(ctx context.Context, c *cell) error {
	e.mu.Lock()
	complete := c.ready == len(c.members)
	e.mu.Unlock()
	if complete {
		return nil
	}
	for _, m := range c.members {
		_, err := e.member(ctx, c, m, false)
		if err != nil && ctx.Err() != nil {
			return classify(ctx, ctx.Err())
		}
		if err != nil {
			e.cfg.Logger.Debug("a linked catalog is not there", "catalog", m.Alias, "error", err)
		}
	}
	return nil
}

// member returns the attachment of a cell's member, attaching it if need be. The
// caller has a reference on the cell.
func (e *Engine) member(ctx context.Context, c *cell, cat Catalog, create bool) (*attachment, error) {
	for {
		e.mu.Lock()
		a, known := c.attached[cat.Alias]
		if !known {
			a = newAttachment(c, cat)
			c.attached[cat.Alias] = a
			if c.end != nil {
				a.cancel(c.end)
			}
		}
		e.mu.Unlock()
		if !known {
			e.attach(ctx, a, create)
		}
		select {
		case <-a.ready:
		case <-ctx.Done():
			return nil, classify(ctx, ctx.Err())
		}
		if a.err == nil {
			return a, nil
		}
		if !known {
			return nil, a.err
		}
		// Somebody else's attempt failed: try ourselves.
	}
}

// attach opens the file in its cell and reports through a.ready.
func (e *Engine) attach(ctx context.Context, a *attachment, create bool) {
	start := time.Now()
	// The work is shared with every other request for the catalog, so it must
	// not end with the one that happened to start it.
	a.err = e.openFile(context.WithoutCancel(ctx), a, create)
	e.mu.Lock()
	if a.err != nil {
		delete(a.cell.attached, a.cat.Alias)
		a.cancel(a.err)
	} else {
		a.cell.ready++
		delete(e.broken, a.cat.Alias)
		e.counts.Attaches++
		e.counts.AttachTime += time.Since(start)
		a.cell.epoch.Store(e.counts.Attaches)
	}
	e.mu.Unlock()
	close(a.ready)
}

func (e *Engine) openFile(ctx context.Context, a *attachment, create bool) error {
	if err := e.checkFile(a.cat, create); err != nil {
		return err
	}
	c := a.cell
	c.once.Do(func() { c.err = e.start(ctx, c) })
	if c.err != nil {
		e.retire(c, c.err)
		return c.err
	}
	if err := c.attach(ctx, a.cat); err != nil {
		return e.unopened(a, err)
	}
	if err := e.update(ctx, a); err != nil {
		err = e.unopened(a, err)
		if detachErr := c.detach(a.cat.Alias); detachErr != nil {
			e.cfg.Logger.Error("detach after a failed attach", "catalog", a.cat.Alias, "error", detachErr)
		}
		return err
	}
	return nil
}

// checkFile looks at a file before a cell opens it.
func (e *Engine) checkFile(cat Catalog, create bool) error {
	_, err := os.Stat(cat.Path)
	switch {
	case err == nil:
		return e.verdictOn(cat)
	case !errors.Is(err, fs.ErrNotExist):
		return classify(context.Background(), err)
	}
	// A folder that is gone is no statement about the catalogs in it.
	if _, err := os.Stat(filepath.Dir(cat.Path)); err != nil {
		e.cfg.Logger.Error("the folder of database files is not there", "catalog", cat.Alias, "error", err)
		return sdk.ErrUnavailable.Errorf("the folder of database files is not there; mount or restore the data directory and repeat the request")
	}
	if !create {
		return sdk.ErrNotFound.Errorf("catalog %q has no file", cat.Alias)
	}
	return nil
}

// update brings the inside of a catalog up to date.
func (e *Engine) update(ctx context.Context, a *attachment) error {
	if e.cfg.OnAttach == nil {
		return nil
	}
	s, err := newSession(ctx, e, a, func() {})
	if err != nil {
		return err
	}
	defer s.Close()
	return e.cfg.OnAttach(ctx, s)
}
