// Package core is the running system: it opens the parts in order, serves, and
// closes them in the reverse order. Start with [Open].
//
// Order of start: data directory, engine, registries, sweep of what a crash
// left, plugins, listener. Order of stop: listener and requests, jobs, plugins,
// engine with a checkpoint. What is acknowledged is durable at any moment, so a
// kill in the middle loses nothing of it.
package core

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/keboola/duckdb-storage/core/httpapi"
	"github.com/keboola/duckdb-storage/core/internal/admin"
	"github.com/keboola/duckdb-storage/core/internal/audit"
	"github.com/keboola/duckdb-storage/core/internal/auth"
	"github.com/keboola/duckdb-storage/core/internal/disk"
	"github.com/keboola/duckdb-storage/core/internal/engine"
	"github.com/keboola/duckdb-storage/core/internal/files"
	"github.com/keboola/duckdb-storage/core/internal/jobs"
	"github.com/keboola/duckdb-storage/core/internal/keys"
	"github.com/keboola/duckdb-storage/core/internal/links"
	"github.com/keboola/duckdb-storage/core/internal/metrics"
	"github.com/keboola/duckdb-storage/core/internal/plan"
	"github.com/keboola/duckdb-storage/core/internal/pluginhost"
	"github.com/keboola/duckdb-storage/core/internal/projects"
	"github.com/keboola/duckdb-storage/core/internal/queue"
	"github.com/keboola/duckdb-storage/core/internal/registry"
)

// Service is the running system.
type Service struct {
	cfg      Config
	log      hclog.Logger
	layout   disk.Layout
	lock     *os.File
	engine   *engine.Engine
	registry *registry.Registry
	files    *registry.Files
	audit    *audit.Log
	jobs     *jobs.Jobs
	host     *pluginhost.Host
	metrics  *metrics.Metrics
	api      *httpapi.Server
	listener net.Listener

	newAdminKey string
	closers     []func(context.Context) error // in the order of opening
}

// Open starts everything up to the listener. On an error everything that was
// opened is closed again.
func Open(ctx context.Context, cfg Config, log hclog.Logger, version string) (_ *Service, err error) {
	s := &Service{cfg: cfg, log: log, metrics: metrics.New()}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.close(context.WithoutCancel(ctx)))
		}
	}()
	if !cfg.CoreDumps {
		if err := hide(); err != nil {
			return nil, fmt.Errorf("keep plugins out of the memory of the service: %w (core_dumps: true does without)", err)
		}
	}
	if err := s.openDisk(); err != nil {
		return nil, err
	}
	spill, _ := parseSize(cfg.Engine.TempLimit) // it was validated
	s.engine = engine.Open(engine.Config{
		Layout: s.layout, Logger: log.Named("engine"), Memory: cfg.Engine.memory(log), Threads: cfg.Engine.Threads,
		Temp: spill, Idle: cfg.Engine.Idle, MaxOpen: cfg.Engine.MaxOpen,
		OnAttach: registry.Migrate,
	})
	s.onClose(s.engine.Close)
	commands, err := s.openRegistries(ctx, version)
	if err != nil {
		return nil, err
	}
	s.audit = audit.Open(s.registry, audit.Config{Keep: cfg.Audit.Keep, Logger: log.Named("audit"), Observer: s.metrics.Audit})
	s.onClose(s.audit.Close)
	s.jobs, err = jobs.Open(ctx, s.registry, jobs.Config{
		Workers: cfg.Jobs.Workers, Waiting: cfg.Jobs.Waiting, Keep: cfg.Jobs.Keep,
		Problem: httpapi.Problem, Logger: log.Named("jobs"), Observer: s.metrics.Jobs,
	})
	if err != nil {
		return nil, err
	}
	operating := &admin.Commands{Version: version, Host: func() *pluginhost.Host { return s.host }, Reload: s.Reload}
	hosting := cfg.hosting()
	hosting.RuntimeDir, hosting.Logger, hosting.Drain = s.layout.Runtime, log.Named("plugins"), cfg.ShutdownTimeout
	hosting.Executor, hosting.Jobs, hosting.Observer, hosting.Audit = commands.Executor, s.jobs, s.metrics.Plugins, s.audit.Record
	s.host, err = pluginhost.Open(ctx, hosting, commands.Plugin(), commands.Links.Plugin(), operating.Plugin(), s.jobs.Plugin(version), s.audit.Plugin(version), (&keys.Commands{Registry: s.registry, Now: time.Now}).Plugin(version))
	if err != nil {
		return nil, err
	}
	s.onClose(s.host.Close)
	s.jobs.Serve(s.host)
	s.onClose(s.jobs.Close)
	duckdb, err := s.engine.Version(ctx)
	if err != nil {
		return nil, err
	}
	s.metrics.Collect(metrics.Sources{
		Version: version, DuckDBVersion: duckdb,
		Lines: commands.Executor.Queue.Lines, Reads: commands.Executor.Reads.Load, Streams: commands.Executor.Streams.Load,
		Plugins: s.host.Plugins, Events: s.host.Events, Engine: s.engine.Stats, Usage: s.engine.Usage, Links: commands.Links.Stats,
	})
	s.api, err = httpapi.New(httpapi.Config{
		Host: s.host, Registry: s.registry, Files: commands.Executor.Files, Executor: commands.Executor, Jobs: s.jobs, Audit: s.audit, Metrics: s.metrics, Logger: log.Named("http"), Version: version, DuckDBVersion: duckdb,
		WriteTimeout: s.cfg.HTTP.WriteTimeout,
	})
	if err != nil {
		return nil, err
	}
	var listen net.ListenConfig
	s.listener, err = listen.Listen(ctx, "tcp", cfg.Listen)
	return s, err
}

