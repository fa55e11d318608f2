package pluginhost_test

import (
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/keboola/duckdb-storage/core/internal/queue"
	"github.com/keboola/duckdb-storage/sdk"
	"github.com/keboola/duckdb-storage/sdk/sql"
)

// journal is what handlers and hooks did, in order.
type journal struct {
	mu    sync.Mutex
	lines []string
}

func (j *journal) note(line string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.lines = append(j.lines, line)
}

func (j *journal) check(t *testing.T, want ...string) {
	t.Helper()
	j.mu.Lock()
	defer j.mu.Unlock()
	if diff := cmp.Diff(want, j.lines); diff != "" {
		t.Error(diff)
	}
	j.lines = nil
}

// problem is the *sdk.Error of an error.
func problem(t *testing.T, err error) *sdk.Error {
	t.Helper()
	var e *sdk.Error
	if !errors.As(err, &e) {
		t.Fatalf("got %v", err)
	}
	return e
}

// Hooks are asked in the order of their plugins, with the input of the command, and
// one of them may refuse it.
func TestHooks(t *testing.T) {
	t.Parallel()
	var j journal
	do := command[output]("x.Do")
	p := sdk.New("x", "1.0.0")
	sdk.Handle(p, do, func(_ *sdk.Context, in input) (output, error) { j.note("does " + in.Name); return output{"done"}, nil })
	sdk.Handle(p, command[output]("x.Call"), func(c *sdk.Context, in input) (output, error) { return sdk.Call(c, do, in) })
	hooking := func(name, refuses string) *sdk.Plugin {
		p := sdk.New(name, "1.0.0")
		sdk.Before(p, do, func(c *sdk.Context, in input) error {
			if c.Project() != "1" || c.RequestID() != "r1" || c.RunID() != "run1" || c.Subject() != "test" {
				t.Errorf("the hook runs for %s, %s, %s, %s", c.Project(), c.RequestID(), c.RunID(), c.Subject())
			}
			j.note(name + " before " + in.Name)
			if in.Name == refuses {
				return sdk.ErrInvalid.Errorf("%s may not be done", in.Name).At("/name").With("fact", "f")
			}
			return nil
		})
		return p
	}
	h := host(t, hooking("a", "bad"), hooking("b", "worse"), p)
	ask := func(command, name string) error {
		call := call(command, `{"name":"`+name+`"}`, false)
		call.RunID = "run1"
		_, err := h.Invoke(t.Context(), call)
		return err
	}
	for _, command := range []string{"x.Do", "x.Call"} {
		if err := ask(command, "good"); err != nil {
			t.Error(err)
		}
		j.check(t, "a before good", "b before good", "does good")
	}
	e := problem(t, ask("x.Do", "bad"))
	want := &sdk.Error{
		Code: sdk.ErrInvalid, Detail: "bad may not be done", Pointer: "/name",
		Meta: map[string]string{"fact": "f", "plugin": "a", "hook": "before x.Do"},
	}
	if diff := cmp.Diff(want, e); diff != "" {
		t.Error(diff)
	}
	j.check(t, "a before bad")
	if e := problem(t, ask("x.Call", "worse")); e.Meta["plugin"] != "b" {
		t.Errorf("got %+v", e)
	}
	j.check(t, "a before worse", "b before worse")
	// Input that is not valid is shown to nobody.
	if _, err := h.Invoke(t.Context(), call("x.Do", `{"name":1}`, false)); !errors.Is(err, sdk.ErrMalformed) {
		t.Errorf("got %v", err)
	}
	j.check(t)
}

