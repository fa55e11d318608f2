// Package pluginhost loads the feature areas and runs their commands.
//
// Start with [Open]. Every plugin is a process of its own; the core's own
// commands go through the same [Table], so one router, one API document and one
// list of commands serve all. [Host.Invoke] checks the input against the
// declared schema, asks the plugin for its plan and lets the plan package do it.
//
// A plugin acts only inside an invocation: each carries a token, every callback
// shows it, and the host knows from it who asks, for which catalog, and whether
// the request still runs. A plugin that cannot be loaded is reported and left
// out; the service runs without it.
package pluginhost

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/hashicorp/go-hclog"

	"github.com/keboola/duckdb-storage/core/internal/plan"
	"github.com/keboola/duckdb-storage/core/internal/pluginhost/process"
	"github.com/keboola/duckdb-storage/sdk"
	pluginv1 "github.com/keboola/duckdb-storage/sdk/proto/duckdbstorage/plugin/v1"
)

// binaryPrefix is how a plugin's executable is named in the plugin directory.
const binaryPrefix = "plugin-"

// Config says which plugins to load.
type Config struct {
	// Dir holds executables called plugin-<name>.
	Dir string
	// Disabled names plugins that answer 501.
	Disabled map[string]bool
	// RuntimeDir takes the sockets.
	RuntimeDir string
	Logger     hclog.Logger
	Executor   *plan.Executor
}

// Host holds the running plugins and the table of commands.
type Host struct {
	cfg   Config
	table *Table

	mu          sync.Mutex
	invocations map[string]*invocation // by token
	processes   map[string]*process.Process
	failed      map[string]error
	disabled    map[string]*pluginv1.DescribeResponse // nil for one that is not there
}

// Open starts every plugin, in parallel, and adds the core's own.
func Open(ctx context.Context, cfg Config, core ...*sdk.Plugin) (*Host, error) {
	h := &Host{
		cfg: cfg, table: newTable(), invocations: map[string]*invocation{},
		processes: map[string]*process.Process{}, failed: map[string]error{}, disabled: map[string]*pluginv1.DescribeResponse{},
	}
	for name, off := range cfg.Disabled {
		if off {
			h.disabled[name] = nil
		}
	}
	for _, p := range core {
		p.SetLogger(cfg.Logger.Named("core"))
		if err := h.table.add(p.Describe(), local{p, callbacks{h}}); err != nil {
			return nil, err
		}
	}
	paths, err := Binaries(cfg.Dir)
	if err != nil {
		return nil, err
	}
	h.start(ctx, paths)
	for _, name := range slices.Sorted(maps.Keys(paths)) {
		h.load(ctx, name)
	}
	return h, nil
}

// Binaries lists the plugins of a directory: name and path.
func Binaries(dir string) (map[string]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("read the plugin directory: %w (set --plugin-dir)", err)
	}
	out := map[string]string{}
	for _, e := range entries {
		if name, ok := strings.CutPrefix(e.Name(), binaryPrefix); ok && !e.IsDir() {
			out[name] = filepath.Join(dir, e.Name())
		}
	}
	return out, nil
}

// start runs the processes side by side.
func (h *Host) start(ctx context.Context, paths map[string]string) {
	var wg sync.WaitGroup
	for name, path := range paths {
		wg.Go(func() {
			p, err := process.Start(ctx, process.Config{
				Name: name, Path: path, RuntimeDir: h.cfg.RuntimeDir, Host: callbacks{h}, Logger: h.cfg.Logger.Named(name),
			})
			h.mu.Lock()
			defer h.mu.Unlock()
			if err != nil {
				h.failed[name] = err
				return
			}
			h.processes[name] = p
		})
	}
	wg.Wait()
}

// load adds a started plugin to the table. One that is disabled was started
// only to learn which routes are its: they answer 501 and not 404, which on a
// DELETE would read as "already gone".
func (h *Host) load(ctx context.Context, name string) {
	p := h.processes[name]
	if p == nil {
		h.cfg.Logger.Error("plugin does not start", "plugin", name, "error", h.failed[name])
		return
	}
	var owner invoker = p
	_, off := h.disabled[name]
	if off {
		owner = disabled(name)
		h.disabled[name] = p.Description()
	}
	err := h.table.add(p.Description(), owner)
	if err != nil {
		h.failed[name] = err
		h.cfg.Logger.Error("plugin is not loaded", "plugin", name, "error", err)
	}
	if err != nil || off {
		delete(h.processes, name)
		if err := p.Stop(ctx); err != nil {
			h.cfg.Logger.Warn("plugin did not stop in order", "plugin", name, "error", err)
		}
	}
}

// Table returns what the service can do.
func (h *Host) Table() *Table { return h.table }

// Status is a plugin as operators see it.
type Status struct {
	Name, Version, State, Detail string
	Restarts                     int
	Commands                     int
}

// Plugins tells the state of every plugin, by name.
func (h *Host) Plugins() []Status {
	h.mu.Lock()
	defer h.mu.Unlock()
	var out []Status
	for name, p := range h.processes {
		s := p.Status()
		out = append(out, Status{
			Name: name, Version: s.Version, State: string(s.State), Detail: s.LastError,
			Restarts: s.Restarts, Commands: len(p.Description().GetCommands()),
		})
	}
	for name, err := range h.failed {
		out = append(out, Status{Name: name, State: string(process.StateFailed), Detail: err.Error()})
	}
	for name, d := range h.disabled {
		if h.failed[name] == nil {
			out = append(out, Status{Name: name, Version: d.GetVersion(), State: "disabled", Commands: len(d.GetCommands())})
		}
	}
	slices.SortFunc(out, func(a, b Status) int { return strings.Compare(a.Name, b.Name) })
	return out
}

// Close drains and ends every plugin; ctx bounds the draining. It may be called twice.
func (h *Host) Close(ctx context.Context) error {
	h.mu.Lock()
	processes := slices.Collect(maps.Values(h.processes))
	h.mu.Unlock()
	errs := make([]error, len(processes))
	var wg sync.WaitGroup
	for i, p := range processes {
		wg.Go(func() { errs[i] = p.Stop(ctx) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

// local answers the commands of the core, which live in this process.
type local struct {
	plugin *sdk.Plugin
	host   callbacks
}

func (l local) Invoke(ctx context.Context, req *pluginv1.InvokeRequest) (*pluginv1.InvokeResponse, error) {
	return l.plugin.Invoke(ctx, l.host, req), nil
}

// disabled answers for a plugin that the operator switched off.
type disabled string

func (d disabled) Invoke(_ context.Context, req *pluginv1.InvokeRequest) (*pluginv1.InvokeResponse, error) {
	return nil, sdk.ErrPluginOff.Errorf("command %s belongs to plugin %s, which is disabled in the configuration", req.GetCommand(), string(d))
}
