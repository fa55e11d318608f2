package engine

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/keboola/duckdb-storage/core/internal/disk"
	"github.com/keboola/duckdb-storage/sdk"
	"github.com/keboola/duckdb-storage/sdk/sql"
)

// checkpointWait is how long Copy waits for reads that began before a change and
// have not ended: next to them DuckDB cannot write the log into the file.
const checkpointWait = 10 * time.Second

// Copy copies the file of a catalog, with everything in it, and makes it that of
// another one, which must have no file and no link yet. The caller has the write
// turn of the first: nothing may be written to it meanwhile. Reads go on. A unit that
// stages (ADR 0016) writes without the turn; DuckDB makes no checkpoint beside it,
// and a file that changes while it is copied is noticed: both are errors below.
//
// The copy is on disk when Copy returns, whole or not at all. It takes as long as
// a sync of that many bytes, or next to nothing where the file system can share
// blocks. It returns Exists if the target has a file, NotFound if the source has
// none, Unavailable if reads that began before the last change, or a unit that
// stages, did not end within 10 seconds, and a retryable Conflict if the file
// changed; ctx stops it.
func (e *Engine) Copy(ctx context.Context, from, to Catalog) error {
	e.mu.Lock()
	home := e.homes[from.Alias]
	linked := e.groups.together(from, to) || home != nil && home == e.homes[to.Alias] // or they were
	e.mu.Unlock()
	if linked {
		return sdk.ErrInvalid.Errorf("catalog %q is linked with %q already; link a copy after it is made", to.Alias, from.Alias)
	}
	a, err := e.acquire(ctx, from, false)
	if err != nil {
		return err
	}
	defer e.leave(a.cell)
	// Whatever ends the sessions of the source ends the copy.
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(a.ctx, cancel)()
	cells, err := e.claim(ctx, to)
	if err == nil {
		err = e.empty(ctx, cells, errMoved, func() error { return e.copyFile(ctx, a, to) })
	}
	if err != nil && a.ctx.Err() != nil {
		return context.Cause(a.ctx)
	}
	return err
}

func (e *Engine) copyFile(ctx context.Context, from *attachment, to Catalog) error {
	for _, path := range disk.CatalogFiles(to.Path) {
		if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
			return sdk.ErrObjectExists.Errorf("catalog %q already has a file", to.Alias)
		}
	}
	if err := e.checkpoint(ctx, from); err != nil {
		return err
	}
	path := from.cat.Path
	before := identify(path)
	return classify(ctx, disk.CopyFile(ctx, path, to.Path, func() error {
		if identify(path)[0] != before[0] {
			return sdk.ErrConflict.Errorf("catalog %q changed while it was copied", from.cat.Alias).Retry()
		}
		return nil
	}))
}

// checkpoint writes the log of a catalog into its file.
func (e *Engine) checkpoint(ctx context.Context, a *attachment) error {
	checkpoint := sql.New("CHECKPOINT ?", sql.Name(a.cat.Alias))
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(checkpointWait); ; {
		// Nothing interrupts it: DuckDB never ends a transaction whose commit was.
		_, err := a.cell.db.ExecContext(context.WithoutCancel(ctx), checkpoint.SQL())
		switch {
		case err == nil:
			return nil
		case isFatal(err):
			e.condemn(a.cell, err)
			return errReopened
		case !strings.Contains(err.Error(), "Cannot CHECKPOINT"):
			return classify(ctx, err)
		case time.Now().After(deadline):
			return sdk.ErrUnavailable.Errorf("catalog %q cannot be copied while reads run that began before its last change; repeat the request later", a.cat.Alias)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return classify(ctx, ctx.Err())
		}
	}
}
