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

// Queue holds one line of writers for each catalog.
type Queue struct {
	cfg   Config
	mu    sync.Mutex
	lines map[string]*list.List // of chan struct{}; the first holds the slot
}

// New makes an empty queue.
func New(cfg Config) *Queue {
	return &Queue{cfg: cfg.WithDefaults(), lines: map[string]*list.List{}}
}

// Acquire waits for the catalog's slot and returns the function that frees it,
// to be called once. It returns Exhausted when the line is full, Unavailable
// after waiting too long, and Timeout when ctx ends first; then nothing is held.
func (q *Queue) Acquire(ctx context.Context, catalog string) (release func(), err error) {
	q.mu.Lock()
	line := q.lines[catalog]
	if line == nil {
		line = list.New()
		q.lines[catalog] = line
	}
	if line.Len() > q.cfg.Length {
		q.mu.Unlock()
		return nil, sdk.ErrQueueFull.Errorf("%d writes already wait for %s; repeat later", q.cfg.Length, catalog)
	}
	turn := make(chan struct{})
	place := line.PushBack(turn)
	if place == line.Front() {
		close(turn)
	}
	q.mu.Unlock()

	timer := time.NewTimer(q.cfg.Wait)
	defer timer.Stop()
	select {
	case <-turn:
		return func() { q.leave(catalog, place) }, nil
	case <-ctx.Done():
		err = sdk.ErrCancelled.Errorf("the request ended while it waited in the write queue of %s", catalog)
	case <-timer.C:
		err = sdk.ErrQueueWait.Errorf("waited %s in the write queue of %s; repeat later", q.cfg.Wait, catalog)
	}
	q.leave(catalog, place)
	return nil, err
}

// leave takes a writer out of its line and wakes the one that is now first.
func (q *Queue) leave(catalog string, place *list.Element) {
	q.mu.Lock()
	defer q.mu.Unlock()
	line := q.lines[catalog]
	wasFirst := place == line.Front()
	line.Remove(place)
	if line.Len() == 0 {
		delete(q.lines, catalog)
	} else if wasFirst {
		close(line.Front().Value.(chan struct{}))
	}
}
