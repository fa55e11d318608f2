package process_test

import (
	"bufio"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/keboola/duckdb-storage/core/internal/pluginhost/process"
)

// debugged starts the test plugin as its author does, under a debugger perhaps.
func debugged(t *testing.T) (process.Reattach, *exec.Cmd) {
	t.Helper()
	cmd := exec.Command(filepath.Join(binaries, "test"), "--debug")
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGINT)
		_ = cmd.Wait()
	})
	var file string
	for lines := bufio.NewScanner(out); file == "" && lines.Scan(); {
		_, file, _ = strings.Cut(lines.Text(), "reattach: ")
	}
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var at process.Reattach
	if err := json.Unmarshal(raw, &at); err != nil || at.PID != cmd.Process.Pid {
		t.Fatalf("%s: %v", raw, err)
	}
	return at, cmd
}

// A plugin that runs already is connected to, serves with callbacks, is not watched,
// and is left alive.
func TestReattach(t *testing.T) {
	t.Parallel()
	at, cmd := debugged(t)
	cfg := config(t)
	cfg.Path, cfg.Reattach = "", &at
	cfg.HealthInterval, cfg.HealthTimeout = 10*time.Millisecond, 10*time.Millisecond
	p, err := process.Start(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	echo(t, p)
	if out, err := call[text](t.Context(), p, "test.Ask", text{"SELECT 1"}); err != nil || out.Text != "SELECT 1" {
		t.Errorf("a callback answered %q, %v", out.Text, err)
	}
	// A debugger stops it for longer than a health check takes.
	kill(t, cmd.Process.Pid, syscall.SIGSTOP)
	waited := make(chan struct{})
	time.AfterFunc(100*time.Millisecond, func() { close(waited) })
	<-waited
	kill(t, cmd.Process.Pid, syscall.SIGCONT)
	echo(t, p)
	if s := p.Status(); s.State != process.StateRunning || s.PID != cmd.Process.Pid || s.Restarts != 0 {
		t.Errorf("status is %+v", s)
	}
	if err := p.Stop(t.Context()); err != nil {
		t.Error(err)
	}
	if gone(cmd.Process.Pid) {
		t.Fatal("the process was ended by a host that had not started it")
	}
	nothingLeft(t, cfg.RuntimeDir)
}

// What cannot be connected to says so.
func TestReattachErrors(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		at   process.Reattach
		want []string
	}{
		"nobody there":   {process.Reattach{Protocol: 1, Network: "unix", Address: "/nowhere/socket", PID: 1}, []string{"plugin test", "--debug", "plugins.test.reattach"}},
		"other protocol": {process.Reattach{Protocol: 2, Network: "unix", Address: "/nowhere/socket"}, []string{"built for protocol 2, this host speaks 1"}},
		"other network":  {process.Reattach{Protocol: 1, Network: "tcp", Address: "127.0.0.1:1"}, []string{`network called "tcp"`}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg := config(t)
			cfg.Reattach, cfg.StartTimeout = &test.at, 200*time.Millisecond
			p, err := process.Start(t.Context(), cfg)
			if err == nil {
				_ = p.Stop(t.Context())
				t.Fatal("it was started")
			}
			contains(t, err.Error(), test.want...)
		})
	}
}
