// Package queue gives each catalog one writer at a time, first come first
// served. Start with [New] and [Queue.Acquire].
//
// DuckDB surfaces concurrent changes as conflict errors; the queue turns them
// into waiting. It is bounded in length and in waiting time, so that a stuck
// writer becomes an error that says so and not a pile of requests.
//
// Three things can be held. A turn ([Queue.Acquire]) is for one write. A lock
// ([Queue.Lock]) keeps apart writes that do most of their work before their turn.
// A [Lease] is a turn that lasts for several writes. Nothing deadlocks, because
// there is one order: a lock, then the turn, and nothing after it. So a lease
// admits no second one and no other catalog, and inside it a lock is the lease's
// own: who has the turn never waits for a lock of somebody who waits for the turn.
package queue

import (
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/keboola/duckdb-storage/sdk"
)

// Config bounds the waiting.
type Config struct {
	// Length is how many writers may wait for one catalog; default 1000.
	Length int
	// Wait is how long each may wait; default 10 minutes.
	Wait time.Duration
	// Observer is told of every writer; default nobody.
	Observer Observer
}

// WithDefaults fills what is zero.
func (c Config) WithDefaults() Config {
	if c.Length == 0 {
		c.Length = 1000
	}
	if c.Wait == 0 {
		c.Wait = 10 * time.Minute
	}
	if c.Observer == nil {
		c.Observer = nobody{}
	}
	return c
}

// Writer says whose write waits or runs.
type Writer struct {
	Command   string
	RequestID string
}

type writerKey struct{}

// As returns a context in which a writer waits and holds.
func As(ctx context.Context, w Writer) context.Context {
	return context.WithValue(ctx, writerKey{}, w)
}

// Queue holds the lines of writers.
type Queue struct {
	cfg   Config
	mu    sync.Mutex
	lines lines
}

// New makes an empty queue.
func New(cfg Config) *Queue {
	return &Queue{cfg: cfg.WithDefaults(), lines: lines{}}
}

// Acquire waits for the catalog's turn and returns the function that gives it
// back; a second call of that does nothing. It returns Exhausted when the line is
// full, Unavailable after waiting too long, and Timeout when ctx ends first; then
// nothing is held. The first two say who has the turn.
//
// In a context of a [Lease] it waits only for the other writes of the lease. It
// returns Conflict for another catalog, and when the lease has ended.
func (q *Queue) Acquire(ctx context.Context, catalog string) (release func(), err error) {
	return q.hold(ctx, id{catalog: catalog})
}

// Lock waits for a name within a catalog, as [Queue.Acquire] does for its turn. It
// is taken before the turn, never with it. In a context of a [Lease] it keeps
// apart the writes of the lease and nobody else.
func (q *Queue) Lock(ctx context.Context, catalog, name string) (release func(), err error) {
	return q.hold(ctx, id{catalog, name})
}

func (q *Queue) hold(ctx context.Context, id id) (release func(), err error) {
	p, err := q.stand(ctx, id, false)
	if err != nil {
		return nil, err
	}
	return func() { q.leave(p) }, nil
}

// stand gets a place in a line and waits until it is the first.
func (q *Queue) stand(ctx context.Context, id id, lease bool) (*place, error) {
	now := time.Now()
	p := &place{turn: make(chan struct{}), came: now, since: now, lease: lease}
	p.writer, _ = ctx.Value(writerKey{}).(Writer)
	if err := q.enter(ctx, id, p); err != nil {
		return nil, err
	}
	if err := q.wait(ctx, p); err != nil {
		q.leave(p)
		return nil, err
	}
	return p, nil
}

// enter puts a place at the end of its line.
func (q *Queue) enter(ctx context.Context, id id, p *place) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	among, lease := q.lines, q.leaseOf(ctx)
	if lease != nil {
		if err := lease.admits(id.catalog); err != nil {
			return err
		}
		among = lease.inside
	}
	line := among.get(id, lease)
	if line.places.Len() > q.cfg.Length {
		q.cfg.Observer.Refused(Full)
		return sdk.ErrQueueFull.Errorf("%d writes already wait for %s; %s; repeat later", q.cfg.Length, id, line.holder())
	}
	line.push(p)
	return nil
}

// wait returns when the turn has come. After an error the place must be left.
func (q *Queue) wait(ctx context.Context, p *place) error {
	timer := time.NewTimer(q.cfg.Wait)
	defer timer.Stop()
	select {
	case <-p.turn:
		return q.begin(p)
	case <-ctx.Done():
		q.cfg.Observer.Refused(Cancelled)
		return sdk.ErrCancelled.Errorf("the request ended while it waited in the write queue of %s", p.line.id)
	case <-timer.C:
		q.mu.Lock()
		defer q.mu.Unlock()
		if p.left || p.line.first() == p {
			return q.begin(p) // in the last moment
		}
		q.cfg.Observer.Refused(TimedOut)
		return sdk.ErrQueueWait.Errorf("waited %s in the write queue of %s; %s; repeat later", q.cfg.Wait, p.line.id, p.line.holder())
	}
}

// begin is for a place whose turn has come, or never will.
func (q *Queue) begin(p *place) error {
	if p.refused == nil && p.line.lease == nil {
		p.observed = true
		q.cfg.Observer.Waited(p.line.lock != "", p.since.Sub(p.came))
	}
	return p.refused
}

// leave takes a place out of its line.
func (q *Queue) leave(p *place) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.remove(p)
}

// remove is leave for who holds mu. The one that is first now has its turn; a
// lease that has ended goes with the last write inside it.
func (q *Queue) remove(p *place) {
	if p.left {
		return
	}
	p.left = true
	if p.observed {
		q.cfg.Observer.Held(p.line.lock != "", time.Since(p.since))
	}
	p.line.remove(p)
	if l := p.line.lease; l != nil && l.ended && len(l.inside) == 0 {
		q.remove(l.slot)
	}
}

// Line is the writers of one catalog, or of one lock within it, at one moment.
type Line struct {
	Catalog string
	Lock    string        // empty for the catalog's turn
	Holder  Writer        // who has it
	Lease   bool          // it has it for several writes
	Held    time.Duration // since it has it
	Waiting int           // behind it
	Longest time.Duration // that one of them has waited
}

// Lines returns each line that has a writer now, by catalog and lock. What waits
// inside a lease is a matter of its holder and not shown.
func (q *Queue) Lines() []Line {
	q.mu.Lock()
	defer q.mu.Unlock()
	now := time.Now()
	out := make([]Line, 0, len(q.lines))
	for _, line := range q.lines {
		out = append(out, line.at(now))
	}
	slices.SortFunc(out, func(a, b Line) int {
		return strings.Compare(a.Catalog+"\x00"+a.Lock, b.Catalog+"\x00"+b.Lock)
	})
	return out
}
