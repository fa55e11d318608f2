package process_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/go-hclog"

	"github.com/keboola/duckdb-storage/core/internal/pluginhost/process"
	pluginv1 "github.com/keboola/duckdb-storage/sdk/proto/duckdbstorage/plugin/v1"
)

func TestStart(t *testing.T) {
	t.Parallel()
	begin := time.Now()
	p := start(t, config(t))
	t.Logf("served after %v", time.Since(begin))

	d := p.Description()
	if d.GetName() != "test" || d.GetVersion() != "1.0.0" || len(d.GetCommands()) == 0 {
		t.Errorf("description is %v", d)
	}
	status := p.Status()
	if status.PID == 0 {
		t.Error("no process id")
	}
	status.PID = 0
	if diff := cmp.Diff(process.Status{Name: "test", Version: "1.0.0", State: process.StateRunning}, status); diff != "" {
		t.Error(diff)
	}
	echo(t, p)
}

// A plugin that cannot be started leaves nothing behind, and the error says
// what to do.
func TestStartErrors(t *testing.T) {
	t.Parallel()
	plain := filepath.Join(t.TempDir(), "plain")
	if err := os.WriteFile(plain, []byte("not a program"), 0o600); err != nil {
		t.Fatal(err)
	}
	tests := map[string]struct {
		change func(*process.Config)
		want   []string
	}{
		"missing": {
			func(c *process.Config) { c.Path = "/nowhere/plugin" },
			[]string{"plugin test", "/nowhere/plugin", "no such file", "check the path"},
		},
		"not executable": {
			func(c *process.Config) { c.Path = plain },
			[]string{plain, "permission denied", "chmod +x"},
		},
		"other name": {
			func(c *process.Config) { c.Name = "tables" },
			[]string{"plugin tables", `describes itself as "test"`, "Set the path"},
		},
		"ends at once": {
			func(c *process.Config) { c.Path = filepath.Join(binaries, "crash-at-start") },
			[]string{"crash-at-start", "exit status 3", "\tno licence found", "sdk.Serve"},
		},
		"prints before the handshake": {
			func(c *process.Config) { c.Path = filepath.Join(binaries, "chatty") },
			[]string{"hello", "print nothing to stdout"},
		},
		"other protocol": {
			func(c *process.Config) { c.Path = filepath.Join(binaries, "protocol-two") },
			[]string{"plugin test: it was built for protocol 2, this host speaks 1", "build it with the SDK of this release"},
		},
		"describes itself wrongly": {
			func(c *process.Config) {
				c.Check = func(*pluginv1.DescribeResponse) error { return errors.New("it lies") }
			},
			[]string{"plugin test: it lies"},
		},
		"has no settings": {
			func(c *process.Config) { c.Settings = []byte(`{"a":1}`) },
			[]string{"plugin test: has no settings (change plugins.test.config)"},
		},
		"never serves": {
			func(c *process.Config) {
				c.Path = filepath.Join(binaries, "silent")
				c.StartTimeout = 100 * time.Millisecond
			},
			[]string{"did not serve in time (100ms)", "start timeout"},
		},
		"ends after the handshake": {
			func(c *process.Config) { c.Path = filepath.Join(binaries, "vanishing") },
			[]string{"exit status 4"},
		},
		"serves nothing": {
			func(c *process.Config) {
				c.Path = filepath.Join(binaries, "deaf")
				c.StartTimeout = 100 * time.Millisecond
			},
			[]string{"did not serve in time"},
		},
		"listens elsewhere": {
			func(c *process.Config) { c.Path = filepath.Join(binaries, "elsewhere") },
			[]string{"/elsewhere, not on a unix socket in"},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg := config(t)
			test.change(&cfg)
			p, err := process.Start(t.Context(), cfg)
			if err == nil {
				_ = p.Stop(t.Context())
				t.Fatal("it was started")
			}
			contains(t, err.Error(), test.want...)
			nothingLeft(t, cfg.RuntimeDir)
		})
	}
}

func TestStartIsCancelled(t *testing.T) {
	t.Parallel()
	cfg := config(t)
	cfg.Path = filepath.Join(binaries, "silent")
	ctx, cancel := context.WithCancel(t.Context())
	failed := make(chan error, 1)
	go func() {
		_, err := process.Start(ctx, cfg)
		failed <- err
	}()
	eventually(t, "a socket directory is made", func() bool {
		entries, err := os.ReadDir(cfg.RuntimeDir)
		return err == nil && len(entries) > 0
	})
	cancel()
	if err := <-failed; !errors.Is(err, context.Canceled) {
		t.Errorf("error is %v", err)
	}
	nothingLeft(t, cfg.RuntimeDir)
}

func TestConfigFaultsAreReportedAtOnce(t *testing.T) {
	t.Parallel()
	public := filepath.Join(t.TempDir(), "public")
	if err := os.Mkdir(public, 0o755); err != nil {
		t.Fatal(err)
	}
	_, err := process.Start(t.Context(), process.Config{
		Path: "plugin", RuntimeDir: public, HealthTimeout: -1, CrashLimit: -1,
	})
	if err == nil {
		t.Fatal("it was started")
	}
	contains(t, err.Error(), "name is missing", `absolute, not "plugin"`, "Host is missing", "0700", "HealthTimeout", "CrashLimit")

	_, err = process.Start(t.Context(), process.Config{RuntimeDir: "/" + strings.Repeat("x", 64)})
	contains(t, err.Error(), "64 bytes")
}

func TestOutputReachesTheLog(t *testing.T) {
	t.Parallel()
	var book logbook
	cfg := config(t)
	cfg.Logger = book.logger(hclog.Info)
	p := start(t, cfg)
	if _, err := call[empty](t.Context(), p, "test.Print", empty{}); err != nil {
		t.Fatal(err)
	}
	lines := []string{
		`{"@level":"warn","@message":"a warning","command":"test.Print","request_id":"r1","rows":9007199254740993,"run_id":""}`,
		`{"@level":"info","@message":"printed to stdout"}`,
		`{"@level":"info","@message":"printed to stderr"}`,
		`{"@level":"info","@message":"{\"@message\":1}"}`,
		`{"@level":"error","@message":"late"}`,
		`{"@level":"info","@message":"long long `,
		`{"@level":"info","@message":"all printed"}`,
	}
	for _, line := range lines {
		eventually(t, line, func() bool { return strings.Contains(book.String(), line) })
	}
	if strings.Contains(book.String(), "a detail") {
		t.Error("the plugin logs below the host's level")
	}
	echo(t, p) // and the host has survived all of it
}

// nothingLeft fails the test unless the runtime directory is empty.
func nothingLeft(t testing.TB, dir string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		t.Errorf("%s is left in the runtime directory", e.Name())
	}
}
