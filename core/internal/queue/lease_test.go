package queue_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/keboola/duckdb-storage/core/internal/queue"
	"github.com/keboola/duckdb-storage/sdk"
)

// lease leases catalog a for tables.Merge.
func lease(t *testing.T, q *queue.Queue) *queue.Lease {
	t.Helper()
	l, err := q.Lease(queue.As(t.Context(), queue.Writer{Command: "tables.Merge", RequestID: "r1"}), "a")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// hand is a writer that came to a line and tells what became of it.
type hand struct {
	served  chan error
	release func() // once served without an error
}

// comes starts a writer and returns when it waits, or was served.
func comes(acquire func() (func(), error)) *hand {
	h := &hand{served: make(chan error, 1)}
	go func() {
		release, err := acquire()
		h.release = release
		h.served <- err
	}()
	synctest.Wait()
	return h
}

func (h *hand) waits(t *testing.T) {
	t.Helper()
	synctest.Wait()
	select {
	case err := <-h.served:
		t.Errorf("the writer does not wait: %v", err)
	default:
	}
}

func (h *hand) goes(t *testing.T, want error) {
	t.Helper()
	synctest.Wait()
	select {
	case err := <-h.served:
		if !errors.Is(err, want) || want == nil && err != nil {
			t.Errorf("the writer got %v, want %v", err, want)
		}
	default:
		t.Error("the writer still waits")
	}
}

// pass lets time pass in a bubble, where it costs none.
func pass(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

// A lease waits in the line like any other, and keeps its turn over several writes.
func TestLeaseKeepsItsTurn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		q := queue.New(queue.Config{})
		first := acquire(t, q, "a")
		var l *queue.Lease
		leasing := comes(func() (func(), error) {
			var err error
			l, err = q.Lease(t.Context(), "a")
			return nil, err
		})
		behind := comes(func() (func(), error) { return q.Acquire(t.Context(), "a") })
		leasing.waits(t)
		first()
		leasing.goes(t, nil)
		ctx := l.Within(t.Context())
		for range 2 {
			release, err := q.Acquire(ctx, "a")
			if err != nil {
				t.Fatal(err)
			}
			behind.waits(t)
			release()
			release() // does nothing
			behind.waits(t)
		}
		acquire(t, q, "b")() // others do not notice
		l.Release()
		behind.goes(t, nil)
		l.Release() // does nothing
		after := comes(func() (func(), error) { return q.Acquire(t.Context(), "a") })
		after.waits(t)
		behind.release()
		after.goes(t, nil)
		after.release()
		if lines := q.Lines(); len(lines) != 0 {
			t.Errorf("left behind: %+v", lines)
		}
	})
}

// Inside a lease writes come one at a time, in order, and one that leaves is gone.
func TestWritesInsideALease(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		q := queue.New(queue.Config{Wait: time.Minute})
		l := lease(t, q)
		ctx, cancel := context.WithCancel(l.Within(t.Context()))
		inside := func(ctx context.Context) *hand {
			return comes(func() (func(), error) { return q.Acquire(ctx, "a") })
		}
		first := inside(l.Within(t.Context()))
		first.goes(t, nil)
		leaves, second, third := inside(ctx), inside(l.Within(t.Context())), inside(l.Within(t.Context()))
		cancel()
		leaves.goes(t, sdk.ErrCancelled)
		first.release()
		second.goes(t, nil)
		third.waits(t)
		second.release()
		third.goes(t, nil)
		late := inside(l.Within(t.Context()))
		pass(time.Minute)
		late.goes(t, sdk.ErrQueueWait)
		third.release()
		l.Release()
		acquire(t, q, "a")()
	})
}

func TestSecondLeaseIsRefused(t *testing.T) {
	t.Parallel()
	q := queue.New(queue.Config{})
	l := lease(t, q)
	ctx := l.Within(t.Context())
	for _, catalog := range []string{"a", "b"} {
		if _, err := q.Lease(ctx, catalog); !errors.Is(err, sdk.ErrConflict) || !strings.Contains(err.Error(), "a is leased already by tables.Merge") {
			t.Errorf("a lease of %s inside one of a: %v", catalog, err)
		}
	}
	if _, err := q.Acquire(ctx, "b"); !errors.Is(err, sdk.ErrConflict) || !strings.Contains(err.Error(), "b cannot be written inside a lease of a") {
		t.Errorf("another catalog: %v", err)
	}
	if _, err := q.Lock(ctx, "b", "table t"); !errors.Is(err, sdk.ErrConflict) {
		t.Errorf("a lock of another catalog: %v", err)
	}
	// A queue of something else has nothing to do with it.
	acquire := func(ctx context.Context, q *queue.Queue) {
		t.Helper()
		release, err := q.Acquire(ctx, "b")
		if err != nil {
			t.Fatal(err)
		}
		release()
	}
	acquire(ctx, queue.New(queue.Config{}))
	l.Release()
	acquire(t.Context(), q)
}

