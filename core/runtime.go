package core

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

const (
	// maxRuntimeDir is the longest folder of a run in which sockets fit.
	maxRuntimeDir = 64
	// maxRuntimeParent leaves room for the name of the folder of a run.
	maxRuntimeParent = 48
	// runPrefix and tempPrefix start the names of folders that are not in the data
	// directory.
	runPrefix  = "duckdb-run-"
	tempPrefix = "duckdb-tmp-"
)

// place is a folder of one run. It is in the data directory or, where it must be
// elsewhere, a private folder there to which its name in the data directory links.
type place struct {
	path   string // in the data directory
	prefix string // of the name elsewhere
}

// make makes the folder, empty and for the owner alone, after removing that of an
// earlier run which was killed. Without a parent it is in the data directory.
func (p place) make(parent string) (string, error) {
	if err := p.remove(); err != nil {
		return "", err
	}
	if parent == "" {
		return p.path, os.Mkdir(p.path, 0o700)
	}
	if err := os.MkdirAll(parent, 0o700); err != nil {
		return "", err
	}
	dir, err := os.MkdirTemp(parent, p.prefix)
	if err != nil {
		return "", err
	}
	return dir, os.Symlink(dir, p.path)
}

// remove removes the folder, wherever it is, and nothing else that a link may lead
// to. It may be called twice.
func (p place) remove() error {
	if elsewhere, err := os.Readlink(p.path); err == nil && strings.HasPrefix(filepath.Base(elsewhere), p.prefix) {
		if err := os.RemoveAll(elsewhere); err != nil {
			return err
		}
	}
	return os.RemoveAll(p.path)
}

// makeRuntimeDir makes the folder of this run for sockets and pipes.
func (c *Config) makeRuntimeDir() (string, error) {
	parent, err := c.runtimeParent()
	if err != nil {
		return "", err
	}
	return c.runPlace().make(parent)
}

// runtimeParent is the folder that takes that of this run; empty is the data directory.
func (c *Config) runtimeParent() (string, error) {
	switch {
	case c.RuntimeDir == "" && len(c.runPlace().path) > maxRuntimeDir:
		return os.TempDir(), nil
	case len(c.RuntimeDir) > maxRuntimeParent:
		return "", fmt.Errorf("runtime_dir %s is longer than %d bytes; sockets need a shorter one", c.RuntimeDir, maxRuntimeParent)
	}
	return c.RuntimeDir, nil
}

func (c *Config) runPlace() place { return place{filepath.Join(c.DataDir, "run"), runPrefix} }

// tempPlace is where DuckDB spills; disk.Layout knows it by its path.
func (c *Config) tempPlace() place { return place{filepath.Join(c.DataDir, "tmp"), tempPrefix} }
