package pluginhost_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/go-hclog"

	"github.com/keboola/duckdb-storage/core/internal/fixture"
	"github.com/keboola/duckdb-storage/core/internal/pluginhost"
	"github.com/keboola/duckdb-storage/sdk"
	"github.com/keboola/duckdb-storage/sdk/sql"
)

// dropped is an event of plugin x.
var dropped = sdk.Event[fact]{Name: "x.Dropped", Summary: "A thing is gone."}

type fact struct {
	Name string `json:"name"`
}

// emitting is the writer plugin with the commands x.Drop, x.Write and x.Transact, each
// of which adds a row and emits the event for each letter of its input.
func emitting() *sdk.Plugin {
	p, _ := writer()
	sdk.Emits(p, dropped)
	events := func(in input) (out []sdk.Emission) {
		for _, letter := range strings.Split(in.Name, "") {
			out = append(out, dropped.Of(fact{letter}))
		}
		return out
	}
	unit := func(in input) sdk.Unit {
		u := insert(in.Name)
		u.Events = events(in)
		return u
	}
	sdk.Handle(p, command[sdk.None]("x.Drop"), func(_ *sdk.Context, in input) (sdk.Unit, error) { return unit(in), nil }, sdk.Writes())
	sdk.Handle(p, command[output]("x.Write"), func(c *sdk.Context, in input) (output, error) { _, err := c.Write(unit(in)); return output{}, err }, sdk.Writes())
	sdk.Handle(p, command[output]("x.Transact"), func(c *sdk.Context, in input) (output, error) {
		return output{}, c.Transact(func(tx *sdk.Tx) error {
			for _, e := range events(in) {
				tx.Emit(e)
			}
			return add(tx, in.Name)
		})
	}, sdk.Writes())
	sdk.Handle(p, command[output]("x.Outbox"), func(c *sdk.Context, _ input) (output, error) {
		rows, err := sdk.Query[output](c, sql.New("SELECT count(*)::VARCHAR AS text FROM __storage.outbox"))
		if err != nil {
			return output{}, err
		}
		return rows[0], nil
	})
	return p
}

func waiting(t *testing.T, h *pluginhost.Host) string {
	t.Helper()
	return invoke(t, h, "x.Outbox", "")
}

// until polls until something is so.
func until(t *testing.T, what string, is func() bool) {
	t.Helper()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	deadline := time.After(20 * time.Second)
	for !is() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatal("it never was so that " + what)
		}
	}
}

// An event reaches every subscriber, in order, whichever way it was committed; the
// subscriber acts in its own name on the project of the event.
func TestEvents(t *testing.T) {
	t.Parallel()
	got := make(chan string, 100)
	hear := func(name string) *sdk.Plugin {
		p := sdk.New(name, "1.0.0")
		sdk.After(p, dropped, func(c *sdk.Context, n sdk.Notice[fact]) error {
			if c.Project() != "1" || c.Branch() != "default" || c.RequestID() != "r1" || c.RunID() != "run1" || c.Subject() != "plugin:"+name || c.Admin() {
				t.Errorf("%s hears for %s, %s, %s, %s, %s", name, c.Project(), c.Branch(), c.RequestID(), c.RunID(), c.Subject())
			}
			if n.Attempt != 1 || n.ID == "" || time.Since(n.Committed).Abs() > time.Minute {
				t.Errorf("%s hears %+v", name, n)
			}
			if name == "a" { // a subscriber may write, and takes a turn for it as others do
				if err := c.Lease(); err != nil {
					return err
				}
				if _, err := c.Write(insert("heard " + n.Payload.Name)); err != nil {
					return err
				}
			}
			got <- name + n.Payload.Name
			return nil
		})
		return p
	}
	h := host(t, emitting(), hear("a"), hear("b"))
	invoke(t, h, "x.Make", "")
	for _, letters := range []struct{ command, name string }{{"x.Drop", "12"}, {"x.Write", "34"}, {"x.Transact", "56"}} {
		c := call(letters.command, `{"name":"`+letters.name+`"}`, false)
		c.RunID = "run1"
		if _, err := h.Invoke(t.Context(), c); err != nil {
			t.Fatal(err)
		}
	}
	heard := map[byte]string{}
	for range 12 {
		line := <-got
		heard[line[0]] += line[1:]
	}
	if diff := cmp.Diff(map[byte]string{'a': "123456", 'b': "123456"}, heard); diff != "" {
		t.Error(diff)
	}
	until(t, "the outbox is empty", func() bool { return waiting(t, h) == `{"text":"0"}` })
	for _, c := range h.Events() {
		if c.Delivered != 6 || c.Failed != 0 {
			t.Errorf("%+v", c)
		}
	}
}