// Hook and command share a lease: nobody writes between them. What the hook writes
// joins it, and so does a lease that the handler asks for.
func TestHookAndCommandShareALease(t *testing.T) {
	t.Parallel()
	p, _ := writer()
	merge, inner := command[output]("x.Merge"), command[output]("x.Inner")
	foreign := make(chan error, 1)
	var invokeForeign func()
	var q *queue.Queue
	sdk.Handle(p, inner, func(c *sdk.Context, _ input) (output, error) { return output{}, c.Lease() }, sdk.Writes())
	sdk.Handle(p, merge, func(c *sdk.Context, in input) (sdk.Unit, error) {
		await(t, q, oneWaits)
		if in.Name == "called" {
			if _, err := sdk.Call(c, inner, in); err != nil {
				return sdk.Unit{}, err
			}
		}
		if err := c.Lease(); err != nil {
			return sdk.Unit{}, err
		}
		for _, err := range []error{c.Lease(), func() error { _, err := sdk.Call(c, inner, in); return err }()} {
			if !errors.Is(err, sdk.ErrConflict) || !strings.Contains(err.Error(), "second lease") {
				t.Errorf("a second lease: %v", err)
			}
		}
		u := insert("by the command")
		u.Answer = sql.New("SELECT string_agg(a, ', ' ORDER BY rowid) AS text FROM t")
		return u, nil
	}, sdk.Writes())
	hook := sdk.New("hook", "1.0.0")
	sdk.Before(hook, merge, func(c *sdk.Context, in input) error {
		await(t, q, func(lines []queue.Line) bool {
			return len(lines) == 1 && lines[0].Lease && lines[0].Holder == queue.Writer{Command: "x.Merge", RequestID: "r1"}
		})
		invokeForeign()
		await(t, q, oneWaits)
		if err := c.Lease(); err != nil {
			return err
		}
		_, err := c.Write(insert("by the hook"))
		return err
	})
	h, q2 := hostWithQueue(t, p, hook)
	q = q2
	invokeForeign = func() {
		go func() {
			_, err := h.Invoke(t.Context(), call("x.Insert", `{"name":"foreign"}`, true))
			foreign <- err
		}()
	}
	invoke(t, h, "x.Make", "")
	if got := invoke(t, h, "x.Merge", "plain"); got != `{"text":"by the hook, by the command"}` {
		t.Errorf("got %s", got)
	}
	if err := <-foreign; err != nil {
		t.Error(err)
	}
	if got := invoke(t, h, "x.Merge", "called"); got != `{"text":"by the hook, by the command, foreign, by the hook, by the command"}` {
		t.Errorf("got %s", got)
	}
	if err := <-foreign; err != nil {
		t.Error(err)
	}
	await(t, q, func(lines []queue.Line) bool { return len(lines) == 0 })
}

// Without a hook, for a read, and for a command that is about no project there is no
// lease.
func TestNoLeaseWithoutNeed(t *testing.T) {
	t.Parallel()
	p := sdk.New("x", "1.0.0")
	var q *queue.Queue
	unleased := func() {
		if lines := q.Lines(); len(lines) > 0 {
			t.Errorf("the lines are %+v", lines)
		}
	}
	handler := func(*sdk.Context, input) (output, error) { unleased(); return output{"done"}, nil }
	read, service := command[output]("x.Read"), command[output]("x.Service")
	sdk.Handle(p, read, handler)
	sdk.Handle(p, service, handler, sdk.Writes())
	sdk.Handle(p, command[output]("x.Write"), handler, sdk.Writes())
	hook := sdk.New("hook", "1.0.0")
	asked := 0
	sdk.Before(hook, read, func(c *sdk.Context, _ input) error {
		asked++
		unleased()
		_, err := c.Write(insert("row"))
		for _, err := range []error{err, c.Lease()} {
			if !errors.Is(err, sdk.ErrDenied) {
				t.Errorf("before a read: %v", err)
			}
		}
		return nil
	})
	sdk.Before(hook, service, func(*sdk.Context, input) error { asked++; unleased(); return nil })
	h, q2 := hostWithQueue(t, p, hook)
	q = q2
	invoke(t, h, "x.Read", "")
	invoke(t, h, "x.Write", "")
	about := call("x.Service", `{"name":""}`, true)
	about.Target = nil
	if _, err := h.Invoke(t.Context(), about); err != nil || asked != 2 {
		t.Errorf("%v; %d hooks were asked", err, asked)
	}
}

// A hook that takes too long refuses the command, unless it may be left out.
func TestHookThatHangs(t *testing.T) {
	t.Parallel()
	p, _ := writer()
	hook := sdk.New("slow", "1.0.0")
	closed, open := command[sdk.None]("x.Closed"), command[sdk.None]("x.Open")
	for _, c := range []sdk.Command[input, sdk.None]{closed, open} {
		sdk.Handle(p, c, func(_ *sdk.Context, in input) (sdk.Unit, error) { return insert(in.Name), nil }, sdk.Writes())
	}
	hang := func(c *sdk.Context, _ input) error { <-c.Done(); return c.Err() }
	sdk.Before(hook, closed, hang, sdk.Within(time.Second))
	sdk.Before(hook, open, hang, sdk.Within(time.Second), sdk.FailOpen())
	h, q := hostWithQueue(t, p, hook)
	invoke(t, h, "x.Make", "")
	_, err := h.Invoke(t.Context(), call("x.Closed", `{"name":"row"}`, true))
	e := problem(t, err)
	if want := "x.Closed was not run, because the hook of plugin slow before it cannot be asked: it took longer than 1s"; !errors.Is(err, sdk.ErrPluginDown) || e.Detail != want ||
		!e.Retryable || e.Meta["plugin"] != "slow" || e.Meta["hook"] != "before x.Closed" {
		t.Errorf("got %+v", e)
	}
	invoke(t, h, "x.Open", "row")
	await(t, q, func(lines []queue.Line) bool { return len(lines) == 0 })
}

