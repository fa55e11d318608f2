package outbox_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/go-hclog"

	"github.com/keboola/duckdb-storage/core/internal/fixture"
	"github.com/keboola/duckdb-storage/core/internal/outbox"
	"github.com/keboola/duckdb-storage/core/internal/plan"
	"github.com/keboola/duckdb-storage/core/internal/queue"
	"github.com/keboola/duckdb-storage/sdk"
	pluginv1 "github.com/keboola/duckdb-storage/sdk/proto/duckdbstorage/plugin/v1"
	"github.com/keboola/duckdb-storage/sdk/sql"
)

const patience = 20 * time.Second

// office is a dispatcher whose deliveries a test answers.
type office struct {
	*fixture.Host
	*outbox.Dispatcher
	t      *testing.T
	looked chan string // what is said of a catalog that was looked into in vain

	mu     sync.Mutex
	got    []outbox.Delivery
	states map[string]outbox.State
	answer func(context.Context, outbox.Delivery) error
}

// open opens the office over a directory, which may be one that was used before.
func open(t *testing.T, root string, answer func(context.Context, outbox.Delivery) error) *office {
	t.Helper()
	o := &office{Host: fixture.Open(t, root), t: t, states: map[string]outbox.State{"a": outbox.On, "b": outbox.On, "off": outbox.Off}, answer: answer}
	o.looked = make(chan string, 10000)
	log := hclog.New(&hclog.LoggerOptions{Output: says(o.looked), Level: hclog.Debug})
	o.Dispatcher = outbox.Open(outbox.Config{
		Executor: o.Executor, Logger: log, Deliver: o.deliver, State: o.state, Projects: func() []string { return []string{"1", "gone"} },
		BackoffMin: time.Millisecond, BackoffMax: 4 * time.Millisecond, Rate: 1000, Keep: time.Hour,
	})
	t.Cleanup(func() { o.stop() })
	return o
}

// says passes on what the log has about catalogs that were looked into in vain.
type says chan string

func (s says) Write(line []byte) (int, error) {
	if strings.Contains(string(line), "are not looked for now") && strings.Contains(string(line), "project=1") {
		s <- string(line)
	}
	return len(line), nil
}

// stop closes the dispatcher before the database.
func (o *office) stop() {
	o.Dispatcher.Close(context.Background())
	o.Host.Close()
}

func (o *office) deliver(ctx context.Context, d outbox.Delivery) error {
	var err error
	if o.answer != nil {
		err = o.answer(ctx, d)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.got = append(o.got, d)
	return err
}

func (o *office) state(subscriber string) outbox.State {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.states[subscriber]
}

func (o *office) set(subscriber string, s outbox.State) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.states[subscriber] = s
}

// delivered lists what a subscriber got: payload and attempt.
func (o *office) delivered(subscriber string) []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	var out []string
	for _, d := range o.got {
		if d.Subscriber == subscriber {
			out = append(out, fmt.Sprintf("%s/%d", d.Payload, d.Attempt))
		}
	}
	return out
}

var target = &pluginv1.Target{Project: "1", Branch: plan.DefaultBranch}

// commit commits events with their numbers as payload, in one transaction.
func (o *office) commit(ctx context.Context, numbers []int, subscribers ...string) {
	o.t.Helper()
	var events []outbox.Event
	count := map[string]int{}
	for _, n := range numbers {
		events = append(events, outbox.Event{
			ID: fmt.Sprint("id", n), Name: "x.Happened", Payload: []byte(fmt.Sprint(n)), RequestID: "r1", RunID: "run1", Depth: n, Subscribers: subscribers,
		})
		for _, s := range subscribers {
			count[s]++
		}
	}
	_, err := o.Executor.Write(ctx, target, &pluginv1.Unit{}, func() ([]sql.Statement, error) { return outbox.Insert(events, time.Now()), nil })
	if err != nil {
		o.t.Fatal(err)
	}
	o.Committed(target, count)
}

func numbers(from, to int) []int {
	var out []int
	for n := from; n < to; n++ {
		out = append(out, n)
	}
	return out
}

// firsts are the deliveries of numbers, each at the first attempt.
func firsts(from, to int) []string {
	var out []string
	for _, n := range numbers(from, to) {
		out = append(out, fmt.Sprint(n, "/1"))
	}
	return out
}