// An event that nobody hears of leaves no row, and neither does one of a write that
// failed.
func TestEventsThatAreNotStored(t *testing.T) {
	t.Parallel()
	h := host(t, emitting())
	invoke(t, h, "x.Make", "")
	for _, name := range []string{"x.Drop", "x.Write", "x.Transact"} {
		invoke(t, h, name, "a")
	}
	if got := waiting(t, h); got != `{"text":"0"}` {
		t.Errorf("%s rows without a subscriber", got)
	}
	deaf := sdk.New("deaf", "1.0.0")
	sdk.After(deaf, dropped, func(*sdk.Context, sdk.Notice[fact]) error { t.Error("it was told of what did not happen"); return nil })
	h = host(t, emitting(), deaf) // without the table
	for _, name := range []string{"x.Drop", "x.Write", "x.Transact"} {
		if _, err := h.Invoke(t.Context(), call(name, `{"name":"a"}`, true)); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if got := waiting(t, h); got != `{"text":"0"}` {
		t.Errorf("%s rows of writes that failed", got)
	}
}

// A plugin emits what it declared, as it declared it; else nothing is written.
func TestEventsAreChecked(t *testing.T) {
	t.Parallel()
	big := sdk.Event[fact]{Name: "x.Big"}
	wrong := sdk.Event[map[string]any]{Name: "x.Dropped"}
	for name, tc := range map[string]struct {
		emission sdk.Emission
		want     string
	}{
		"undeclared":         {sdk.Event[fact]{Name: "x.Unknown"}.Of(fact{"a"}), "it does not declare it"},
		"of another plugin":  {sdk.Event[fact]{Name: "y.Dropped"}.Of(fact{"a"}), "it does not declare it"},
		"of another payload": {wrong.Of(map[string]any{"name": 1, "nick": "n"}), "/name: got number, want string"},
		"a number beyond":    {wrong.Of(map[string]any{"name": json.Number("1e99999999")}), "/name: the number is out of range"},
		"too large":          {big.Of(fact{strings.Repeat("a", 65<<10)}), "and 65536 are allowed"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p, _ := writer()
			sdk.Emits(p, dropped)
			sdk.Emits(p, big)
			unit := sdk.Unit{Do: []sql.Statement{sql.New("CREATE TABLE t (a VARCHAR)")}, Events: []sdk.Emission{tc.emission}}
			sdk.Handle(p, command[sdk.None]("x.Plan"), func(*sdk.Context, input) (sdk.Unit, error) { return unit, nil }, sdk.Writes())
			sdk.Handle(p, command[output]("x.Write"), func(c *sdk.Context, _ input) (output, error) { _, err := c.Write(unit); return output{}, err }, sdk.Writes())
			sdk.Handle(p, command[output]("x.Transact"), func(c *sdk.Context, _ input) (output, error) {
				return output{}, c.Transact(func(tx *sdk.Tx) error { tx.Emit(tc.emission); _, err := tx.Exec(unit.Do[0]); return err })
			}, sdk.Writes())
			y := sdk.New("y", "1.0.0")
			sdk.Emits(y, sdk.Event[fact]{Name: "y.Dropped"})
			h := host(t, p, y)
			for _, name := range []string{"x.Plan", "x.Write", "x.Transact"} {
				_, err := h.Invoke(t.Context(), call(name, `{"name":"a"}`, true))
				if !errors.Is(err, sdk.ErrInternal) || !strings.Contains(err.Error(), "plugin x broke its contract in "+name) || !strings.Contains(err.Error(), tc.want) {
					t.Errorf("%s: %v", name, err)
				}
			}
			invoke(t, h, "x.Make", "") // the table is not there
		})
	}
}

// A transaction has not more events than its turn has time for.
func TestEventsAreBounded(t *testing.T) {
	t.Parallel()
	h := host(t, emitting())
	invoke(t, h, "x.Make", "")
	for n, ok := range map[int]bool{1000: true, 1001: false} {
		_, err := h.Invoke(t.Context(), call("x.Drop", `{"name":"`+strings.Repeat("a", n)+`"}`, true))
		if ok != (err == nil) || !ok && (!errors.Is(err, sdk.ErrInternal) || !strings.Contains(err.Error(), "it emits 1001 events, and a transaction may have 1000")) {
			t.Errorf("%d events: %v", n, err)
		}
	}
}

