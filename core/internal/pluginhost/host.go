// Package pluginhost loads the feature areas and runs their commands.
//
// Start with [Open]. Every plugin is a process of its own; the core's own
// commands go through the same [Table], so one router, one API document and one
// list of commands serve all. [Host.Invoke] checks the input against the
// declared schema, asks the plugin for its plan and lets the plan package do it.
//
// What runs is one world: plugins, table, hooks, events. [Host.Reload] builds the next
// one beside it, checks it, and swaps a pointer; whoever works in the old world ends
// there. A world with a new fault is never entered.
//
// A plugin acts only inside an invocation: each carries a token, every callback
// shows it, and the host knows from it who asks, for which catalog, and whether
// the request still runs. A plugin that cannot be loaded is reported and left
// out; the service runs without it.
package pluginhost

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/keboola/duckdb-storage/core/internal/outbox"
	"github.com/keboola/duckdb-storage/core/internal/plan"
	"github.com/keboola/duckdb-storage/core/internal/registry"
	"github.com/keboola/duckdb-storage/sdk"
)

// defaultDrain is how long a plugin that goes away may work on what it has begun.
const defaultDrain = 30 * time.Second

// Config says which plugins to load.
type Config struct {
	// Dir holds executables called plugin-<name>.
	Dir string
	// Plugins are the settings of plugins, by name. Each of them is expected to be there.
	Plugins map[string]Settings
	// Defaults are the settings of others, should they be in Dir. One that is in neither
	// has no grants.
	Defaults map[string]Settings
	// RuntimeDir takes the sockets, and a copy of each executable that runs.
	RuntimeDir string
	Logger     hclog.Logger
	Executor   *plan.Executor
	// Jobs runs commands in the background; nil is a host that only describes plugins.
	Jobs Jobs
	// Observer is told what commands and plugins do; nil tells nobody.
	Observer Observer
	// Audit takes what plugins write by themselves after an event, and returns when it is
	// durable; nil takes nothing.
	Audit func(registry.AuditEntry)
	// Drain is how long a plugin that a reload takes away may work on what it has
	// begun; 30 s.
	Drain time.Duration
}

// Settings are what the operator says of one plugin.
type Settings struct {
	// Off keeps the plugin from running; its routes answer 501.
	Off bool
	// Path of the executable; the default is plugin-<name> in Config.Dir.
	Path string
	// SHA256 that the executable must have, in lower-case hex; empty is any.
	SHA256 string
	// JSON is what the plugin itself is set to, an object; nil is nothing.
	JSON []byte
	// Grants are permissions that the plugin has beyond its own area.
	Grants []string
	// Routes are prefixes of paths that its routes may have beyond /x/<name>/, as they are
	// declared: /reports, or {catalog}/reports.
	Routes []string
	// Product marks an area of the product: of two plugins that claim one thing it wins.
	Product bool
	// Reattach is a file that says where the plugin runs already, for debugging.
	Reattach string
}

// Host holds the running plugins and the table of commands.
type Host struct {
	cfg   Config
	local []*member // the core's own, in every world

	current  atomic.Pointer[world]
	changing chan struct{} // full while somebody changes the world
	settings settings      // of the current world; of whoever changes it
	closed   bool          // likewise

	life     context.Context // ended by Close: a change that is being made is given up
	finish   context.CancelFunc
	patience context.Context // ended when a caller of Close has none left
	hurry    context.CancelFunc
	leaving  sync.WaitGroup // plugins of old worlds

	events *outbox.Dispatcher

	mu          sync.Mutex
	invocations map[string]*invocation // by token
}

// settings are what a reload may change.
type settings struct {
	dir      string
	plugins  map[string]Settings
	defaults map[string]Settings
	again    string // a plugin that is started anew although nothing has changed
}

func (c Config) settings() settings {
	return settings{dir: c.Dir, plugins: c.Plugins, defaults: c.Defaults}
}

// of returns the settings of one plugin.
func (s settings) of(name string) Settings {
	out, ok := s.plugins[name]
	if !ok {
		out = s.defaults[name]
	}
	if out.Path == "" {
		out.Path = DefaultPath(s.dir, name)
	}
	return out
}