// A hook that fails is a refusal and never left out.
func TestHookThatFails(t *testing.T) {
	t.Parallel()
	do := command[output]("x.Do")
	p := sdk.New("x", "1.0.0")
	sdk.Handle(p, do, func(*sdk.Context, input) (output, error) { t.Error("it ran"); return output{}, nil })
	hook := sdk.New("hook", "1.0.0")
	sdk.Before(hook, do, func(*sdk.Context, input) error { panic("broken") }, sdk.FailOpen())
	_, err := host(t, p, hook).Invoke(t.Context(), call("x.Do", `{"name":""}`, true))
	if e := problem(t, err); !errors.Is(err, sdk.ErrInternal) || e.Meta["plugin"] != "hook" {
		t.Errorf("got %+v", e)
	}
}

// What calls itself again, by whatever way, is refused with the way.
func TestCyclesAreRefused(t *testing.T) {
	t.Parallel()
	a, b := command[output]("x.A"), command[output]("x.B")
	p := sdk.New("x", "1.0.0")
	sdk.Handle(p, a, func(c *sdk.Context, in input) (output, error) { return sdk.Call(c, b, in) })
	sdk.Handle(p, b, func(c *sdk.Context, in input) (output, error) {
		if in.Name == "end" {
			return output{"end"}, nil
		}
		return sdk.Call(c, a, in)
	})
	hooked, beside := command[output]("x.Hooked"), command[output]("x.Beside")
	sdk.Handle(p, hooked, func(*sdk.Context, input) (output, error) { return output{"ran"}, nil })
	sdk.Handle(p, beside, func(c *sdk.Context, in input) (output, error) { return sdk.Call(c, hooked, in) })
	hook := sdk.New("hook", "1.0.0")
	sdk.Before(hook, hooked, func(c *sdk.Context, in input) error { _, err := sdk.Call(c, beside, in); return err })
	h := host(t, p, hook)
	for command, chain := range map[string]string{
		"x.A":      "x.A → x.B → x.A",
		"x.Hooked": "x.Hooked → hook before x.Hooked → x.Beside → x.Hooked",
		"x.Beside": "x.Beside → x.Hooked → hook before x.Hooked → x.Beside",
	} {
		_, err := h.Invoke(t.Context(), call(command, `{"name":"a"}`, true))
		if !errors.Is(err, sdk.ErrConflict) || !strings.HasSuffix(err.Error(), ": "+chain) {
			t.Errorf("%s: %v", command, err)
		}
	}
	if _, err := h.Invoke(t.Context(), call("x.A", `{"name":"end"}`, true)); err != nil {
		t.Error(err)
	}
}

// The depth of calls is bounded, hooks and jobs counted.
func TestCallsHaveAFloor(t *testing.T) {
	t.Parallel()
	p, hook := sdk.New("x", "1.0.0"), sdk.New("hook", "1.0.0")
	reached := 0
	var commands []sdk.Command[input, output]
	for _, name := range strings.Split("A B C D E F G H I J", " ") {
		commands = append(commands, command[output]("x."+name))
	}
	for n, cmd := range commands {
		sdk.Handle(p, cmd, func(c *sdk.Context, in input) (output, error) {
			reached = max(reached, n+1)
			if n+1 == len(commands) {
				return output{}, nil
			}
			return sdk.Call(c, commands[n+1], in)
		})
	}
	h := host(t, p)
	for depth := range 3 {
		reached = 0
		call := call("x.A", `{"name":"a"}`, false)
		call.Depth = depth
		if _, err := h.Invoke(t.Context(), call); !errors.Is(err, sdk.ErrConflict) || !strings.Contains(err.Error(), "8 deep: x.A → x.B") || reached != 8-depth {
			t.Errorf("%d deep: %v", reached, err)
		}
	}
	sdk.Before(hook, commands[2], func(*sdk.Context, input) error { return nil })
	reached = 0
	if _, err := host(t, p, hook).Invoke(t.Context(), call("x.A", `{"name":"a"}`, false)); !errors.Is(err, sdk.ErrConflict) || reached != 8 {
		t.Errorf("%d deep: %v", reached, err) // a hook that has returned is not in the chain
	}
}
