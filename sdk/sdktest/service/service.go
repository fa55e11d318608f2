// Package service runs the real thing for tests, the demo and benchmarks: the
// host's binary with its plugins, on a free port, in a data directory of the
// caller. It needs a Unix; what is said of processes holds on Linux. The tests of a plugin take sdktest.Serve and sdktest.Run,
// which are made of it.
//
// Start with [Build], which makes the binaries, and [Start], which returns once
// the service serves:
//
//	bin, err := service.Build(ctx)
//	dir, err := os.MkdirTemp("", "ds") // short, see Options.DataDir
//	s, err := service.Start(ctx, service.Options{Bin: bin, DataDir: dir})
//	defer s.Stop()
//	project, err := s.Admin().CreateProject(ctx, "1")
//	file, err := project.Upload(ctx, "orders.csv", csv)
//
// [Client] is one key and the requests made with it, [Project] the steps that
// many tests begin with. [Service.Kill] and [Service.PluginPID] are for tests of
// crashes.
//
// What is promised: a service that was started ends with Stop, with Kill, or with
// the process that started it, whichever comes first; Stop fails unless the
// service ended by itself with status 0 after SIGTERM. What is not: the data
// directory belongs to the caller, who removes it.
package service

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

const (
	// startTimeout covers a machine that is busy with other tests; a start takes
	// a fifth of a second.
	startTimeout = time.Minute
	// stopTimeout is longer than the service's own shutdown_timeout of 30 s.
	stopTimeout = 45 * time.Second
	// logTail is how much of the log an error shows.
	logTail = 8 << 10
)

// envPrefix starts the name of every setting. Those of the caller's own
// environment are kept away from the service: it refuses unknown ones.
const envPrefix = "DUCKDB_STORAGE_"

// DefaultAdminKey is the admin key of a service unless Options.Env sets another.
const DefaultAdminKey = "admin-key-of-the-tests"

// Options says what to start.
type Options struct {
	// Bin is the folder that Build returned.
	Bin string
	// DataDir is an existing folder. With a path of up to 60 bytes the sockets
	// fit below it; a longer one makes the service put them elsewhere.
	DataDir string
	// Env holds settings as NAME=value, over the defaults of this package. An
	// empty DUCKDB_STORAGE_ADMIN_KEY lets the service make its own key.
	Env []string
	// Args are flags after "serve". A flag that is given twice has its last value.
	Args []string
	// Stderr gets a copy of the log; nil is none.
	Stderr io.Writer
	// Wrap is a program with arguments that becomes the command line after them, for
	// example to put the service under a filter; nil starts it directly.
	Wrap []string
}

// Service is a running service. Its methods may be called from several goroutines.
type Service struct {
	// AdminKey opens everything.
	AdminKey string

	url    string
	cmd    *exec.Cmd
	stdout *greeting
	log    *tail
	exited chan struct{}
	err    error // of the process, valid after exited

	ended sync.Once // by Stop or Kill, whichever came first
}

// Start starts a service and returns when it serves. ctx bounds the start only.
// The error of a service that ended instead has its last log lines.
func Start(ctx context.Context, o Options) (*Service, error) {
	s := &Service{stdout: newGreeting(), log: &tail{}, exited: make(chan struct{})}
	command := slices.Concat(o.Wrap, []string{
		filepath.Join(o.Bin, "duckdb-storage"),
		"serve", "--listen", "127.0.0.1:0", "--data-dir", o.DataDir, "--plugin-dir", filepath.Join(o.Bin, "plugins"),
	}, o.Args)
	// Not ctx: the service outlives the start.
	s.cmd = exec.CommandContext(context.WithoutCancel(ctx), command[0], command[1:]...)
	s.cmd.Env = environment(o.Env)
	s.cmd.Stdout, s.cmd.Stderr = s.stdout, s.log
	if o.Stderr != nil {
		s.cmd.Stderr = io.MultiWriter(s.log, o.Stderr)
	}
	s.cmd.SysProcAttr = attributes()
	s.cmd.WaitDelay = time.Second
	if err := s.run(); err != nil {
		return nil, err
	}
	if err := s.waitServing(ctx); err != nil {
		return nil, errors.Join(err, s.Kill())
	}
	return s, nil
}

// run starts the process and waits for its end in the background.
func (s *Service) run() error {
	started := make(chan error)
	go func() {
		// The kernel kills the service with the thread that started it: the
		// thread must stay until then.
		runtime.LockOSThread()
		err := s.cmd.Start()
		started <- err
		if err == nil {
			s.err = s.cmd.Wait()
			close(s.exited)
		}
	}()
	return <-started
}