// openDisk takes the data directory.
func (s *Service) openDisk() (err error) {
	s.layout.Root = s.cfg.DataDir
	if s.lock, err = s.layout.Lock(); err != nil {
		return err
	}
	s.onClose(func(context.Context) error { return s.lock.Close() })
	s.onClose(func(context.Context) error { return s.cfg.runPlace().remove() })
	if s.layout.Runtime, err = s.cfg.makeRuntimeDir(); err != nil {
		return fmt.Errorf("prepare the runtime directory: %w", err)
	}
	s.onClose(func(context.Context) error { return s.cfg.tempPlace().remove() })
	if _, err = s.cfg.tempPlace().make(s.cfg.Engine.TempDir); err != nil {
		return fmt.Errorf("prepare engine.temp_dir: %w", err)
	}
	return s.layout.Open()
}

// openRegistries opens both registries, puts right what a crash left, and sees
// to the admin key.
func (s *Service) openRegistries(ctx context.Context, version string) (*projects.Commands, error) {
	var err error
	if s.registry, err = registry.Open(ctx, s.engine, s.layout); err != nil {
		return nil, fmt.Errorf("open the project registry: %w", err)
	}
	if s.files, err = registry.OpenFiles(ctx, s.engine, s.layout); err != nil {
		return nil, fmt.Errorf("open the file registry: %w", err)
	}
	store := &files.Store{Registry: s.files, Layout: s.layout, Turns: queue.New(queue.Config{}), Now: time.Now}
	commands := &projects.Commands{Registry: s.registry, Turns: queue.New(queue.Config{}), Version: version, Examine: s.examine, Executor: &plan.Executor{
		Registry: s.registry, Engine: s.engine, Files: store, Layout: s.layout,
		Reads:   plan.Admission{Places: s.cfg.Engine.MaxReads},
		Streams: plan.Admission{Places: s.cfg.Engine.MaxStreams, Wait: s.cfg.Queue.Wait},
		Queue:   queue.New(queue.Config{Length: s.cfg.Queue.Length, Wait: s.cfg.Queue.Wait, Observer: s.metrics.Queue}),
	}}
	commands.Links = links.New(links.Config{Executor: commands.Executor, Registry: s.registry, Logger: s.log.Named("links"), Version: version})
	commands.Executor.Links = commands.Links
	sweptProjects, err := commands.Sweep(ctx)
	if err != nil {
		return nil, fmt.Errorf("sweep half-made projects: %w", err)
	}
	if err := commands.Links.Open(ctx); err != nil {
		return nil, fmt.Errorf("open the links of buckets: %w", err)
	}
	sweptFiles, err := store.Sweep(ctx)
	if err != nil {
		return nil, fmt.Errorf("sweep half-made files: %w", err)
	}
	s.files.Guard(s.registry)
	if sweptProjects+sweptFiles > 0 {
		s.log.Info("swept what an earlier run left half done", "projects", sweptProjects, "files", sweptFiles)
	}
	return commands, s.openAdminKey(ctx)
}

