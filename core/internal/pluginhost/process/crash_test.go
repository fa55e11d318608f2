package process_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/keboola/duckdb-storage/core/internal/pluginhost/process"
	"github.com/keboola/duckdb-storage/sdk"
)

// asking starts a call that is inside a callback when asking returns. The
// callback ends with its context.
func asking(t *testing.T, change func(*process.Config)) (p *process.Process, failed <-chan error, callbackEnded <-chan struct{}) {
	t.Helper()
	running, ended := make(chan struct{}), make(chan struct{})
	cfg := config(t)
	cfg.Host = host{query: func(ctx context.Context, _ string) (string, error) {
		close(running)
		<-ctx.Done()
		close(ended)
		return "", ctx.Err()
	}}
	change(&cfg)
	p = start(t, cfg)
	result := make(chan error, 1)
	go func() {
		_, err := call[text](context.Background(), p, "test.Ask", text{"SELECT 1"})
		result <- err
	}()
	<-running
	return p, result, ended
}

func TestKilledDuringACall(t *testing.T) {
	t.Parallel()
	p, failed, callbackEnded := asking(t, func(*process.Config) {})
	first := p.Status().PID

	begin := time.Now()
	kill(t, first, syscall.SIGKILL)
	err := <-failed
	after := time.Since(begin)
	echo(t, p)
	t.Logf("the call failed after %v, the next was served after %v", after, time.Since(begin))
	expect(t, err, sdk.ErrPluginDied, "signal: killed", "test.Ask")
	<-callbackEnded

	s := p.Status()
	if s.State != process.StateRunning || s.PID == first || s.Restarts != 1 {
		t.Errorf("status is %+v", s)
	}
	contains(t, s.LastError, "ended by itself: signal: killed")
}

// However many callers there are when the process dies, each call either is
// answered or says that the plugin died, and all are served in the end.
func TestCallersDuringCrashes(t *testing.T) {
	t.Parallel()
	const crashes = 4
	cfg := config(t)
	cfg.CrashLimit = crashes + 1
	p := start(t, cfg)
	enough, stop := context.WithCancel(t.Context())
	defer stop()
	var callers sync.WaitGroup
	var answered, died atomic.Int64
	for range 8 {
		callers.Go(func() {
			for enough.Err() == nil {
				_, err := call[text](t.Context(), p, "test.Ask", text{"SELECT 1"})
				switch {
				case err == nil:
					answered.Add(1)
				case errors.Is(err, sdk.ErrPluginDied):
					died.Add(1)
				default:
					t.Errorf("a call failed with %v", err)
				}
			}
		})
	}
	for i := range crashes {
		before := answered.Load()
		eventually(t, "calls are answered", func() bool { return answered.Load() > before+8 })
		kill(t, p.Status().PID, syscall.SIGKILL)
		eventually(t, "the plugin is back", func() bool { return p.Status().Restarts == i+1 })
	}
	stop()
	callers.Wait()
	t.Logf("%d calls were answered, %d died", answered.Load(), died.Load())
	echo(t, p)
}

// The report of a crash holds what the Go runtime had to say.
func TestCrashReport(t *testing.T) {
	t.Parallel()
	p := start(t, config(t))
	_, err := call[empty](t.Context(), p, "test.Crash", text{"boom in a goroutine"})
	expect(t, err, sdk.ErrPluginDied, "exit status 2")
	echo(t, p)
	contains(t, p.Status().LastError, "exit status 2", "panic: ", "boom in a goroutine", "main.crash")
}

// A process that is alive and does not answer is killed and replaced; its calls
// fail as if it had died.
func TestHungProcess(t *testing.T) {
	t.Parallel()
	p, failed, _ := asking(t, func(c *process.Config) {
		c.HealthInterval = 50 * time.Millisecond
		c.HealthTimeout = time.Second
	})
	first := p.Status().PID
	kill(t, first, syscall.SIGSTOP)
	expect(t, <-failed, sdk.ErrPluginDied)
	echo(t, p)
	if s := p.Status(); s.PID == first || s.Restarts == 0 {
		t.Errorf("status is %+v", s)
	}
	contains(t, p.Status().LastError, "did not answer the health check")
	if !gone(first) {
		t.Error("the hung process is still there")
	}
}

func TestCrashLoopFails(t *testing.T) {
	t.Parallel()
	cfg := config(t)
	cfg.BackoffMin = time.Millisecond
	p := start(t, cfg)
	for range 5 {
		_, err := call[empty](t.Context(), p, "test.Exit", empty{})
		expect(t, err, sdk.ErrPluginDied, "exit status 1")
	}
	_, err := call[text](t.Context(), p, "test.Echo", text{"ping"})
	expect(t, err, sdk.ErrPluginDown, "plugin test is out of service", "5 times within 10m0s", "reload")
	var e *sdk.Error
	if errors.As(err, &e) && e.Retryable {
		t.Error("a plugin that has failed asks for a retry")
	}
	s := p.Status()
	if s.State != process.StateFailed || s.PID != 0 || s.Restarts != 4 {
		t.Errorf("status is %+v", s)
	}
	contains(t, s.LastError, "exit status 1")

	if err := p.Stop(t.Context()); err != nil {
		t.Error(err)
	}
	nothingLeft(t, cfg.RuntimeDir)
	if s := p.Status(); s.State != process.StateStopped {
		t.Errorf("status is %+v", s)
	}
}

