// Package process runs one plugin process: it starts it, talks to it,
// supervises it and stops it.
//
// Start with [Start]. It returns once the plugin has described itself and has
// its connection back to the host, and from then on the Process keeps a plugin
// running: it notices within milliseconds that the process has ended, asks every
// HealthInterval whether it still answers, kills what does not, and starts it
// again. [Process.Invoke] runs a command and waits a little while the plugin is
// on its way back; [Process.Stop] lets running calls finish and ends it all.
//
// What a plugin process is given: a socket directory of its own below
// RuntimeDir, a process group of its own, / as its working directory, an empty
// stdin, and the environment that [environment] lists. It inherits nothing else
// of the host, and on Linux the kernel kills it when the host dies.
//
// [Describe] asks a plugin who it is and gives it nothing.
//
// What is promised: an Invoke is sent at most once; when the process dies, its
// calls fail within milliseconds and the next ones are served by its successor
// (30 to 60 ms later on two cores, see bench_test.go); no socket directory and
// no process outlives Stop. What is not: this keeps a plugin's mistakes away
// from the host, not a hostile plugin, which runs under the host's user and may
// read what that user may (the memory of the host only if that is dumpable); two calls may reach
// two different processes, so a plugin keeps no state between them; and a host
// that was killed leaves its socket directories, which whoever made RuntimeDir
// removes with it.
package process

import (
	"context"
	"sync"
	"time"

	"google.golang.org/grpc"

	"github.com/keboola/duckdb-storage/sdk"
	pluginv1 "github.com/keboola/duckdb-storage/sdk/proto/duckdbstorage/plugin/v1"
)

// State says where a plugin is in its life.
type State string

// The states. A plugin goes from running to restarting, starting and back to
// running each time it dies; failed and stopped are final.
const (
	StateStarting   State = "starting"   // a process is coming up
	StateRunning    State = "running"    // serves
	StateRestarting State = "restarting" // the process ended, the next waits for its backoff
	StateFailed     State = "failed"     // given up: it must be repaired and started anew
	StateStopped    State = "stopped"    // by Stop
)

// Status is a snapshot for operators.
type Status struct {
	Name    string
	Version string // as the plugin describes itself
	State   State
	PID     int // 0 when no process is running
	// Restarts counts the processes that were started after the first.
	Restarts int
	// LastError says why the process last ended or failed to start, with its
	// last lines on stderr; empty if it never did. It is for operators: the
	// lines may hold anything.
	LastError string
}

// Process is one plugin, kept running. All methods may be called concurrently.
type Process struct {
	cfg         Config
	description *pluginv1.DescribeResponse
	fork        *forker
	crashes     crashes // of the supervisor alone

	stopping context.Context // ended by Stop
	stop     context.CancelFunc
	idle     context.Context // ended when stopping and no call is running
	rest     context.CancelFunc
	draining context.Context // ended when a caller of Stop has no more patience
	abort    context.CancelCauseFunc
	broken   chan *connection // tells the supervisor which connection is of no use any more
	closing  sync.WaitGroup   // connections to dead processes, being cleaned up
	done     chan struct{}    // the supervisor has ended
	stopErr  error            // of Stop, valid after done

	mu        sync.Mutex
	state     State
	current   *connection   // nil unless running
	changed   chan struct{} // closed and replaced when state changes
	calls     int           // calls on their way
	restarts  int
	lastError string
	outOfUse  string // why the plugin failed, for users
}

// Start starts the plugin and returns when it serves.
//
// The plugin must serve within StartTimeout and before ctx ends; ctx has no
// meaning afterwards. A plugin that does not come up the first time is not
// tried again. The error says why, with the plugin's last lines on stderr and
// what to do about it.
func Start(ctx context.Context, cfg Config) (*Process, error) {
	cfg = cfg.WithDefaults()
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	p := &Process{
		cfg:     cfg,
		fork:    newForker(),
		crashes: crashes{limit: cfg.CrashLimit, window: cfg.CrashWindow, backoffMin: cfg.BackoffMin, backoffMax: cfg.BackoffMax},
		broken:  make(chan *connection, 1),
		done:    make(chan struct{}),
		changed: make(chan struct{}),
	}
	begin := time.Now()
	c, err := connect(ctx, cfg, p.fork, nil)
	if err != nil {
		p.fork.close()
		return nil, err
	}
	p.description = c.description
	p.stopping, p.stop = context.WithCancel(context.Background())
	p.idle, p.rest = context.WithCancel(context.Background())
	p.draining, p.abort = context.WithCancelCause(context.Background())
	p.enter(StateRunning, c)
	cfg.Logger.Info("plugin started", "version", c.description.GetVersion(), "pid", c.child.pid(), "took_ms", time.Since(begin).Milliseconds())
	go p.supervise(c)
	return p, nil
}

// Describe starts the plugin only to ask who it is, and ends it: it gets no
// settings and no way back to the host. Its errors are those of Start.
func Describe(ctx context.Context, cfg Config) (*pluginv1.DescribeResponse, error) {
	cfg = cfg.WithDefaults()
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	fork := newForker()
	defer fork.close()
	c, err := launch(ctx, cfg, fork, func(ctx context.Context, c *connection) error { return c.describe(ctx, cfg, nil) })
	if err != nil {
		return nil, err
	}
	c.close()
	return c.description, nil
}

// Description is what the plugin said of itself when it was first started. It
// stays true: a plugin that describes itself otherwise later is failed. It must
// not be changed.
func (p *Process) Description() *pluginv1.DescribeResponse { return p.description }

