package process_test

import (
	"context"
	"path/filepath"
	"testing"

	"github.com/keboola/duckdb-storage/core/internal/pluginhost/process"
	"github.com/keboola/duckdb-storage/sdk"
	pluginv1 "github.com/keboola/duckdb-storage/sdk/proto/duckdbstorage/plugin/v1"
)

// Describe asks a plugin who it is, gives it nothing, and leaves nothing.
func TestDescribe(t *testing.T) {
	t.Parallel()
	cfg := config(t)
	cfg.Settings = []byte(`{"a":1}`) // which the plugin would refuse
	d, err := process.Describe(t.Context(), cfg)
	if err != nil || d.GetName() != "test" || len(d.GetCommands()) == 0 {
		t.Errorf("got %v, %v", d, err)
	}
	nothingLeft(t, cfg.RuntimeDir)

	cfg.Path = filepath.Join(binaries, "crash-at-start")
	_, err = process.Describe(t.Context(), cfg)
	if err == nil {
		t.Fatal("a plugin that ends is described")
	}
	contains(t, err.Error(), "exit status 3", "no licence found")
	nothingLeft(t, cfg.RuntimeDir)
	if _, err := process.Describe(t.Context(), process.Config{}); err == nil {
		t.Error("a config without anything is taken")
	}
}

// Hooks and deliveries wait, are counted and fail as commands do.
func TestBeforeAndNotify(t *testing.T) {
	t.Parallel()
	p := start(t, config(t))
	before := func() (*pluginv1.BeforeResponse, error) {
		return p.Before(t.Context(), &pluginv1.BeforeRequest{Request: &pluginv1.InvokeRequest{Command: "other.Do"}})
	}
	notify := func() (*pluginv1.NotifyResponse, error) {
		return p.Notify(t.Context(), &pluginv1.NotifyRequest{Event: "other.Done"})
	}
	// It has neither, and says so: the request has reached it.
	b, err := before()
	expect(t, sdk.ErrorFromProto(b.GetError()), sdk.ErrUnsupported, "no hook before other.Do")
	if err != nil {
		t.Error(err)
	}
	n, err := notify()
	expect(t, sdk.ErrorFromProto(n.GetError()), sdk.ErrUnsupported, "does not subscribe to other.Done")
	if err != nil {
		t.Error(err)
	}
	if err := p.Stop(context.Background()); err != nil {
		t.Error(err)
	}
	_, err = before()
	expect(t, err, sdk.ErrPluginDown, "stopped")
	_, err = notify()
	expect(t, err, sdk.ErrPluginDown, "stopped")
}