// A process that has lost its connection is of no use, although it lives.
func TestBrokenConnection(t *testing.T) {
	t.Parallel()
	p := start(t, config(t))
	_, err := call[empty](t.Context(), p, "test.Disconnect", empty{})
	expect(t, err, sdk.ErrPluginDied, "test.Disconnect")
	eventually(t, "the plugin is back", func() bool { return p.Status().Restarts == 1 })
	echo(t, p)
	contains(t, p.Status().LastError, "its connection broke")
}

// A binary that has become another is not served under the old description.
func TestChangedDescriptionFails(t *testing.T) {
	t.Parallel()
	p, _ := changing(t)
	_, err := call[empty](t.Context(), p, "test.Exit", empty{})
	expect(t, err, sdk.ErrPluginDied)
	_, err = call[text](t.Context(), p, "test.Echo", text{"ping"})
	expect(t, err, sdk.ErrPluginDown, "describes itself otherwise")
	contains(t, p.Status().LastError, "changing", "Reload the plugin")
}

// A call that comes while the plugin is on its way back waits no longer than
// ReadyWait, and not at all when the caller leaves.
func TestReadyWait(t *testing.T) {
	t.Parallel()
	cfg := config(t)
	cfg.BackoffMin, cfg.BackoffMax = time.Hour, time.Hour
	cfg.ReadyWait = 50 * time.Millisecond
	p := start(t, cfg)
	for range 2 { // the first restart is made at once
		eventually(t, "a call reaches the plugin", func() bool {
			_, err := call[empty](t.Context(), p, "test.Exit", empty{})
			return errors.Is(err, sdk.ErrPluginDied)
		})
	}
	_, err := call[text](t.Context(), p, "test.Echo", text{"ping"})
	expect(t, err, sdk.ErrPluginDown, "being restarted", "50ms")
	if s := p.Status(); s.State != process.StateRestarting {
		t.Errorf("status is %+v", s)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = call[text](ctx, p, "test.Echo", text{"ping"})
	expect(t, err, sdk.ErrCancelled)
	if err := p.Stop(t.Context()); err != nil { // and Stop does not wait an hour
		t.Error(err)
	}
}

// A dead plugin's sockets go, and its children with it.
func TestCrashLeavesNothing(t *testing.T) {
	t.Parallel()
	cfg := config(t)
	p := start(t, cfg)
	child, err := call[struct{ PID int }](t.Context(), p, "test.Spawn", map[string]bool{"leave": false})
	if err != nil {
		t.Fatal(err)
	}
	kill(t, p.Status().PID, syscall.SIGKILL)
	eventually(t, "the plugin's child ends", func() bool { return gone(child.PID) })
	eventually(t, "the plugin is back", func() bool { return p.Status().Restarts == 1 })
	eventually(t, "one socket directory is left", func() bool {
		entries, err := os.ReadDir(cfg.RuntimeDir)
		return err == nil && len(entries) == 1
	})
}

// A child that has left the group and holds stderr open delays the restart by a
// moment only.
func TestChildThatLeftTheGroup(t *testing.T) {
	t.Parallel()
	p := start(t, config(t))
	child, err := call[struct{ PID int }](t.Context(), p, "test.Spawn", map[string]bool{"leave": true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { kill(t, child.PID, syscall.SIGKILL) })
	kill(t, p.Status().PID, syscall.SIGKILL)
	eventually(t, "the plugin is back", func() bool { return p.Status().Restarts == 1 })
	echo(t, p)
}

// changing starts a plugin whose next process will describe itself otherwise.
func changing(t *testing.T) (*process.Process, process.Config) {
	t.Helper()
	dir, err := os.MkdirTemp(binaries, "changing")
	if err != nil {
		t.Fatal(err)
	}
	cfg := config(t)
	cfg.Path = filepath.Join(dir, "changing")
	if err := os.Link(filepath.Join(binaries, "test"), cfg.Path); err != nil {
		t.Fatal(err)
	}
	version := filepath.Join(dir, "version")
	if err := os.WriteFile(version, []byte("1.0.0"), 0o600); err != nil {
		t.Fatal(err)
	}
	p := start(t, cfg)
	if err := os.WriteFile(version, []byte("2.0.0"), 0o600); err != nil {
		t.Fatal(err)
	}
	return p, cfg
}
