package plan_test

import (
	"context"
	"errors"
	"io"
	"testing"
	"time"

	"github.com/keboola/duckdb-storage/core/internal/fixture"
	"github.com/keboola/duckdb-storage/core/internal/plan"
	"github.com/keboola/duckdb-storage/sdk"
	pluginv1 "github.com/keboola/duckdb-storage/sdk/proto/duckdbstorage/plugin/v1"
	"github.com/keboola/duckdb-storage/sdk/sql"
)

// endless has more rows than anybody reads.
var endless = sql.New("SELECT range AS a FROM range(100000000000)")

// follow starts a stream that lasts until its Close.
func follow(t *testing.T, h *fixture.Host) io.Closer {
	t.Helper()
	body, err := stream(t.Context(), t, h, sdk.Rows{Statement: endless})
	if err != nil {
		t.Fatal(err)
	}
	return body
}

func stream(ctx context.Context, t *testing.T, h *fixture.Host, rows sdk.Rows) (io.ReadCloser, error) {
	t.Helper()
	a, err := h.Executor.Run(ctx, target, "text/csv", respond(t, rows))
	if err != nil {
		return nil, err
	}
	return a.Stream.Body, nil
}

// small runs a small read, and leaves it to nobody to close it.
func small(t *testing.T, h *fixture.Host) {
	t.Helper()
	body, err := stream(t.Context(), t, h, sdk.Rows{Statement: sql.New("SELECT 1 AS a"), MaxRows: 1})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(body); string(got) != "a\n1\n" || err != nil {
		t.Errorf("got %q, %v", got, err)
	}
}

// waitLoad looks until a line has that many requests running and waiting.
func waitLoad(t *testing.T, a *plan.Admission, want plan.Load) {
	t.Helper()
	look := time.NewTicker(time.Millisecond)
	defer look.Stop()
	deadline := time.After(20 * time.Second)
	for a.Load() != want {
		select {
		case <-look.C:
		case <-deadline:
			t.Fatalf("%+v, want %+v", a.Load(), want)
		}
	}
}

// Streams that nobody reads keep other streams waiting, and no small read.
func TestSmallReadsPassStreams(t *testing.T) {
	t.Parallel()
	h := open(t)
	h.Executor.Streams.Places, h.Executor.Reads.Places = 2, 1
	first, second := follow(t, h), follow(t, h)
	defer second.Close()
	for range 3 { // one place is enough for one after the other: each gives it back
		small(t, h)
		if _, err := h.Executor.Query(t.Context(), target, &pluginv1.Statement{Sql: "SELECT 1"}); err != nil {
			t.Error(err)
		}
	}
	// The third one waits, as does an export; one that leaves the line costs nobody a place.
	ctx, leave := context.WithCancel(t.Context())
	left, third := make(chan error), make(chan error)
	go func() {
		_, err := h.Executor.Run(ctx, target, "application/json", respond(t, sdk.Export{Statement: sql.New("SELECT 1"), Format: "csv"}))
		left <- err
	}()
	waitLoad(t, &h.Executor.Streams, plan.Load{Running: 2, Waiting: 1})
	go func() {
		body, err := stream(t.Context(), t, h, sdk.Rows{Statement: sql.New("SELECT 1 AS a")})
		if err == nil {
			err = body.Close()
		}
		third <- err
	}()
	waitLoad(t, &h.Executor.Streams, plan.Load{Running: 2, Waiting: 2})
	leave()
	if err := <-left; !errors.Is(err, sdk.ErrCancelled) {
		t.Errorf("who left the line: got %v", err)
	}
	waitLoad(t, &h.Executor.Streams, plan.Load{Running: 2, Waiting: 1})
	first.Close()
	if err := <-third; err != nil {
		t.Errorf("who had its turn: got %v", err)
	}
	waitLoad(t, &h.Executor.Streams, plan.Load{Running: 1})
}

