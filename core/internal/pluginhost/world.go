package pluginhost

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	goversion "github.com/hashicorp/go-version"

	"github.com/keboola/duckdb-storage/core/internal/pluginhost/process"
	"github.com/keboola/duckdb-storage/sdk"
)

// world is all that runs at a time. It does not change: a reload makes another.
type world struct {
	table       *Table
	members     map[string]*member // without the core's own
	hooks       map[string][]hook  // by command
	events      map[string]*event
	subscribing map[string][]*member // by event
}

// hook is a plugin that is asked before a command runs.
type hook struct {
	plugin, command string
	owner           *member
	within          time.Duration
	failOpen        bool
}

func emptyWorld() *world {
	return &world{
		table: newTable(), members: map[string]*member{}, hooks: map[string][]hook{},
		events: map[string]*event{}, subscribing: map[string][]*member{},
	}
}

// sorted lists the plugins by name.
func (w *world) sorted() []*member {
	out := make([]*member, 0, len(w.members))
	for _, name := range slices.Sorted(maps.Keys(w.members)) {
		out = append(out, w.members[name])
	}
	return out
}

// down reports whether a plugin is there and of no use: it could not be loaded, or was
// given up.
func (w *world) down(name string) bool {
	m := w.members[name]
	return m != nil && m.state() == string(process.StateFailed)
}

// assemble makes a world of the core's own and of the plugins. Those that do not fit
// with the others are in it as failed. refused is what the operator must put right
// before there can be a world.
func assemble(core, plugins []*member) (w *world, refused []error) {
	known := map[string]*member{}
	for _, m := range plugins {
		known[m.name] = m
	}
	for { // until everybody fits: one that fails may take another with it
		w = emptyWorld()
		w.members = known
		out := w.missing()
		if len(out) == 0 {
			out = w.claim(core)
		}
		if len(out) == 0 {
			out = w.connect(core)
		}
		if len(out) == 0 {
			return w, w.switchedOff()
		}
		for name, err := range out {
			known[name] = known[name].out(fmt.Errorf("plugin %s: %w", name, err))
		}
	}
}

// missing finds the plugins that lack another which they cannot do without.
func (w *world) missing() map[string]error {
	out := map[string]error{}
	for _, m := range w.members {
		if !m.runs() {
			continue
		}
		var faults []error
		for _, d := range m.description.GetDependencies() {
			other := w.members[d.GetPlugin()]
			if other != nil && other.settings.Off {
				continue // see switchedOff
			}
			if other == nil || !other.runs() {
				if !d.GetOptional() {
					faults = append(faults, other.lacking(d.GetPlugin()))
				}
			} else if !fits(other.description.GetVersion(), d.GetVersions()) {
				faults = append(faults, fmt.Errorf("it works with plugin %s %s, and the one here is %s: install one that fits", d.GetPlugin(), d.GetVersions(), other.description.GetVersion()))
			}
		}
		if len(faults) > 0 {
			out[m.name] = joined(faults)
		}
	}
	return out
}

// lacking says what is the matter with a dependency; the receiver may be nil.
func (m *member) lacking(name string) error {
	if m == nil {
		return fmt.Errorf("it requires plugin %s, which is not installed: install it", name)
	}
	return fmt.Errorf("it requires plugin %s, which could not be loaded: repair that first", name)
}

// fits checks a version against a constraint; both are well formed. A pre-release
// counts as the release that it leads to.
func fits(version, constraint string) bool {
	if constraint == "" {
		return true
	}
	v, err := goversion.NewVersion(version)
	c, cErr := goversion.NewConstraint(constraint)
	return err == nil && cErr == nil && c.Check(v.Core())
}

// switchedOff finds plugins that run and cannot do without one that the operator
// switched off: a contradiction that only the operator can resolve.
func (w *world) switchedOff() []error {
	var faults []error
	for _, m := range w.sorted() {
		if !m.runs() {
			continue
		}
		for _, d := range m.description.GetDependencies() {
			if other := w.members[d.GetPlugin()]; !d.GetOptional() && other != nil && other.settings.Off {
				faults = append(faults, fmt.Errorf("plugin %s requires plugin %s, which is disabled: enable %s, or disable %s as well",
					m.name, other.name, other.name, m.name))
			}
		}
	}
	return faults
}