// Who holds a turn never waits for a lock of somebody who waits for that turn.
func TestLocksInsideALease(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		q := queue.New(queue.Config{})
		lock := func(ctx context.Context, name string) *hand {
			return comes(func() (func(), error) { return q.Lock(ctx, "a", name) })
		}
		l := lease(t, q)
		stages := lock(t.Context(), "table t")
		stages.goes(t, nil)
		publishes := comes(func() (func(), error) { return q.Acquire(t.Context(), "a") })
		publishes.waits(t)
		ctx := l.Within(t.Context())
		first, second, other := lock(ctx, "table t"), lock(ctx, "table t"), lock(ctx, "table u")
		first.goes(t, nil)
		other.goes(t, nil)
		second.waits(t)
		first.release()
		second.goes(t, nil)
		second.release()
		other.release()
		want := []queue.Line{
			{Catalog: "a", Holder: queue.Writer{Command: "tables.Merge", RequestID: "r1"}, Lease: true, Waiting: 1},
			{Catalog: "a", Lock: "table t"},
		}
		if diff := cmp.Diff(want, q.Lines()); diff != "" {
			t.Errorf("lines (-want +got):\n%s", diff)
		}
		l.Release()
		publishes.goes(t, nil)
		publishes.release()
		stages.release()
	})
}

// The end of a lease lets the write inside it end, and nobody else in.
func TestReleaseDuringAWrite(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		q := queue.New(queue.Config{})
		l := lease(t, q)
		ctx := l.Within(t.Context())
		inside := func() *hand { return comes(func() (func(), error) { return q.Acquire(ctx, "a") }) }
		writes, waits := inside(), inside()
		writes.goes(t, nil)
		stages := comes(func() (func(), error) { return q.Lock(ctx, "a", "table t") })
		stages.goes(t, nil)
		behind := comes(func() (func(), error) { return q.Acquire(t.Context(), "a") })
		l.Release()
		waits.goes(t, sdk.ErrConflict)
		inside().goes(t, sdk.ErrConflict)
		if _, err := q.Lease(ctx, "a"); !errors.Is(err, sdk.ErrConflict) {
			t.Errorf("a second lease after the first: %v", err)
		}
		stages.release()
		behind.waits(t)
		writes.release()
		behind.goes(t, nil)
		inside().goes(t, sdk.ErrConflict)
		behind.release()
	})
}

func TestLeaseThatIsCancelledIsInNoLine(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		q := queue.New(queue.Config{Wait: time.Minute})
		holds := lease(t, q)
		ctx, cancel := context.WithCancel(t.Context())
		wants := func() *hand {
			return comes(func() (func(), error) { _, err := q.Lease(ctx, "a"); return nil, err })
		}
		late := wants()
		pass(time.Minute)
		late.goes(t, sdk.ErrQueueWait)
		leaves := wants()
		behind := comes(func() (func(), error) { return q.Acquire(t.Context(), "a") })
		cancel()
		leaves.goes(t, sdk.ErrCancelled)
		holds.Release()
		behind.goes(t, nil)
		behind.release()
	})
}

func TestProblemsNameTheLease(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		q := queue.New(queue.Config{Wait: 2 * time.Second})
		l := lease(t, q)
		_, err := q.Acquire(t.Context(), "a")
		if !errors.Is(err, sdk.ErrQueueWait) || !strings.Contains(err.Error(), "it is leased by tables.Merge (request r1) for 2s") {
			t.Errorf("got %v", err)
		}
		l.Release()
	})
}

// However short the wait may be, a free line has none.
func TestFreeLineNeedsNoWait(t *testing.T) {
	t.Parallel()
	q := queue.New(queue.Config{Wait: time.Nanosecond})
	for range 1000 {
		acquire(t, q, "a")()
	}
}