// eventually polls until something is so.
func (o *office) eventually(what string, is func() bool) {
	o.t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	deadline := time.After(patience)
	for !is() {
		select {
		case <-tick.C:
		case <-deadline:
			o.t.Fatalf("%s: a got %v, b got %v, the outbox has %v", what, o.delivered("a"), o.delivered("b"), o.rows(""))
		}
	}
}

// rows shows the outbox: subscriber, payload and whether it failed.
func (o *office) rows(where string) []string {
	o.t.Helper()
	out, err := o.Executor.Query(o.t.Context(), target, &pluginv1.Statement{
		Sql: "SELECT subscriber || ' ' || payload || ' ' || coalesce(error, '-') AS row FROM __storage.outbox " + where + " ORDER BY seq",
	})
	if err != nil {
		o.t.Fatal(err)
	}
	return []string{string(out)}
}

func (o *office) empty() bool { return o.rows("")[0] == "[]" }

// The events of a lane come one at a time and in order, whatever the batches, and
// leave nothing behind.
func TestOrder(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	running := map[string]bool{}
	o := open(t, t.TempDir(), func(_ context.Context, d outbox.Delivery) error {
		mu.Lock()
		defer mu.Unlock()
		if running[d.Subscriber] {
			t.Error("two deliveries of one lane at a time")
		}
		running[d.Subscriber] = true
		defer func() { running[d.Subscriber] = false }()
		if d.ID != "id"+string(d.Payload) || d.Event != "x.Happened" || d.RequestID != "r1" || d.RunID != "run1" || d.Target.GetProject() != "1" ||
			time.Since(d.Committed).Abs() > time.Minute || d.Committed.Location() != time.UTC {
			t.Errorf("got %+v", d)
		}
		return nil
	})
	o.CreateProject("1")
	o.commit(t.Context(), numbers(0, 150), "a", "b")
	for n := 150; n < 250; n += 10 {
		o.commit(t.Context(), numbers(n, n+10), "a", "b")
	}
	o.eventually("the outbox is empty", o.empty)
	for _, s := range []string{"a", "b"} {
		if diff := cmp.Diff(firsts(0, 250), o.delivered(s)); diff != "" {
			t.Errorf("%s: %s", s, diff)
		}
	}
	for _, c := range o.Counts() {
		if diff := cmp.Diff(outbox.Counts{Subscriber: c.Subscriber, Delivered: 250, Pending: c.Pending}, c); diff != "" {
			t.Error(diff)
		}
	}
}

// A delivery knows how deep its event lies, which bounds what may follow from it.
func TestDepth(t *testing.T) {
	t.Parallel()
	o := open(t, t.TempDir(), nil)
	o.CreateProject("1")
	o.commit(t.Context(), []int{1, 8}, "a")
	o.eventually("the outbox is empty", o.empty)
	o.mu.Lock()
	defer o.mu.Unlock()
	for n, want := range []int{1, 8} {
		if len(o.got) != 2 || o.got[n].Depth != want {
			t.Errorf("got %+v", o.got)
		}
	}
}

// A subscriber that is slow holds up neither writers nor other subscribers.
func TestSlowSubscriber(t *testing.T) {
	t.Parallel()
	held := make(chan struct{})
	o := open(t, t.TempDir(), func(ctx context.Context, d outbox.Delivery) error {
		if d.Subscriber == "a" {
			select {
			case <-held:
			case <-ctx.Done():
			}
		}
		return nil
	})
	o.CreateProject("1")
	for n := range 5 {
		o.commit(t.Context(), []int{n}, "a", "b")
	}
	o.eventually("b has them all", func() bool { return len(o.delivered("b")) == 5 })
	if lines := o.Executor.Queue.Lines(); len(o.delivered("a")) != 0 || slices.ContainsFunc(lines, func(l queue.Line) bool { return l.Held > time.Second }) {
		t.Errorf("a got %v; the lines are %+v", o.delivered("a"), lines)
	}
	close(held)
	o.eventually("the outbox is empty", o.empty)
}

