package core

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/keboola/duckdb-storage/core/internal/disk"
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
				if err := tc.cfg.runPlace().remove(); err != nil {
					t.Fatal(err)
				}
			}
			if exists(next) || exists(tc.cfg.runPlace().path) {
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
	if err := os.Symlink(cfg.RuntimeDir, cfg.runPlace().path); err != nil {
		t.Fatal(err)
	}
	if _, err := cfg.makeRuntimeDir(); err != nil {
		t.Fatal(err)
	}
	if err := cfg.runPlace().remove(); err != nil {
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

// What DuckDB spills can be elsewhere. A kill leaves the folder there; the next run
// removes it, also if the setting has changed meanwhile, and nothing beside it.
func TestTempDir(t *testing.T) {
	t.Parallel()
	cfg, elsewhere := Config{DataDir: shortDir(t)}, shortDir(t)
	precious := filepath.Join(elsewhere, "precious")
	if err := os.WriteFile(precious, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	before := ""
	for _, parent := range []string{elsewhere, elsewhere, "", "", elsewhere} {
		dir, err := cfg.tempPlace().make(parent)
		if err != nil {
			t.Fatal(err)
		}
		if want := parent; want != "" && filepath.Dir(dir) != want {
			t.Errorf("the folder is %s, want one in %s", dir, want)
		}
		if filepath.Dir(before) == elsewhere && exists(before) {
			t.Errorf("the folder %s of the killed run is still there", before)
		}
		// As the engine does: it knows the path in the data directory alone.
		if err := (disk.Layout{Root: cfg.DataDir, Runtime: dir}).Open(); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(cfg.tempPlace().path, "spill"), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if !exists(filepath.Join(dir, "spill")) {
			t.Errorf("%s does not lead to %s", cfg.tempPlace().path, dir)
		}
		before = dir
	}
	if err := cfg.tempPlace().remove(); err != nil {
		t.Fatal(err)
	}
	if exists(before) || exists(cfg.tempPlace().path) || !exists(precious) {
		t.Error("the folder is there after the end, or what was beside it is gone")
	}
	if left, err := os.ReadDir(elsewhere); err != nil || len(left) != 1 {
		t.Errorf("left: %v, %v", left, err)
	}
}
