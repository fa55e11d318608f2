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

// watchIdle lets go of catalogs that nobody has used for a while, until Close.
func (e *Engine) watchIdle() {
	defer close(e.watched)
	tick := time.NewTicker(max(e.cfg.Idle/4, time.Millisecond))
	defer tick.Stop()
	for {
		select {
		case <-e.stop:
			return
		case now := <-tick.C:
			e.mu.Lock()
			unused := e.unused(func(a *attachment) bool { return now.Sub(a.used) >= e.cfg.Idle })
			e.mu.Unlock()
			e.letGo(unused)
		}
	}
}

// surplus marks as going away what is over the bound of open catalogs: those that
// nobody uses, the least recently used first. One that is in use stays, whatever
// the bound. The caller holds e.mu and calls letGo.
func (e *Engine) surplus() []*attachment {
	over := -e.cfg.MaxOpen
	for _, a := range e.catalogs {
		if !a.cat.Small && a.closing == nil {
			over++
		}
	}
	if over <= 0 {
		return nil
	}
	n := 0
	return e.unused(func(*attachment) bool { n++; return n <= over })
}

// unused marks catalogs that nobody uses as going away and returns them, the least
// recently used first, as far as they are wanted. The caller holds e.mu.
func (e *Engine) unused(wanted func(*attachment) bool) []*attachment {
	var out []*attachment
	for _, a := range e.catalogs {
		// One that is being opened has no time of use yet.
		if a.refs == 0 && a.closing == nil && !a.cat.Small && !a.used.IsZero() {
			out = append(out, a)
		}
	}
	slices.SortFunc(out, func(a, b *attachment) int { return cmp.Compare(a.used.UnixNano(), b.used.UnixNano()) })
	out = slices.DeleteFunc(out, func(a *attachment) bool { return !wanted(a) })
	for _, a := range out {
		a.closing = make(chan struct{})
	}
	return out
}

// letGo detaches catalogs that are marked. A request that comes meanwhile waits
// and opens its catalog again.
func (e *Engine) letGo(marked []*attachment) {
	for _, a := range marked {
		a.cancel(errShutdown) // no session has it
		if err := e.finishClosing(context.Background(), a, func() error { return nil }); err != nil {
			e.cfg.Logger.Warn("detach an idle catalog", "catalog", a.cat.Alias, "error", err)
			continue
		}
		e.cfg.Logger.Debug("detached an idle catalog", "catalog", a.cat.Alias)
	}
}
