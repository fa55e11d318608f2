package crash_test

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// checkDisk must find what does not belong, or it would find nothing in a crash.
func TestCheckDisk(t *testing.T) {
	t.Parallel()
	sum := sha256.Sum256([]byte("content"))
	good := hex.EncodeToString(sum[:])
	want := map[string]map[string]file{
		"main": {
			"1": {"registered", good}, "2": {"uploaded", good},
			"3": {"prepared", ""}, "4": {"prepared", ""}, "11": {"registered", good},
		},
		"other": nil,
	}
	for _, test := range []struct {
		name  string
		plant func(t *testing.T, dir string)
		want  string // part of the fault; empty for none
	}{
		{"nothing", func(*testing.T, string) {}, ""},
		{"part of an upload", put("files/project_main/staging/.upload-1-77", "con"), ".upload-1-77 is a leftover"},
		{"bytes in staging without a row", put("files/project_main/staging/9-x", "content"), "9-x belongs to no file"},
		{"registered bytes without a row", put("files/project_main/2026/12/31/9-x", "content"), "9-x belongs to no file"},
		{"registered bytes in staging", put("files/project_main/staging/1-x", "content"), "1-x has sha256"},
		{"uploaded bytes registered", put("files/project_main/2026/12/31/2-x", "content"), "2-x has sha256"},
		{"prepared bytes registered", put("files/project_main/2026/12/31/3-x", "content"), "3-x has sha256"},
		{"bytes that are not the row's", put("files/project_main/2026/12/31/1-one", "contenT"), "1-one has sha256"},
		{"half of the bytes", put("files/project_main/staging/2-two", "cont"), "2-two has sha256"},
		{"bytes of another project's file", put("files/project_other/staging/2-two", "content"), "2-two belongs to no file"},
		{"registered bytes that are gone", remove("files/project_main/2026/12/31/1-one"), "the bytes of file 1, which is registered, are missing"},
		{"uploaded bytes that are gone", remove("files/project_main/staging/2-two"), "the bytes of file 2, which is uploaded, are missing"},
		{"a file beside the folders of a project", put("files/project_main/x", ""), "x is a leftover"},
		{"a temporary file", put("metadata/files.duckdb.tmp", ""), "files.duckdb.tmp is a leftover"},
		{"what DuckDB spilled", put("tmp/project_main/duckdb_temp_storage-0.tmp", ""), "duckdb_temp_storage-0.tmp is a leftover"},
		{"a log that is not replayed", put("duckdb/project_main_main.duckdb.wal", ""), ".wal is a leftover"},
		{"a log of the registry", put("metadata/registry.duckdb.wal", ""), ".wal is a leftover"},
		{"a database without a project", put("duckdb/project_x1_main.duckdb", ""), "project_x1_main.duckdb belongs to no project"},
		{"a project without a database", remove("duckdb/project_other_main.duckdb"), "project_other_main.duckdb is missing"},
		{"a folder without a project", folder("files/project_x1/staging"), "files/project_x1/ belongs to no project"},
		{"a project without a folder", remove("files/project_other"), "files/project_other/ is missing"},
		{"sockets of the last run", folder("run/pipes"), "run/ is a leftover"},
		{"a link", link("duckdb/link"), "duckdb/link is a L"},
		{"a registry that is gone", remove("metadata/registry.duckdb"), "registry.duckdb is missing"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			for _, name := range []string{"duckdb", "metadata", "tmp", "files/project_main/staging", "files/project_other/staging", "files/project_main/2026/01/01"} {
				folder(name)(t, dir)
			}
			for _, name := range []string{"lock", "metadata/registry.duckdb", "metadata/files.duckdb", "duckdb/project_main_main.duckdb", "duckdb/project_other_main.duckdb"} {
				put(name, "")(t, dir)
			}
			for _, name := range []string{"2026/12/31/1-one", "2026/12/30/11-eleven", "staging/2-two", "staging/4-four"} {
				put("files/project_main/"+name, "content")(t, dir)
			}
			test.plant(t, dir)
			err := checkDisk(dir, want)
			switch {
			case test.want == "" && err != nil:
				t.Errorf("found what is not there: %v", err)
			case test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)):
				t.Errorf("found %v, want %s", err, test.want)
			}
		})
	}
}

// Of a service that runs, less is a leftover.
func TestCheckRunning(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, name := range fixed {
		if strings.HasSuffix(name, "/") {
			folder(name)(t, dir)
		} else {
			put(name, "")(t, dir)
		}
	}
	for _, name := range []string{"run/pipes/1", "metadata/registry.duckdb.wal", "metadata/files.duckdb.wal"} {
		put(name, "")(t, dir)
	}
	if err := checkRunning(dir, nil); err != nil {
		t.Error(err)
	}
	put("duckdb/project_main_main.duckdb.wal", "")(t, dir)
	if err := checkRunning(dir, nil); err == nil || !strings.Contains(err.Error(), ".wal is a leftover") {
		t.Errorf("the log of a project that is not open: %v", err)
	}
}

func put(name, content string) func(*testing.T, string) {
	return func(t *testing.T, dir string) {
		t.Helper()
		folder(filepath.Dir(name))(t, dir)
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func folder(name string) func(*testing.T, string) {
	return func(t *testing.T, dir string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Join(dir, name), 0o700); err != nil {
			t.Fatal(err)
		}
	}
}

func remove(name string) func(*testing.T, string) {
	return func(t *testing.T, dir string) {
		t.Helper()
		if err := os.RemoveAll(filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
}

func link(name string) func(*testing.T, string) {
	return func(t *testing.T, dir string) {
		t.Helper()
		if err := os.Symlink("../lock", filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
}
