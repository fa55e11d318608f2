package process_test

import (
	"context"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/keboola/duckdb-storage/core/internal/auth"
	"github.com/keboola/duckdb-storage/core/internal/fixture"
	"github.com/keboola/duckdb-storage/core/internal/plan"
	"github.com/keboola/duckdb-storage/core/internal/pluginhost"
	"github.com/keboola/duckdb-storage/core/internal/queue"
	"github.com/keboola/duckdb-storage/sdk"
	pluginv1 "github.com/keboola/duckdb-storage/sdk/proto/duckdbstorage/plugin/v1"
)

// leases counts the turns that were given back.
type leases struct{ ended atomic.Int64 }

func (*leases) Waited(bool, time.Duration) {}
func (l *leases) Held(bool, time.Duration) { l.ended.Add(1) }
func (*leases) Refused(queue.Refusal)      {}

// hosting runs the test plugin in a whole host, with what it does granted, and others
// with the grants that are given.
func hosting(t *testing.T, x *plan.Executor, others map[string][]string) *pluginhost.Host {
	t.Helper()
	dir := t.TempDir()
	plugins := map[string]pluginhost.Settings{"test": {Grants: []string{"sql:read", "sql:write"}}}
	for name, grants := range others {
		plugins[name] = pluginhost.Settings{Grants: grants}
	}
	for name := range plugins {
		if err := os.Link(filepath.Join(binaries, "test"), filepath.Join(dir, "plugin-"+name)); err != nil {
			t.Fatal(err)
		}
	}
	h, err := pluginhost.Open(t.Context(), pluginhost.Config{
		Dir: dir, RuntimeDir: config(t).RuntimeDir, Logger: hclog.NewNullLogger(), Executor: x,
		Plugins: plugins,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		_ = h.Close(ctx)
	})
	return h
}

// leasing is a host without a database: a lease needs none.
func leasing(t *testing.T) (*pluginhost.Host, *queue.Queue, *leases) {
	t.Helper()
	counted := &leases{}
	q := queue.New(queue.Config{Wait: patience, Observer: counted})
	return hosting(t, &plan.Executor{Queue: q}, nil), q, counted
}

func invoke(ctx context.Context, h *pluginhost.Host, command, text string) error {
	_, err := h.Invoke(ctx, pluginhost.Call{
		Command: command, Payload: []byte(`{"text":"` + text + `"}`), Principal: auth.Principal{Subject: "test", Project: "1", Level: sdk.LevelAdmin},
		Target: &pluginv1.Target{Project: "1", Branch: plan.DefaultBranch}, Accept: "application/json", RequestID: "r1",
	})
	return err
}

func lease(ctx context.Context, h *pluginhost.Host, then string) error {
	return invoke(ctx, h, "test.Lease", then)
}

// What a process writes within its lease finds it, whichever command and whichever
// way it comes.
func TestLeaseIsJoinedFromAProcess(t *testing.T) {
	t.Parallel()
	f := fixture.Open(t, t.TempDir())
	f.CreateProject("1")
	counted := &leases{}
	f.Executor.Queue = queue.New(queue.Config{Wait: patience, Observer: counted})
	h := hosting(t, f.Executor, nil)
	for _, err := range []error{
		invoke(t.Context(), h, "test.Write", "CREATE TABLE t (a INTEGER)"),
		invoke(t.Context(), h, "test.Nest", "INSERT INTO t VALUES (1)"),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	expect(t, invoke(t.Context(), h, "test.Write", "INSERT INTO t SELECT error('rows: ' || count(*)) FROM t"), sdk.ErrSQL, "rows: 3")
	if n := counted.ended.Load(); n != 3 {
		t.Errorf("%d turns, want one for each request", n)
	}
}

// A plugin that dies with a lease leaves none: not to the process that is asked
// again, which takes its own, and not to others when that one dies too.
func TestLeaseOfAPluginThatDies(t *testing.T) {
	t.Parallel()
	h, q, counted := leasing(t)
	expect(t, lease(t.Context(), h, "exit"), sdk.ErrPluginDied, "test.Lease")
	if lines := q.Lines(); len(lines) != 0 || counted.ended.Load() != 2 {
		t.Errorf("%d leases have ended, want 2; the lines are %+v", counted.ended.Load(), lines)
	}
	if err := lease(t.Context(), h, ""); err != nil {
		t.Errorf("the next command: %v", err)
	}
}

// A client that leaves takes the lease along, whatever the handler does.
func TestLeaseOfAHandlerThatDoesNotEnd(t *testing.T) {
	t.Parallel()
	h, q, _ := leasing(t)
	ctx, leave := context.WithCancel(t.Context())
	result := make(chan error, 1)
	go func() { result <- lease(ctx, h, "stuck") }()
	eventually(t, "the lease is there", func() bool {
		lines := q.Lines()
		return len(lines) == 1 && lines[0].Lease && lines[0].Catalog == "project_1_main"
	})
	next := make(chan error, 1)
	go func() { next <- lease(t.Context(), h, "") }()
	eventually(t, "another one waits", func() bool { return q.Lines()[0].Waiting == 1 })
	leave()
	expect(t, <-result, sdk.ErrCancelled)
	if err := <-next; err != nil {
		t.Errorf("the one that waited: %v", err)
	}
}
