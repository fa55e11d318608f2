package registry

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/keboola/duckdb-storage/core/internal/disk"
)

// maxInRow is what a row holds of bytes whose length clients decide; longer ones lie
// in a file.
//
// From 4096 bytes on DuckDB keeps a value in blocks of its own. Those wait in memory
// for a checkpoint, never spill, and the checkpoint holds all of up to 2048 rows at
// once: with 60 values of 1 MiB the registry could neither commit nor checkpoint,
// which invalidates the database (measured, 1.5.6, 64 MiB). 30 000 of 4000 bytes took
// no more than its share.
const maxInRow = 4000

// longs keeps the long values of a registry's rows, each in a file with the name of
// its row's key, in a folder that the first one makes. The file is durable before the
// row is, and removed after it.
type longs struct {
	parent, folder string
}

func (l longs) path(name string) string { return filepath.Join(l.parent, l.folder, name) }

// put makes a value durable, in place of an older one of that name. Its time is that
// of the row.
func (l longs) put(name string, value []byte, at time.Time) error {
	err := disk.MkdirBelow(l.parent, l.folder)
	if err == nil {
		err = disk.Write(l.path(name), value, at)
	}
	return disk.Explain(err)
}

// get reads a value; nil is one that is not there.
func (l longs) get(name string) ([]byte, error) {
	value, err := os.ReadFile(l.path(name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return value, disk.Explain(err)
}

// forget removes the values from before a time, and what a crash left of their like.
func (l longs) forget(before time.Time) error {
	entries, err := os.ReadDir(l.path(""))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return disk.Explain(err)
	}
	for _, e := range entries {
		info, err := e.Info()
		if errors.Is(err, fs.ErrNotExist) {
			continue // it was written, and has its name now
		}
		if err == nil && info.ModTime().Before(before) {
			err = os.Remove(l.path(e.Name()))
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return disk.Explain(err)
		}
	}
	return nil
}
