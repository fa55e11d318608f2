package process_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/keboola/duckdb-storage/core/internal/fixture"
	"github.com/keboola/duckdb-storage/core/internal/plan"
	"github.com/keboola/duckdb-storage/core/internal/pluginhost"
	"github.com/keboola/duckdb-storage/core/internal/queue"
	"github.com/keboola/duckdb-storage/sdk"
	pluginv1 "github.com/keboola/duckdb-storage/sdk/proto/duckdbstorage/plugin/v1"
)

// everything is what the guard needs and more.
var everything = map[string][]string{"guard": {"*"}}

// guarded is a host with the test plugin and the guard, over a directory in which
// project 1 has the table t.
func guarded(t *testing.T, root string, grants map[string][]string) (*pluginhost.Host, *fixture.Host, *leases) {
	t.Helper()
	f := fixture.Open(t, root)
	counted := &leases{}
	f.Executor.Queue = queue.New(queue.Config{Wait: patience, Observer: counted})
	_, err := f.Registry.Project("1")
	if err != nil {
		f.CreateProject("1")
		there := &pluginv1.Target{Project: "1", Branch: plan.DefaultBranch}
		unit := &pluginv1.Unit{Statements: []*pluginv1.Statement{{Sql: "CREATE TABLE t (a VARCHAR)"}}}
		if _, err := f.Executor.Write(t.Context(), there, unit); err != nil {
			t.Fatal(err)
		}
		counted.ended.Store(0)
	}
	return hosting(t, f.Executor, grants), f, counted
}

// noted is what is in t, in order.
func noted(t *testing.T, f *fixture.Host) string {
	t.Helper()
	there := &pluginv1.Target{Project: "1", Branch: plan.DefaultBranch}
	out, err := f.Executor.Query(t.Context(), there, &pluginv1.Statement{Sql: "SELECT a FROM t ORDER BY rowid"})
	if err != nil {
		t.Fatal(err)
	}
	return strings.NewReplacer(`{"a":"`, "", `"}`, "").Replace(strings.Trim(string(out), "[]"))
}

func TestHookOfAProcess(t *testing.T) {
	t.Parallel()
	h, f, turns := guarded(t, t.TempDir(), everything)
	if err := invoke(t.Context(), h, "test.Transact", "row"); err != nil {
		t.Error(err)
	}
	err := invoke(t.Context(), h, "test.Transact", "veto")
	expect(t, err, sdk.ErrInvalid)
	var e *sdk.Error
	if !errors.As(err, &e) || e.Meta["plugin"] != "guard" || e.Meta["hook"] != "before test.Transact" {
		t.Errorf("got %+v", e)
	}
	// One that dies is asked again, of its next process and within the same lease.
	if err := invoke(t.Context(), h, "test.Transact", "die-once:"+filepath.Join(t.TempDir(), "died")); err != nil {
		t.Error(err)
	}
	expect(t, invoke(t.Context(), h, "test.Transact", "die"), sdk.ErrPluginDown, "test.Transact was not run, because the hook of plugin guard before it cannot be asked: plugin guard died")
	if got := noted(t, f); !strings.HasPrefix(got, "asked row,row,asked die-once,die-once:") || strings.Count(got, ",") != 3 {
		t.Errorf("noted is %s", got)
	}
	eventually(t, "there was one turn for each request", func() bool { return turns.ended.Load() == 4 })
}

// A handler that dies is asked again, and the hooks on it are not: their lease has
// held what they have seen.
func TestHooksAreAskedOnce(t *testing.T) {
	t.Parallel()
	h, f, turns := guarded(t, t.TempDir(), everything)
	expect(t, invoke(t.Context(), h, "test.Lease", "exit"), sdk.ErrPluginDied, "test.Lease")
	for _, p := range h.Plugins() {
		if want := map[string]int{"test": 2, "guard": 0}[p.Name]; p.Name == "test" && p.Restarts == 0 || p.Name == "guard" && p.Restarts != want {
			t.Errorf("%+v", p)
		}
	}
	if got := noted(t, f); got != "asked exit" {
		t.Errorf("noted is %s", got)
	}
	eventually(t, "there was one turn", func() bool { return turns.ended.Load() == 1 })
}