// What can be repeated is, for as long as it takes, and what comes later waits.
func TestRetry(t *testing.T) {
	t.Parallel()
	fails := 12
	o := open(t, t.TempDir(), func(_ context.Context, d outbox.Delivery) error {
		if string(d.Payload) == "1" && d.Attempt <= fails {
			return []error{sdk.ErrPluginDown.Errorf("down"), sdk.ErrUnavailable.Errorf("busy")}[d.Attempt%2]
		}
		return nil
	})
	o.CreateProject("1")
	o.commit(t.Context(), numbers(0, 3), "a")
	o.eventually("the outbox is empty", o.empty)
	want := []string{"0/1"}
	for n := range fails + 1 {
		want = append(want, fmt.Sprint("1/", n+1))
	}
	if diff := cmp.Diff(append(want, "2/1"), o.delivered("a")); diff != "" {
		t.Error(diff)
	}
	if c := o.Counts()[0]; c.Repeated != fails || c.Failed != 0 || c.Delivered != 3 {
		t.Errorf("got %+v", c)
	}
}

// An event that its subscriber cannot take is set aside with its error, and the later
// ones go on.
func TestPoison(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		err   error
		tries int
	}{
		"final error":    {sdk.ErrInvalid.Errorf("poison"), 5},
		"no such error":  {errors.New("poison"), 5},
		"death":          {sdk.ErrPluginDied.Errorf("poison"), 3},
		"not for others": {sdk.ErrUnsupported.Errorf("poison"), 5},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := open(t, t.TempDir(), func(_ context.Context, d outbox.Delivery) error {
				if string(d.Payload) == "1" {
					return tc.err
				}
				return nil
			})
			o.CreateProject("1")
			o.commit(t.Context(), numbers(0, 3), "a")
			o.eventually("one row is left", func() bool { return cmp.Equal(o.rows(""), []string{`[{"row":"a 1 poison"}]`}) })
			if got := o.delivered("a"); len(got) != 2+tc.tries || got[len(got)-1] != "2/1" {
				t.Errorf("got %v", got)
			}
			if c := o.Counts()[0]; c.Failed != 1 || c.Delivered != 2 {
				t.Errorf("got %+v", c)
			}
			o.commit(t.Context(), []int{3}, "a")
			o.eventually("the lane goes on", func() bool { return slices.Contains(o.delivered("a"), "3/1") })
		})
	}
}

// What waits survives a stop in the middle, is found by a scan, and keeps its order.
func TestRestart(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	reached, held := make(chan struct{}), make(chan struct{})
	o := open(t, root, func(ctx context.Context, d outbox.Delivery) error {
		if string(d.Payload) == "2" {
			close(reached)
			<-held
		}
		return nil
	})
	o.CreateProject("1")
	o.commit(t.Context(), numbers(0, 5), "a")
	<-reached
	closed := make(chan struct{})
	go func() { o.stop(); close(closed) }()
	select {
	case <-closed:
		t.Error("Close does not wait for a delivery")
	case <-time.After(20 * time.Millisecond):
	}
	close(held)
	<-closed
	if diff := cmp.Diff(firsts(0, 3), o.delivered("a")); diff != "" {
		t.Error(diff)
	}
	o.commitNothing()

	o = open(t, root, nil)
	o.Scan()
	o.eventually("the outbox is empty", o.empty)
	if diff := cmp.Diff(firsts(3, 5), o.delivered("a")); diff != "" {
		t.Error(diff)
	}
}

// commitNothing tells a dispatcher that is closed of an event.
func (o *office) commitNothing() { o.Committed(target, map[string]int{"a": 1}) }

// A delivery that Close has to cut short is made again.
func TestCloseWithoutPatience(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	reached := make(chan struct{})
	o := open(t, root, func(ctx context.Context, _ outbox.Delivery) error {
		close(reached)
		<-ctx.Done()
		return ctx.Err()
	})
	o.CreateProject("1")
	o.commit(t.Context(), []int{0}, "a")
	<-reached
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	o.Dispatcher.Close(ctx)
	o.stop()
	o = open(t, root, nil)
	o.Scan()
	o.eventually("the outbox is empty", o.empty)
	if diff := cmp.Diff(firsts(0, 1), o.delivered("a")); diff != "" {
		t.Error(diff)
	}
}

