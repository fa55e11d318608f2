package pluginhost

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/keboola/duckdb-storage/sdk"
)

// What a change of plugins may answer with.
var (
	ErrUnknown = sdk.Code{Slug: "plugin-not-found", Title: "Plugin not found", Kind: sdk.NotFound, Driver: 2000}
	ErrRefused = sdk.Code{Slug: "plugins-unchanged", Title: "Plugins unchanged", Kind: sdk.Conflict, Driver: 3000}
)

// Refused is why a change of plugins was not made: everything is as it was before.
type Refused struct{ Faults []error }

func (r *Refused) Error() string { return r.problem().Detail }

// Unwrap lets errors.As find the *sdk.Error.
func (r *Refused) Unwrap() error { return r.problem() }

func (r *Refused) problem() *sdk.Error {
	var lines []string
	for _, f := range r.Faults {
		lines = append(lines, f.Error())
	}
	return ErrRefused.Errorf("nothing was changed: %s", strings.Join(lines, "; "))
}

// demand says with which faults a change is not made.
type demand func(old, next *world) []error

// openly takes every fault of a plugin: that is how a service starts.
func openly(_, _ *world) []error { return nil }

// noNewFaults refuses a world in which a plugin fails that did not fail before.
func noNewFaults(old, next *world) []error {
	var faults []error
	for _, m := range next.sorted() {
		if m.failed() && !old.down(m.name) {
			faults = append(faults, m.err)
		}
	}
	return faults
}

// works adds that a plugin must not fail, whatever it did before.
func works(name string) demand {
	return func(old, next *world) []error {
		faults := noNewFaults(old, next)
		if m := next.members[name]; m != nil && m.failed() && old.down(name) {
			faults = append(faults, m.err)
		}
		return faults
	}
}

// Reload makes the plugins what the config says: Dir, Plugins and Defaults of it, nothing
// else can change while the service runs. What Enable and Disable did is forgotten.
//
// The new plugins are started beside the old ones and checked. If one fails that did
// not fail before, or the whole makes no sense, the error is a *Refused with every
// fault, and nothing has changed. Otherwise the next request finds the new plugins,
// and the old ones end in the background when their calls have. A plugin whose
// settings and executable are the same goes on as it is.
func (h *Host) Reload(ctx context.Context, cfg Config) error {
	return h.change(ctx, func(settings) (settings, error) { return cfg.settings(), nil }, noNewFaults)
}

// Enable switches a plugin on until the next reload. It returns a *Refused if it does
// not come up.
func (h *Host) Enable(ctx context.Context, name string) error { return h.set(ctx, name, false) }

// Disable switches a plugin off until the next reload. It returns a *Refused if another
// cannot do without it.
func (h *Host) Disable(ctx context.Context, name string) error { return h.set(ctx, name, true) }

func (h *Host) set(ctx context.Context, name string, off bool) error {
	return h.change(ctx, func(now settings) (settings, error) {
		if _, err := h.Plugin(name); err != nil {
			return settings{}, err
		}
		return now.with(name, func(s *Settings) { s.Off = off }), nil
	}, works(name))
}

// Restart replaces a plugin's process by a new one from the same settings, and from
// the executable as it is now. If the new one does not come up, the old one stays.
func (h *Host) Restart(ctx context.Context, name string) error {
	return h.change(ctx, func(now settings) (settings, error) {
		s, err := h.Plugin(name)
		if err == nil && s.State == StateDisabled {
			err = sdk.ErrConflict.Errorf("plugin %s is disabled; enable it instead", name)
		}
		if err != nil {
			return settings{}, err
		}
		now.again = name
		return now, nil
	}, works(name))
}

// with returns the settings with those of one plugin changed.
func (s settings) with(name string, change func(*Settings)) settings {
	p := s.of(name)
	change(&p)
	s.plugins = maps.Clone(s.plugins)
	if s.plugins == nil {
		s.plugins = map[string]Settings{}
	}
	s.plugins[name] = p
	return s
}

// change builds the next world and enters it, one caller at a time.
func (h *Host) change(ctx context.Context, next func(settings) (settings, error), wanted demand) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(h.life, cancel)()
	select {
	case h.changing <- struct{}{}:
	case <-ctx.Done():
		return sdk.ErrCancelled.Errorf("the plugins were being changed by another request")
	}
	defer func() { <-h.changing }()
	if h.closed {
		return sdk.ErrUnavailable.Errorf("the service is shutting down")
	}
	to, err := next(h.settings)
	if err != nil {
		return err
	}
	old := h.world()
	b, err := h.build(ctx, to, old)
	if err != nil {
		return err
	}
	if faults := slices.Concat(b.refused, wanted(old, b.world)); len(faults) > 0 {
		b.abandon(context.WithoutCancel(ctx))
		return &Refused{Faults: faults}
	}
	to.again = ""
	h.settings = to
	h.enter(old, b)
	return nil
}

// enter makes a world the current one and sends home what the old one alone had.
func (h *Host) enter(old *world, b *built) {
	h.current.Store(b.world)
	for name, m := range old.members {
		if next := b.world.members[name]; next != nil && next != m {
			m.next.Store(next) // before it refuses its first call
		}
	}
	for _, m := range old.members {
		if b.world.members[m.name] != m {
			h.leave(m)
		}
	}
	for _, m := range b.started {
		if b.world.members[m.name] != m {
			h.leave(m) // it came up, and does not go with the others
		}
	}
	h.findEvents(old)
	for _, m := range b.world.sorted() {
		if m.failed() && !old.down(m.name) {
			h.cfg.Logger.Error("plugin is not loaded", "plugin", m.name, "error", m.err)
		}
	}
}

// leave drains a plugin and ends it, in the background.
func (h *Host) leave(m *member) {
	h.leaving.Go(func() {
		ctx, cancel := context.WithTimeoutCause(h.patience, h.cfg.Drain,
			fmt.Errorf("it had not ended after %v: %w", h.cfg.Drain, context.DeadlineExceeded))
		defer cancel()
		if err := m.stop(ctx); err != nil && !errors.Is(err, context.Canceled) {
			h.cfg.Logger.Warn("plugin did not stop in order", "plugin", m.name, "error", err)
		}
	})
}
