// Package engine owns DuckDB. Nothing else imports the driver.
//
// A catalog is one DuckDB file attached under an alias. A cell is one in-memory
// DuckDB instance with catalogs attached; the reach of a name and the damage of
// a fatal error end at the cell. A catalog has a cell of its own, or shares one
// with those that it is linked with ([Engine.Link]). Start with [Open] and
// [Engine.Session].
//
// Promised: one file is attached in one cell, once, for as long as it is open; a
// commit that returned is on disk; a session leaves nothing behind on its
// connection, because connections are never reused (a new one costs 4 µs);
// cancelling a session's context interrupts its statement within milliseconds;
// all open cells together stay within one budget of memory, but for the floor
// that a cell in use gets in any case ([Config]).
//
// Not promised: writes of one catalog must come one at a time, which the queue
// package sees to; a fatal error of DuckDB ends every session of its cell, and
// the next session opens a new one.
package engine

import (
	"cmp"
	"context"
	"errors"
	"os"
	"os/signal"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/keboola/duckdb-storage/core/internal/disk"
	"github.com/keboola/duckdb-storage/sdk"
	"github.com/keboola/duckdb-storage/sdk/sql"
)

// Config says what DuckDB may use.
type Config struct {
	Layout disk.Layout
	Logger hclog.Logger
	// Memory is what all open cells together may use, in bytes; default 1 GiB. A
	// cell in use gets at least 128 MiB of it, one that is merely open at least 16:
	// only these floors may exceed the budget. DuckDB counts its buffers; a result
	// that the driver holds is not among them.
	Memory int64
	// Threads of each cell; 0 is one for each core.
	Threads int
	// Temp is how much each cell may spill to disk, in bytes; 0 is DuckDB's default
	// of 90 % of the free space.
	Temp int64
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

	mu     sync.Mutex
	cells  map[*cell]bool
	homes  map[string]*cell // of each catalog that is open or going away, by alias
	groups groups
	broken map[string]verdict // by alias
	counts Stats              // the counters in it
	// builtin is read by the first statement of a user.
	builtin builtin
	closed  bool

	unbalanced chan struct{}  // wakes balance
	stop       chan struct{}  // closed by Close
	background sync.WaitGroup // watchIdle and balance

	extra []sql.Statement // more settings of each cell that opens; a test has some
}

// Catalog says where a DuckDB file is and what it is called.
type Catalog struct {
	Alias string
	Path  string
	// Reach lists the folders that statements of its cell may read and write.
	Reach []string
	// Small is a catalog of short rows and few of them. It stays open, with one
	// thread and a fixed share of the memory. It cannot be linked.
	Small bool
}

// Project returns the catalog of a project's branch. Its statements reach the
// project's own files and nothing else on disk.
func Project(l disk.Layout, project, branch string) Catalog {
	return Catalog{
		Alias: disk.CatalogName(project, branch),
		Path:  l.Catalog(project, branch),
		Reach: []string{l.Files(project)},
	}
}

// Open makes an engine. It opens no cell yet.
func Open(cfg Config) *Engine {
	// DuckDB writes results into pipes from threads that Go does not know. A
	// reader that left must be an error of that write, not the end of the process.
	signal.Ignore(syscall.SIGPIPE)
	cfg.Memory = cmp.Or(cfg.Memory, defaultMemory)
	cfg.Idle, cfg.MaxOpen = cmp.Or(cfg.Idle, defaultIdle), cmp.Or(cfg.MaxOpen, defaultMaxOpen)
	e := &Engine{
		cfg: cfg, cells: map[*cell]bool{}, homes: map[string]*cell{}, groups: newGroups(), broken: map[string]verdict{},
		unbalanced: make(chan struct{}, 1), stop: make(chan struct{}),
	}
	e.background.Go(e.watchIdle)
	e.background.Go(e.balance)
	return e
}

// Session opens a connection with the catalog as its default, attaching the
// catalog and those of its group if need be. The session ends with ctx, with
// Close, or when the catalog is dropped or moved. It returns NotFound if there is
// no such file. Whoever holds one session and asks for a second one may wait for
// the end of a move, which ends the first.
func (e *Engine) Session(ctx context.Context, cat Catalog) (*Session, error) {
	a, err := e.acquire(ctx, cat, false)
	if err != nil {
		return nil, err
	}
	return newSession(ctx, e, a, func() { e.leave(a.cell) })
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
	e.leave(a.cell)
	return disk.Explain(disk.SyncDir(filepath.Dir(cat.Path)))
}

// Drop ends every session of a catalog, detaches it, removes its file and unlinks
// it. Nobody can attach it meanwhile. Sessions of catalogs that it is linked with
// may end first, for a while; then they end with an error that can be retried. A
// catalog that is not there is fine.
func (e *Engine) Drop(ctx context.Context, cat Catalog) error {
	cells, err := e.claim(ctx, cat)
	if err != nil {
		return err
	}
	dropped := sdk.ErrProjectNotFound.Errorf("the project was dropped while the request ran")
	e.mu.Lock()
	if a := cells[0].attached[cat.Alias]; a != nil {
		a.cancel(dropped)
	}
	e.mu.Unlock()
	return e.empty(ctx, cells, errMoved, func() error {
		e.mu.Lock()
		e.groups.remove(cat.Alias)
		delete(e.broken, cat.Alias)
		e.mu.Unlock()
		return disk.RemoveCatalog(cat.Path)
	})
}

// Reopen closes a catalog with all that share its cell, and forgets that one of
// them could not be opened: the next session opens them anew. Sessions may end
// first, for a while, as with Link.
func (e *Engine) Reopen(ctx context.Context, cat Catalog) error {
	cells, err := e.claim(ctx, cat)
	if err != nil {
		return err
	}
	return e.empty(ctx, cells, errMoved, func() error {
		e.mu.Lock()
		defer e.mu.Unlock()
		for _, member := range e.groups.of(cat) {
			delete(e.broken, member.Alias)
		}
		return nil
	})
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
	var open, going []*cell
	for c := range e.cells {
		if c.gone != nil {
			going = append(going, c)
			continue
		}
		c.gone = make(chan struct{})
		open = append(open, c)
	}
	e.mu.Unlock()
	e.background.Wait()
	var errs []error
	for _, c := range open {
		errs = append(errs, e.emptyWithin(ctx, []*cell{c}, errShutdown, func() error { return nil }))
	}
	for _, c := range going {
		<-c.gone
	}
	return errors.Join(errs...)
}