// claim fills the table. Of two that claim one thing the core comes first, then the
// areas of the product, then the others by name; the later one is left out whole. Who is
// switched off or failed gets what nobody else wants: it answers that it cannot answer.
func (w *world) claim(core []*member) map[string]error {
	out := map[string]error{}
	var idle []*member
	for _, m := range core {
		_ = w.table.add(m) // Open has seen that they fit together
	}
	for _, m := range w.byRank() {
		if !m.runs() {
			idle = append(idle, m)
			continue
		}
		if err := joined(w.table.add(m)); err != nil {
			out[m.name] = err
		}
	}
	for _, m := range idle {
		w.table.fill(m)
	}
	return out
}

func (w *world) byRank() []*member {
	members := w.sorted()
	slices.SortStableFunc(members, func(a, b *member) int {
		switch {
		case a.settings.Product == b.settings.Product:
			return 0
		case a.settings.Product:
			return -1
		}
		return 1
	})
	return members
}

// connect ties hooks, events and subscriptions to what they are about.
func (w *world) connect(core []*member) map[string]error {
	running := slices.Concat(core, slices.DeleteFunc(w.sorted(), func(m *member) bool { return !m.runs() }))
	for _, m := range running {
		for _, e := range m.events {
			w.events[e.name] = e
		}
	}
	out := map[string]error{}
	for _, m := range running {
		faults := slices.Concat(w.hook(m), w.subscribe(m))
		if len(faults) > 0 {
			out[m.name] = joined(faults)
		}
	}
	for _, m := range w.sorted() {
		if m.failed() && m.sound {
			_ = w.subscribe(m) // its events wait until it is repaired; what it has no right to, it does not get
		}
	}
	return out
}

func (w *world) hook(m *member) (faults []error) {
	for _, h := range m.description.GetHooks() {
		c, ok := w.table.commands[h.GetCommand()]
		switch {
		case !ok && w.absent(h.GetCommand()):
			continue
		case !ok:
			faults = append(faults, fmt.Errorf("it hooks on %s, and plugin %s has no such command: install releases that fit", h.GetCommand(), area(h.GetCommand())))
			continue
		}
		if permission := c.guarded(); c.Plugin != m.name && !m.grants.allow(permission) {
			faults = append(faults, m.ungranted("it hooks on "+h.GetCommand(), permission))
			continue
		}
		w.hooks[h.GetCommand()] = append(w.hooks[h.GetCommand()], hook{
			plugin: m.name, command: h.GetCommand(), owner: m, failOpen: h.GetFailOpen(),
			within: cmp.Or(time.Duration(h.GetTimeoutSeconds())*time.Second, hookTime),
		})
	}
	return faults
}

// guarded is the permission of a hook on the command. A command that every caller may
// run takes it as well: a hook sees inputs, and may refuse.
func (c *Command) guarded() string {
	switch permission := c.GetPermission(); permission {
	case "", sdk.AnyKey:
		return c.Plugin + ":write"
	default:
		return permission
	}
}

func (w *world) subscribe(m *member) (faults []error) {
	for _, name := range m.description.GetSubscriptions() {
		e, ok := w.events[name]
		switch {
		case !ok && w.absent(name):
			continue
		case !ok:
			faults = append(faults, fmt.Errorf("it subscribes to %s, and plugin %s has no such event: install releases that fit", name, area(name)))
			continue
		}
		if e.plugin != m.name && !m.grants.allow(e.plugin+":read") {
			faults = append(faults, m.ungranted("it subscribes to "+name, e.plugin+":read"))
			continue
		}
		w.subscribing[name] = append(w.subscribing[name], m)
	}
	return faults
}

// absent reports whether the plugin of a command or event is not here, so that it
// cannot be asked what it has.
func (w *world) absent(name string) bool {
	m := w.members[area(name)]
	return m == nil || !m.runs()
}

// area is the plugin that the name of a command or an event begins with.
func area(name string) string {
	plugin, _, _ := strings.Cut(name, ".")
	return plugin
}

// unrouted explains a path without a route by a plugin that may have had one, could it
// have said so. One that has failed counts more than one that is off: it may come back.
func (w *world) unrouted(path string) error {
	var off error
	for _, m := range w.sorted() {
		if m.sound || !m.mayOwn(path) {
			continue
		}
		if !m.settings.Off {
			e := sdk.ErrPluginDown.Errorf("there is no route %s, but it may belong to plugin %s, which could not be loaded; the administrator finds the reason in GET /admin/plugins",
				path, m.name).With("plugin", m.name)
			e.Retryable = false // until somebody has repaired it
			return e
		}
		if off == nil {
			off = sdk.ErrPluginOff.Errorf("there is no route %s, but it may belong to plugin %s, which is switched off", path, m.name).With("plugin", m.name)
		}
	}
	return off
}
