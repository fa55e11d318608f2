package pluginhost_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/keboola/duckdb-storage/core/internal/pluginhost"
	"github.com/keboola/duckdb-storage/core/internal/queue"
	"github.com/keboola/duckdb-storage/sdk"
	pluginv1 "github.com/keboola/duckdb-storage/sdk/proto/duckdbstorage/plugin/v1"
	"github.com/keboola/duckdb-storage/sdk/sql"
)

// insert is a write of a row.
func insert(text string) sdk.Unit {
	return sdk.Unit{Do: []sql.Statement{sql.New("INSERT INTO t VALUES (?)", text)}}
}

// writer is a plugin with the commands that the tests of leases share: Make makes
// the table, Insert adds the row that its input names.
func writer() (p *sdk.Plugin, add sdk.Command[input, sdk.None]) {
	p, add = sdk.New("x", "1.0.0"), command[sdk.None]("x.Insert")
	sdk.Handle(p, add, func(_ *sdk.Context, in input) (sdk.Unit, error) { return insert(in.Name), nil }, sdk.Writes())
	sdk.Handle(p, command[sdk.None]("x.Make"), func(*sdk.Context, input) (sdk.Unit, error) {
		return sdk.Unit{Do: []sql.Statement{sql.New("CREATE TABLE t (a VARCHAR)")}}, nil
	}, sdk.Writes())
	return p, add
}

func invoke(t *testing.T, h *pluginhost.Host, name, row string) string {
	t.Helper()
	a, err := h.Invoke(t.Context(), call(name, `{"name":"`+row+`"}`, true))
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return string(a.JSON)
}

// await waits until the line of the project is as it should be.
func await(t *testing.T, q *queue.Queue, want func([]queue.Line) bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !want(q.Lines()) {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Errorf("the lines stay %+v", q.Lines())
			return
		}
	}
}

func oneWaits(lines []queue.Line) bool { return len(lines) == 1 && lines[0].Waiting == 1 }

// A lease holds from the callback to the end of the plan. What its command writes
// joins it, and so do the commands that it calls; others wait.
func TestLeaseIsJoined(t *testing.T) {
	t.Parallel()
	p, add := writer()
	foreign := make(chan error, 1)
	var h *pluginhost.Host
	var q *queue.Queue
	sdk.Handle(p, command[output]("x.Merge"), func(c *sdk.Context, in input) (sdk.Unit, error) {
		if err := c.Lease(); err != nil {
			return sdk.Unit{}, err
		}
		go func() {
			_, err := h.Invoke(c.Context, call("x.Insert", `{"name":"foreign"}`, true))
			foreign <- err
		}()
		await(t, q, func(lines []queue.Line) bool {
			return oneWaits(lines) && lines[0].Lease && lines[0].Holder == queue.Writer{Command: "x.Merge", RequestID: "r1"}
		})
		if _, err := c.Write(insert("by callback")); err != nil {
			return sdk.Unit{}, err
		}
		if _, err := sdk.Call(c, add, in); err != nil {
			return sdk.Unit{}, err
		}
		await(t, q, oneWaits)
		u := insert("by plan")
		u.Answer = sql.New("SELECT string_agg(a, ', ' ORDER BY rowid) AS text FROM t")
		return u, nil
	}, sdk.Writes())
	h, q = hostWithQueue(t, p)
	invoke(t, h, "x.Make", "")
	if got := invoke(t, h, "x.Merge", "by call"); got != `{"text":"by callback, by call, by plan"}` {
		t.Errorf("within the lease the table is %s", got)
	}
	// The request that it was part of has ended, but not before its turn came.
	if err := <-foreign; err != nil && !errors.Is(err, sdk.ErrCancelled) {
		t.Errorf("the write that waited: %v", err)
	}
	await(t, q, func(lines []queue.Line) bool { return len(lines) == 0 })
}

func TestSecondLeaseIsRefused(t *testing.T) {
	t.Parallel()
	p, _ := writer()
	inner := command[output]("x.Inner")
	sdk.Handle(p, inner, func(c *sdk.Context, _ input) (output, error) { return output{"leased"}, c.Lease() }, sdk.Writes())
	sdk.Handle(p, command[output]("x.Outer"), func(c *sdk.Context, in input) (output, error) {
		if _, err := sdk.Call(c, inner, in); err != nil {
			return output{}, err // it had one, and it ended with the call
		}
		if err := c.Lease(); err != nil {
			return output{}, err
		}
		_, called := sdk.Call(c, inner, in)
		for _, err := range []error{c.Lease(), called} {
			if !errors.Is(err, sdk.ErrConflict) || !strings.Contains(err.Error(), "second lease") {
				t.Errorf("inside a lease: %v", err)
			}
		}
		_, err := c.Write(insert("after refusals"))
		return output{}, err
	}, sdk.Writes())
	h := host(t, p)
	invoke(t, h, "x.Make", "")
	invoke(t, h, "x.Outer", "")
}