// A plugin that a reload takes away ends what it has begun: its events are stored for
// those who heard of them when it began.
func TestEventsOfAPluginThatLeaves(t *testing.T) {
	t.Parallel()
	begun, next := make(chan struct{}), make(chan struct{})
	p := emitting()
	sdk.Handle(p, command[output]("x.Last"), func(*sdk.Context, input) (sdk.Unit, error) {
		close(begun)
		<-next
		u := insert("last")
		u.Events = []sdk.Emission{dropped.Of(fact{"last"})}
		return u, nil
	}, sdk.Writes())
	heard := make(chan string, 1)
	listener := sdk.New("listener", "1.0.0")
	sdk.After(listener, dropped, func(_ *sdk.Context, n sdk.Notice[fact]) error {
		heard <- n.Payload.Name
		return nil
	})
	h := host(t, p, listener)
	invoke(t, h, "x.Make", "")
	result := make(chan error, 1)
	go func() {
		_, err := h.Invoke(t.Context(), call("x.Last", `{"name":""}`, true))
		result <- err
	}()
	<-begun
	h.Leave()
	close(next)
	if err := <-result; err != nil {
		t.Fatal(err)
	}
	select {
	case name := <-heard:
		if name != "last" {
			t.Errorf("heard of %s", name)
		}
	case <-time.After(patience):
		t.Error("the event is lost")
	}
}

// What a host has not delivered is delivered by the next one over the same files.
func TestEventsOutliveTheHost(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	var heard []string
	open := func(last string) (stop func(), h *pluginhost.Host) {
		f := fixture.Open(t, root)
		if last == "2" {
			f.CreateProject("1")
		}
		p := sdk.New("late", "1.0.0")
		done, busy := make(chan struct{}), make(chan struct{})
		sdk.After(p, dropped, func(c *sdk.Context, n sdk.Notice[fact]) error {
			if n.Payload.Name > last {
				select {
				case <-busy:
				default:
					close(busy)
				}
				<-c.Done() // until the host has no patience left
				return c.Err()
			}
			heard = append(heard, fmt.Sprint(n.Payload.Name, "/", n.Attempt))
			if n.Payload.Name == "4" {
				close(done)
			}
			return nil
		})
		h, err := pluginhost.Open(t.Context(), pluginhost.Config{
			Dir: t.TempDir(), RuntimeDir: f.Layout.Runtime, Logger: hclog.NewNullLogger(), Executor: f.Executor,
		}, emitting(), p)
		if err != nil {
			t.Fatal(err)
		}
		return func() {
			ctx, cancel := context.WithCancel(context.Background())
			select {
			case <-done:
			case <-busy:
				cancel()
			}
			defer cancel()
			if err := h.Close(ctx); err != nil {
				t.Error(err)
			}
			f.Close()
		}, h
	}
	stop, h := open("2")
	invoke(t, h, "x.Make", "")
	invoke(t, h, "x.Drop", "1234")
	stop()
	stop, _ = open("4")
	stop()
	if diff := cmp.Diff([]string{"1/1", "2/1", "3/1", "4/1"}, heard); diff != "" {
		t.Error(diff)
	}
}

// Events that bring about each other come to an end, which the handler of the last one
// learns. An event that nobody hears of ends such a chain by itself.
func TestEventsDoNotFollowEachOtherForEver(t *testing.T) {
	t.Parallel()
	echoed := sdk.Event[fact]{Name: "y.Echoed"}
	unheard := sdk.Event[fact]{Name: "y.Unheard"}
	for name, write := range map[string]func(*sdk.Context, sdk.Emission) error{
		"unit": func(c *sdk.Context, e sdk.Emission) error {
			u := insert("again")
			u.Events = []sdk.Emission{e}
			_, err := c.Write(u)
			return err
		},
		"transaction": func(c *sdk.Context, e sdk.Emission) error {
			return c.Transact(func(tx *sdk.Tx) error { tx.Emit(e); return add(tx, "again") })
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			last := make(chan error, 10)
			heard := 0 // one after the other
			hear := func(c *sdk.Context, n sdk.Notice[fact], next sdk.Emission) error {
				if n.Attempt > 1 {
					return nil
				}
				heard++
				err := write(c, next)
				if err != nil {
					last <- errors.Join(err, write(c, unheard.Of(fact{"end"})))
				}
				return err
			}
			x, y := emitting(), sdk.New("y", "1.0.0")
			sdk.Emits(y, echoed)
			sdk.Emits(y, unheard)
			sdk.After(x, echoed, func(c *sdk.Context, n sdk.Notice[fact]) error { return hear(c, n, dropped.Of(n.Payload)) })
			sdk.After(y, dropped, func(c *sdk.Context, n sdk.Notice[fact]) error { return hear(c, n, echoed.Of(n.Payload)) })
			h := host(t, x, y)
			invoke(t, h, "x.Make", "")
			invoke(t, h, "x.Drop", "a")
			select {
			case err := <-last:
				for _, words := range []string{"more than 8 deep, here after ", "(of this one: ", "must not bring it about again"} {
					if !errors.Is(err, sdk.ErrConflict) || problem(t, err).Retryable || !strings.Contains(err.Error(), words) {
						t.Errorf("%q is not in: %v", words, err)
					}
				}
			case <-time.After(patience):
				t.Error("it goes on")
			}
			if heard != sdk.MaxCallDepth {
				t.Errorf("heard %d times", heard)
			}
		})
	}
}
