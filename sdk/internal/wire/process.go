//go:build unix

package wire

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"syscall"
)

// process is the command of a Client, as go-plugin's runner.Runner. All that it
// prints is kept.
type process struct {
	cmd            *exec.Cmd
	in             *io.PipeReader // what go-plugin reads of stdout
	stdout, stderr transcript
	exited         chan struct{}
	silent         chan struct{} // stdout has ended
	err            error         // valid after exited
}

func newProcess(command []string) *process {
	// It outlives every context: Kill ends it.
	cmd := exec.CommandContext(context.Background(), command[0], command[1:]...)
	cmd.Dir = "/"
	// A group of its own, so that what it starts can be ended with it.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	return &process{cmd: cmd, exited: make(chan struct{}), silent: make(chan struct{})}
}

// environment is what a plugin has of the host's environment, and its bounds.
func environment() []string {
	return []string{"PATH=" + os.Getenv("PATH"), "GOMAXPROCS=2", "GOMEMLIMIT=128MiB"}
}

func (p *process) Start(context.Context) error {
	stdout, theirs, err := os.Pipe()
	if err != nil {
		return err
	}
	defer theirs.Close()
	in, out := io.Pipe()
	p.in = in
	p.cmd.Stdout, p.cmd.Stderr = theirs, &p.stderr
	if err := p.cmd.Start(); err != nil {
		stdout.Close()
		return err
	}
	go func() {
		defer close(p.silent)
		defer stdout.Close()
		_, err := io.Copy(io.MultiWriter(&p.stdout, out), stdout)
		out.CloseWithError(err)
	}()
	go func() {
		defer close(p.exited)
		p.err = p.cmd.Wait()
	}()
	return nil
}

func (p *process) pid() int {
	if p.cmd.Process == nil {
		return 0
	}
	return p.cmd.Process.Pid
}

func (p *process) Wait(context.Context) error {
	<-p.exited
	return p.err
}

func (p *process) Kill(context.Context) error {
	if p.pid() == 0 { // or it would be the group of this process
		return nil
	}
	if err := syscall.Kill(-p.pid(), syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
		return err
	}
	return nil
}

func (p *process) Stdout() io.ReadCloser { return p.in }

// Stderr is empty for go-plugin: the transcript has it.
func (p *process) Stderr() io.ReadCloser { return io.NopCloser(bytes.NewReader(nil)) }

// ID is empty before the start.
func (p *process) ID() string {
	if p.pid() == 0 {
		return ""
	}
	return strconv.Itoa(p.pid())
}

func (p *process) Name() string                    { return p.cmd.Path }
func (p *process) Diagnose(context.Context) string { return "" }

func (p *process) PluginToHost(network, address string) (string, string, error) {
	return network, address, nil
}

func (p *process) HostToPlugin(network, address string) (string, string, error) {
	return network, address, nil
}

// transcript is what was written to it.
type transcript struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (t *transcript) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.buf.Write(p)
}

func (t *transcript) text() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.buf.String()
}