// What is not granted is refused to a process, too.
func TestGrantsOfAProcess(t *testing.T) {
	t.Parallel()
	h, f, _ := guarded(t, t.TempDir(), map[string][]string{"guard": {"test:read", "test:write"}})
	err := invoke(t.Context(), h, "test.Transact", "row")
	expect(t, err, sdk.ErrDenied, "plugin guard may not call Write", "sql:write", "plugins.guard.grants")
	if got := noted(t, f); got != "" {
		t.Errorf("noted is %s", got)
	}
}

// A plugin that is killed inside a transaction leaves nothing of it. It is asked again
// as long as it has committed nothing, and not afterwards.
func TestKilledInATransaction(t *testing.T) {
	t.Parallel()
	h, f, turns := guarded(t, t.TempDir(), nil)
	expect(t, invoke(t.Context(), h, "test.Transact", "dies inside"), sdk.ErrPluginDied)
	eventually(t, "both processes have given their turn back", func() bool { return turns.ended.Load() == 2 })
	if got := noted(t, f); got != "" {
		t.Errorf("left is %q", got)
	}
	expect(t, invoke(t.Context(), h, "test.Transact", "dies after"), sdk.ErrPluginDied)
	if err := invoke(t.Context(), h, "test.Transact", "next"); err != nil {
		t.Error(err)
	}
	if got := noted(t, f); got != "dies after,next" {
		t.Errorf("noted is %s", got)
	}
}

// A subscriber that dies of an event gets it again, before the ones after it.
func TestEventsOutliveTheirSubscriber(t *testing.T) {
	t.Parallel()
	h, f, _ := guarded(t, t.TempDir(), everything)
	if err := invoke(t.Context(), h, "test.Emit", "1 die-once:"+filepath.Join(t.TempDir(), "died")+" 2 veto 3"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "all others are heard, while one is tried in vain", func() bool { return noted(t, f) == "heard 1,heard die-once,heard 2" })
	eventually(t, "what was heard is gone", func() bool {
		counts := h.Events()
		return len(counts) == 1 && counts[0].Subscriber == "guard" && counts[0].Delivered == 3 && counts[0].Pending == 2
	})
}

// What waits for a subscriber that is switched off is delivered when it is on again;
// what is committed meanwhile is not for it.
func TestEventsWaitForTheirSubscriber(t *testing.T) {
	t.Parallel()
	h, f, _ := guarded(t, t.TempDir(), everything)
	file := filepath.Join(t.TempDir(), "busy")
	emit := func(text string) {
		t.Helper()
		if err := invoke(t.Context(), h, "test.Emit", text); err != nil {
			t.Fatal(err)
		}
	}
	emit("1 busy-once:" + file + " 2")
	eventually(t, "a delivery has failed", func() bool { return h.Events()[0].Repeated == 1 })
	if err := h.Disable(t.Context(), "guard"); err != nil {
		t.Fatal(err)
	}
	emit("3")
	eventually(t, "nobody tries", func() bool { return h.Events()[0].Pending == 0 })
	if got := noted(t, f); got != "heard 1" {
		t.Errorf("noted is %s", got)
	}
	if err := h.Enable(t.Context(), "guard"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the others are heard", func() bool { return noted(t, f) == "heard 1,heard busy-once,heard 2" })
}

// hostRootVariable makes a test that is run again the host that is killed.
const hostRootVariable = "PROCESS_TEST_ROOT"

// A host that is killed between a commit and its deliveries delivers after its next
// start: what was not delivered, and again what it had no time to note.
func TestEventsOutliveTheKilledHost(t *testing.T) {
	t.Parallel()
	if root := os.Getenv(hostRootVariable); root != "" {
		h, _, _ := guarded(t, root, everything)
		if err := invoke(t.Context(), h, "test.Emit", "1 stay-once:"+filepath.Join(root, "reached")+" 2 3"); err != nil {
			t.Fatal(err)
		}
		<-t.Context().Done() // it is killed here
		return
	}
	root := t.TempDir()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	host := exec.CommandContext(ctx, os.Args[0], "-test.run=^TestEventsOutliveTheKilledHost$")
	host.Env = append(os.Environ(), hostRootVariable+"="+root)
	if err := host.Start(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the second event is being delivered", func() bool {
		_, err := os.Stat(filepath.Join(root, "reached"))
		return err == nil
	})
	if err := host.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = host.Wait() // killed
	_, f, _ := guarded(t, root, everything)
	eventually(t, "the others are heard, in order", func() bool {
		return strings.HasSuffix(noted(t, f), "heard 1,heard stay-once,heard 2,heard 3")
	})
}