func (s *Service) waitServing(ctx context.Context) error {
	timer := time.NewTimer(startTimeout)
	defer timer.Stop()
	select {
	case <-s.stdout.listening:
		s.url, s.AdminKey = s.stdout.url(), s.stdout.adminKey()
		if s.AdminKey == "" {
			s.AdminKey = lookup(s.cmd.Env, envPrefix+"ADMIN_KEY")
		}
		return nil
	case <-s.exited:
		return fmt.Errorf("the service ended before it served: %s\n%s", s.cmd.ProcessState, s.Log())
	case <-timer.C:
		return fmt.Errorf("the service did not serve within %s\n%s", startTimeout, s.Log())
	case <-ctx.Done():
		return fmt.Errorf("the service did not serve in time: %w\n%s", context.Cause(ctx), s.Log())
	}
}

// URL is where the API is served, without a slash at the end.
func (s *Service) URL() string { return s.url }

// PID is the process id of the host.
func (s *Service) PID() int { return s.cmd.Process.Pid }

// Output is what the service printed on stdout so far.
func (s *Service) Output() string { return s.stdout.text() }

// Log is the end of the service's log so far.
func (s *Service) Log() string { return s.log.text() }

// Exited is closed when the process has ended.
func (s *Service) Exited() <-chan struct{} { return s.exited }

// Admin is a client with the admin key.
func (s *Service) Admin() Client { return Client{URL: s.url, Key: s.AdminKey} }

// Stop sends SIGTERM and waits. It returns an error unless the service still ran
// and then ended in time with status 0. After Kill, or a second time, it does
// nothing.
func (s *Service) Stop() (err error) {
	s.ended.Do(func() { err = s.stop() })
	return err
}

func (s *Service) stop() error {
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		<-s.exited
		return fmt.Errorf("the service had ended by itself: %s\n%s", s.cmd.ProcessState, s.Log())
	}
	timer := time.NewTimer(stopTimeout)
	defer timer.Stop()
	select {
	case <-s.exited:
	case <-timer.C:
		s.cmd.Process.Kill()
		<-s.exited
		return fmt.Errorf("the service did not end within %s of SIGTERM\n%s", stopTimeout, s.Log())
	}
	if s.err != nil {
		return fmt.Errorf("the service ended with %w, not with status 0\n%s", s.err, s.Log())
	}
	return nil
}

// Kill sends SIGKILL and waits for the end of the process. It may be called
// again, and after Stop.
func (s *Service) Kill() error {
	s.ended.Do(func() {})
	if err := s.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	<-s.exited
	return nil
}

// environment is the caller's without its settings of the service, then the
// defaults of this package, then extra; the last value of a name counts.
func environment(extra []string) []string {
	var env []string
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, envPrefix) {
			env = append(env, v)
		}
	}
	return append(append(env, envPrefix+"ADMIN_KEY="+DefaultAdminKey), extra...)
}

func lookup(env []string, name string) string {
	value := ""
	for _, v := range env {
		if rest, ok := strings.CutPrefix(v, name+"="); ok {
			value = rest
		}
	}
	return value
}

// tail keeps the end of what is written to it.
type tail struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if over := t.buf.Len() + len(p) - 2*logTail; over > 0 && t.buf.Len() > logTail {
		t.buf.Next(t.buf.Len() - logTail)
	}
	return t.buf.Write(p)
}

func (t *tail) text() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.buf.String()
}

// greeting is the service's stdout; it tells when the line with the address came.
type greeting struct {
	listening chan struct{}

	mu   sync.Mutex
	buf  bytes.Buffer
	told bool
}

func newGreeting() *greeting { return &greeting{listening: make(chan struct{})} }

func (g *greeting) Write(p []byte) (int, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	n, err := g.buf.Write(p)
	if !g.told && line(g.buf.String(), "listening on ") != "" {
		g.told = true
		close(g.listening)
	}
	return n, err
}

func (g *greeting) text() string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.buf.String()
}

func (g *greeting) url() string      { return line(g.text(), "listening on ") }
func (g *greeting) adminKey() string { return line(g.text(), "admin key (shown only now): ") }

// line returns the rest of the first complete line that starts with prefix.
func line(text, prefix string) string {
	for l := range strings.Lines(text) {
		if rest, ok := strings.CutPrefix(l, prefix); ok && strings.HasSuffix(rest, "\n") {
			return strings.TrimSpace(rest)
		}
	}
	return ""
}
