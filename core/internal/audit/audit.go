// Package audit keeps who asked for which write, when, and what became of it. Start with
// [Open]; [Log.Record] stores an entry, and the command audit.List shows them to the admin.
//
// An entry is durable when Record returns, so whoever records before it tells its client
// the outcome has told nobody of a write that the audit does not know. Entries that come
// while others are being written share one transaction with each other.
//
// The write itself has happened by then, in another database. When its entry cannot be
// stored, because the disk is full for example, the entry goes to the log at level error
// with all its fields, and [Observer] counts it; nobody is refused for that. A kill of the
// service loses the entries of requests that nobody had an answer to.
//
// Not recorded are reads, and requests with a key that is not valid: whoever has none
// could fill the disk. The runs of jobs are stored by [registry.Registry.EndJobs],
// together with how the job ended.
package audit

import (
	"cmp"
	"context"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/keboola/duckdb-storage/core/internal/registry"
	"github.com/keboola/duckdb-storage/sdk"
)

// DefaultKeep is how long entries are kept unless Config says otherwise: 90 days.
const DefaultKeep = 90 * 24 * time.Hour

const (
	// maxWaiting is how many entries wait for the writer; who comes then waits as well.
	maxWaiting = 1024
	// maxTogether is how many are stored in one transaction. 256 take 4 ms, one takes
	// 1.6 ms (measured).
	maxTogether = 256
	// forgetEvery is how often old entries are removed.
	forgetEvery = time.Hour
	// maxForgotten is how many are removed in one transaction, while other writes of the
	// registry wait. 50 000 take 25 ms (measured).
	maxForgotten = 50_000
)

// Store is where entries are. It is the registry.
type Store interface {
	AddAudit(ctx context.Context, entries ...registry.AuditEntry) error
	ForgetAudit(ctx context.Context, before time.Time, most int) (int64, error)
	Audit(ctx context.Context, f registry.AuditFilter) ([]registry.AuditEntry, error)
}

// Observer is told of entries. Its methods are called by several goroutines and must
// return at once.
type Observer interface {
	// Recorded tells that an entry was stored, and how long whoever recorded it waited.
	Recorded(outcome registry.AuditOutcome, waited time.Duration)
	// Lost tells that one could not be stored and is in the log only.
	Lost(outcome registry.AuditOutcome)
}

type nobody struct{}

func (nobody) Recorded(registry.AuditOutcome, time.Duration) {}
func (nobody) Lost(registry.AuditOutcome)                    {}

// Config says how the audit is kept.
type Config struct {
	Keep     time.Duration // default DefaultKeep
	Logger   hclog.Logger
	Observer Observer         // default nobody
	Now      func() time.Time // default time.Now
}

// WithDefaults fills what is zero.
func (c Config) WithDefaults() Config {
	c.Keep = cmp.Or(c.Keep, DefaultKeep)
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

// Log is the open audit.
type Log struct {
	cfg   Config
	store Store

	mu      sync.RWMutex // held for reading by those who send, so that nobody sends after closed
	closed  bool
	waiting chan *recording

	stop       context.CancelFunc // of the removal of old entries
	background sync.WaitGroup
}

// recording is an entry on its way.
type recording struct {
	entry registry.AuditEntry
	err   error // valid after done
	done  chan struct{}
}

// Open begins to take entries, and to remove those that are too old: now and every hour,
// in the background.
func Open(s Store, cfg Config) *Log {
	ctx, stop := context.WithCancel(context.Background())
	l := &Log{cfg: cfg.WithDefaults(), store: s, waiting: make(chan *recording, maxWaiting), stop: stop}
	l.background.Go(l.write)
	l.background.Go(func() { l.sweep(ctx) })
	return l
}

// Record stores an entry and returns when it is durable, or in the log. It waits for the
// disk and for nothing else; that a client has left does not keep its entry out.
func (l *Log) Record(e registry.AuditEntry) {
	start := time.Now()
	if err := l.add(e); err != nil {
		l.cfg.Observer.Lost(e.Outcome)
		l.cfg.Logger.Error("a write is not in the audit; this line is its entry", append(fields(e), "error", err)...)
		return
	}
	l.cfg.Observer.Recorded(e.Outcome, time.Since(start))
}

// errClosed is for a request that the end of the service did not wait for.
var errClosed = sdk.ErrUnavailable.Errorf("the service is shutting down, and the audit is closed")

func (l *Log) add(e registry.AuditEntry) error {
	r := &recording{entry: e, done: make(chan struct{})}
	if !l.send(r) {
		return errClosed
	}
	<-r.done
	return r.err
}

func (l *Log) send(r *recording) bool {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if l.closed {
		return false
	}
	l.waiting <- r
	return true
}

// write stores what waits, until nothing comes any more.
func (l *Log) write() {
	for first := range l.waiting {
		together := l.together(first)
		entries := make([]registry.AuditEntry, len(together))
		for i, r := range together {
			entries[i] = r.entry
		}
		err := l.store.AddAudit(context.Background(), entries...)
		for _, r := range together {
			r.err = err
			close(r.done)
		}
	}
}

// together is an entry with those that wait behind it.
func (l *Log) together(first *recording) []*recording {
	out := []*recording{first}
	for len(out) < maxTogether {
		select {
		case r, more := <-l.waiting:
			if !more {
				return out
			}
			out = append(out, r)
		default:
			return out
		}
	}
	return out
}

// Close stores what waits, and ends. It may be called twice. What is recorded afterwards
// is in the log only.
func (l *Log) Close(context.Context) error {
	l.mu.Lock()
	if !l.closed {
		l.closed = true
		close(l.waiting)
	}
	l.mu.Unlock()
	l.stop()
	l.background.Wait()
	return nil
}

// sweep removes old entries until ctx ends.
func (l *Log) sweep(ctx context.Context) {
	tick := time.NewTicker(forgetEvery)
	defer tick.Stop()
	for {
		if err := l.forgetOld(ctx); err != nil && ctx.Err() == nil {
			l.cfg.Logger.Warn("old entries of the audit could not be removed", "error", err)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// forgetOld removes what is too old, a part at a time, so that others may write between.
func (l *Log) forgetOld(ctx context.Context) error {
	before := l.cfg.Now().Add(-l.cfg.Keep)
	for {
		n, err := l.store.ForgetAudit(ctx, before, maxForgotten)
		if n > 0 {
			l.cfg.Logger.Debug("removed old entries of the audit", "count", n)
		}
		if err != nil || n < maxForgotten {
			return err
		}
	}
}

// fields is an entry as the log shows it.
func fields(e registry.AuditEntry) []any {
	return []any{
		"subject", e.Subject, "key", e.Key, "project", e.Project, "branch", e.Branch, "command", e.Command,
		"method", e.Method, "path", e.Path, "input", e.Input, "outcome", e.Outcome, "status", e.Status, "problem", e.Problem,
		"request_id", e.RequestID, "run_id", e.RunID, "job_id", e.JobID, "repeated", e.Repeated,
		"duration_ms", milliseconds(e.Duration), "remote", e.RemoteAddr,
	}
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
