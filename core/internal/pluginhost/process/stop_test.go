package process_test

import (
	"context"
	"errors"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/keboola/duckdb-storage/core/internal/pluginhost/process"
	"github.com/keboola/duckdb-storage/sdk"
)

func TestStop(t *testing.T) {
	t.Parallel()
	cfg := config(t)
	p := start(t, cfg)
	echo(t, p)
	pid := p.Status().PID

	begin := time.Now()
	var all sync.WaitGroup
	for range 3 {
		all.Go(func() {
			if err := p.Stop(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	t.Logf("stopped after %v", time.Since(begin))
	if err := p.Stop(t.Context()); err != nil {
		t.Error(err)
	}

	if !gone(pid) {
		t.Error("the process is still there")
	}
	nothingLeft(t, cfg.RuntimeDir)
	if s := p.Status(); s.State != process.StateStopped || s.PID != 0 || s.LastError != "" {
		t.Errorf("status is %+v", s)
	}
	_, err := call[text](t.Context(), p, "test.Echo", text{"ping"})
	expect(t, err, sdk.ErrPluginDown, "stopped")
}

// Stop lets a call end that is running, its callbacks included, and refuses
// new ones.
func TestStopDrains(t *testing.T) {
	t.Parallel()
	running, release := make(chan struct{}), make(chan struct{})
	cfg := config(t)
	cfg.Host = host{query: func(context.Context, string) (string, error) {
		close(running)
		<-release
		return "done", nil
	}}
	p := start(t, cfg)
	answered := make(chan error, 1)
	go func() {
		out, err := call[text](t.Context(), p, "test.Ask", text{"SELECT 1"})
		if err == nil && out.Text != "done" {
			err = errors.New("answer is " + out.Text)
		}
		answered <- err
	}()
	<-running
	stopped := make(chan error, 1)
	go func() { stopped <- p.Stop(context.Background()) }()
	eventually(t, "new calls are refused", func() bool {
		_, err := call[text](t.Context(), p, "test.Echo", text{"ping"})
		return errors.Is(err, sdk.ErrPluginDown)
	})
	select {
	case err := <-stopped:
		t.Fatalf("Stop did not wait: %v", err)
	default:
	}
	close(release)
	if err := <-answered; err != nil {
		t.Error(err)
	}
	if err := <-stopped; err != nil {
		t.Error(err)
	}
}

// Service managers send SIGTERM to plugins before the host has drained.
func TestTerminationIsTheHostsBusiness(t *testing.T) {
	t.Parallel()
	p := start(t, config(t))
	kill(t, p.Status().PID, syscall.SIGTERM)
	kill(t, p.Status().PID, syscall.SIGINT)
	for range 10 {
		echo(t, p)
	}
	if s := p.Status(); s.Restarts != 0 || s.LastError != "" {
		t.Errorf("status is %+v", s)
	}
}

// Whatever the plugin does, Stop ends it soon after its context.
func TestStopIsBounded(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		command string
		signal  syscall.Signal
	}{
		"a call that never ends":                  {"test.Hang", 0},
		"a call that ignores its context":         {"test.Stuck", 0},
		"a process that does not answer":          {"test.Hang", syscall.SIGSTOP},
		"a process that ends while it is drained": {"test.Hang", syscall.SIGKILL},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg := config(t)
			cfg.KillTimeout = 100 * time.Millisecond
			p := start(t, cfg)
			pid := p.Status().PID
			failed := make(chan error, 1)
			go func() {
				_, err := call[empty](context.Background(), p, test.command, empty{})
				failed <- err
			}()
			echo(t, p)
			if test.signal != 0 {
				kill(t, pid, test.signal)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
			defer cancel()
			begin := time.Now()
			_ = p.Stop(ctx)
			t.Logf("stopped after %v", time.Since(begin))
			err := <-failed
			if !errors.Is(err, sdk.ErrPluginDied) && !errors.Is(err, sdk.ErrPluginDown) {
				t.Errorf("the call ended with %v", err)
			}
			if !gone(pid) {
				t.Error("the process is still there")
			}
			nothingLeft(t, cfg.RuntimeDir)
		})
	}
}

func TestStopSaysThatItAborted(t *testing.T) {
	t.Parallel()
	p, failed, callbackEnded := asking(t, func(*process.Config) {})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err := p.Stop(ctx)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("Stop returned %v", err)
	}
	expect(t, <-failed, sdk.ErrPluginDied)
	select {
	case <-callbackEnded:
	default:
		t.Error("Stop returned before the last callback had ended")
	}
	if again := p.Stop(t.Context()); !errors.Is(again, context.Canceled) {
		t.Errorf("the second Stop returned %v", again)
	}
}
