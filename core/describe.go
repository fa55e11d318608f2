package core

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/hashicorp/go-hclog"

	"github.com/keboola/duckdb-storage/core/internal/admin"
	"github.com/keboola/duckdb-storage/core/internal/pluginhost"
	"github.com/keboola/duckdb-storage/sdk/manual"
)

// Plugin is a plugin as operators see it.
type Plugin = admin.Plugin

// DescribePlugins starts the plugins of a configuration without a service, asks what
// they offer, and stops them. Their state is as it would be in a service.
func DescribePlugins(ctx context.Context, cfg Config, log hclog.Logger) (plugins []Plugin, err error) {
	err = withPlugins(ctx, cfg, log, func(h *pluginhost.Host) error {
		for _, s := range h.Plugins() {
			plugins = append(plugins, admin.NewPlugin(s))
		}
		return nil
	})
	return plugins, err
}

// DocumentPlugins describes a plugin in Markdown, or all of them without a name, by
// what they say of themselves.
func DocumentPlugins(ctx context.Context, cfg Config, log hclog.Logger, name string) (markdown string, err error) {
	err = withPlugins(ctx, cfg, log, func(h *pluginhost.Host) error {
		found := false
		var parts []string
		for _, d := range h.Table().Plugins() {
			if name == "" || d.GetName() == name {
				found = true
				parts = append(parts, manual.Markdown(d))
			}
		}
		if name != "" && !found {
			s, err := h.Plugin(name)
			if err != nil {
				return fmt.Errorf("there is no plugin %q in %s", name, cfg.PluginDir)
			}
			return fmt.Errorf("plugin %s says nothing of itself: %s", name, s.Detail)
		}
		markdown = strings.Join(parts, "\n")
		return nil
	})
	return markdown, err
}

// withPlugins runs the plugins in a runtime directory of their own.
func withPlugins(ctx context.Context, cfg Config, log hclog.Logger, look func(*pluginhost.Host) error) error {
	runtime, err := os.MkdirTemp("", runPrefix)
	if err != nil {
		return err
	}
	defer os.RemoveAll(runtime)
	if len(runtime) > maxRuntimeDir {
		return fmt.Errorf("the path %s is longer than %d bytes, in which sockets fit; set TMPDIR to a shorter one", runtime, maxRuntimeDir)
	}
	hosting := cfg.hosting()
	hosting.RuntimeDir, hosting.Logger = runtime, log
	for name, p := range hosting.Plugins {
		p.Reattach = "" // one that is being debugged serves one host at a time, and that is the service
		hosting.Plugins[name] = p
	}
	host, err := pluginhost.Open(ctx, hosting)
	if err != nil {
		return err
	}
	return errors.Join(look(host), host.Close(ctx))
}

// PinState says whether an executable is the one that is pinned.
type PinState string

// The states of a pin.
const (
	PinOK       PinState = "ok"
	PinNone     PinState = "not pinned"
	PinMismatch PinState = "mismatch"
	PinMissing  PinState = "missing"
)

// Pin is the executable of a plugin, as it is and as it should be.
type Pin struct {
	Plugin, Path string
	State        PinState
	Digest       string // SHA-256 in hex; empty when the file cannot be read
	Wanted       string // in the configuration, or empty
	Err          error  // why the file cannot be read
}

// Pins compares the executables of all plugins with the configuration, and starts none.
func Pins(cfg Config) ([]Pin, error) {
	found, err := pluginhost.Binaries(cfg.PluginDir)
	if err != nil {
		return nil, err
	}
	for name, p := range cfg.Plugins {
		switch {
		case p.Reattach != "":
			delete(found, name)
		case p.Path != "":
			found[name] = p.Path
		case found[name] == "" && (p.Enabled == nil || *p.Enabled):
			found[name] = pluginhost.DefaultPath(cfg.PluginDir, name)
		}
	}
	var pins []Pin
	for _, name := range slices.Sorted(maps.Keys(found)) {
		pin := Pin{Plugin: name, Path: found[name], Wanted: strings.ToLower(cfg.Plugins[name].SHA256)}
		pin.Digest, pin.Err = pluginhost.Digest(pin.Path)
		switch {
		case pin.Err != nil:
			pin.State = PinMissing
		case pin.Wanted == "":
			pin.State = PinNone
		case pin.Wanted == pin.Digest:
			pin.State = PinOK
		default:
			pin.State = PinMismatch
		}
		pins = append(pins, pin)
	}
	return pins, nil
}