// openAdminKey stores the configured admin key, or makes one on the first start.
func (s *Service) openAdminKey(ctx context.Context) error {
	if s.cfg.AdminKey != "" {
		if k, ok := s.registry.Key(auth.Hash(s.cfg.AdminKey)); ok && k.Project == "" {
			return nil
		}
		return s.registry.SetAdminKey(ctx, auth.Hash(s.cfg.AdminKey))
	}
	if s.registry.HasAdminKey() {
		return nil
	}
	s.newAdminKey = auth.NewAdminKey()
	return s.registry.SetAdminKey(ctx, auth.Hash(s.newAdminKey))
}

// URL is where the API is served.
func (s *Service) URL() string { return "http://" + s.listener.Addr().String() }

// NewAdminKey is the admin key that this start made, or empty. It is shown once
// and known to nobody afterwards.
func (s *Service) NewAdminKey() string { return s.newAdminKey }

// Reload reads the configuration again and applies what it says of plugins, all of it
// or nothing. It returns the settings that have changed, too, and need a restart.
func (s *Service) Reload(ctx context.Context) (restart []string, err error) {
	fresh, err := s.cfg.again()
	if err != nil {
		err = &pluginhost.Refused{Faults: []error{err}}
	} else {
		err = s.host.Reload(ctx, fresh.hosting())
	}
	var refused *pluginhost.Refused
	switch {
	case errors.As(err, &refused):
		for _, fault := range refused.Faults {
			s.log.Error("the configuration is not reloaded, everything is as before", "fault", fault)
		}
		return nil, err
	case err != nil:
		s.log.Error("the configuration is not reloaded, everything is as before", "error", err)
		return nil, err
	}
	restart = s.cfg.differs(fresh)
	s.log.Info("the configuration of plugins is reloaded", "plugins", len(s.host.Plugins()))
	if len(restart) > 0 {
		s.log.Warn("other settings have changed and need a restart of the service", "settings", restart)
	}
	return restart, nil
}

// Run serves until ctx ends, then shuts down in order and returns.
func (s *Service) Run(ctx context.Context) error {
	served := make(chan error, 1)
	go func() { served <- s.api.Serve(s.listener) }()
	var err error
	select {
	case err = <-served:
	case <-ctx.Done():
		s.log.Info("shutting down", "timeout", s.cfg.ShutdownTimeout)
	}
	bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.cfg.ShutdownTimeout)
	defer cancel()
	return errors.Join(err, s.api.Shutdown(bounded), s.close(bounded))
}

func (s *Service) onClose(fn func(context.Context) error) { s.closers = append(s.closers, fn) }

// close undoes Open from the end. It may be called twice.
func (s *Service) close(ctx context.Context) error {
	var errs []error
	for len(s.closers) > 0 {
		last := len(s.closers) - 1
		fn := s.closers[last]
		s.closers = s.closers[:last]
		errs = append(errs, fn(ctx))
	}
	return errors.Join(errs...)
}
