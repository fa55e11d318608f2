package engine

import (
	"context"
	gosql "database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/duckdb/duckdb-go/v2"
	"github.com/hashicorp/go-hclog"

	"github.com/keboola/duckdb-storage/core/internal/disk"
	"github.com/keboola/duckdb-storage/core/internal/gate"
	"github.com/keboola/duckdb-storage/sdk/sql"
)

const (
	// storageVersion and blockSize are pinned: against the defaults they make a
	// file of 5000 small tables 5 times smaller and re-open it 17 times faster
	// (measured, DuckDB 1.5.6).
	storageVersion = "v1.5.0"
	blockSize      = 65536
	// checkpointThreshold keeps checkpoints, which cost time in proportion to
	// the number of tables, away from single requests.
	checkpointThreshold = "256MB"
	// lateRows is the largest LIMIT for which DuckDB fetches columns late. With its
	// default of 50 the LIMIT 100 of a preview plans a join of row ids and a sort,
	// and takes twice as long (measured, DuckDB 1.5.6).
	lateRows = 1000
)

// cell is one in-memory DuckDB instance. What it may reach is fixed when it opens,
// and so are its members: a change of either needs a new cell.
type cell struct {
	members []Catalog // by alias
	pipes   string    // folder for result streams
	temp    string    // folder where it spills
	log     hclog.Logger

	once sync.Once
	err  error     // of opening the instance
	db   *gosql.DB // nil before and after an open instance

	// ddl serialises ATTACH and DETACH: next to a catalog listing they conflict.
	ddl sync.Mutex
	// settings serialises changes of the memory limit with the end of the instance.
	settings sync.Mutex

	writes atomic.Uint64 // see Relieve
	epoch  atomic.Uint64 // see Session.Epoch

	// Guarded by Engine.mu.
	attached map[string]*attachment // by alias; those that are being attached too
	ready    int                    // of them are attached
	refs     int                    // sessions, and requests for one
	used     time.Time              // when refs last became 0
	idle     []chan struct{}        // closed when refs reaches 0
	gone     chan struct{}          // not nil once it is going away; closed when it is gone
	end      error                  // why its sessions end, once they do
	share                           // of the memory
}

func newCell(cfg Config, members []Catalog) *cell {
	name := members[0].Alias
	return &cell{
		members: members, attached: map[string]*attachment{}, log: cfg.Logger,
		pipes: filepath.Join(cfg.Layout.Pipes(), name), temp: filepath.Join(cfg.Layout.Temp(), name),
	}
}

// small reports whether the cell is one of a small catalog, which is in no group.
func (c *cell) small() bool { return c.members[0].Small }

// open starts the instance and locks it down. The order matters: limits,
// autoload off, what may be reached, external access off, configuration locked;
// none of it can be undone from SQL afterwards. A few settings may change after the
// lock, which a user's statement cannot do ([Session.Inspect]).
func (c *cell) open(ctx context.Context, cfg Config, memory int64, extra []sql.Statement) error {
	reach := []string{c.pipes}
	var files []string
	for _, m := range c.members {
		reach = append(reach, m.Reach...)
		files = append(files, disk.CatalogFiles(m.Path)...)
	}
	for _, dir := range append([]string{c.temp}, reach...) {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return classify(ctx, err)
		}
	}
	connector, err := duckdb.NewConnector("", nil)
	if err != nil {
		return classify(ctx, err)
	}
	db := gosql.OpenDB(connector)
	db.SetMaxIdleConns(-1)
	settings := append(append(c.limits(cfg, memory), extra...),
		sql.New("SET autoinstall_known_extensions = false"),
		sql.New("SET autoload_known_extensions = false"),
		// Wherever the service runs, a time without a zone is UTC.
		sql.New("SET GLOBAL TimeZone = 'UTC'"),
		sql.New("SET checkpoint_threshold = ?", sql.Literal(checkpointThreshold)),
		sql.New("SET late_materialization_max_rows = ?", sql.Literal(fmt.Sprint(lateRows))),
		sql.New("SET temp_directory = ?", sql.Literal(c.temp)),
		sql.New("SET allowed_directories = [?]", literals(reach)),
		sql.New("SET allowed_paths = [?]", literals(files)),
		sql.New("SET enable_external_access = false"),
		// For the division of the memory, for Session.Unordered, for Progress.
		sql.New("SET allowed_configs = ['memory_limit', 'preserve_insertion_order', 'enable_progress_bar', 'enable_progress_bar_print']"),
		// The plan as it is before it is optimised names all that a statement reads.
		sql.New("SET GLOBAL explain_output = 'all'"),
		sql.New("SET lock_configuration = true"),
	)
	if !c.small() {
		settings = append(settings, gate.Views()...)
	}
	for _, s := range settings {
		if _, err := db.ExecContext(ctx, s.SQL()); err != nil {
			db.Close()
			return fmt.Errorf("open cell %s: %w", c.members[0].Alias, classify(ctx, err))
		}
	}
	c.db = db
	return nil
}

