package core_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/keboola/duckdb-storage/core"
)

func configFile(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "config.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// Each place overrides the one before it: default, file, environment, flag.
func TestConfigPrecedence(t *testing.T) {
	file := configFile(t, "data_dir: /from/file\nlog_level: warn\nqueue:\n  length: 7\nplugins:\n  files:\n    enabled: false\n")
	t.Setenv("DUCKDB_STORAGE_LOG_LEVEL", "error")
	t.Setenv("DUCKDB_STORAGE_QUEUE__WAIT", "3s")
	t.Setenv("DUCKDB_STORAGE_LISTEN", "127.0.0.1:1")
	got, err := core.LoadConfig([]string{file}, map[string]any{"listen": "127.0.0.1:2"})
	if err != nil {
		t.Fatal(err)
	}
	off := false
	want := core.Config{
		Listen: "127.0.0.1:2", DataDir: "/from/file", LogLevel: "error", ShutdownTimeout: 30 * time.Second,
		HTTP:    core.HTTPConfig{WriteTimeout: time.Minute},
		Engine:  core.EngineConfig{Idle: 10 * time.Minute, MaxOpen: 100},
		Queue:   core.QueueConfig{Length: 7, Wait: 3 * time.Second},
		Jobs:    core.JobsConfig{Waiting: 10000, Keep: 168 * time.Hour},
		Audit:   core.AuditConfig{Keep: 2160 * time.Hour},
		Plugins: map[string]core.PluginConfig{"files": {Enabled: &off}},
	}
	if want.PluginDir, err = filepath.Abs("bin/plugins"); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got, cmpopts.IgnoreUnexported(core.Config{})); diff != "" {
		t.Error(diff)
	}
}

func TestConfigDefaultsAreValid(t *testing.T) {
	t.Parallel()
	if _, err := core.LoadConfig(nil, nil); err != nil {
		t.Error(err)
	}
}

func TestConfigFaults(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ name, file, want string }{
		{"unknown setting", "datadir: /x", "unknown setting datadir"},
		{"unknown setting below", "queue:\n  size: 1", "unknown setting queue.size"},
		{"wrong type", "queue:\n  length: many", "length"},
		{"wrong duration", "queue:\n  wait: soon", "queue.wait"},
		{"no YAML", "a: [", "read the config file"},
		{"guessable key", "admin_key: secret", "admin_key must have at least 16 characters"},
		{"log level", "log_level: loud", `log_level "loud"`},
		{"queue", "queue:\n  length: 0", "queue.length and queue.wait must be positive"},
		{"memory", "engine:\n  memory_limit: 80%", "engine.memory_limit \"80%\""},
		{"memory without a unit", "engine:\n  memory_limit: 1000", "engine.memory_limit \"1000\""},
		{"too little memory", "engine:\n  memory_limit: 255MiB", "engine.memory_limit \"255MiB\" is less than 256MiB"},
		{"spill", "engine:\n  temp_limit: much", "engine.temp_limit \"much\""},
		{"idle", "engine:\n  idle: 0s", "engine.idle and engine.max_open"},
		{"max open", "engine:\n  max_open: 0", "engine.idle and engine.max_open"},
		{"threads", "engine:\n  threads: -1", "engine.threads"},
		{"streams", "engine:\n  max_streams: -1", "engine.max_streams"},
		{"write timeout", "http:\n  write_timeout: 0s", "http.write_timeout"},
		{"audit", "audit:\n  keep: 59m", "audit.keep 59m0s is less than an hour"},
		{"shutdown", "shutdown_timeout: 0s", "shutdown_timeout"},
		{"data directory", "data_dir: ''", "data_dir must not be empty"},
		{"every fault at once", "log_level: loud\nshutdown_timeout: 0s", "shutdown_timeout must be positive"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			_, err := core.LoadConfig([]string{configFile(t, tc.file)}, nil)
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want %q", err, tc.want)
			}
		})
	}
	if _, err := core.LoadConfig([]string{"/does/not/exist"}, nil); err == nil {
		t.Error("a config file that does not exist is taken")
	}
}
