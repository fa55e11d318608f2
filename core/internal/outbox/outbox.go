// Package outbox delivers the events of committed transactions to the plugins that
// subscribe to them. Start with [Open].
//
// An event is stored in the catalog, in the transaction that it is about
// ([Insert]): so none is lost, and none is told of a write that did not happen.
// There is one row for each event and subscriber. A lane is a catalog together with
// a subscriber; lanes work side by side, a few of each subscriber at a time.
//
// Promised: an event is delivered at least once, and those of a lane one at a time,
// in the order of their commits, across restarts and crashes. A delivery that fails
// is repeated, after a second, then after twice the time before, up to a minute: for
// as long as its error is retryable or the subscriber is down, and a few times for
// any other error. Then the event is set aside with its error, and the lane goes on.
// Delivered rows are removed through the write queue, a batch at a time. A subscriber
// never slows a writer, or another subscriber, down.
//
// Not promised: exactly once, an order between catalogs or between subscribers, and
// that the number of an attempt counts those before a restart.
package outbox

import (
	"cmp"
	"context"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/keboola/duckdb-storage/core/internal/plan"
	pluginv1 "github.com/keboola/duckdb-storage/sdk/proto/duckdbstorage/plugin/v1"
)

// State is what becomes of the events of a subscriber.
type State int

// The states.
const (
	Unknown State = iota // no such plugin: its rows are removed once they are old
	Off                  // switched off or not loaded: its rows wait
	On                   // gets its events, or will, once it is up again
)

// Delivery is an event on its way to a subscriber.
type Delivery struct {
	Target     *pluginv1.Target // where it was committed
	Subscriber string           // name of the plugin
	ID         string           // the same for each delivery and subscriber
	Event      string
	Payload    []byte // JSON
	RequestID  string // of the request that caused it
	RunID      string
	Depth      int       // of the calls, jobs and events that led to it
	Committed  time.Time // UTC
	Attempt    int       // from 1
}

// Config says how to deliver. All fields without a default are required.
type Config struct {
	Executor *plan.Executor
	Logger   hclog.Logger
	// Deliver hands one event over. It returns sdk.ErrPluginDown when the subscriber is
	// not there.
	Deliver func(context.Context, Delivery) error
	// State tells what becomes of a subscriber's events. It must not call back.
	State func(subscriber string) State
	// Projects lists the projects whose catalogs Scan looks into.
	Projects func() []string

	// The wait after a first failure; each further one is twice as long, BackoffMax at
	// most.
	BackoffMin time.Duration // 1 s
	BackoffMax time.Duration // 1 min
	// Parallel is how many lanes of one subscriber deliver at the same time. Each of
	// them may use all that a request of the plugin uses; four keep two cores busy and
	// leave the plugin able to answer.
	Parallel int // 4
	// Rate is how many projects a scan looks into per second at most: each is opened,
	// which takes 7 ms of a core, and may close one that nobody uses at the moment.
	Rate int // 20
	// Keep is how long rows of unknown subscribers are kept: time enough to find that a
	// plugin is missing and to bring it back.
	Keep time.Duration // 7 days
}

// WithDefaults fills what is zero.
func (c Config) WithDefaults() Config {
	c.BackoffMin = cmp.Or(c.BackoffMin, time.Second)
	c.BackoffMax = cmp.Or(c.BackoffMax, time.Minute)
	c.Parallel = cmp.Or(c.Parallel, 4)
	c.Rate = cmp.Or(c.Rate, 20)
	c.Keep = cmp.Or(c.Keep, 7*24*time.Hour)
	return c
}

// Dispatcher has the lanes that have something to deliver.
type Dispatcher struct {
	cfg Config

	stopping context.Context // ended by Close: nothing new begins
	stop     context.CancelFunc
	working  context.Context // ended when Close has no more patience
	abort    context.CancelFunc
	running  sync.WaitGroup // lanes and the scanner
	scans    chan struct{}  // wakes the scanner

	mu     sync.Mutex
	closed bool
	lanes  map[key]*lane
	places map[string]chan struct{} // by subscriber
	counts map[string]*Counts       // by subscriber
}

// Open makes a dispatcher. It delivers what it is told of: by [Dispatcher.Committed],
// and by a [Dispatcher.Scan] for what an earlier run left.
func Open(cfg Config) *Dispatcher {
	d := &Dispatcher{
		cfg: cfg.WithDefaults(), scans: make(chan struct{}, 1),
		lanes: map[key]*lane{}, places: map[string]chan struct{}{}, counts: map[string]*Counts{},
	}
	d.stopping, d.stop = context.WithCancel(context.Background())
	d.working, d.abort = context.WithCancel(context.Background())
	d.running.Go(d.scan)
	return d
}

// Committed tells that events were committed in a catalog: how many, by subscriber.
func (d *Dispatcher) Committed(target *pluginv1.Target, events map[string]int) {
	for subscriber, n := range events {
		d.wake(key{target.GetProject(), target.GetBranch(), subscriber}, n)
	}
}

// wake has a lane deliver what is new, and makes it if there is none.
func (d *Dispatcher) wake(k key, events int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return // it is on disk, and found by the next scan
	}
	if l := d.lanes[k]; l != nil {
		l.again = true
		l.pending += events
		return
	}
	l := &lane{key: k, d: d, pending: events, log: d.cfg.Logger.With("plugin", k.subscriber, "project", k.project)}
	d.lanes[k] = l
	d.running.Go(l.run)
}

// Close lets the deliveries that run end, and begins no other one. When ctx ends
// first they are cancelled, and made again after the next start. It may be called
// twice.
func (d *Dispatcher) Close(ctx context.Context) {
	d.mu.Lock()
	d.closed = true
	d.mu.Unlock()
	d.stop()
	defer context.AfterFunc(ctx, d.abort)()
	d.running.Wait()
}

// Counts is what became of a subscriber's events since the start of the service.
type Counts struct {
	Subscriber string
	Pending    int // known to wait now, those being delivered among them
	Delivered  int
	Repeated   int // deliveries that failed and are made again
	Failed     int // set aside
}

// Counts returns them by subscriber, in no order.
func (d *Dispatcher) Counts() []Counts {
	d.mu.Lock()
	defer d.mu.Unlock()
	pending := map[string]int{}
	for k, l := range d.lanes {
		pending[k.subscriber] += l.pending
		d.count(k.subscriber)
	}
	out := make([]Counts, 0, len(d.counts))
	for subscriber, c := range d.counts {
		now := *c
		now.Pending = pending[subscriber]
		out = append(out, now)
	}
	return out
}

// count returns the counters of a subscriber. The caller holds mu.
func (d *Dispatcher) count(subscriber string) *Counts {
	c := d.counts[subscriber]
	if c == nil {
		c = &Counts{Subscriber: subscriber}
		d.counts[subscriber] = c
	}
	return c
}
