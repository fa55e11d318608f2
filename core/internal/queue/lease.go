package queue

import (
	"context"

	"github.com/keboola/duckdb-storage/sdk"
)

// Lease is a turn that lasts for several writes. Nobody else writes to its catalog
// until it is released. The writes come in contexts made with [Lease.Within], one
// at a time and first come first served, as outside.
type Lease struct {
	queue   *Queue
	catalog string
	slot    *place

	// Guarded by Queue.mu.
	inside lines
	ended  bool
}

type leaseKey struct{ *Queue }

// Lease waits for the catalog's turn, as [Queue.Acquire] does and with its errors,
// and keeps it until Release.
//
// A context has one lease: it returns Conflict in a context that has one already,
// even if that one has ended, for the same catalog or another. Two leases that
// wait for each other's catalog would never end; and what a second lease of the
// same catalog could want, the first one gives.
func (q *Queue) Lease(ctx context.Context, catalog string) (*Lease, error) {
	if l := q.leaseOf(ctx); l != nil {
		return nil, sdk.ErrConflict.Errorf("a second lease is refused: %s is leased already by %s; what is written there belongs to that lease",
			l.catalog, l.slot.writer.Command)
	}
	p, err := q.stand(ctx, id{catalog: catalog}, true)
	if err != nil {
		return nil, err
	}
	return &Lease{queue: q, catalog: catalog, slot: p, inside: lines{}}, nil
}

// Within returns a context in which writers join the lease.
func (l *Lease) Within(ctx context.Context) context.Context {
	return context.WithValue(ctx, leaseKey{l.queue}, l)
}

// Release ends the lease. What waits inside it is refused, and so is whoever comes
// with a context of it later: he relied on that nobody had written between. A write
// that runs inside goes on, and the catalog's next turn begins when it has ended.
// A second call does nothing.
func (l *Lease) Release() {
	l.queue.mu.Lock()
	defer l.queue.mu.Unlock()
	l.ended = true
	for _, line := range l.inside {
		line.refuse(l.over())
	}
	if len(l.inside) == 0 {
		l.queue.remove(l.slot)
	}
}

// refuse sends away all but the first.
func (l *line) refuse(why error) {
	for last := l.places.Back(); last != l.places.Front(); last = l.places.Back() {
		p := last.Value.(*place)
		l.places.Remove(last)
		p.left, p.refused = true, why
		close(p.turn)
	}
}

// admits reports why a catalog cannot be written to inside the lease. The caller
// holds Queue.mu.
func (l *Lease) admits(catalog string) error {
	switch {
	case l.ended:
		return l.over()
	case catalog != l.catalog:
		return sdk.ErrConflict.Errorf("%s cannot be written inside a lease of %s: two requests that want the two in different order would wait for each other",
			catalog, l.catalog)
	}
	return nil
}

func (l *Lease) over() error {
	return sdk.ErrConflict.Errorf("the lease of %s has ended, and others may have written since; write before the command ends", l.catalog)
}

// leaseOf is the lease that a context belongs to, or nil. One of another queue
// does not count.
func (q *Queue) leaseOf(ctx context.Context) *Lease {
	l, _ := ctx.Value(leaseKey{q}).(*Lease)
	return l
}
