package projects_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/keboola/duckdb-storage/core/internal/queue"
)

// The list of queues names who holds what, a lease and a lock as well.
func TestQueues(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir())
	list := func() any {
		return s.must(t, "queues.List", "", `{}`)["items"]
	}
	if diff := cmp.Diff([]any{}, list()); diff != "" {
		t.Errorf("nobody writes (-want +got):\n%s", diff)
	}
	q := s.Executor.Queue
	as := func(command string) queue.Writer { return queue.Writer{Command: command, RequestID: "r1"} }
	lease, err := q.Lease(queue.As(t.Context(), as("tables.Merge")), "project_1_main")
	if err != nil {
		t.Fatal(err)
	}
	unlock, err := q.Lock(queue.As(t.Context(), as("tables.ImportFile")), "project_1_main", "table in.c-main.orders")
	if err != nil {
		t.Fatal(err)
	}
	seconds := cmp.FilterPath(func(p cmp.Path) bool { return p.Last().String() == `["heldSeconds"]` },
		cmp.Comparer(func(a, b any) bool { return a.(float64)+b.(float64) > 0 })) // the times are not known
	line := func(lock, command string, lease bool) map[string]any {
		return map[string]any{
			"catalog": "project_1_main", "lock": lock, "waiting": 0.0, "longestWaitSeconds": 0.0,
			"holder": map[string]any{"command": command, "requestId": "r1", "heldSeconds": 0.0, "lease": lease},
		}
	}
	want := []any{line("", "tables.Merge", true), line("table in.c-main.orders", "tables.ImportFile", false)}
	if diff := cmp.Diff(want, list(), seconds); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	unlock()
	lease.Release()
	if diff := cmp.Diff([]any{}, list()); diff != "" {
		t.Errorf("afterwards (-want +got):\n%s", diff)
	}
}