func (c *cell) limits(cfg Config, memory int64) []sql.Statement {
	out := []sql.Statement{setMemory(memory)}
	threads := cfg.Threads
	if c.small() {
		threads = 1
	}
	if threads > 0 {
		out = append(out, sql.New("SET threads = ?", sql.Literal(fmt.Sprint(threads))))
	}
	if cfg.Temp > 0 {
		out = append(out, sql.New("SET max_temp_directory_size = ?", sql.Literal(fmt.Sprintf("%dB", cfg.Temp))))
	}
	return out
}

func setMemory(bytes int64) sql.Statement {
	return sql.New("SET memory_limit = ?", sql.Literal(fmt.Sprintf("%dB", bytes)))
}

// errClosed says that the instance is gone, so that its limit does not matter.
var errClosed = errors.New("the cell is closed")

// setLimit changes the memory limit of the open instance. DuckDB frees what is over it
// first, which takes seconds when a statement has to spill (measured), and refuses
// when that memory is in use.
func (c *cell) setLimit(before, bytes int64) error {
	c.settings.Lock()
	defer c.settings.Unlock()
	if c.db == nil {
		return errClosed
	}
	_, err := c.db.ExecContext(context.Background(), setMemory(bytes).SQL())
	if err == nil {
		return nil
	}
	// DuckDB 1.5.6 keeps the old limit then and shows the new one (measured).
	_, undone := c.db.ExecContext(context.Background(), setMemory(before).SQL())
	return errors.Join(err, undone)
}

func (c *cell) attach(ctx context.Context, cat Catalog) error {
	c.ddl.Lock()
	defer c.ddl.Unlock()
	attach := sql.New("ATTACH ? AS ? (STORAGE_VERSION ?, BLOCK_SIZE ?)", sql.Literal(cat.Path), sql.Name(cat.Alias),
		sql.Literal(storageVersion), sql.Literal(fmt.Sprint(blockSize)))
	// A listing that still holds a catalog that was just detached makes ATTACH
	// conflict for a moment (measured: up to a second).
	var err error
	for deadline := time.Now().Add(time.Second); ; {
		if _, err = c.db.ExecContext(ctx, attach.SQL()); err == nil {
			return nil
		}
		if !strings.Contains(err.Error(), "onflict") || time.Now().After(deadline) {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// detach writes the log into the file and lets go of it.
func (c *cell) detach(alias string) error {
	c.ddl.Lock()
	defer c.ddl.Unlock()
	ctx := context.Background()
	if _, err := c.db.ExecContext(ctx, sql.New("CHECKPOINT ?", sql.Name(alias)).SQL()); err != nil {
		// The log stays and is replayed at the next attach: nothing is lost.
		c.log.Warn("the checkpoint at the end failed", "catalog", alias, "error", err)
	}
	_, err := c.db.ExecContext(ctx, sql.New("DETACH ?", sql.Name(alias)).SQL())
	return classify(ctx, err)
}

// close ends the instance, if it is open, and removes its folders.
func (c *cell) close() {
	c.settings.Lock()
	defer c.settings.Unlock()
	if c.db == nil {
		return
	}
	c.db.Close()
	c.db = nil
	os.RemoveAll(c.pipes)
	os.RemoveAll(c.temp)
}

func literals(texts []string) []sql.Statement {
	out := make([]sql.Statement, len(texts))
	for i, t := range texts {
		out[i] = sql.New("?", sql.Literal(t))
	}
	return out
}

func libraryVersion(ctx context.Context) (string, error) {
	connector, err := duckdb.NewConnector("", nil)
	if err != nil {
		return "", err
	}
	db := gosql.OpenDB(connector)
	defer db.Close()
	var v string
	err = db.QueryRowContext(ctx, "SELECT version()").Scan(&v)
	return v, err
}
