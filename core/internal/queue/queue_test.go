package queue_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/keboola/duckdb-storage/core/internal/queue"
	"github.com/keboola/duckdb-storage/sdk"
)

func acquire(t *testing.T, q *queue.Queue, catalog string) func() {
	t.Helper()
	release, err := q.Acquire(t.Context(), catalog)
	if err != nil {
		t.Fatal(err)
	}
	return release
}

func TestOneWriterAtATimeInOrder(t *testing.T) {
	t.Parallel()
	q := queue.New(queue.Config{})
	var (
		wg      sync.WaitGroup
		mu      sync.Mutex
		holders int
		served  int
	)
	for range 100 {
		wg.Go(func() {
			release, err := q.Acquire(t.Context(), "a")
			if err != nil {
				t.Error(err)
				return
			}
			mu.Lock()
			if holders++; holders > 1 {
				t.Error("two writers hold the slot")
			}
			served++
			holders--
			mu.Unlock()
			release()
		})
	}
	wg.Wait()
	if served != 100 {
		t.Errorf("served %d of 100", served)
	}
}

func TestFirstComeFirstServed(t *testing.T) {
	t.Parallel()
	q := queue.New(queue.Config{Length: 2})
	release := acquire(t, q, "a")
	order := make(chan int, 2)
	for i := range 2 {
		done := make(chan struct{})
		ctx := signalOnWait(t.Context(), done)
		go func() {
			r, err := q.Acquire(ctx, "a")
			if err != nil {
				t.Error(err)
				return
			}
			order <- i
			r()
		}()
		<-done
	}
	release()
	if a, b := <-order, <-order; a != 0 || b != 1 {
		t.Errorf("served %d before %d", a, b)
	}
}

func TestCatalogsDoNotWaitForEachOther(t *testing.T) {
	t.Parallel()
	q := queue.New(queue.Config{})
	defer acquire(t, q, "a")()
	acquire(t, q, "b")()
}

func TestFullQueueRefuses(t *testing.T) {
	t.Parallel()
	q := queue.New(queue.Config{Length: 1})
	release := acquire(t, q, "a")
	ctx, cancel := context.WithCancel(t.Context())
	waiting, left := make(chan struct{}), make(chan error)
	go func() {
		_, err := q.Acquire(signalOnWait(ctx, waiting), "a")
		left <- err
	}()
	<-waiting
	if _, err := q.Acquire(t.Context(), "a"); !errors.Is(err, sdk.ErrQueueFull) {
		t.Errorf("got %v", err)
	}
	cancel()
	if err := <-left; !errors.Is(err, sdk.ErrCancelled) {
		t.Errorf("got %v", err)
	}
	release()
	acquire(t, q, "a")() // the cancelled one left no hole
}

func TestWaitIsBounded(t *testing.T) {
	t.Parallel()
	q := queue.New(queue.Config{Wait: time.Millisecond})
	defer acquire(t, q, "a")()
	var e *sdk.Error
	if _, err := q.Acquire(t.Context(), "a"); !errors.As(err, &e) || !errors.Is(err, sdk.ErrQueueWait) || !e.Retryable {
		t.Errorf("got %v", err)
	}
}

// signalOnWait returns a context that closes ch when somebody starts to wait
// for its end, which Acquire does once it stands in line.
func signalOnWait(ctx context.Context, ch chan struct{}) context.Context {
	return &signalContext{Context: ctx, ch: ch}
}

type signalContext struct {
	context.Context
	once sync.Once
	ch   chan struct{}
}

func (c *signalContext) Done() <-chan struct{} {
	c.once.Do(func() { close(c.ch) })
	return c.Context.Done()
}

func TestLinesSayWhoHoldsTheSlot(t *testing.T) {
	t.Parallel()
	q := queue.New(queue.Config{Length: 1})
	if lines := q.Lines(); len(lines) != 0 {
		t.Errorf("an empty queue has %v", lines)
	}
	import1 := queue.Writer{Command: "tables.ImportFile", RequestID: "r1"}
	release, err := q.Acquire(queue.As(t.Context(), import1), "b")
	if err != nil {
		t.Fatal(err)
	}
	defer acquire(t, q, "a")()
	waiting := make(chan struct{})
	next := make(chan func(), 1)
	go func() {
		release, err := q.Acquire(queue.As(signalOnWait(t.Context(), waiting), queue.Writer{Command: "tables.Drop", RequestID: "r2"}), "b")
		if err != nil {
			t.Error(err)
		}
		next <- release
	}()
	<-waiting
	lines := q.Lines()
	if len(lines) != 2 || lines[0].Catalog != "a" || lines[0].Waiting != 0 || lines[0].Longest != 0 {
		t.Fatalf("got %+v", lines)
	}
	if b := lines[1]; b.Holder != import1 || b.Waiting != 1 || b.Held <= 0 || b.Longest <= 0 || b.Longest > b.Held {
		t.Errorf("got %+v", b)
	}
	if _, err := q.Acquire(t.Context(), "b"); !errors.Is(err, sdk.ErrQueueFull) || !strings.Contains(err.Error(), "tables.ImportFile (request r1)") {
		t.Errorf("a full line: %v", err)
	}
	release()
	defer (<-next)()
	if b := q.Lines()[1]; b.Holder.RequestID != "r2" || b.Waiting != 0 {
		t.Errorf("afterwards: %+v", b)
	}
}
