package pluginhost_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/go-hclog"

	"github.com/keboola/duckdb-storage/core/internal/fixture"
	"github.com/keboola/duckdb-storage/core/internal/pluginhost"
	"github.com/keboola/duckdb-storage/sdk"
	"github.com/keboola/duckdb-storage/sdk/sql"
)

// notes writes down what an observer is told.
type notes struct {
	mu    sync.Mutex
	lines []string
}

func (n *notes) add(format string, args ...any) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.lines = append(n.lines, fmt.Sprintf(format, args...))
}

func (n *notes) Ran(command string, how pluginhost.Outcome, _ time.Duration) {
	n.add("%s %s", command, how)
}
func (n *notes) Asks(plugin string)                      { n.add("asks %s", plugin) }
func (n *notes) Answered(plugin string, _ time.Duration) { n.add("answered %s", plugin) }
func (n *notes) CalledBack(plugin, callback string)      { n.add("%s %s", plugin, callback) }

// The observer hears of commands, of those that they call, and of callbacks, in
// order, and of no command that does not exist.
func TestObserver(t *testing.T) {
	t.Parallel()
	p := sdk.New("x", "1.0.0")
	inner := command[output]("x.Inner")
	sdk.Handle(p, inner, func(c *sdk.Context, _ input) (output, error) {
		_, err := sdk.Query[struct{}](c, sql.Raw("SELECT 1 AS a"))
		return output{}, err
	})
	sdk.Handle(p, command[output]("x.Outer"), func(c *sdk.Context, in input) (output, error) { return sdk.Call(c, inner, in) })
	for name, err := range map[string]error{
		"x.Wrong": sdk.ErrInvalid.Errorf("no"), "x.Busy": sdk.ErrQueueFull.Errorf("no"), "x.Off": sdk.ErrPluginOff.Errorf("no"),
		"x.Late": sdk.ErrTimeout.Errorf("no"), "x.Broken": sdk.ErrInternal.Errorf("no"),
	} {
		sdk.Handle(p, command[output](name), func(*sdk.Context, input) (output, error) { return output{}, err })
	}
	f := fixture.Open(t, t.TempDir())
	f.CreateProject("1")
	n := &notes{}
	h, err := pluginhost.Open(t.Context(), pluginhost.Config{
		Dir: t.TempDir(), RuntimeDir: f.Layout.Runtime, Logger: hclog.NewNullLogger(), Executor: f.Executor, Observer: n,
	}, p)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.Close(context.Background()) })
	if _, err := h.Invoke(t.Context(), call("x.Outer", `{"name":"a"}`, true)); err != nil {
		t.Fatal(err)
	}
	if _, err := h.Invoke(t.Context(), call("x.Outer", `{"nick":"a"}`, true)); !errors.Is(err, sdk.ErrMalformed) {
		t.Errorf("wrong input: %v", err)
	}
	if _, err := h.Invoke(t.Context(), call("x.None", `{}`, true)); !errors.Is(err, sdk.ErrUnsupported) {
		t.Errorf("no command: %v", err)
	}
	want := []string{
		"asks x", "x Call", "asks x", "x Query", "answered x", "x.Inner ok", "answered x", "x.Outer ok", "x.Outer refused",
	}
	for _, c := range []struct{ name, how string }{
		{"x.Wrong", "refused"}, {"x.Busy", "unavailable"}, {"x.Off", "unavailable"}, {"x.Late", "cancelled"}, {"x.Broken", "failed"},
	} {
		if _, err := h.Invoke(t.Context(), call(c.name, `{"name":"a"}`, true)); err == nil {
			t.Errorf("%s succeeds", c.name)
		}
		want = append(want, "asks x", "answered x", c.name+" "+c.how)
	}
	if diff := cmp.Diff(want, n.lines); diff != "" {
		t.Errorf("observed (-want +got):\n%s", diff)
	}
}