// A write that stood in the line behind the lease of its own command would wait
// for itself.
func TestLeaseBesideAWrite(t *testing.T) {
	t.Parallel()
	p, _ := writer()
	var q *queue.Queue
	for name, steps := range map[string]struct{ waits, refused func(*sdk.Context) error }{
		"x.LeaseDuringWrite": {
			func(c *sdk.Context) error { _, err := c.Write(insert("waited")); return err },
			func(c *sdk.Context) error { return c.Lease() },
		},
		"x.WriteDuringLease": {
			func(c *sdk.Context) error { return c.Lease() },
			func(c *sdk.Context) error { _, err := c.Write(insert("refused")); return err },
		},
		"x.LeaseDuringLease": {
			func(c *sdk.Context) error { return c.Lease() },
			func(c *sdk.Context) error { return c.Lease() },
		},
	} {
		sdk.Handle(p, command[output](name), func(c *sdk.Context, _ input) (output, error) {
			turn, err := q.Acquire(t.Context(), "project_1_main")
			if err != nil {
				return output{}, err
			}
			waited := make(chan error, 1)
			go func() { waited <- steps.waits(c) }()
			await(t, q, oneWaits)
			if err := steps.refused(c); !errors.Is(err, sdk.ErrConflict) {
				t.Errorf("%s: %v", name, err)
			}
			turn()
			return output{}, <-waited
		}, sdk.Writes())
	}
	h, q2 := hostWithQueue(t, p)
	q = q2
	invoke(t, h, "x.Make", "")
	for _, name := range []string{"x.LeaseDuringWrite", "x.WriteDuringLease", "x.LeaseDuringLease"} {
		invoke(t, h, name, "")
	}
}

// However a command ends, its lease ends with it.
func TestLeaseEndsWithItsCommand(t *testing.T) {
	t.Parallel()
	for name, ends := range map[string]func(c *sdk.Context, leave func()) (sdk.Plan, error){
		"answer": func(*sdk.Context, func()) (sdk.Plan, error) { return sdk.JSON{Value: 1}, nil },
		"error":  func(*sdk.Context, func()) (sdk.Plan, error) { return nil, sdk.ErrInvalid.Errorf("no") },
		"panic":  func(*sdk.Context, func()) (sdk.Plan, error) { panic("no") },
		"unit":   func(*sdk.Context, func()) (sdk.Plan, error) { return insert("row"), nil },
		"failed unit": func(*sdk.Context, func()) (sdk.Plan, error) {
			return sdk.Unit{Do: []sql.Statement{sql.New("broken")}}, nil
		},
		"rows":          func(*sdk.Context, func()) (sdk.Plan, error) { return sdk.Rows{Statement: sql.New("SELECT 1")}, nil },
		"client leaves": func(c *sdk.Context, leave func()) (sdk.Plan, error) { leave(); <-c.Done(); return nil, c.Err() },
		"left a write": func(c *sdk.Context, _ func()) (sdk.Plan, error) {
			go func() { _, _ = c.Write(insert("late")) }()
			return sdk.JSON{Value: 1}, nil
		},
	} {
		ctx, leave := context.WithCancel(t.Context())
		defer leave()
		p, _ := writer()
		sdk.Handle(p, sdk.Command[input, any]{Name: "x.End"}, func(c *sdk.Context, _ input) (sdk.Plan, error) {
			if err := c.Lease(); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			return ends(c, leave)
		}, sdk.Writes())
		t.Run(name, func(t *testing.T) {
			h, q := hostWithQueue(t, p)
			invoke(t, h, "x.Make", "")
			answer, _ := h.Invoke(ctx, call("x.End", `{"name":""}`, true))
			if answer.Stream != nil {
				defer answer.Stream.Body.Close()
			}
			invoke(t, h, "x.Insert", "after")
			await(t, q, func(lines []queue.Line) bool { return len(lines) == 0 })
		})
	}
}

func TestLeaseOfNothing(t *testing.T) {
	t.Parallel()
	p := sdk.New("x", "1.0.0")
	sdk.Handle(p, command[output]("x.Lease"), func(c *sdk.Context, _ input) (output, error) { return output{}, c.Lease() }, sdk.Writes())
	service := call("x.Lease", `{"name":""}`, true)
	service.Target = &pluginv1.Target{}
	if _, err := host(t, p).Invoke(t.Context(), service); !errors.Is(err, sdk.ErrInvalid) || !strings.Contains(err.Error(), "no project") {
		t.Errorf("without a project: %v", err)
	}
}
