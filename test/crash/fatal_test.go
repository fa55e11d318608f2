package crash_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/keboola/duckdb-storage/sdk/sdktest/service"
	"github.com/keboola/duckdb-storage/test/faults"
)

// fatalErrors is how many fatal errors a round has.
const fatalErrors = 6

// A log that cannot be synced is a fatal error to DuckDB: the database cannot be
// used any more. The host closes that cell alone and opens a new one. Another project
// is served all the time.
func TestFatal(t *testing.T) {
	t.Parallel()
	faults.Need(t)
	s, control := supervised(t, dataDir(t))
	ctx, cancel := context.WithTimeout(t.Context(), requestTimeout)
	defer cancel()
	w, main := prepareInserts(ctx, t, s, mainProject)
	bystander, other := prepareInserts(ctx, t, s, otherProject)
	until, seen, read := make(chan struct{}), make(chan bystanding, 1), make(chan reading, 1)
	go func() { seen <- standBy(ctx, bystander, other, until) }()
	go func() { read <- readOnAndOn(ctx, main, until) }()

	rounds := fatalErrors * faultRounds(t)
	var away []time.Duration
	happened := 0
	for range rounds {
		m := failing("sync duckdb/project_P_main.duckdb.wal")[0]
		m.op, m.nth = "sync duckdb/project_P_main.duckdb.wal", 1
		hit := control.await(m)
		before := w.now
		err := w.step(ctx, main)
		began := time.Now()
		select {
		case <-hit:
		default:
			t.Fatal("the insert did not sync the log")
		}
		if _, err := answered(m, err); err != nil {
			t.Fatal(err)
		}
		if err == nil {
			t.Fatal("an insert whose log was not synced is acknowledged")
		}
		// The next write shows what became of this one.
		if _, err := recovery(ctx, func() error { return w.check(ctx, main) }); err != nil {
			t.Fatal(err)
		}
		if err := w.step(ctx, main); err != nil {
			t.Fatalf("the next write: %v", err)
		}
		away = append(away, time.Since(began))
		if w.now == before+2 {
			happened++
		}
		control.follow(nil)
	}
	close(until)
	got, reader := <-seen, <-read
	if reader.err != nil {
		t.Errorf("a reader of the project: %v", reader.err)
	}
	if got.err != nil {
		t.Errorf("another project, after %d requests: %v", got.requests, got.err)
	}
	if got.requests == 0 {
		t.Error("the other project was not asked: this test has shown nothing")
	}
	t.Logf("survived %d fatal errors; the project wrote again after %s at the latest (median %s); %d of the failed writes are there all the same",
		rounds, slices.Max(away).Round(time.Millisecond), median(away).Round(time.Millisecond), happened)
	t.Logf("%d reads of the project, %d of which were told to repeat, for %s at the longest, and %d of which broke off; %d requests of another project met none of it, the slowest took %s",
		reader.requests, reader.refused, reader.longest.Round(time.Millisecond), reader.brokenOff, got.requests, got.slowest.Round(time.Millisecond))
	if err := s.Stop(); err != nil {
		t.Error(err)
	}
}

func prepareInserts(ctx context.Context, t *testing.T, s *service.Service, project string) (*inserts, clients) {
	t.Helper()
	p, err := s.Admin().CreateProject(ctx, project)
	if err != nil {
		t.Fatal(err)
	}
	w, c := &inserts{}, clients{s.Admin(), p}
	if err := w.prepare(ctx, c); err != nil {
		t.Fatal(err)
	}
	if err := w.step(ctx, c); err != nil {
		t.Fatal(err)
	}
	return w, c
}

// bystanding is what the clients of another project saw.
type bystanding struct {
	requests int
	slowest  time.Duration
	err      error
}

// standBy writes and reads without a pause until it is told to end, or an error.
func standBy(ctx context.Context, w *inserts, c clients, until <-chan struct{}) (got bystanding) {
	for {
		for _, request := range []func(context.Context, clients) error{w.step, w.check} {
			began := time.Now()
			got.err = request(ctx, c)
			got.slowest = max(got.slowest, time.Since(began))
			if got.requests++; got.err != nil {
				return got
			}
		}
		select {
		case <-until:
			return got
		default:
		}
	}
}

// reading is what a reader of the project with the fatal errors saw.
type reading struct {
	requests, refused, brokenOff int
	longest                      time.Duration // from the first refusal to the next answer
	err                          error
}

// readOnAndOn reads until it is told to end. A read may be refused with a problem
// that a repeat gets past, for a while, and may break off after its first byte.
func readOnAndOn(ctx context.Context, c clients, until <-chan struct{}) (got reading) {
	var since time.Time // of the first refusal
	for {
		_, err := c.main.Query(ctx, `SELECT count(*) FROM "in.c-insert".numbers`)
		got.requests++
		var p *service.Problem
		switch {
		case err == nil && !since.IsZero():
			got.longest, since = max(got.longest, time.Since(since)), time.Time{}
		case err == nil:
		case errors.Is(err, io.ErrUnexpectedEOF):
			got.brokenOff++
		case !errors.As(err, &p) || p.Status != http.StatusServiceUnavailable || !p.Retryable:
			got.err = err
			return got
		default:
			got.refused++
			if since.IsZero() {
				since = time.Now()
			} else if time.Since(since) > longestAway {
				got.err = fmt.Errorf("still after %s: %w", longestAway, err)
				return got
			}
		}
		select {
		case <-until:
			return got
		default:
		}
	}
}

func median(times []time.Duration) time.Duration {
	return slices.Sorted(slices.Values(times))[len(times)/2]
}
