package engine

import (
	"context"
	gosql "database/sql"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/duckdb/duckdb-go/v2"
	"github.com/hashicorp/go-hclog"

	"github.com/keboola/duckdb-storage/core/internal/disk"
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

// cell is one in-memory DuckDB instance.
type cell struct {
	name  string
	db    *gosql.DB
	pipes string // folder for result streams
	log   hclog.Logger

	// ddl serialises ATTACH and DETACH: next to a catalog listing they conflict.
	ddl  sync.Mutex
	once sync.Once
	err  error
}

// cell returns the open cell for a catalog, opening it first if need be.
func (e *Engine) cell(ctx context.Context, cat Catalog) (*cell, error) {
	e.mu.Lock()
	c := e.cells[cat.Cell]
	if c == nil {
		c = &cell{name: cat.Cell, pipes: filepath.Join(e.cfg.Layout.Pipes(), cat.Cell), log: e.cfg.Logger}
		e.cells[cat.Cell] = c
	}
	e.mu.Unlock()
	c.once.Do(func() { c.err = c.open(ctx, e.cfg, cat) })
	if c.err != nil {
		e.mu.Lock()
		if e.cells[cat.Cell] == c {
			delete(e.cells, cat.Cell)
		}
		e.mu.Unlock()
	}
	return c, c.err
}

// open starts the instance and locks it down. The order matters: limits,
// autoload off, what may be reached, external access off, configuration locked;
// none of it can be undone from SQL afterwards.
func (c *cell) open(ctx context.Context, cfg Config, cat Catalog) error {
	temp := filepath.Join(cfg.Layout.Temp(), c.name)
	for _, dir := range append([]string{c.pipes, temp}, cat.Reach...) {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return classify(ctx, err)
		}
	}
	connector, err := duckdb.NewConnector("", nil)
	if err != nil {
		return classify(ctx, err)
	}
	c.db = gosql.OpenDB(connector)
	c.db.SetMaxIdleConns(-1)
	settings := []sql.Statement{
		sql.New("SET autoinstall_known_extensions = false"),
		sql.New("SET autoload_known_extensions = false"),
		// Wherever the service runs, a time without a zone is UTC.
		sql.New("SET GLOBAL TimeZone = 'UTC'"),
		sql.New("SET checkpoint_threshold = ?", sql.Literal(checkpointThreshold)),
		sql.New("SET late_materialization_max_rows = ?", sql.Literal(fmt.Sprint(lateRows))),
		sql.New("SET temp_directory = ?", sql.Literal(temp)),
		sql.New("SET allowed_directories = [?]", literals(append([]string{c.pipes}, cat.Reach...))),
		sql.New("SET allowed_paths = [?]", literals(disk.CatalogFiles(cat.Path))),
		sql.New("SET enable_external_access = false"),
		sql.New("SET lock_configuration = true"),
	}
	for _, s := range append(limits(cfg, cat), settings...) {
		if _, err := c.db.ExecContext(ctx, s.SQL()); err != nil {
			c.db.Close()
			return fmt.Errorf("open cell %s: %w", c.name, classify(ctx, err))
		}
	}
	return nil
}

// smallMemory is enough for a registry of a hundred thousand rows.
const smallMemory = "256MB"

func limits(cfg Config, cat Catalog) []sql.Statement {
	memory, threads := cfg.MemoryLimit, cfg.Threads
	if cat.Small {
		memory, threads = smallMemory, 1
	}
	var out []sql.Statement
	if memory != "" {
		out = append(out, sql.New("SET memory_limit = ?", sql.Literal(memory)))
	}
	if threads > 0 {
		out = append(out, sql.New("SET threads = ?", sql.Literal(fmt.Sprint(threads))))
	}
	return out
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
			return classify(ctx, err)
		}
		select {
		case <-ctx.Done():
			return classify(ctx, ctx.Err())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// detach writes the log into the file and lets go of it.
func (c *cell) detach(ctx context.Context, alias string) error {
	c.ddl.Lock()
	defer c.ddl.Unlock()
	if _, err := c.db.ExecContext(ctx, sql.New("CHECKPOINT ?", sql.Name(alias)).SQL()); err != nil {
		// The log stays and is replayed at the next attach: nothing is lost.
		c.log.Warn("the checkpoint at the end failed", "catalog", alias, "error", err)
	}
	_, err := c.db.ExecContext(ctx, sql.New("DETACH ?", sql.Name(alias)).SQL())
	return classify(ctx, err)
}

func (c *cell) close() {
	c.db.Close()
	os.RemoveAll(c.pipes)
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
