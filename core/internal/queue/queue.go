// Package queue gives each catalog one writer at a time, first come first
// served. Start with [New] and [Queue.Acquire].
//
// DuckDB surfaces concurrent changes as conflict errors; the queue turns them
// into waiting. It is bounded in length and in waiting time, so that a stuck
// writer becomes an error that says so and not a pile of requests.
package queue

import (
	"container/list"
	"context"
	"fmt"
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
}

// WithDefaults fills what is zero.
func (c Config) WithDefaults() Config {
	if c.Length == 0 {
		c.Length = 1000
	}
	if c.Wait == 0 {
		c.Wait = 10 * time.Minute
	}
	return c
}

// Writer says whose write waits or runs.
type Writer struct {
	Command   string
	RequestID string
}

type writerKey struct{}

// As returns a context in which Acquire waits and holds for a writer.
func As(ctx context.Context, w Writer) context.Context {
	return context.WithValue(ctx, writerKey{}, w)
}

// Line is the writers of one catalog at one moment.
type Line struct {
	Catalog string
	Holder  Writer        // who has the slot
	Held    time.Duration // since it has it
	Waiting int           // behind it
	Longest time.Duration // that one of them has waited
}

// place is a writer in a line.
type place struct {
	writer Writer
	turn   chan struct{} // closed when the slot is its
	since  time.Time     // in line, or with the slot once it has it
}

func (p *place) take(now time.Time) {
	p.since = now
	close(p.turn)
}

// Queue holds one line of writers for each catalog.
type Queue struct {
	cfg   Config
	mu    sync.Mutex
	lines map[string]*list.List // of *place; the first holds the slot
}

// New makes an empty queue.
func New(cfg Config) *Queue {
	return &Queue{cfg: cfg.WithDefaults(), lines: map[string]*list.List{}}
}

// Acquire waits for the catalog's slot and returns the function that frees it,
// to be called once. It returns Exhausted when the line is full, Unavailable
// after waiting too long, and Timeout when ctx ends first; then nothing is held.
// The first two say who holds the slot.
func (q *Queue) Acquire(ctx context.Context, catalog string) (release func(), err error) {
	me := &place{turn: make(chan struct{}), since: time.Now()}
	me.writer, _ = ctx.Value(writerKey{}).(Writer)
	q.mu.Lock()
	line := q.lines[catalog]
	if line == nil {
		line = list.New()
		q.lines[catalog] = line
	}
	if line.Len() > q.cfg.Length {
		holder := describe(line)
		q.mu.Unlock()
		return nil, sdk.ErrQueueFull.Errorf("%d writes already wait for %s; %s; repeat later", q.cfg.Length, catalog, holder)
	}
	element := line.PushBack(me)
	if element == line.Front() {
		me.take(me.since)
	}
	q.mu.Unlock()

	timer := time.NewTimer(q.cfg.Wait)
	defer timer.Stop()
	select {
	case <-me.turn:
		return func() { q.leave(catalog, element) }, nil
	case <-ctx.Done():
		err = sdk.ErrCancelled.Errorf("the request ended while it waited in the write queue of %s", catalog)
	case <-timer.C:
		q.mu.Lock()
		err = sdk.ErrQueueWait.Errorf("waited %s in the write queue of %s; %s; repeat later", q.cfg.Wait, catalog, describe(line))
		q.mu.Unlock()
	}
	q.leave(catalog, element)
	return nil, err
}

// describe says who holds the slot of a line.
func describe(line *list.List) string {
	holder := line.Front().Value.(*place)
	held := time.Since(holder.since).Round(time.Millisecond)
	if holder.writer == (Writer{}) {
		return fmt.Sprintf("the slot is held for %s", held)
	}
	return fmt.Sprintf("the slot is held by %s (request %s) for %s", holder.writer.Command, holder.writer.RequestID, held)
}

// leave takes a writer out of its line and wakes the one that is now first.
func (q *Queue) leave(catalog string, element *list.Element) {
	q.mu.Lock()
	defer q.mu.Unlock()
	line := q.lines[catalog]
	wasFirst := element == line.Front()
	line.Remove(element)
	if line.Len() == 0 {
		delete(q.lines, catalog)
	} else if wasFirst {
		line.Front().Value.(*place).take(time.Now())
	}
}

// Lines returns the line of each catalog that has a writer now, by name.
func (q *Queue) Lines() []Line {
	q.mu.Lock()
	defer q.mu.Unlock()
	now := time.Now()
	out := make([]Line, 0, len(q.lines))
	for catalog, line := range q.lines {
		holder := line.Front().Value.(*place)
		l := Line{Catalog: catalog, Holder: holder.writer, Held: now.Sub(holder.since), Waiting: line.Len() - 1}
		if next := line.Front().Next(); next != nil {
			l.Longest = now.Sub(next.Value.(*place).since)
		}
		out = append(out, l)
	}
	slices.SortFunc(out, func(a, b Line) int { return strings.Compare(a.Catalog, b.Catalog) })
	return out
}
