package engine

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"
)

const (
	mebibyte = 1 << 20
	// defaultMemory is the budget when Config has none.
	defaultMemory = 1 << 30
	// busyFloor is the least that a cell in use gets, even if that exceeds the
	// budget: DuckDB advises 125 MB for each thread that works.
	busyFloor = 128 * mebibyte
	// idleShare keeps the cache of a cell that is open and not in use: a few thousand
	// blocks or the catalog of some hundred tables. All of these together get a
	// quarter of the budget at most, but each at least idleFloor.
	idleShare = 64 * mebibyte
	idleFloor = 16 * mebibyte
	// smallShare is fixed and part of the budget: a registry with 100 000 rows of a
	// file table was written, updated, sorted and checkpointed with half of it
	// (measured).
	smallShare = 64 * mebibyte
	// busyTime is how long a cell counts as in use after its last session, so that a
	// stream of short requests moves no memory.
	busyTime = 30 * time.Second
	// grantTime is how long a request waits for the memory of its cell. It takes
	// milliseconds unless another cell has to spill first; then the request goes on
	// with less, and gets the rest later.
	grantTime = time.Second
)

// shares divides a budget among cells: how much each that is in use gets, and each
// that is merely open. Both are whole MiB.
func shares(budget int64, busy, idle int) (eachBusy, eachIdle int64) {
	if idle > 0 {
		eachIdle = min(idleShare, max(idleFloor, budget/4/int64(idle)))
	}
	if busy > 0 {
		eachBusy = max(busyFloor, (budget-int64(idle)*eachIdle)/int64(busy))
	}
	return eachBusy / mebibyte * mebibyte, eachIdle / mebibyte * mebibyte
}

// share is a cell's part of the memory. It is guarded by Engine.mu.
type share struct {
	limit   int64         // what its instance may use, or is going to
	started bool          // the instance is open
	busy    bool          // in use, or was a moment ago
	granted chan struct{} // not nil while a request waits for more; closed by balance
}

// needsMemory notes that a cell is in use. If it was not, it returns a channel that
// closes when the cell has its share. The caller holds e.mu.
func (e *Engine) needsMemory(c *cell) <-chan struct{} {
	if !c.busy && !c.small() {
		c.busy, c.granted = true, make(chan struct{})
		e.rebalance()
	}
	return c.granted
}

// awaitMemory waits for what needsMemory returned, for a moment.
func (e *Engine) awaitMemory(c *cell, granted <-chan struct{}) {
	if granted == nil {
		return
	}
	timer := time.NewTimer(grantTime)
	defer timer.Stop()
	select {
	case <-granted:
	case <-timer.C:
		e.mu.Lock()
		defer e.mu.Unlock()
		c.grant()
	}
}

// start makes room for the instance of a cell and opens it with the floor, whether
// that was granted in time or not; balance does the rest.
func (e *Engine) start(ctx context.Context, c *cell) error {
	e.mu.Lock()
	surplus := e.surplus()
	granted := e.needsMemory(c)
	e.mu.Unlock()
	e.letGo(surplus)
	e.awaitMemory(c, granted)
	e.mu.Lock()
	c.limit = busyFloor
	if c.small() {
		c.limit = smallShare
	}
	memory := c.limit
	e.mu.Unlock()
	err := c.open(ctx, e.cfg, memory, e.extra)
	e.mu.Lock()
	defer e.mu.Unlock()
	c.started = err == nil
	e.rebalance()
	return err
}

// rebalance asks for a division of the memory. It never blocks.
func (e *Engine) rebalance() {
	select {
	case e.unbalanced <- struct{}{}:
	default:
	}
}

// busyTime is shorter where cells close soon.
func (e *Engine) busyTime() time.Duration { return min(busyTime, e.cfg.Idle/4) }

// balance divides the memory whenever a cell opens, closes, or begins to be used,
// and as time passes, until Close. It alone changes the limits of open cells: a
// change can take seconds, which no request should wait for.
func (e *Engine) balance() {
	tick := time.NewTicker(max(e.busyTime()/8, time.Millisecond))
	defer tick.Stop()
	for {
		select {
		case <-e.stop:
			return
		case <-tick.C:
		case <-e.unbalanced:
		}
		e.divide(time.Now())
	}
}

// divide lowers the limits that are too high, and then raises the others as far as
// there is room. What DuckDB refuses to lower, because it is in use, is tried again
// the next time, and counts as it is.
func (e *Engine) divide(now time.Time) {
	all := e.targets(now)
	for _, t := range all {
		e.lower(t)
	}
	for _, t := range all { // the least first, so that a new one is not starved
		e.raise(t)
	}
}

// target is what an open cell should have, and whether it is in use.
type target struct {
	*cell
	bytes int64
	busy  bool
}

// targets tells what each open cell should have, those with the least first.
func (e *Engine) targets(now time.Time) []target {
	e.mu.Lock()
	defer e.mu.Unlock()
	budget, busy := e.cfg.Memory, 0
	var out []target
	for c := range e.cells {
		if c.small() {
			budget -= smallShare
			continue
		}
		if c.limit == 0 && c.granted == nil {
			continue // it opens for nobody
		}
		if c.busy = c.refs > 0 || c.busy && now.Sub(c.used) < e.busyTime(); c.busy {
			busy++
		}
		out = append(out, target{cell: c, busy: c.busy})
	}
	eachBusy, eachIdle := shares(budget, busy, len(out)-busy)
	for i := range out {
		if out[i].bytes = eachIdle; out[i].busy {
			out[i].bytes = eachBusy
		}
	}
	slices.SortFunc(out, func(a, b target) int { return cmp.Compare(a.limit, b.limit) })
	return out
}

func (e *Engine) lower(t target) {
	e.mu.Lock()
	before := t.limit
	change := t.started && before > t.bytes
	e.mu.Unlock()
	if !change {
		return
	}
	err := t.setLimit(before, t.bytes)
	if err != nil {
		if !errors.Is(err, errClosed) {
			e.cfg.Logger.Debug("a cell's memory cannot be lowered now", "cell", t.members[0].Alias, "error", err)
		}
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	t.limit = t.bytes
	e.counts.LimitChanges++
}

// raise gives a cell what there is, up to its target, and lets its requests go on. A
// cell that is not open yet opens with the floor, because its limit cannot change
// before it is open.
func (e *Engine) raise(t target) {
	e.mu.Lock()
	before := t.limit
	if before > 0 && !t.started {
		e.mu.Unlock() // it opens just now, with what it has
		return
	}
	limit := min(t.bytes, before+e.cfg.Memory-e.handedOut())
	if t.busy {
		limit = max(limit, busyFloor)
	}
	if !t.started {
		limit = busyFloor
	}
	// Counted before it is so, in order that the sum exceeds the budget at no moment.
	t.limit = max(before, limit)
	changes := t.started && t.limit > before
	if !changes && t.busy {
		t.grant()
	}
	e.mu.Unlock()
	if !changes {
		return
	}
	err := t.setLimit(before, limit)
	e.mu.Lock()
	defer e.mu.Unlock()
	if err != nil {
		t.limit = before
	} else {
		e.counts.LimitChanges++
	}
	if t.busy {
		t.grant()
	}
}

// grant lets the requests go on that wait for a cell's memory. The caller holds e.mu.
func (c *cell) grant() {
	if c.granted != nil {
		close(c.granted)
		c.granted = nil
	}
}

// handedOut is the sum of all limits. The caller holds e.mu.
func (e *Engine) handedOut() int64 {
	var sum int64
	for c := range e.cells {
		sum += c.limit
	}
	return sum
}
