// Package registry keeps what is about the service as a whole: projects and key
// hashes in registry.duckdb, storage files in files.duckdb. It also holds the
// migrations of every catalog ([Migrate]).
//
// Start with [Open]. Projects and keys are few and asked for by every request,
// so they are held in memory; a change is durable before it is visible. The two
// registries and a project's catalog cannot commit together: whoever changes
// more than one reserves here, does the work, confirms here, and sweeps what a
// crash left between.
package registry

import (
	"context"
	"sync"

	"github.com/keboola/duckdb-storage/core/internal/disk"
	"github.com/keboola/duckdb-storage/core/internal/engine"
)

// Registry is the open registry of projects and keys.
type Registry struct {
	store
	metadata string // folder of the registries

	mu       sync.RWMutex
	projects map[string]Project
	births   uint64              // of projects since the start
	lives    map[string]uint64   // see Within
	keys     map[string]Key      // by id
	hashes   map[string][]string // ids of keys, by the prefix of a hash

	links    map[linkKey]Link
	linkedTo map[string]int // how many links there are to buckets of a project

	auditIDs auditIDs // held by who writes
}

// Open opens the registry of projects and keys, making it on the first start.
func Open(ctx context.Context, e *engine.Engine, l disk.Layout) (*Registry, error) {
	r := &Registry{
		store:    store{engine: e, catalog: system(l, registryAlias, l.Registry())},
		metadata: l.Metadata(),
		projects: map[string]Project{}, lives: map[string]uint64{}, keys: map[string]Key{}, hashes: map[string][]string{}, links: map[linkKey]Link{}, linkedTo: map[string]int{},
	}
	if err := r.open(ctx); err != nil {
		return nil, err
	}
	if err := r.loadProjects(ctx); err != nil {
		return nil, err
	}
	if err := r.loadLinks(ctx); err != nil {
		return nil, err
	}
	if err := r.openAudit(ctx); err != nil {
		return nil, err
	}
	return r, r.loadKeys(ctx)
}

// system is a catalog of the service itself, in a cell of its own.
func system(l disk.Layout, alias, path string) engine.Catalog {
	return engine.Catalog{Alias: alias, Path: path, Reach: []string{l.Metadata()}, Small: true}
}

// store is one of the two registry files. Writes come one at a time.
type store struct {
	engine  *engine.Engine
	catalog engine.Catalog
	writer  sync.Mutex
}

// open makes the file on the first start and attaches it on every start.
func (s *store) open(ctx context.Context) error {
	return s.engine.Ensure(ctx, s.catalog)
}

func (s *store) read(ctx context.Context, fn func(*engine.Session) error) error {
	session, err := s.engine.Session(ctx, s.catalog)
	if err != nil {
		return err
	}
	defer session.Close()
	return fn(session)
}

func (s *store) write(ctx context.Context, fn func(*engine.Session) error) error {
	return s.writeThen(ctx, fn, func() {})
}

// writeThen is write, and then what must happen before the next one.
func (s *store) writeThen(ctx context.Context, fn func(*engine.Session) error, then func()) error {
	s.writer.Lock()
	defer s.writer.Unlock()
	return s.read(ctx, func(session *engine.Session) error {
		if err := session.Transaction(func() error { return fn(session) }); err != nil {
			return err
		}
		then()
		session.Relieve() // of rows that wait for a checkpoint
		return nil
	})
}
