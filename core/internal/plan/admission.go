package plan

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/keboola/duckdb-storage/sdk"
)

// Admission bounds the reads that run at the same time. Those beyond wait in one
// line, first come first served. The zero value has the defaults of its use.
//
// Small reads and streams have one each. A stream lasts as long as its client takes
// to read it, so that a few slow ones would otherwise keep every preview waiting.
// No request has two places at once, and none waits for a place with anything in
// its hands that a running read may need: so the line always moves.
type Admission struct {
	Places int           // reads at a time; 0 is the default
	Wait   time.Duration // the longest wait for a place; 0 is the default

	once    sync.Once
	places  *semaphore.Weighted
	running atomic.Int64
	waiting atomic.Int64
}

// Load is how busy an Admission is at one moment.
type Load struct{ Running, Waiting int64 }

// Load tells how many reads run and how many wait.
func (a *Admission) Load() Load { return Load{Running: a.running.Load(), Waiting: a.waiting.Load()} }

// use is what an Admission is for, with its defaults.
type use struct {
	what           string
	least, perCore int // places
	wait           time.Duration
	refusal        sdk.Code
}

func (u use) places() int { return max(u.least, u.perCore*runtime.GOMAXPROCS(0)) }

// A small read is bounded by 1000 rows and works on a core or waits for the disk for
// milliseconds: more of them than a few for each core would only share it. A stream
// works on all cores of its cell, but waits for its client most of the time; a
// handful of slow ones should not keep the others waiting, and each takes memory of
// its project.
var (
	smallRead = use{
		what: "small reads", least: 8, perCore: 4,
		// Clients wait for a preview; most of them, and the proxies before them, give up
		// after a minute.
		wait:    30 * time.Second,
		refusal: sdk.Code{Slug: "reads-full", Title: "Too many reads", Kind: sdk.Unavailable, Driver: 1000},
	}
	streaming = use{
		what: "streams and exports", least: 16, perCore: 4,
		// As long as a write waits in its queue: it is work of the same kind, in jobs.
		wait:    10 * time.Minute,
		refusal: sdk.Code{Slug: "streams-full", Title: "Too many streams", Kind: sdk.Unavailable, Driver: 1000},
	}
)

// enter waits for a place and returns the function that gives it back, which may
// be called twice. It returns Unavailable after too long a wait and Cancelled or
// Timeout when ctx ends first; then nothing is held.
func (a *Admission) enter(ctx context.Context, u use) (leave func(), err error) {
	places, wait := cmp.Or(a.Places, u.places()), cmp.Or(a.Wait, u.wait)
	a.once.Do(func() { a.places = semaphore.NewWeighted(int64(places)) })
	bounded, cancel := context.WithTimeoutCause(ctx, wait, errWaited)
	defer cancel()
	a.waiting.Add(1)
	err = a.places.Acquire(bounded, 1)
	a.waiting.Add(-1)
	if err == nil {
		a.running.Add(1)
		return sync.OnceFunc(func() {
			a.running.Add(-1)
			a.places.Release(1)
		}), nil
	}
	busy := fmt.Sprintf("because %d %s already run", places, u.what)
	switch {
	case errors.Is(context.Cause(bounded), errWaited):
		return nil, u.refusal.Errorf("waited %s %s; repeat later", wait, busy)
	case errors.Is(err, context.DeadlineExceeded):
		return nil, sdk.ErrTimeout.Errorf("the request may take no longer, and it still waited %s", busy)
	default:
		return nil, sdk.ErrCancelled.Errorf("the request ended while it waited %s", busy)
	}
}

// errWaited tells the end of the wait from the end of the request.
var errWaited = errors.New("waited too long")
