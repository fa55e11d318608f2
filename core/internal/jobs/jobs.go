// Package jobs runs commands in the background. A job is one command of one caller:
// it outlives the request that started it, can be looked at and cancelled, and is
// remembered for days.
//
// Start with [Open] and [Jobs.Submit]. A job is durable before its id is known to
// anybody, and its end is durable before it is visible. Its progress is not: that is
// asked for when somebody looks, so it costs nothing but then.
//
// A job runs in a context of its own, with the principal, the catalog and the run id
// of its caller, and ends as a request for the same command would have: with the same
// JSON, or the same problem. Jobs run first come first served, so many at a time; one
// that waits in the write queue of its project has its place among them. A restart
// continues no job: what was not done ends with an error that says so.
package jobs

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/keboola/duckdb-storage/core/internal/plan"
	"github.com/keboola/duckdb-storage/core/internal/pluginhost"
	"github.com/keboola/duckdb-storage/core/internal/registry"
	"github.com/keboola/duckdb-storage/sdk"
)

// Config bounds the jobs.
type Config struct {
	// Workers is how many jobs run at a time; default 4 for each core, at least 8. Most
	// of the time a job waits: for its turn, for the disk, or for DuckDB, which has
	// threads of its own.
	Workers int
	// Waiting is how many more may wait; default 10000.
	Waiting int
	// Inputs bounds the bytes of the inputs of all jobs that are not done; default 256
	// MiB. They are held in memory, and each may be as large as the body of a request.
	Inputs int
	// Keep is how long a job is remembered that is done; default 7 days.
	Keep time.Duration
	// Problem makes the error of a job of the error that its command failed with. It is
	// what a request at the path instance would have been answered.
	Problem  func(err error, instance, requestID string) json.RawMessage
	Logger   hclog.Logger
	Observer Observer         // default nobody
	Now      func() time.Time // default time.Now
}

// WithDefaults fills what is zero.
func (c Config) WithDefaults() Config {
	c.Workers = cmp.Or(c.Workers, max(8, 4*runtime.GOMAXPROCS(0)))
	c.Inputs = cmp.Or(c.Inputs, 256<<20)
	c.Waiting, c.Keep = cmp.Or(c.Waiting, 10000), cmp.Or(c.Keep, 7*24*time.Hour)
	if c.Logger == nil {
		c.Logger = hclog.NewNullLogger()
	}
	if c.Observer == nil {
		c.Observer = nobody{}
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return c
}

// Observer is told of jobs. Its methods are called by several goroutines and must
// return at once.
type Observer interface {
	// Load is how many jobs wait and run from now on.
	Load(waiting, processing int)
	// Ended tells how a job ended, how long it had waited, and how long it had run.
	Ended(command string, state registry.JobState, waited, ran time.Duration)
}

type nobody struct{}

func (nobody) Load(int, int)                                                 {}
func (nobody) Ended(string, registry.JobState, time.Duration, time.Duration) {}

// Runner runs commands. It is the plugin host.
type Runner interface {
	// Check refuses a call that Invoke would refuse before it does anything.
	Check(pluginhost.Call) error
	Invoke(context.Context, pluginhost.Call) (plan.Answer, error)
}

// Jobs holds the jobs that are not done, and knows the others.
type Jobs struct {
	cfg      Config
	registry *registry.Registry

	mu      sync.Mutex
	runner  Runner              // nil until Serve
	live    map[string]*Running // by id
	waiting []*Running          // in the order in which they came
	running int
	adding  int  // are about to be durable
	bytes   int  // of the inputs of all of them
	stopped bool // nothing begins any more

	workers sync.WaitGroup
	closing sync.Once
	sweeper sweeper
}

// Open ends the jobs that an earlier run of the service left, and removes those that
// are too old.
func Open(ctx context.Context, r *registry.Registry, cfg Config) (*Jobs, error) {
	j := &Jobs{cfg: cfg.WithDefaults(), registry: r, live: map[string]*Running{}}
	if err := j.endLost(ctx); err != nil {
		return nil, fmt.Errorf("end the jobs of an earlier run: %w", err)
	}
	if err := j.forgetOld(ctx); err != nil {
		return nil, fmt.Errorf("remove old jobs: %w", err)
	}
	return j, nil
}

// Serve begins to run jobs, until Close.
func (j *Jobs) Serve(r Runner) {
	j.sweeper.start(j)
	j.mu.Lock()
	defer j.mu.Unlock()
	j.runner = r
	j.dispatch()
}

// errStopping refuses jobs while the service stops.
var errStopping = sdk.ErrUnavailable.Errorf("the service is shutting down; repeat the request later")

// Submit makes a call a job and returns when that is durable. The job works in the project
// that ctx is within, and ctx says nothing else of it. instance is the path that a client
// asked at; empty is that of the job. It returns what the call would be refused with,
// ErrJobsFull when too many jobs wait, and Unavailable while the service stops; then there
// is no job.
func (j *Jobs) Submit(ctx context.Context, call pluginhost.Call, instance string) (*Running, error) {
	runner, err := j.admit(len(call.Payload))
	if err != nil {
		return nil, err
	}
	r := newRunning(ctx, j, call, instance)
	if err = runner.Check(call); err == nil {
		// Nobody may cancel this: the row would be there and the job not.
		err = j.registry.AddJob(context.Background(), r.row)
	}
	if err = j.enter(r, err); err != nil {
		return nil, err
	}
	return r, nil
}

// admit keeps room for a job with an input of that many bytes.
func (j *Jobs) admit(bytes int) (Runner, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.runner == nil || j.stopped {
		return nil, errStopping
	}
	if j.running+len(j.waiting)+j.adding >= j.cfg.Workers+j.cfg.Waiting {
		return nil, sdk.ErrJobsFull.Errorf("%d jobs run and %d wait already; repeat later", j.cfg.Workers, j.cfg.Waiting)
	}
	if j.bytes > 0 && j.bytes+bytes > j.cfg.Inputs {
		return nil, sdk.ErrJobsFull.Errorf("the inputs of the jobs that are not done would be over %d bytes; repeat later", j.cfg.Inputs)
	}
	j.adding++
	j.bytes += bytes
	return j.runner, nil
}

// enter puts a job that is durable at the end of the line; one that is not gives its
// room back.
func (j *Jobs) enter(r *Running, err error) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.adding--
	if err != nil {
		j.bytes -= len(r.call.Payload)
		return err
	}
	j.live[r.id] = r
	j.waiting = append(j.waiting, r)
	j.dispatch()
	return nil
}

// dispatch lets waiting jobs run as far as there is room. The caller holds mu.
func (j *Jobs) dispatch() {
	for !j.stopped && j.runner != nil && j.running < j.cfg.Workers && len(j.waiting) > 0 {
		r := j.waiting[0]
		j.waiting = j.waiting[1:]
		j.running++
		j.workers.Go(func() { j.work(r) })
	}
	j.cfg.Observer.Load(len(j.waiting), j.running)
}

// withdraw takes a job out of the line, and reports whether it was there.
func (j *Jobs) withdraw(r *Running) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	at := slices.Index(j.waiting, r)
	if at < 0 {
		return false
	}
	j.waiting = slices.Delete(j.waiting, at, at+1)
	j.cfg.Observer.Load(len(j.waiting), j.running)
	return true
}

// forget drops a job that is done from memory.
func (j *Jobs) forget(r *Running) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.bytes -= len(r.call.Payload)
	delete(j.live, r.id)
}
