// Package engine owns DuckDB. Nothing else imports the driver.
//
// A catalog is one DuckDB file attached under an alias. A cell is one in-memory
// DuckDB instance with catalogs attached; the reach of a name and the damage of
// a fatal error end at the cell. Start with [Open] and [Engine.Session].
//
// Promised: one file is attached in one cell, once, for as long as it is open; a
// commit that returned is on disk; a session leaves nothing behind on its
// connection, because connections are never reused (a new one costs 4 µs);
// cancelling a session's context interrupts its statement within milliseconds.
//
// Not promised: writes of one catalog must come one at a time, which the queue
// package sees to; a fatal error of DuckDB ends every session of its cell, and
// the next session opens a new one.
package engine

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/keboola/duckdb-storage/core/internal/disk"
	"github.com/keboola/duckdb-storage/sdk"
)

// Config says what DuckDB may use.
type Config struct {
	Layout disk.Layout
	Logger hclog.Logger
	// MemoryLimit of each cell in DuckDB's notation, for example "8GB". Empty is
	// DuckDB's default of 80 % of the machine.
	MemoryLimit string
	// Threads of each cell; 0 is one for each core.
	Threads int
	// Idle is how long a catalog stays open that nobody uses; default 10 minutes.
	Idle time.Duration
	// MaxOpen is how many catalogs stay open; default 100. The least recently used
	// goes first, and never one that is in use: then there are more.
	MaxOpen int
	// OnAttach brings the inside of a catalog up to date. It runs each time a
	// catalog is attached, before any other session.
	OnAttach func(context.Context, *Session) error
}

// Engine holds the open cells and catalogs.
type Engine struct {
	cfg Config

	mu       sync.Mutex
	cells    map[string]*cell
	catalogs map[string]*attachment // by alias
	closed   bool

	stop    chan struct{} // closed by Close
	watched chan struct{} // closed when watchIdle has ended
}

// Catalog says where a DuckDB file is, what it is called, and which cell it
// belongs to. Catalogs of one cell must agree on Reach.
type Catalog struct {
	Alias string
	Path  string
	Cell  string
	// Reach lists the folders that statements of the cell may read and write.
	Reach []string
	// Small is a cell for short rows and few of them: one thread and little
	// memory, whatever the Config says.
	Small bool
}

// Project returns the catalog of a project's branch. Its statements reach the
// project's own files and nothing else on disk.
func Project(l disk.Layout, project, branch string) Catalog {
	return Catalog{
		Alias: disk.CatalogName(project, branch),
		Path:  l.Catalog(project, branch),
		Cell:  "project_" + project,
		Reach: []string{l.Files(project)},
	}
}

// Open makes an engine. It opens no cell yet.
func Open(cfg Config) *Engine {
	// DuckDB writes results into pipes from threads that Go does not know. A
	// reader that left must be an error of that write, not the end of the process.
	signal.Ignore(syscall.SIGPIPE)
	cfg.Idle, cfg.MaxOpen = cmp.Or(cfg.Idle, defaultIdle), cmp.Or(cfg.MaxOpen, defaultMaxOpen)
	e := &Engine{
		cfg: cfg, cells: map[string]*cell{}, catalogs: map[string]*attachment{},
		stop: make(chan struct{}), watched: make(chan struct{}),
	}
	go e.watchIdle()
	return e
}

// Session opens a connection with the catalog as its default, attaching the
// catalog if need be. The session ends with ctx, with Close, or when the catalog
// is dropped. It returns NotFound if there is no such file.
func (e *Engine) Session(ctx context.Context, cat Catalog) (*Session, error) {
	a, err := e.acquire(ctx, cat, false)
	if err != nil {
		return nil, err
	}
	s, err := newSession(ctx, e, a)
	if err != nil {
		e.release(a)
		return nil, err
	}
	s.release = func() { e.release(a) }
	return s, nil
}

// Create makes the file of a catalog and attaches it. It returns Exists if
// there is a file already.
func (e *Engine) Create(ctx context.Context, cat Catalog) error {
	if _, err := os.Stat(cat.Path); err == nil {
		return sdk.ErrObjectExists.Errorf("catalog %q already has a file", cat.Alias)
	}
	return e.Ensure(ctx, cat)
}

// Ensure makes the file of a catalog unless there is one, and attaches it.
func (e *Engine) Ensure(ctx context.Context, cat Catalog) error {
	a, err := e.acquire(ctx, cat, true)
	if err != nil {
		return err
	}
	e.release(a)
	return disk.SyncDir(filepath.Dir(cat.Path))
}

// Drop ends every session of a catalog, detaches it and removes its file. Nobody
// can attach it meanwhile. A catalog that is not there is fine.
func (e *Engine) Drop(ctx context.Context, cat Catalog) error {
	cause := sdk.ErrNotFound.Errorf("catalog %q was dropped while the request ran", cat.Alias)
	return e.detach(ctx, cat, cause, func() error { return disk.RemoveCatalog(cat.Path) })
}

// Version is the version of DuckDB.
func (e *Engine) Version(ctx context.Context) (string, error) { return libraryVersion(ctx) }

// errShutdown ends or refuses sessions while the service stops.
var errShutdown = sdk.ErrUnavailable.Errorf("the service is shutting down")

// Close waits for the running sessions until ctx ends, then interrupts them,
// checkpoints and closes everything. It may be called twice.
func (e *Engine) Close(ctx context.Context) error {
	e.mu.Lock()
	if !e.closed {
		e.closed = true
		close(e.stop)
	}
	var open []*attachment
	for _, a := range e.catalogs {
		open = append(open, a)
	}
	e.mu.Unlock()
	<-e.watched
	var first error
	for _, a := range open {
		e.waitIdle(ctx, a)
		if err := e.detach(context.WithoutCancel(ctx), a.cat, errShutdown, func() error { return nil }); err != nil && first == nil {
			first = fmt.Errorf("close catalog %s: %w", a.cat.Alias, err)
		}
	}
	return first
}