// Invoke runs one command of the plugin. While the plugin is being restarted
// it waits, for ReadyWait at most.
//
// The request is sent at most once. What the plugin itself has to say against
// it is in the response; the error is always an *sdk.Error:
//
//   - sdk.ErrPluginDown: nothing was sent; the plugin did not come up in time,
//     failed or was stopped. Retryable unless it failed.
//   - sdk.ErrPluginDied: the process or the connection ended during the call,
//     and what the call has done so far is unknown here.
//   - sdk.ErrTooLarge: the request or the answer is over MaxMessageBytes.
//   - sdk.ErrCancelled: ctx ended.
func (p *Process) Invoke(ctx context.Context, req *pluginv1.InvokeRequest) (*pluginv1.InvokeResponse, error) {
	return send(ctx, p, req.GetCommand(), pluginv1.PluginServiceClient.Invoke, req)
}

// Before asks a before-hook of the plugin. It waits, sends and fails as Invoke does.
func (p *Process) Before(ctx context.Context, req *pluginv1.BeforeRequest) (*pluginv1.BeforeResponse, error) {
	return send(ctx, p, "the hook before "+req.GetRequest().GetCommand(), pluginv1.PluginServiceClient.Before, req)
}

// Notify delivers an event to the plugin. It waits, sends and fails as Invoke does.
func (p *Process) Notify(ctx context.Context, req *pluginv1.NotifyRequest) (*pluginv1.NotifyResponse, error) {
	return send(ctx, p, "the delivery of "+req.GetEvent(), pluginv1.PluginServiceClient.Notify, req)
}

// method is one of the calls that Stop waits for.
type method[Req, Resp any] func(pluginv1.PluginServiceClient, context.Context, Req, ...grpc.CallOption) (Resp, error)

// send makes one call; what names it in errors.
func send[Req, Resp any](ctx context.Context, p *Process, what string, call method[Req, Resp], req Req) (resp Resp, err error) {
	c, err := p.acquire(ctx, what)
	if err != nil {
		return resp, err
	}
	defer p.release()
	if resp, err = call(c.plugin, ctx, req); err != nil {
		var none Resp
		return none, p.callError(ctx, c, what, err)
	}
	return resp, nil
}

// Status returns a snapshot.
func (p *Process) Status() Status {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := Status{
		Name: p.cfg.Name, Version: p.description.GetVersion(), State: p.state,
		Restarts: p.restarts, LastError: p.lastError,
	}
	if p.current != nil {
		s.PID = p.current.child.pid()
	}
	return s
}

// Stop refuses new calls, waits until those in progress have ended, asks the
// plugin to end and kills it if it has not after KillTimeout.
//
// When ctx ends first, the calls in progress are aborted with ErrPluginDied and
// Stop returns an error that says so; the plugin is stopped all the same. Stop
// also waits until Host has returned from the plugin's last callbacks, whose
// context has ended by then. It may be called again and concurrently: every
// call waits for the same end.
func (p *Process) Stop(ctx context.Context) error {
	p.mu.Lock()
	p.stop()
	if p.calls == 0 {
		p.rest()
	}
	p.mu.Unlock()
	defer context.AfterFunc(ctx, func() { p.abort(context.Cause(ctx)) })()
	<-p.done
	return p.stopErr
}

// acquire returns the connection that serves and counts the call in.
func (p *Process) acquire(ctx context.Context, what string) (*connection, error) {
	wait, cancel := context.WithTimeout(ctx, p.cfg.ReadyWait)
	defer cancel()
	for {
		c, changed, err := p.tryAcquire()
		if c != nil || err != nil {
			return c, err
		}
		select {
		case <-changed:
		case <-p.stopping.Done():
		case <-wait.Done():
			if ctx.Err() != nil {
				return nil, sdk.ErrCancelled.Errorf("the request ended while %s waited for plugin %s to be restarted", what, p.cfg.Name)
			}
			return nil, sdk.ErrPluginDown.Errorf("plugin %s is being restarted and was not ready for %s within %v: try again", p.cfg.Name, what, p.cfg.ReadyWait)
		}
	}
}

// tryAcquire returns a connection, or an error if there will be none, or the
// channel to wait on.
func (p *Process) tryAcquire() (*connection, <-chan struct{}, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.stopping.Err() != nil:
		return nil, nil, sdk.ErrPluginDown.Errorf("plugin %s has been stopped", p.cfg.Name)
	case p.state == StateFailed:
		e := sdk.ErrPluginDown.Errorf("plugin %s is out of service: %s. GET /admin/plugins and the log say why; the administrator repairs it, then reloads or POSTs /admin/plugins/%s/restart",
			p.cfg.Name, p.outOfUse, p.cfg.Name)
		e.Retryable = false
		return nil, nil, e
	case p.current == nil || p.current.child.ended():
		// The supervisor may not have seen the end yet; whoever saw a call
		// fail must not be sent to the same dead process again.
		return nil, p.changed, nil
	}
	p.calls++
	return p.current, nil, nil
}

// release counts a call out.
func (p *Process) release() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.calls--
	if p.calls == 0 && p.stopping.Err() != nil {
		p.rest()
	}
}

// enter changes the state and wakes whoever waits for it.
func (p *Process) enter(state State, c *connection) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.state, p.current = state, c
	close(p.changed)
	p.changed = make(chan struct{})
}
