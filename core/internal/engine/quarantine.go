package engine

import (
	"context"
	"errors"
	"os"
	"strings"
	"syscall"

	"github.com/duckdb/duckdb-go/v2"

	"github.com/keboola/duckdb-storage/core/internal/disk"
	"github.com/keboola/duckdb-storage/sdk"
)

// ErrBroken refuses a project whose file cannot be opened. All others are served.
var ErrBroken = sdk.Code{Slug: "catalog-broken", Title: "The database file cannot be opened", Kind: sdk.Unavailable, Driver: 1001}

// verdict is what became of opening a catalog's files as they were. To open a broken
// file again costs time, and may cost the cell that it shares with others; so it is
// not tried before the files change or Reopen asks for it.
type verdict struct {
	files [4]identity
	err   error
}

// identity tells one state of a file from another without opening it. The zero
// value is a file that is not there.
type identity struct {
	inode    uint64
	size     int64
	modified syscall.Timespec
}

func identify(path string) (out [4]identity) {
	for i, name := range disk.CatalogFiles(path) {
		if info, err := os.Stat(name); err == nil {
			stat := info.Sys().(*syscall.Stat_t)
			out[i] = identity{inode: stat.Ino, size: stat.Size, modified: stat.Mtim}
		}
	}
	return out
}

// verdictOn returns the error of the last attempt to open a catalog if its files are
// the same still.
func (e *Engine) verdictOn(cat Catalog) error {
	e.mu.Lock()
	v, ok := e.broken[cat.Alias]
	e.mu.Unlock()
	if ok && v.files == identify(cat.Path) {
		return v.err
	}
	return nil
}

// unopened says of a file why it could not be opened: what passes, such as a full
// disk, or that the file is broken, which only the log explains.
func (e *Engine) unopened(a *attachment, err error) error {
	if isFatal(err) {
		e.condemn(a.cell, err)
		if fatalBefore(err) {
			return errReopened
		}
	}
	e.cfg.Logger.Error("catalog cannot be opened", "catalog", a.cat.Alias, "path", a.cat.Path, "error", err)
	var known *sdk.Error
	if errors.As(classify(context.Background(), err), &known) && known.Retryable {
		return known
	}
	broken := ErrBroken.Errorf("the database file of catalog %s cannot be opened; the log says why; put back a good copy of it and repeat the request", a.cat.Alias)
	if strings.Contains(err.Error(), "database file with version number") {
		broken = ErrBroken.Errorf("the database file of catalog %s was written by a newer version of DuckDB: run a newer release of this service", a.cat.Alias)
	}
	broken.Retryable = false
	e.mu.Lock()
	defer e.mu.Unlock()
	e.broken[a.cat.Alias] = verdict{files: identify(a.cat.Path), err: broken}
	return broken
}

// fatalBefore reports that an error is only the echo of an earlier one in the same
// instance.
func fatalBefore(err error) bool {
	var de *duckdb.Error
	return errors.As(err, &de) && strings.Contains(de.Msg, "previous fatal error")
}
