package pluginhost_test

import (
	"context"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/hashicorp/go-hclog"

	"github.com/keboola/duckdb-storage/core/internal/fixture"
	"github.com/keboola/duckdb-storage/core/internal/pluginhost"
	"github.com/keboola/duckdb-storage/core/internal/registry"
	"github.com/keboola/duckdb-storage/sdk"
)

// What a plugin writes by itself after an event is in the audit in its own name, whether
// or not its handler fails; one that only listens is not.
func TestAuditOfEvents(t *testing.T) {
	t.Parallel()
	listens, writes := sdk.New("listens", "1.0.0"), sdk.New("writes", "1.0.0")
	sdk.After(listens, dropped, func(*sdk.Context, sdk.Notice[fact]) error { return nil })
	sdk.After(writes, dropped, func(c *sdk.Context, n sdk.Notice[fact]) error {
		if _, err := c.Write(insert("heard " + n.Payload.Name)); err != nil {
			return err
		}
		if n.Payload.Name == "2" && n.Attempt == 1 {
			return sdk.ErrConflict.Errorf("once").Retry()
		}
		return nil
	})
	f := fixture.Open(t, t.TempDir())
	f.CreateProject("1")
	recorded := make(chan registry.AuditEntry, 10)
	h, err := pluginhost.Open(t.Context(), pluginhost.Config{
		Dir: t.TempDir(), RuntimeDir: f.Layout.Runtime, Logger: hclog.NewNullLogger(), Executor: f.Executor,
		Audit: func(e registry.AuditEntry) { recorded <- e },
	}, emitting(), listens, writes)
	if err != nil {
		t.Fatal(err)
	}
	invoke(t, h, "x.Make", "")
	if _, err := h.Invoke(t.Context(), call("x.Drop", `{"name":"12"}`, false)); err != nil {
		t.Fatal(err)
	}
	until(t, "the outbox is empty", func() bool { return waiting(t, h) == `{"text":"0"}` })
	if err := h.Close(context.Background()); err != nil {
		t.Error(err)
	}
	close(recorded)
	var got []registry.AuditEntry
	for e := range recorded {
		if e.Duration <= 0 {
			t.Errorf("%+v took no time", e)
		}
		got = append(got, e)
	}
	one := registry.AuditEntry{
		Subject: "plugin:writes", Project: "1", Branch: "default", Command: "after x.Dropped", Input: `{"name":"1"}`, Outcome: registry.AuditOK, RequestID: "r1",
	}
	two := one
	two.Input = `{"name":"2"}`
	failed := two
	failed.Outcome, failed.Problem = registry.AuditFailed, "conflict"
	if diff := cmp.Diff([]registry.AuditEntry{one, failed, two}, got, cmpopts.IgnoreFields(registry.AuditEntry{}, "Duration")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
