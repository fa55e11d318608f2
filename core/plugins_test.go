package core_test

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/keboola/duckdb-storage/core"
)

// What the plugin itself is set to may come as an object from the file or as a text
// from the environment, and its names are the plugin's own.
func TestPluginSettings(t *testing.T) {
	first := configFile(t, `
plugins:
  sample:
    path: plugins/sample
    config: {"a.b": {limit: 5, Names: [x, y]}, big: 9007199254740993}
    grants: [sql:read, tables:write, keys:admin]
    routes: ["{catalog}/reports", /reports]
  other:
    config: '{"a": 1}'
`)
	lock := configFile(t, `
plugins:
  sample:
    sha256: `+strings.Repeat("0a", 32)+`
  other:
    config: {b: 2}
`)
	t.Setenv("DUCKDB_STORAGE_PLUGINS__BY_ENV__CONFIG", `{"a": [1, 2], "text": "x,y"}`)
	t.Setenv("DUCKDB_STORAGE_PLUGINS__BY_ENV__GRANTS", "sql:read, files:write")
	t.Setenv("DUCKDB_STORAGE_PLUGINS__BY_ENV__ENABLED", "false")
	t.Setenv("DUCKDB_STORAGE_PLUGINS__BY_ENV__ROUTES", "/a,{catalog}/b")
	got, err := core.LoadConfig([]string{first, lock}, nil)
	if err != nil {
		t.Fatal(err)
	}
	path, err := filepath.Abs("plugins/sample")
	if err != nil {
		t.Fatal(err)
	}
	off := false
	want := map[string]core.PluginConfig{
		"sample": {
			Path: path, SHA256: strings.Repeat("0a", 32), Config: `{"a.b":{"Names":["x","y"],"limit":5},"big":9007199254740993}`,
			Grants: []string{"sql:read", "tables:write", "keys:admin"}, Routes: []string{"{catalog}/reports", "/reports"},
		},
		"other": {Config: `{"b":2}`},
		"by-env": {
			Enabled: &off, Config: `{"a": [1, 2], "text": "x,y"}`,
			Grants: []string{"sql:read", "files:write"}, Routes: []string{"/a", "{catalog}/b"},
		},
	}
	if diff := cmp.Diff(want, got.Plugins); diff != "" {
		t.Error(diff)
	}
}

// Every fault is reported at once, with the name of its setting.
func TestPluginSettingsRefused(t *testing.T) {
	t.Parallel()
	_, err := core.LoadConfig([]string{configFile(t, `
plugins:
  Bad_Name: {}
  short: {sha256: abc}
  text: {config: 'no JSON'}
  list: {config: [1]}
  nothing: {config: 'null'}
  grant: {grants: [sql, "tables:drop", "*"]}
  route: {routes: [reports, "{project}/x", "{catalog}"]}
  typo: {grant: [x]}
`)}, nil)
	if err == nil || !strings.Contains(err.Error(), "unknown setting plugins[typo].grant") {
		t.Errorf("a typo: %v", err)
	}
	_, err = core.LoadConfig([]string{configFile(t, `
plugins:
  Bad_Name: {}
  short: {sha256: abc}
  text: {config: 'no JSON'}
  list: {config: [1]}
  nothing: {config: 'null'}
  grant: {grants: [sql, "tables:drop", "*"]}
  route: {routes: [reports, "{project}/x", "{catalog}"]}
`)}, nil)
	if err == nil {
		t.Fatal("it is taken")
	}
	want := []string{
		"plugins.Bad_Name is no name", `plugins.short.sha256 "abc"`, "plugins.text.config must be an object", "plugins.list.config must be an object",
		"plugins.nothing.config must be an object", `plugins.grant.grants "sql"`, `plugins.grant.grants "tables:drop"`,
		`plugins.route.routes "reports"`, `plugins.route.routes "{project}/x"`,
	}
	lines := strings.Split(err.Error(), "\n")
	if len(lines) != len(want) {
		t.Errorf("got %d faults, want %d: %v", len(lines), len(want), err)
	}
	for _, w := range want {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("%q is missing in: %v", w, err)
		}
	}
}
