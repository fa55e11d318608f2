package core

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/hashicorp/go-hclog"

	"github.com/keboola/duckdb-storage/core/internal/disk"
	"github.com/keboola/duckdb-storage/core/internal/doctor"
	"github.com/keboola/duckdb-storage/core/internal/registry"
	"github.com/keboola/duckdb-storage/sdk"
)

// Check is one thing that was checked.
type Check = doctor.Check

// CheckStatus is the outcome of a check.
type CheckStatus = doctor.Status

// The outcomes of a check.
const (
	CheckOK      = doctor.OK
	CheckWarning = doctor.Warning
	CheckFailed  = doctor.Failed
)

// minFree is the least free space for which a backend is fit, in bytes.
const minFree = 1 << 30

// Examine checks whether a service with this configuration can work. None needs to run;
// where one does, its databases are left alone. faults are those that LoadConfig found:
// without a data directory they are all that can be told.
func Examine(ctx context.Context, cfg Config, faults error) []Check {
	if cfg.DataDir == "" {
		return []Check{{Name: "config", Status: CheckFailed, Detail: fmt.Sprint(faults)}}
	}
	s := cfg.subject()
	s.TempDir = cmp.Or(cfg.Engine.TempDir, s.Layout.Temp())
	parent, err := cfg.runtimeParent()
	s.RuntimeDir, s.Faults = cmp.Or(parent, cfg.DataDir), errors.Join(faults, err)
	return doctor.Examine(ctx, s, doctor.Local{})
}

// examine is the same for a service, which looks at itself and at the configuration that
// its next start or reload will have.
func (s *Service) examine(ctx context.Context) []Check {
	cfg, faults := s.cfg.again()
	if faults != nil {
		cfg = s.cfg
	}
	x := cfg.subject()
	x.Running, x.Layout, x.Faults = true, s.layout, faults
	x.TempDir, x.RuntimeDir = s.layout.Temp(), s.layout.Runtime
	x.Registry = s.readRegistries
	for _, p := range s.registry.Projects(registry.Active) {
		if p.Created.After(x.Recorded) {
			x.Recorded = p.Created
		}
	}
	return doctor.Examine(ctx, x, doctor.Local{})
}

// readRegistries reads from both registries, as most requests do.
func (s *Service) readRegistries(ctx context.Context) error {
	if _, _, err := s.registry.Job(ctx, "none"); err != nil {
		return fmt.Errorf("read registry.duckdb: %w", err)
	}
	if _, err := s.files.Get(ctx, "none", "0"); err != nil && !errors.Is(err, sdk.ErrFileNotFound) {
		return fmt.Errorf("read files.duckdb: %w", err)
	}
	return nil
}

// subject is what the settings say to the doctor.
func (c *Config) subject() doctor.Subject {
	s := doctor.Subject{
		Layout: disk.Layout{Root: c.DataDir}, PluginDir: c.PluginDir, MaxOpen: c.Engine.MaxOpen, Memory: c.Engine.memory(hclog.NewNullLogger()),
	}
	free, _ := parseSize(c.MinFree) // what is no size is a fault
	s.MinFree = cmp.Or(free, minFree)
	s.Usable, _ = usableMemory() // 0 is not known
	var pins []Pin
	pins, s.PluginsErr = Pins(*c)
	for _, p := range pins {
		s.Plugins = append(s.Plugins, doctor.Plugin{Name: p.Plugin, Pinned: p.State == PinOK, Err: p.fault()})
	}
	return s
}

// fault says why an executable would not be run.
func (p Pin) fault() error {
	switch {
	case p.State == PinMissing && errors.Is(p.Err, os.ErrNotExist):
		return fmt.Errorf("plugin %s: there is no executable %s: install it, or set plugins.%s.path", p.Plugin, p.Path, p.Plugin)
	case p.State == PinMissing:
		return fmt.Errorf("plugin %s: its executable cannot be read: %w", p.Plugin, p.Err)
	case p.State == PinMismatch:
		return fmt.Errorf("plugin %s: %s has SHA-256 %s, and %s is pinned: restore the file, or pin it anew (duckdb-storage plugins lock)", p.Plugin, p.Path, p.Digest, p.Wanted)
	}
	return nil
}
