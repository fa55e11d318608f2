package e2e_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// A repeat that comes while the first request runs waits for it. When the client of
// the first leaves, that is cancelled as without a key, and the one that waits is
// done instead.
func TestRepeatWaits(t *testing.T) {
	t.Parallel()
	k := newKeyProject(t)
	blocks := begin(t, k.Project, fmt.Sprintf(endless, 0))
	awaitLine(t, k.service.Admin(), func(l line) bool { return l.Holder.HeldSeconds > 0 })
	waiting := func(ctx context.Context, n int) <-chan outcome {
		out := make(chan outcome, 1)
		go func() {
			a, err := k.insert(n).under(fmt.Sprint("key ", n)).to(ctx, k.Client)
			out <- outcome{a, err}
		}()
		return out
	}
	leaves, leave := context.WithCancel(t.Context())
	defer leave()
	first := waiting(t.Context(), 1)
	left := waiting(leaves, 2)
	// Both wait in the queue of the project; their repeats wait for them and not there.
	awaitLine(t, k.service.Admin(), func(l line) bool { return l.Waiting == 2 })
	repeats := []<-chan outcome{waiting(t.Context(), 1), waiting(t.Context(), 1)}
	successor := waiting(t.Context(), 2)
	leave()
	if o := <-left; !errors.Is(o.err, context.Canceled) {
		t.Errorf("the client that leaves got %+v", o)
	}
	blocks.leave(t)
	answered := []*answer{}
	for _, c := range append(repeats, first) {
		o := <-c
		if o.err != nil || o.answer.status != http.StatusOK {
			t.Fatalf("%+v", o)
		}
		answered = append(answered, o.answer)
	}
	replayed := 0
	for _, a := range answered {
		if !bytes.Equal(a.body, answered[0].body) {
			t.Errorf("two answers: %s and %s", a.body, answered[0].body)
		}
		if a.header.Get("Idempotency-Replayed") == "true" {
			replayed++
		}
	}
	if replayed != 2 {
		t.Errorf("%d of 3 were replayed", replayed)
	}
	if o := <-successor; o.err != nil || o.answer.status != http.StatusOK || o.answer.header.Get("Idempotency-Replayed") != "" {
		t.Errorf("who waited for one that left: %+v", o)
	}
	for n := 1; n <= 2; n++ {
		if got := k.count(t, n); got != 1 {
			t.Errorf("%d was inserted %d times", n, got)
		}
	}
	if err := k.service.Stop(); err != nil {
		t.Error(err)
	}
}

// Clients that leave at any moment and ask again have what they asked for exactly
// once, and learn so: the answer, or that it is lost.
func TestClientLeavesAndRepeats(t *testing.T) {
	t.Parallel()
	k := newKeyProject(t)
	random := rand.New(rand.NewPCG(1, 2))
	cut, lost := 0, 0
	for n := range 60 {
		r := k.insert(n).under(fmt.Sprint("insert ", n))
		if n%2 == 1 {
			r = k.bucket(fmt.Sprint("in.c-", n)).under(fmt.Sprint("bucket ", n))
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Duration(random.IntN(30))*time.Millisecond)
		_, err := r.to(ctx, k.Client)
		cancel()
		if err != nil {
			cut++
		}
		a := r.must(t, k.Client)
		switch {
		case a.problem(http.StatusConflict, "idempotency-answer-lost", 3000, "read the state") == nil && n%2 == 0:
			lost++
		case a.status >= 300:
			t.Errorf("%d: %d %s", n, a.status, a.body)
		}
		if n%2 == 0 {
			if got := k.count(t, n); got != 1 {
				t.Errorf("%d was inserted %d times: %d %s", n, got, a.status, a.body)
			}
		}
	}
	t.Logf("%d of 60 requests were left, %d answers were lost", cut, lost)
	if cut == 0 {
		t.Error("no client left in time: this test has shown nothing")
	}
	if err := k.service.Stop(); err != nil {
		t.Error(err)
	}
}

// A thousand keys at once, each sent three times.
func TestManyKeys(t *testing.T) {
	t.Parallel()
	k := newKeyProject(t)
	const keys, clients = 1000, 50
	numbers := make(chan int)
	var wg sync.WaitGroup
	for range clients {
		wg.Go(func() {
			for n := range numbers {
				if a, err := k.insert(n/3).under(fmt.Sprint("key ", n/3)).to(t.Context(), k.Client); err != nil || a.status != http.StatusOK {
					t.Errorf("%d: %v %+v", n, err, a)
				}
			}
		})
	}
	for n := range 3 * keys {
		numbers <- n
	}
	close(numbers)
	wg.Wait()
	rows, err := k.Query(t.Context(), "SELECT count(*), count(DISTINCT n) FROM b.numbers")
	if diff := cmp.Diff([][]any{{1000.0, 1000.0}}, rows); err != nil || diff != "" {
		t.Errorf("rows and numbers (-want +got): %v\n%s", err, diff)
	}
	if err := k.service.Stop(); err != nil {
		t.Error(err)
	}
}
