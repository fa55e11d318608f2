package pluginhost

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"sync"

	"github.com/keboola/duckdb-storage/core/internal/pluginhost/process"
	pluginv1 "github.com/keboola/duckdb-storage/sdk/proto/duckdbstorage/plugin/v1"
)

// built is a world that nobody is in yet.
type built struct {
	world   *world
	started []*member // for it; the others are carried over from the old world
	refused []error   // why the configuration makes no sense
}

// abandon ends what was started.
func (b *built) abandon(ctx context.Context) {
	var wg sync.WaitGroup
	for _, m := range b.started {
		wg.Go(func() { _ = m.stop(ctx) }) // no call was made to it
	}
	wg.Wait()
}

// build makes the world of the settings: it starts what the old one does not have, side
// by side, and checks how all of them fit together.
func (h *Host) build(ctx context.Context, to settings, old *world) (*built, error) {
	paths, err := Binaries(to.dir)
	if err != nil {
		return nil, err
	}
	names := slices.Sorted(maps.Keys(paths))
	for name := range to.plugins {
		if _, ok := paths[name]; !ok && !h.isLocal(name) {
			names = append(names, name)
		}
	}
	members := make([]*member, len(names))
	var wg sync.WaitGroup
	for i, name := range names {
		wg.Go(func() { members[i] = h.load(ctx, name, to.of(name), old.members[name], name == to.again) })
	}
	wg.Wait()
	b := &built{}
	for _, m := range members {
		if m.process != nil && old.members[m.name] != m {
			b.started = append(b.started, m)
		}
	}
	b.world, b.refused = assemble(h.local, members)
	return b, nil
}

func (h *Host) isLocal(name string) bool {
	return slices.ContainsFunc(h.local, func(m *member) bool { return m.name == name })
}

// load makes a member of a plugin, or returns the one from before if that may go on
// and is not to be started anew.
func (h *Host) load(ctx context.Context, name string, s Settings, before *member, anew bool) *member {
	m := &member{name: name, settings: s, grants: grants{plugin: name, granted: s.Grants, trusted: s.Product}, binary: binary{source: s.Path}}
	if h.isLocal(name) {
		return m.out(fmt.Errorf("plugin %s: the service itself has the name; give the plugin another", name))
	}
	if s.Reattach == "" && before != nil {
		var err error
		if m.binary.digest, err = Digest(s.Path); err != nil {
			return m.out(unreadable(name, s.Path, err)).knownFrom(before)
		}
	}
	if before.mayStayFor(m) && !anew {
		return before
	}
	switch {
	case s.Off && before.describes(m):
		return m.out(nil).knownFrom(before)
	case s.Reattach != "" && !s.Off:
		return h.attach(ctx, m)
	}
	if err := m.take(filepath.Join(h.cfg.RuntimeDir, "plugins")); err != nil {
		return m.out(err).knownFrom(before)
	}
	if s.Off {
		return h.describe(ctx, m).knownFrom(before)
	}
	return h.start(ctx, m, process.Config{Path: m.binary.copied, Origin: s.Path})
}

// take makes the copy of the executable that runs, if the executable is the one that
// the operator wants.
func (m *member) take(dir string) error {
	if err := m.binary.take(dir); err != nil {
		return unreadable(m.name, m.settings.Path, err)
	}
	err := m.binary.pinned(m.name, m.settings.SHA256)
	if err != nil {
		m.binary.remove()
	}
	return err
}

// describes reports whether what a member said holds for another.
func (m *member) describes(other *member) bool {
	return m != nil && m.sound && m.binary.digest == other.binary.digest
}

// knownFrom gives a plugin that is switched off, and cannot say which routes it has,
// those that it had before.
func (m *member) knownFrom(before *member) *member {
	if m.settings.Off && !m.sound && before != nil && before.sound {
		m.description = before.description
		m.compile()
	}
	return m
}

// mayStayFor reports whether a member is what loading its plugin anew would make.
func (m *member) mayStayFor(other *member) bool {
	if m == nil || m.binary.digest != other.binary.digest || !reflect.DeepEqual(m.settings, other.settings) {
		return false
	}
	if m.settings.Off {
		return m.sound
	}
	return m.process != nil && m.process.Status().State != process.StateFailed
}

// describe learns which routes are those of a plugin that is switched off: they answer
// 501 and not 404, which on a DELETE would read as "already gone". It gets nothing.
func (h *Host) describe(ctx context.Context, m *member) *member {
	defer m.binary.remove()
	d, err := process.Describe(ctx, h.processConfig(m, process.Config{Path: m.binary.copied, Origin: m.settings.Path}))
	if err != nil {
		return m.out(err)
	}
	m.description = d
	if err := joined(m.compile()); err != nil {
		m.err = fmt.Errorf("plugin %s: %w", m.name, err)
	}
	return m
}

// start runs the plugin. It is checked as far as it can be alone before it gets its
// settings.
func (h *Host) start(ctx context.Context, m *member, cfg process.Config) *member {
	cfg.Settings = m.settings.JSON
	cfg.Check = func(d *pluginv1.DescribeResponse) error {
		m.description = d
		faults := m.compile()
		if len(faults) == 0 {
			faults = m.check()
		}
		return joined(faults)
	}
	p, err := process.Start(ctx, h.processConfig(m, cfg))
	if err != nil {
		m.binary.remove()
		return m.out(err)
	}
	m.process, m.answerer = p, p
	return m
}

func (h *Host) processConfig(m *member, cfg process.Config) process.Config {
	cfg.Name, cfg.RuntimeDir, cfg.Features = m.name, h.cfg.RuntimeDir, features()
	cfg.Host, cfg.Logger = callbacks{host: h, plugin: m.name}, h.cfg.Logger.Named(m.name)
	return cfg
}

// attach connects to a plugin that runs already, under a debugger.
func (h *Host) attach(ctx context.Context, m *member) *member {
	var at process.Reattach
	raw, err := os.ReadFile(m.settings.Reattach)
	if err == nil {
		err = json.Unmarshal(raw, &at)
	}
	if err != nil {
		return m.out(fmt.Errorf("plugin %s: plugins.%s.reattach must name the file that the plugin writes when it is started with --debug: %w", m.name, m.name, err))
	}
	h.cfg.Logger.Warn("plugin is attached for debugging: it is neither checked against its digest, nor encrypted, nor watched", "plugin", m.name, "pid", at.PID)
	return h.start(ctx, m, process.Config{Reattach: &at})
}
