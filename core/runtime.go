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
	// runPrefix starts the name of a folder that is not called run.
	runPrefix = "duckdb-run-"
)

// makeRuntimeDir makes the folder of this run, empty and for the owner alone,
// after removing that of an earlier run which was killed. It is run in the data
// directory; where it must be elsewhere, run is a link to it.
func (c *Config) makeRuntimeDir() (string, error) {
	if err := c.removeRuntimeDir(); err != nil {
		return "", err
	}
	run, parent := c.runPath(), c.RuntimeDir
	switch {
	case parent == "" && len(run) <= maxRuntimeDir:
		return run, os.Mkdir(run, 0o700)
	case parent == "":
		parent = os.TempDir()
	case len(parent) > maxRuntimeParent:
		return "", fmt.Errorf("runtime_dir %s is longer than %d bytes; sockets need a shorter one", parent, maxRuntimeParent)
	}
	if err := os.MkdirAll(parent, 0o700); err != nil {
		return "", err
	}
	dir, err := os.MkdirTemp(parent, runPrefix)
	if err != nil {
		return "", err
	}
	return dir, os.Symlink(dir, run)
}

// removeRuntimeDir removes the folder of a run, wherever it is. It may be called
// twice.
func (c *Config) removeRuntimeDir() error {
	run := c.runPath()
	if elsewhere, err := os.Readlink(run); err == nil && strings.HasPrefix(filepath.Base(elsewhere), runPrefix) {
		if err := os.RemoveAll(elsewhere); err != nil {
			return err
		}
	}
	return os.RemoveAll(run)
}

func (c *Config) runPath() string { return filepath.Join(c.DataDir, "run") }
