package core

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// shortDir is a folder whose path leaves room for sockets; that of t.TempDir may not.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "ds")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

func TestRuntimeDir(t *testing.T) {
	t.Parallel()
	long := filepath.Join(shortDir(t), strings.Repeat("long", 20))
	if err := os.Mkdir(long, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name   string
		cfg    Config
		parent string
	}{
		{"in the data directory", Config{DataDir: shortDir(t)}, ""},
		{"configured", Config{DataDir: shortDir(t), RuntimeDir: shortDir(t)}, "runtime_dir"},
		{"data directory too long", Config{DataDir: long}, os.TempDir()},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			switch tc.parent {
			case "":
				tc.parent = tc.cfg.DataDir
			case "runtime_dir":
				tc.parent = tc.cfg.RuntimeDir
			}
			killed, err := tc.cfg.makeRuntimeDir()
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(killed, "socket"), nil, 0o600); err != nil {
				t.Fatal(err)
			}
			// A kill leaves it; the next run removes it and has its own.
			next, err := tc.cfg.makeRuntimeDir()
			if err != nil {
				t.Fatal(err)
			}
			if filepath.Dir(next) != tc.parent || len(next) > maxRuntimeDir {
				t.Errorf("the folder is %s, want one in %s", next, tc.parent)
			}
			if info, err := os.Stat(next); err != nil || info.Mode().Perm() != 0o700 {
				t.Errorf("the folder has %v, %v", info.Mode(), err)
			}
			if exists(filepath.Join(next, "socket")) || next != killed && exists(killed) {
				t.Error("the folder of the killed run is still there")
			}
			for range 2 {
				if err := tc.cfg.removeRuntimeDir(); err != nil {
					t.Fatal(err)
				}
			}
			if exists(next) || exists(tc.cfg.runPath()) {
				t.Error("the folder is there after the end")
			}
		})
	}
}

// Whatever an operator keeps beside the service's folder, or put in place of the
// link, is not the service's to remove.
func TestRuntimeDirLeavesOthersAlone(t *testing.T) {
	t.Parallel()
	cfg := Config{DataDir: shortDir(t), RuntimeDir: shortDir(t)}
	precious := filepath.Join(cfg.RuntimeDir, "precious")
	if err := os.WriteFile(precious, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(cfg.RuntimeDir, cfg.runPath()); err != nil {
		t.Fatal(err)
	}
	if _, err := cfg.makeRuntimeDir(); err != nil {
		t.Fatal(err)
	}
	if err := cfg.removeRuntimeDir(); err != nil {
		t.Fatal(err)
	}
	if !exists(precious) {
		t.Error("a file that the service did not make is gone")
	}
}

func TestRuntimeDirTooLong(t *testing.T) {
	t.Parallel()
	cfg := Config{DataDir: shortDir(t), RuntimeDir: "/tmp/" + strings.Repeat("x", maxRuntimeParent)}
	if _, err := cfg.makeRuntimeDir(); err == nil || !strings.Contains(err.Error(), "sockets need a shorter one") {
		t.Errorf("got %v", err)
	}
}
