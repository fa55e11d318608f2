package e2e_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/keboola/duckdb-storage/sdk/sdktest/service"
)

// endless runs far longer than any test.
const endless = "CREATE TABLE b.t%d AS SELECT count(*) AS n FROM range(1000000000) AS x, range(1000000) AS y"

// Writes of a project wait in a line of bounded length and for a bounded time. It
// is not in a script, because it needs requests side by side.
func TestQueue(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name     string
		settings []string
		writers  int
		status   int
		slug     string
		code     int
	}{
		// One runs, one waits: of three, one is refused, whichever came last.
		{"full", []string{"DUCKDB_STORAGE_QUEUE__LENGTH=1"}, 3, http.StatusTooManyRequests, "queue-full", 2006},
		// One runs, the other one waits for too long.
		{"wait", []string{"DUCKDB_STORAGE_QUEUE__WAIT=50ms"}, 2, http.StatusServiceUnavailable, "queue-timeout", 1000},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			s := start(t, test.settings...)
			p, err := s.Admin().CreateProject(t.Context(), "1")
			if err != nil {
				t.Fatal(err)
			}
			if err := p.CreateBucket(t.Context(), "b"); err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			refused := race(ctx, t, p, test.writers, func() {
				// One runs; of three, one waits; the refused one is in no line.
				wantQueue(ctx, t, s.Admin(), "project_1_main", "query.Execute", test.writers-2)
			})
			if err := refused.problem(test.status, test.slug, test.code, ""); err != nil {
				t.Error(err)
			}
			// The others' clients have left: the line is free, and none of the
			// tables was made.
			if err := writeWhenFree(ctx, p, "CREATE TABLE b.last (id INTEGER)"); err != nil {
				t.Errorf("a write after the clients left: %v", err)
			}
			tables, err := p.Query(t.Context(), "SELECT table_name FROM duckdb_tables() WHERE schema_name = 'b'")
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff([][]any{{"last"}}, tables); diff != "" {
				t.Errorf("tables (-want +got):\n%s", diff)
			}
			if err := s.Stop(); err != nil {
				t.Error(err)
			}
		})
	}
}

// leaving bounds how long the service takes to see that a client has left. It takes
// some milliseconds; a machine that is busy with other tests needs more.
const leaving = 5 * time.Second