func TestWaitForAPlaceIsBounded(t *testing.T) {
	t.Parallel()
	h := open(t)
	h.Executor.Streams = plan.Admission{Places: 1, Wait: 50 * time.Millisecond}
	h.Executor.Reads = plan.Admission{Places: 1, Wait: 50 * time.Millisecond}
	defer follow(t, h).Close()
	_, err := stream(t.Context(), t, h, sdk.Rows{Statement: sql.New("SELECT 1")})
	if e := refusal(t, err); e.Slug != "streams-full" || e.Detail != "waited 50ms because 1 streams and exports already run; repeat later" {
		t.Errorf("got %s: %s", e.Slug, e.Detail)
	}
	// A small read whose rows are too long for the memory of the host keeps its place.
	long, err := stream(t.Context(), t, h, sdk.Rows{Statement: sql.New("SELECT repeat('x', 100000) FROM range(1000)"), MaxRows: 1000})
	if err != nil {
		t.Fatal(err)
	}
	_, err = h.Executor.Query(t.Context(), target, &pluginv1.Statement{Sql: "SELECT 1"})
	if e := refusal(t, err); e.Slug != "reads-full" {
		t.Errorf("got %s: %s", e.Slug, e.Detail)
	}
	if n, err := io.Copy(io.Discard, long); n < 100_000_000 || err != nil {
		t.Errorf("%d bytes, %v", n, err)
	}
	long.Close()
	small(t, h) // the place was given back
	// A request that may not take that long is the reason itself.
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if _, err := stream(ctx, t, h, sdk.Rows{Statement: sql.New("SELECT 1")}); !errors.Is(err, sdk.ErrTimeout) {
		t.Errorf("got %v", err)
	}
}

func refusal(t *testing.T, err error) *sdk.Error {
	t.Helper()
	var e *sdk.Error
	if !errors.As(err, &e) || e.Kind != sdk.Unavailable || !e.Retryable {
		t.Fatalf("got %v, want a problem that can be repeated", err)
	}
	return e
}

// Whatever ends a read gives its place back.
func TestPlacesAreGivenBack(t *testing.T) {
	t.Parallel()
	h := open(t)
	for name, end := range map[string]func() error{
		"statement": func() error {
			_, err := stream(t.Context(), t, h, sdk.Rows{Statement: sql.New("SELECT 'x'::INTEGER")})
			return err
		},
		"small statement": func() error {
			_, err := stream(t.Context(), t, h, sdk.Rows{Statement: sql.New("SELECT 'x'::INTEGER"), MaxRows: 1})
			return err
		},
		"late in a small one": func() error {
			_, err := stream(t.Context(), t, h, sdk.Rows{
				Statement: sql.New("SELECT repeat('x', 1000), CASE WHEN range = 999 THEN error('late') END FROM range(1000)"), MaxRows: 1000,
			})
			return err
		},
		"project": func() error {
			_, err := h.Executor.Query(t.Context(), &pluginv1.Target{Project: "none", Branch: plan.DefaultBranch}, &pluginv1.Statement{Sql: "SELECT 1"})
			return err
		},
		"time": func() error {
			_, err := stream(t.Context(), t, h, sdk.Rows{Statement: sql.New("SELECT sum(a.range * b.range) FROM range(1000000) a, range(1000000) b"), Timeout: time.Second})
			return err
		},
		"export": func() error {
			_, err := h.Executor.Run(t.Context(), target, "application/json", respond(t, sdk.Export{Statement: sql.New("SELECT error('x')"), Format: "csv", Compression: "gzip"}))
			return err
		},
	} {
		if err := end(); err == nil {
			t.Errorf("%s: no error", name)
		}
		if reads, streams := h.Executor.Reads.Load(), h.Executor.Streams.Load(); reads != (plan.Load{}) || streams != (plan.Load{}) {
			t.Errorf("%s: left are %+v, %+v", name, reads, streams)
		}
	}
}