// Open starts every plugin, in parallel, and adds the core's own. A plugin that
// cannot be loaded is reported by Plugins; the error is about what the operator must
// put right first: no directory of plugins, or a plugin that is switched off although
// another cannot do without it.
func Open(ctx context.Context, cfg Config, core ...*sdk.Plugin) (*Host, error) {
	cfg.Drain = cmp.Or(cfg.Drain, defaultDrain)
	if cfg.Observer == nil {
		cfg.Observer = unobserved{}
	}
	h := &Host{cfg: cfg, changing: make(chan struct{}, 1), invocations: map[string]*invocation{}}
	h.life, h.finish = context.WithCancel(context.Background())
	h.patience, h.hurry = context.WithCancel(context.Background())
	// Until the first world is there, a plugin that comes up finds no command.
	h.current.Store(emptyWorld())
	for _, p := range core {
		m, err := h.inProcess(p)
		if err != nil {
			return nil, err
		}
		h.local = append(h.local, m)
	}
	if err := agree(h.local); err != nil {
		return nil, err
	}
	h.events = h.openEvents()
	if err := h.change(ctx, func(settings) (settings, error) { return cfg.settings(), nil }, openly); err != nil {
		var refused *Refused
		if errors.As(err, &refused) {
			err = errors.Join(refused.Faults...)
		}
		return nil, errors.Join(err, h.Close(ctx))
	}
	return h, nil
}

// world is what runs now. Whoever asks more than one thing of it asks once for it.
func (h *Host) world() *world { return h.current.Load() }

// Table returns what the service can do. It is another one after a reload.
func (h *Host) Table() *Table { return h.world().table }

// Plugins tells the state of every plugin, by name.
func (h *Host) Plugins() []Status {
	out := []Status{}
	for _, m := range h.world().sorted() {
		out = append(out, m.status())
	}
	return out
}

// Plugin tells the state of one plugin.
func (h *Host) Plugin(name string) (Status, error) {
	m, ok := h.world().members[name]
	if !ok {
		return Status{}, ErrUnknown.Errorf("there is no plugin %q; GET /admin/plugins lists them", name)
	}
	return m.status(), nil
}

// Unrouted explains why a path leads nowhere: a plugin that never said which routes
// it has may be the one that answers it. The error is nil if no plugin may.
func (h *Host) Unrouted(path string) error { return h.world().unrouted(path) }

// Close drains and ends every plugin; ctx bounds the draining. It may be called twice.
func (h *Host) Close(ctx context.Context) error {
	h.finish()
	h.changing <- struct{}{}
	defer func() { <-h.changing }()
	h.closed = true
	defer context.AfterFunc(ctx, h.hurry)()
	h.events.Close(ctx)
	members := h.world().sorted()
	errs := make([]error, len(members))
	var wg sync.WaitGroup
	for i, m := range members {
		wg.Go(func() { errs[i] = m.stop(ctx) })
	}
	wg.Wait()
	h.leaving.Wait()
	return errors.Join(errs...)
}

// agree reports conflicts among the core's own.
func agree(core []*member) error {
	t := newTable()
	for _, m := range core {
		if conflicts := t.add(m); len(conflicts) > 0 {
			return fmt.Errorf("the service's own %s: %w", m.name, joined(conflicts))
		}
	}
	return nil
}

// inProcess makes a member of the core's own commands. Everything is granted to it,
// unless it is configured otherwise.
func (h *Host) inProcess(p *sdk.Plugin) (*member, error) {
	p.SetLogger(h.cfg.Logger.Named("core"))
	m := &member{name: p.Describe().GetName(), description: p.Describe(), core: true}
	m.answerer = local{p, sdk.InProcess(callbacks{host: h, plugin: m.name})}
	m.grants = grants{plugin: m.name, granted: []string{everything}, trusted: true}
	if s, ok := h.cfg.Plugins[m.name]; ok {
		m.grants = grants{plugin: m.name, granted: s.Grants, trusted: s.Product}
	}
	faults := m.compile()
	if len(faults) > 0 {
		return nil, fmt.Errorf("the service's own %s: %w", m.name, joined(faults))
	}
	return m, nil
}
