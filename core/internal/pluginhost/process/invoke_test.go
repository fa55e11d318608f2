package process_test

import (
	"context"
	"strings"
	"testing"

	"github.com/hashicorp/go-hclog"

	"github.com/keboola/duckdb-storage/sdk"
	pluginv1 "github.com/keboola/duckdb-storage/sdk/proto/duckdbstorage/plugin/v1"
)

func TestCallback(t *testing.T) {
	t.Parallel()
	p := start(t, config(t))
	out, err := call[text](t.Context(), p, "test.Ask", text{"SELECT 1"})
	if err != nil || out.Text != "SELECT 1" {
		t.Errorf("the callback answered %q, %v", out.Text, err)
	}
}

// Messages may be larger than gRPC's 4 MiB in every direction, and beyond
// MaxMessageBytes the error says so.
func TestMessageSize(t *testing.T) {
	t.Parallel()
	p := start(t, config(t))
	large := strings.Repeat("x", 5<<20)
	for _, command := range []string{"test.Echo", "test.Ask"} {
		if out, err := call[text](t.Context(), p, command, text{large}); err != nil || out.Text != large {
			t.Errorf("%s with 5 MiB returned %d bytes, %v", command, len(out.Text), err)
		}
	}

	_, err := call[text](t.Context(), p, "test.Echo", text{strings.Repeat("x", pluginv1.MaxMessageBytes)})
	expect(t, err, sdk.ErrTooLarge, "test.Echo", "16777216")
	_, err = call[text](t.Context(), p, "test.Inflate", map[string]int{"bytes": pluginv1.MaxMessageBytes})
	expect(t, err, sdk.ErrTooLarge, "test.Inflate", "16777216")
	if s := p.Status(); s.Restarts != 0 {
		t.Errorf("the plugin was restarted: %+v", s)
	}
}

func TestPanicInTheHost(t *testing.T) {
	t.Parallel()
	var book logbook
	cfg := config(t)
	cfg.Logger = book.logger(hclog.Error)
	cfg.Host = host{query: func(context.Context, string) (string, error) { panic("broken invariant") }}
	p := start(t, cfg)
	_, err := call[text](t.Context(), p, "test.Ask", text{"SELECT 1"})
	expect(t, err, sdk.ErrInternal)
	contains(t, book.String(), "panic in a callback", "broken invariant", "HostService/Query", "invoke_test.go")
	echo(t, p)
}

func TestPanicInAHandler(t *testing.T) {
	t.Parallel()
	p := start(t, config(t))
	_, err := call[empty](t.Context(), p, "test.Panic", text{"boom"})
	expect(t, err, sdk.ErrInternal)
	if s := p.Status(); s.Restarts != 0 {
		t.Errorf("the plugin was restarted: %+v", s)
	}
}

func TestCancelledCall(t *testing.T) {
	t.Parallel()
	running := make(chan struct{})
	left := make(chan struct{})
	cfg := config(t)
	cfg.Host = host{query: func(ctx context.Context, _ string) (string, error) {
		close(running)
		<-ctx.Done()
		close(left)
		return "", ctx.Err()
	}}
	p := start(t, cfg)
	ctx, cancel := context.WithCancel(t.Context())
	failed := make(chan error, 1)
	go func() {
		_, err := call[text](ctx, p, "test.Ask", text{"SELECT 1"})
		failed <- err
	}()
	<-running
	cancel()
	expect(t, <-failed, sdk.ErrCancelled, "test.Ask")
	<-left // the cancellation went through the plugin and back into the host
	if s := p.Status(); s.Restarts != 0 {
		t.Errorf("the plugin was restarted: %+v", s)
	}
}
