package queue_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/keboola/duckdb-storage/core/internal/queue"
)

// record is an observer that remembers.
type record struct {
	mu   sync.Mutex
	said []string
}

func (r *record) say(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.said = append(r.said, fmt.Sprintf(format, args...))
}

func (r *record) Waited(lock bool, d time.Duration) { r.say("waited lock=%v %v", lock, d) }
func (r *record) Held(lock bool, d time.Duration)   { r.say("held lock=%v %v", lock, d) }
func (r *record) Refused(why queue.Refusal)         { r.say("refused %s", why) }

func TestObserver(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := &record{}
		q := queue.New(queue.Config{Length: 1, Wait: time.Minute, Observer: r})
		first := comes(func() (func(), error) { return q.Acquire(t.Context(), "a") })
		second := comes(func() (func(), error) { return q.Acquire(t.Context(), "a") })
		comes(func() (func(), error) { return q.Acquire(t.Context(), "a") }) // the line is full
		pass(2 * time.Second)
		first.release()
		first.release() // is told once
		pass(3 * time.Second)
		ctx, cancel := context.WithCancel(t.Context())
		comes(func() (func(), error) { return q.Acquire(ctx, "a") })
		cancel()
		synctest.Wait()
		comes(func() (func(), error) { return q.Acquire(t.Context(), "a") })
		pass(62 * time.Second)
		second.release()
		synctest.Wait()
		want := []string{
			"waited lock=false 0s", "refused full",
			"held lock=false 2s", "waited lock=false 2s",
			"refused cancelled", "refused timeout",
			"held lock=false 1m5s",
		}
		if diff := cmp.Diff(want, r.said); diff != "" {
			t.Errorf("told (-want +got):\n%s", diff)
		}
	})
}

// A lease is one turn, whatever is written inside it; a lock is told as one.
func TestObserverOfALease(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := &record{}
		q := queue.New(queue.Config{Observer: r})
		lock, err := q.Lock(t.Context(), "a", "table t")
		if err != nil {
			t.Fatal(err)
		}
		pass(time.Second)
		lock()
		l := lease(t, q)
		inside, err := q.Acquire(l.Within(t.Context()), "a")
		if err != nil {
			t.Fatal(err)
		}
		pass(time.Second)
		l.Release()
		pass(time.Second)
		inside() // the lease ends with it
		want := []string{"waited lock=true 0s", "held lock=true 1s", "waited lock=false 0s", "held lock=false 2s"}
		if diff := cmp.Diff(want, r.said); diff != "" {
			t.Errorf("told (-want +got):\n%s", diff)
		}
	})
}