// The rows of a subscriber that is off wait, without anybody looking at them, until
// it is on and a scan finds them; those of one that nobody knows go when they are old.
func TestSubscriberThatIsOff(t *testing.T) {
	t.Parallel()
	o := open(t, t.TempDir(), nil)
	o.CreateProject("1")
	o.commit(t.Context(), numbers(0, 3), "off", "unknown")
	o.eventually("nothing runs", func() bool {
		return !slices.ContainsFunc(o.Counts(), func(c outbox.Counts) bool { return c.Pending > 0 })
	})
	age := func(what, by string) {
		t.Helper()
		_, err := o.Executor.Write(t.Context(), target, &pluginv1.Unit{Statements: []*pluginv1.Statement{{
			Sql: "UPDATE __storage.outbox SET committed = committed - INTERVAL (" + by + ") MINUTE WHERE " + what,
		}}})
		if err != nil {
			t.Fatal(err)
		}
	}
	age("payload = '0'", "61")
	age("payload = '1'", "59")
	o.Scan()
	o.eventually("the old one of a stranger is gone", func() bool {
		return cmp.Equal(o.rows("WHERE subscriber = 'unknown'"), []string{`[{"row":"unknown 1 -"},{"row":"unknown 2 -"}]`})
	})
	if got := o.delivered("off"); got != nil {
		t.Errorf("off got %v", got)
	}
	o.set("off", outbox.On)
	o.Scan()
	o.eventually("it has its events", func() bool { return cmp.Equal(o.delivered("off"), firsts(0, 3)) })
	o.eventually("they are gone", func() bool { return cmp.Equal(o.rows("WHERE subscriber = 'off'"), []string{"[]"}) })
}

// A subscriber that is switched off while its deliveries fail is left alone.
func TestSwitchedOffWhileItFails(t *testing.T) {
	t.Parallel()
	tries := make(chan struct{}, 1000)
	var mu sync.Mutex
	heals := false
	o := open(t, t.TempDir(), func(context.Context, outbox.Delivery) error {
		mu.Lock()
		defer mu.Unlock()
		if heals {
			return nil
		}
		tries <- struct{}{}
		return sdk.ErrPluginDown.Errorf("down")
	})
	o.CreateProject("1")
	o.commit(t.Context(), numbers(0, 3), "a")
	<-tries
	<-tries
	o.set("a", outbox.Off)
	o.eventually("nothing runs", func() bool { return o.Counts()[0].Pending == 0 })
	mu.Lock()
	heals = true
	mu.Unlock()
	o.set("a", outbox.On)
	o.Scan()
	o.eventually("the outbox is empty", o.empty)
	if got := o.delivered("a"); !slices.Equal(got[len(got)-3:], firsts(0, 3)) {
		t.Errorf("got %v", got)
	}
}

// Not more lanes of a subscriber than it should have deliver at a time, and one that
// waits to repeat a delivery has no place.
func TestParallel(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	running, most := 0, 0
	o := open(t, t.TempDir(), func(_ context.Context, d outbox.Delivery) error {
		mu.Lock()
		running++
		most = max(most, running)
		mu.Unlock()
		defer func() {
			mu.Lock()
			running--
			mu.Unlock()
		}()
		if d.Attempt == 1 {
			return sdk.ErrUnavailable.Errorf("busy")
		}
		return nil
	})
	const projects = 12
	var targets []*pluginv1.Target
	for n := range projects {
		id := fmt.Sprint("p", n)
		o.CreateProject(id)
		there := &pluginv1.Target{Project: id, Branch: plan.DefaultBranch}
		event := outbox.Event{ID: id, Name: "x.Happened", Payload: []byte("0"), Subscribers: []string{"a"}}
		if _, err := o.Executor.Write(t.Context(), there, &pluginv1.Unit{}, func() ([]sql.Statement, error) {
			return outbox.Insert([]outbox.Event{event}, time.Now()), nil
		}); err != nil {
			t.Fatal(err)
		}
		targets = append(targets, there)
	}
	for _, there := range targets {
		o.Committed(there, map[string]int{"a": 1})
	}
	o.eventually("all are delivered", func() bool { return o.Counts()[0].Delivered == projects })
	mu.Lock()
	defer mu.Unlock()
	if most > 4 {
		t.Errorf("%d lanes at a time", most)
	}
}