// A client that leaves takes its write along: one that waits is in the line no
// longer, and one that runs is interrupted and rolled back. The next write goes on.
func TestClientLeaves(t *testing.T) {
	t.Parallel()
	s := start(t)
	p, err := s.Admin().CreateProject(t.Context(), "1")
	if err != nil {
		t.Fatal(err)
	}
	if err := p.CreateBucket(t.Context(), "b"); err != nil {
		t.Fatal(err)
	}
	for _, sql := range []string{"CREATE TABLE b.t (i BIGINT)", "INSERT INTO b.t VALUES (42)"} {
		if _, err := p.Query(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	runs := begin(t, p, "INSERT INTO b.t SELECT i FROM range(1000000000000) AS r(i)")
	// By then it has millions of rows.
	holder := awaitLine(t, s.Admin(), func(l line) bool { return l.Holder.HeldSeconds > 0.3 })
	waits := begin(t, p, "INSERT INTO b.t VALUES (43)")
	awaitLine(t, s.Admin(), func(l line) bool { return l.Waiting == 1 })

	from := time.Now()
	waits.leave(t)
	left := awaitLine(t, s.Admin(), func(l line) bool { return l.Waiting == 0 })
	took(t, "leave the line", from)
	if left.Holder.RequestID != holder.Holder.RequestID || left.LongestWaitSeconds != 0 {
		t.Errorf("the line is %+v, want it held by %s", left, holder.Holder.RequestID)
	}

	next := begin(t, p, "INSERT INTO b.t VALUES (44)")
	awaitLine(t, s.Admin(), func(l line) bool { return l.Waiting == 1 })
	from = time.Now()
	runs.leave(t)
	if o := <-next.done; o.err != nil || o.answer.status != http.StatusOK {
		t.Errorf("the next write: %+v", o)
	}
	took(t, "interrupt, roll back and write", from)
	rows, err := p.Query(t.Context(), "SELECT i FROM b.t ORDER BY i")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([][]any{{42.0}, {44.0}}, rows); diff != "" {
		t.Errorf("rows (-want +got):\n%s", diff)
	}
	if err := s.Stop(); err != nil {
		t.Error(err)
	}
}

func took(t *testing.T, what string, from time.Time) {
	t.Helper()
	d := time.Since(from).Round(time.Millisecond)
	t.Logf("%v to %s", d, what)
	if d > leaving {
		t.Errorf("it took %v to %s, over %v", d, what, leaving)
	}
}

// writing is a write whose client can leave.
type writing struct {
	cancel context.CancelFunc
	done   chan outcome
}

type outcome struct {
	answer *answer
	err    error
}

func begin(t *testing.T, p service.Project, sql string) *writing {
	ctx, cancel := context.WithCancel(t.Context())
	w := &writing{cancel, make(chan outcome, 1)}
	go func() {
		a, err := write(ctx, p, sql)
		w.done <- outcome{a, err}
	}()
	return w
}

// leave breaks the connection.
func (w *writing) leave(t *testing.T) {
	t.Helper()
	w.cancel()
	if o := <-w.done; !errors.Is(o.err, context.Canceled) {
		t.Errorf("the client that leaves got %+v", o)
	}
}

// line is the writers of one catalog, as the service shows them.
type line struct {
	Catalog string
	Lock    string
	Holder  struct {
		Command, RequestID string
		HeldSeconds        float64
		Lease              bool
	}
	Waiting            int
	LongestWaitSeconds float64
}

func queues(ctx context.Context, admin service.Client) ([]line, error) {
	var got struct{ Items []line }
	_, err := admin.Do(ctx, http.MethodGet, "/admin/queues", nil, &got)
	return got.Items, err
}

// awaitLine waits until the service has one line, and that is as it should be.
func awaitLine(t *testing.T, admin service.Client, want func(line) bool) line {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	poll := time.NewTicker(5 * time.Millisecond)
	defer poll.Stop()
	for {
		got, err := queues(ctx, admin)
		if err == nil && len(got) == 1 && want(got[0]) {
			return got[0]
		}
		select {
		case <-poll.C:
		case <-ctx.Done():
			t.Fatalf("the lines stay %+v, %v", got, err)
		}
	}
}

// wantQueue compares what the service says of its one line of writers.
func wantQueue(ctx context.Context, t *testing.T, admin service.Client, catalog, command string, waiting int) {
	t.Helper()
	got, err := queues(ctx, admin)
	if err != nil {
		t.Error(err)
		return
	}
	if len(got) != 1 {
		t.Errorf("the service has lines %+v, want one", got)
		return
	}
	l := got[0]
	if l.Catalog != catalog || l.Holder.Command != command || l.Holder.RequestID == "" || l.Holder.HeldSeconds <= 0 ||
		l.Waiting != waiting || (l.LongestWaitSeconds > 0) != (waiting > 0) {
		t.Errorf("the line is %+v, want %s held by %s with %d waiting", l, catalog, command, waiting)
	}
}

// race starts writes side by side, returns the first answer, and takes the others
// back. meanwhile runs before that.
func race(ctx context.Context, t *testing.T, p service.Project, writers int, meanwhile func()) *answer {
	t.Helper()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	outcomes := make(chan outcome)
	for i := range writers {
		go func() {
			a, err := write(ctx, p, fmt.Sprintf(endless, i))
			outcomes <- outcome{a, err}
		}()
	}
	first := <-outcomes
	meanwhile()
	cancel()
	for range writers - 1 {
		if other := <-outcomes; other.err == nil {
			t.Errorf("a second write was answered: %d %s", other.answer.status, other.answer.body)
		}
	}
	if first.err != nil {
		t.Fatal(first.err)
	}
	return first.answer
}

// writeWhenFree repeats a write while the service says that a repeat may help: it
// takes a moment to see that a client has left.
func writeWhenFree(ctx context.Context, p service.Project, sql string) error {
	poll := time.NewTicker(10 * time.Millisecond)
	defer poll.Stop()
	for {
		_, err := p.Query(ctx, sql)
		var problem *service.Problem
		if !errors.As(err, &problem) || !problem.Retryable {
			return err
		}
		select {
		case <-poll.C:
		case <-ctx.Done():
			return err
		}
	}
}

func write(ctx context.Context, p service.Project, sql string) (*answer, error) {
	body, err := json.Marshal(map[string]string{"sql": sql})
	if err != nil {
		return nil, err
	}
	path := p.Path("query")
	resp, err := p.Send(ctx, http.MethodPost, path, nil, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	a := &answer{request: "POST " + path, path: path, status: resp.StatusCode, header: resp.Header}
	a.body, err = io.ReadAll(resp.Body)
	return a, err
}
