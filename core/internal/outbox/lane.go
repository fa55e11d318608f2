package outbox

import (
	"context"
	"errors"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/keboola/duckdb-storage/core/internal/queue"
	"github.com/keboola/duckdb-storage/sdk"
	pluginv1 "github.com/keboola/duckdb-storage/sdk/proto/duckdbstorage/plugin/v1"
)

const (
	// maxTries is how often an event is delivered whose subscriber answers with an error
	// that a repeat will not change, in case it does.
	maxTries = 5
	// maxDeaths is how often the subscriber may die of an event. Five crashes within ten
	// minutes would take the whole plugin out of service.
	maxDeaths = 3
	// lastTry is how long Close waits for a turn of the queue to note what was delivered.
	lastTry = 5 * time.Second
)

// key names a lane.
type key struct{ project, branch, subscriber string }

func (k key) target() *pluginv1.Target {
	return &pluginv1.Target{Project: k.project, Branch: k.branch}
}

// lane delivers the events of one catalog to one subscriber. Its goroutine ends when
// nothing waits.
type lane struct {
	key
	d   *Dispatcher
	log hclog.Logger

	last   *row    // that was delivered or given up, and not yet settled; nil if all is
	given  []aside // given up, and not yet marked
	first  *failing
	faults int // of the catalog, one after the other

	// Guarded by Dispatcher.mu.
	again   bool // woken since it last looked
	pending int
}

// failing is an event whose delivery is to be repeated.
type failing struct {
	row
	tries  int // that failed
	final  int // of those, with an error that a repeat will not change
	deaths int // of those, of which the subscriber died
}

// run delivers until nothing is left.
func (l *lane) run() {
	ctx := queue.As(l.d.working, queue.Writer{Command: "events for " + l.subscriber})
	for {
		pause, more := l.work(ctx)
		if !more && l.leave() {
			return
		}
		if !l.d.pause(pause) {
			l.leave()
			return
		}
	}
}

// leave ends the lane, unless there is something new.
func (l *lane) leave() bool {
	l.d.mu.Lock()
	defer l.d.mu.Unlock()
	if l.again && !l.d.closed {
		return false
	}
	delete(l.d.lanes, l.key)
	return true
}

// work delivers a batch, or repeats a delivery, and tells how long to wait before
// the next one, if there is more to do.
func (l *lane) work(ctx context.Context) (pause time.Duration, more bool) {
	l.d.mu.Lock()
	l.again = false
	l.d.mu.Unlock()
	var done bool
	err := l.settle(ctx)
	if err == nil {
		done, err = l.deliver(ctx)
	}
	if err == nil {
		err = l.settle(ctx)
	}
	switch {
	case isDropped(err):
		return 0, false
	case err != nil:
		l.faults++
		l.log.Warn("events cannot be read or settled now; this is tried again", "error", err)
		return l.d.backoff(l.faults), true
	}
	l.faults = 0
	if l.first != nil && !done {
		return l.d.backoff(l.first.tries), true
	}
	return 0, !done
}

// deliver hands over what waits, in order, until a delivery fails. It returns done
// when nothing is left that could be delivered now.
func (l *lane) deliver(ctx context.Context) (done bool, err error) {
	leave, ok := l.d.enter(l.subscriber)
	if !ok {
		return true, nil
	}
	defer leave()
	if l.d.cfg.State(l.subscriber) != On {
		return true, nil
	}
	if l.first != nil && l.outlived(l.first.row) {
		l.first = nil
	}
	var rows []row
	if l.first != nil {
		rows = []row{l.first.row}
	} else if rows, err = l.d.read(ctx, l.key); err != nil || len(rows) == 0 {
		return err == nil, err
	}
	for _, r := range rows {
		if l.d.stopping.Err() != nil {
			return true, nil
		}
		if !l.try(ctx, r) {
			return false, nil
		}
		l.last = &r
	}
	return false, nil
}

// outlived reports whether the project of an event was dropped, and another has its
// name now.
func (l *lane) outlived(r row) bool {
	p, err := l.d.cfg.Executor.Registry.Project(l.project)
	return err == nil && p.Created.After(r.Committed)
}

// try makes one delivery, and returns false if it is to be made again.
func (l *lane) try(ctx context.Context, r row) bool {
	f := l.first
	if f == nil {
		f = &failing{row: r}
	}
	r.Attempt = f.tries + 1
	err := l.d.cfg.Deliver(ctx, r.Delivery)
	l.d.mu.Lock()
	defer l.d.mu.Unlock()
	counts := l.d.count(l.subscriber)
	if err == nil {
		counts.Delivered++
		l.pending = max(l.pending-1, 0)
		l.first = nil
		return true
	}
	if ctx.Err() != nil {
		l.first = f
		return false // Close has cut it short: it is made again after the next start
	}
	if f.fail(err) {
		counts.Failed++
		l.pending = max(l.pending-1, 0)
		l.given = append(l.given, aside{row: r, err: err.Error()})
		l.first = nil
		l.log.Error("an event is set aside, because its subscriber cannot take it", "event", r.Event, "event_id", r.ID,
			"request_id", r.RequestID, "run_id", r.RunID, "attempts", f.tries, "error", err)
		return true
	}
	counts.Repeated++
	l.first = f
	l.log.Debug("an event is delivered again later", "event", r.Event, "event_id", r.ID, "attempt", r.Attempt, "error", err)
	return false
}

// fail notes a failed delivery and reports whether it was the last one.
func (f *failing) fail(err error) bool {
	f.tries++
	var e *sdk.Error
	switch {
	case errors.Is(err, sdk.ErrPluginDied):
		f.deaths++
	case errors.Is(err, sdk.ErrPluginDown), errors.Is(err, sdk.ErrPluginOff):
	case errors.As(err, &e) && e.Retryable:
	default:
		f.final++
	}
	return f.final >= maxTries || f.deaths >= maxDeaths
}

// settle takes what was delivered out of the outbox. It does so once more when Close
// has no patience left: else all of it would be delivered again.
func (l *lane) settle(ctx context.Context) error {
	if l.last == nil {
		return nil
	}
	if ctx.Err() != nil {
		last, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastTry)
		defer cancel()
		ctx = last
	}
	if err := l.d.settle(ctx, l.key, *l.last, l.given); err != nil {
		return err
	}
	l.last, l.given = nil, nil
	return nil
}

// enter waits for a place among the lanes of a subscriber that deliver.
func (d *Dispatcher) enter(subscriber string) (leave func(), ok bool) {
	d.mu.Lock()
	places := d.places[subscriber]
	if places == nil {
		places = make(chan struct{}, d.cfg.Parallel)
		d.places[subscriber] = places
	}
	d.mu.Unlock()
	select {
	case places <- struct{}{}:
		return func() { <-places }, true
	case <-d.stopping.Done():
		return nil, false
	}
}

// backoff is the wait after a number of failures in a row.
func (d *Dispatcher) backoff(failures int) time.Duration {
	wait := d.cfg.BackoffMin
	for range failures - 1 {
		if wait *= 2; wait >= d.cfg.BackoffMax {
			return d.cfg.BackoffMax
		}
	}
	return wait
}

// pause returns false if Close was called meanwhile.
func (d *Dispatcher) pause(wait time.Duration) bool {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return d.stopping.Err() == nil
	case <-d.stopping.Done():
		return false
	}
}
