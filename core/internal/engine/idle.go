package engine

import (
	"cmp"
	"context"
	"slices"
	"time"
)

// Defaults of Config. A catalog that is open holds memory for what it has cached,
// and two files; opening one again takes about 15 ms, and longer with thousands of
// tables.
const (
	defaultIdle    = 10 * time.Minute
	defaultMaxOpen = 100
)

// watchIdle lets go of cells that nobody has used for a while, until Close.
func (e *Engine) watchIdle() {
	tick := time.NewTicker(max(e.cfg.Idle/4, time.Millisecond))
	defer tick.Stop()
	for {
		select {
		case <-e.stop:
			return
		case now := <-tick.C:
			e.mu.Lock()
			unused := e.unused(func(c *cell) bool { return now.Sub(c.used) >= e.cfg.Idle })
			e.mu.Unlock()
			e.letGo(unused)
		}
	}
}

// surplus marks as going away what is over the bound of open catalogs: cells that
// nobody uses, the least recently used first. One that is in use stays, whatever
// the bound. The caller holds e.mu and calls letGo.
func (e *Engine) surplus() []*cell {
	over := -e.cfg.MaxOpen
	for c := range e.cells {
		if !c.small() && c.gone == nil {
			over += len(c.members)
		}
	}
	return e.unused(func(c *cell) bool {
		wanted := over > 0
		over -= len(c.members)
		return wanted
	})
}

// unused marks cells that nobody uses as going away and returns them, the least
// recently used first, as far as they are wanted. The caller holds e.mu.
func (e *Engine) unused(wanted func(*cell) bool) []*cell {
	var out []*cell
	for c := range e.cells {
		if c.refs == 0 && c.gone == nil && !c.small() {
			out = append(out, c)
		}
	}
	slices.SortFunc(out, func(a, b *cell) int { return cmp.Compare(a.used.UnixNano(), b.used.UnixNano()) })
	out = slices.DeleteFunc(out, func(c *cell) bool { return !wanted(c) })
	for _, c := range out {
		c.gone = make(chan struct{})
	}
	return out
}

// letGo closes cells that are marked. A request that comes meanwhile waits and
// opens its catalog again.
func (e *Engine) letGo(marked []*cell) {
	for _, c := range marked {
		n := uint64(c.ready)
		if err := e.emptyWithin(context.Background(), []*cell{c}, errShutdown, func() error { return nil }); err != nil {
			e.cfg.Logger.Warn("detach an idle catalog", "catalog", c.members[0].Alias, "error", err)
		}
		e.mu.Lock()
		e.counts.DetachedIdle += n
		e.mu.Unlock()
		e.cfg.Logger.Debug("closed an idle cell", "cell", c.members[0].Alias, "catalogs", n)
	}
}
