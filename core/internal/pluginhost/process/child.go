package process

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// outputGrace is how long the output of an ended process may stay open. Only a
// child that has left the process group can hold it longer.
const outputGrace = 100 * time.Millisecond

// child is one operating system process, as go-plugin's runner.Runner. It is
// used once.
type child struct {
	name     string // of the plugin
	path     string
	origin   string    // what path is a copy of
	attached *Reattach // a process that runs already: it is not started, and kill only leaves it
	fork     *forker
	out      *output

	// From go-plugin, before Start.
	handshake []string // variables
	socketDir string

	stdout, stderr *os.File // read ends
	exited         chan struct{}
	closed         chan struct{} // after exited: all output has been read
	exitErr        error         // valid after exited; nil is status 0

	mu     sync.Mutex
	cmd    *exec.Cmd // nil before Start
	killed bool      // by kill, perhaps when it had ended already
	reaped bool      // the process id may be another's
}

func newChild(cfg Config, fork *forker) *child {
	return &child{
		name: cfg.Name, path: cfg.Path, origin: cfg.Origin, attached: cfg.Reattach, fork: fork, out: &output{log: cfg.Logger},
		exited: make(chan struct{}), closed: make(chan struct{}),
	}
}

// Start starts the process. It does not wait for anything, so it has no use for
// the context.
func (c *child) Start(context.Context) error {
	stdout, stdoutW, err := os.Pipe()
	if err != nil {
		return err
	}
	defer stdoutW.Close()
	stderr, stderrW, err := os.Pipe()
	if err != nil {
		stdout.Close()
		return err
	}
	defer stderrW.Close()
	c.stdout, c.stderr = stdout, stderr
	if err := c.startCommand(stdoutW, stderrW); err != nil {
		stdout.Close()
		stderr.Close()
		return err
	}
	read := make(chan struct{})
	go c.readStderr(read)
	go c.reap(read)
	return nil
}

func (c *child) startCommand(stdout, stderr *os.File) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.killed {
		return errors.New("killed before it was started")
	}
	// Files, not writers: exec then has no goroutine of its own that Wait
	// would have to wait for. A nil Stdin is /dev/null.
	cmd := &exec.Cmd{
		Path: c.path, Args: []string{c.path}, Env: environment(c.handshake), Dir: "/",
		Stdout: stdout, Stderr: stderr, SysProcAttr: processAttributes(),
	}
	if err := c.fork.start(cmd); err != nil {
		return err
	}
	c.cmd = cmd
	return nil
}

func (c *child) readStderr(done chan<- struct{}) {
	defer close(done)
	w := &lines{emit: c.out.line}
	_, _ = io.Copy(w, c.stderr) // ends with the process or when reap closes it
	w.flush()
}

// reap waits for the end of the process and then of its output.
func (c *child) reap(stderrRead <-chan struct{}) {
	defer close(c.closed)
	c.exitErr = c.wait()
	close(c.exited)
	grace := time.NewTimer(outputGrace)
	defer grace.Stop()
	select {
	case <-stderrRead:
	case <-grace.C:
	}
	c.stdout.Close()
	c.stderr.Close()
	<-stderrRead
}

// kill ends the process and its group now. It may be called at any time, before
// Start too, and does not wait.
func (c *child) kill() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.attached != nil && !c.killed {
		close(c.exited)
		close(c.closed)
	}
	c.killed = true
	if c.cmd != nil && !c.reaped {
		_ = syscall.Kill(-c.cmd.Process.Pid, syscall.SIGKILL)
	}
}

// started reports whether there is or was a process.
func (c *child) started() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.cmd != nil
}

// ended reports whether the process has ended.
func (c *child) ended() bool {
	select {
	case <-c.exited:
		return true
	default:
		return false
	}
}

// endsWithin waits for the end of the process, but not for long.
func (c *child) endsWithin(ctx context.Context, d time.Duration) bool {
	wait, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	select {
	case <-c.exited:
		return true
	case <-wait.Done():
		return false
	}
}

// endedByItself says how the process ended, if it did and nobody killed it. It
// is valid after exited.
func (c *child) endedByItself() (string, bool) {
	if c.attached != nil {
		return "", false
	}
	var exit *exec.ExitError
	if errors.As(c.exitErr, &exit) {
		status, ok := exit.Sys().(syscall.WaitStatus)
		c.mu.Lock()
		defer c.mu.Unlock()
		if ok && status.Signal() == syscall.SIGKILL && c.killed {
			return "", false
		}
	}
	return c.exitStatus(), true
}

// exitStatus says how the process ended. It is valid after exited.
func (c *child) exitStatus() string {
	if c.attached != nil {
		return "this host did not start it"
	}
	if c.exitErr == nil {
		return "exit status 0"
	}
	return c.exitErr.Error()
}

// pid is the process id, or 0 before Start.
func (c *child) pid() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.attached != nil:
		return c.attached.PID
	case c.cmd == nil:
		return 0
	}
	return c.cmd.Process.Pid
}

// Wait returns after the process has ended.
func (c *child) Wait(context.Context) error {
	<-c.exited
	return c.exitErr
}

// Kill does not wait for the end: go-plugin does.
func (c *child) Kill(context.Context) error {
	c.kill()
	return nil
}

// Stdout is where go-plugin reads the handshake.
func (c *child) Stdout() io.ReadCloser { return c.stdout }

// Stderr is empty for go-plugin: output reads it.
func (c *child) Stderr() io.ReadCloser { return io.NopCloser(strings.NewReader("")) }

// Name names the plugin in go-plugin's log.
func (c *child) Name() string { return c.name }

// ID is the process id.
func (c *child) ID() string { return strconv.Itoa(c.pid()) }

// Diagnose adds nothing to go-plugin's error: connect explains it.
func (c *child) Diagnose(context.Context) string { return "" }

// PluginToHost accepts only sockets in the plugin's own directory, so that a
// plugin cannot make the host connect elsewhere.
func (c *child) PluginToHost(network, address string) (string, string, error) {
	if network != "unix" || filepath.Dir(address) != c.socketDir {
		return "", "", fmt.Errorf("it listens on %s %s, not on a unix socket in %s", network, address, c.socketDir)
	}
	return network, address, nil
}

// HostToPlugin has nothing to translate: both see the same files.
func (c *child) HostToPlugin(network, address string) (string, string, error) {
	return network, address, nil
}
