package pluginhost_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/keboola/duckdb-storage/core/internal/fixture"
	"github.com/keboola/duckdb-storage/core/internal/plan"
	"github.com/keboola/duckdb-storage/core/internal/pluginhost"
	"github.com/keboola/duckdb-storage/core/internal/queue"
	"github.com/keboola/duckdb-storage/sdk"
	pluginv1 "github.com/keboola/duckdb-storage/sdk/proto/duckdbstorage/plugin/v1"
	"github.com/keboola/duckdb-storage/sdk/sql"
)

// total is the number of rows of t.
type total struct {
	N int `json:"n"`
}

var count = sql.New("SELECT count(*) AS n FROM t")

func add(tx *sdk.Tx, text string) error {
	_, err := tx.Exec(sql.New("INSERT INTO t VALUES (?)", text))
	return err
}

// rowsOf is what x.Count of the writer plugin says.
func rowsOf(t *testing.T, h *pluginhost.Host) string {
	t.Helper()
	return invoke(t, h, "x.Count", "")
}

// counting is the writer plugin with a command that counts.
func counting() (*sdk.Plugin, sdk.Command[input, sdk.None], sdk.Command[input, total]) {
	p, add := writer()
	look := command[total]("x.Count")
	sdk.Handle(p, look, func(c *sdk.Context, _ input) (total, error) {
		rows, err := sdk.Query[total](c, count)
		if err != nil {
			return total{}, err
		}
		return rows[0], nil
	})
	return p, add, look
}

// A transaction commits once, whole, and sees itself; what would wait for it is
// refused while it is open.
func TestTransact(t *testing.T) {
	t.Parallel()
	p, add2, look := counting()
	nested := command[output]("x.Nested")
	sdk.Handle(p, nested, func(c *sdk.Context, _ input) (output, error) {
		return output{}, c.Transact(func(tx *sdk.Tx) error { return add(tx, "nested") })
	}, sdk.Writes())
	sdk.Handle(p, command[output]("x.Do"), func(c *sdk.Context, in input) (output, error) {
		if in.Name == "leased" {
			if err := c.Lease(); err != nil {
				return output{}, err
			}
		}
		err := c.Transact(func(tx *sdk.Tx) error {
			if err := add(tx, "a"); err != nil {
				return err
			}
			if err := add(tx, "b"); err != nil {
				return err
			}
			inside, err := sdk.Query[total](tx, count)
			if err != nil {
				return err
			}
			outside, err := sdk.Query[total](c, count)
			if err != nil {
				return err
			}
			called, err := sdk.Call(c, look, in)
			if err != nil || inside[0].N != 2+called.N || outside[0] != called {
				t.Errorf("inside there are %v rows, outside %v, and by a call %v, %v", inside, outside, called, err)
			}
			_, written := c.Write(insert("refused"))
			_, wrote := sdk.Call(c, add2, in)
			_, transacted := sdk.Call(c, nested, in)
			for what, err := range map[string]error{
				"Write": written, "Call": wrote, "Call of a transaction": transacted,
				"Transact": c.Transact(func(tx *sdk.Tx) error { return add(tx, "refused") }),
			} {
				if !errors.Is(err, sdk.ErrConflict) {
					t.Errorf("%s inside: %v", what, err)
				}
			}
			if err := c.Lease(); !errors.Is(err, sdk.ErrConflict) {
				t.Errorf("Lease inside: %v", err)
			}
			return nil
		})
		if err != nil {
			return output{}, err
		}
		if _, err := c.Write(insert("after")); err != nil {
			return output{}, err
		}
		return output{}, c.Transact(func(tx *sdk.Tx) error { return add(tx, "again") })
	}, sdk.Writes())
	h, q := hostWithQueue(t, p)
	invoke(t, h, "x.Make", "")
	invoke(t, h, "x.Do", "plain")
	invoke(t, h, "x.Do", "leased")
	invoke(t, h, "x.Nested", "")
	if got := rowsOf(t, h); got != `{"n":9}` {
		t.Errorf("got %s", got)
	}
	await(t, q, func(lines []queue.Line) bool { return len(lines) == 0 })
}

// Any other end leaves nothing, and the turn is free.
func TestTransactRollsBack(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(c *sdk.Context, tx *sdk.Tx, leave func()) error{
		"error": func(*sdk.Context, *sdk.Tx, func()) error { return sdk.ErrInvalid.Errorf("no") },
		"panic": func(*sdk.Context, *sdk.Tx, func()) error { panic("no") },
		"statement that failed, and was ignored": func(_ *sdk.Context, tx *sdk.Tx, _ func()) error {
			_, _ = tx.Exec(sql.New("broken"))
			return nil
		},
		"too large": func(_ *sdk.Context, tx *sdk.Tx, _ func()) error {
			_, err := sdk.Query[total](tx, sql.New("SELECT range AS n FROM range(1001)"))
			return err
		},
		"client leaves": func(c *sdk.Context, _ *sdk.Tx, leave func()) error { leave(); <-c.Done(); return c.Err() },
		"client leaves a statement": func(_ *sdk.Context, tx *sdk.Tx, leave func()) error {
			time.AfterFunc(10*time.Millisecond, leave)
			_, err := tx.Exec(sql.New("SELECT sum(a.range * b.range) FROM range(1000000) a, range(1000000) b"))
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p, _, _ := counting()
			ctx, leave := context.WithCancel(t.Context())
			defer leave()
			sdk.Handle(p, command[output]("x.Do"), func(c *sdk.Context, _ input) (output, error) {
				return output{}, c.Transact(func(tx *sdk.Tx) error {
					if err := add(tx, "a"); err != nil {
						return err
					}
					return end(c, tx, leave)
				})
			}, sdk.Writes())
			h, q := hostWithQueue(t, p)
			invoke(t, h, "x.Make", "")
			if _, err := h.Invoke(ctx, call("x.Do", `{"name":""}`, true)); err == nil {
				t.Error("no error")
			}
			invoke(t, h, "x.Insert", "after")
			if got := rowsOf(t, h); got != `{"n":1}` {
				t.Errorf("got %s", got)
			}
			await(t, q, func(lines []queue.Line) bool { return len(lines) == 0 })
		})
	}
}

// A read cannot transact.
func TestTransactOfARead(t *testing.T) {
	t.Parallel()
	p, _, _ := counting()
	sdk.Handle(p, command[output]("x.Do"), func(c *sdk.Context, _ input) (output, error) {
		return output{}, c.Transact(func(tx *sdk.Tx) error { return add(tx, "a") })
	})
	if _, err := host(t, p).Invoke(t.Context(), call("x.Do", `{"name":""}`, true)); !errors.Is(err, sdk.ErrDenied) {
		t.Errorf("got %v", err)
	}
}

// A transaction that does nothing for too long loses its turn at once, and hears of
// it when it goes on.
func TestIdleTransaction(t *testing.T) {
	t.Parallel()
	for name, limit := range map[string]func(x *plan.Executor){
		"idle":   func(x *plan.Executor) { x.Idle = 50 * time.Millisecond },
		"in all": func(x *plan.Executor) { x.Longest = 500 * time.Millisecond },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p, _, _ := counting()
			idle, next := make(chan struct{}), make(chan struct{})
			sdk.Handle(p, command[output]("x.Do"), func(c *sdk.Context, _ input) (output, error) {
				return output{}, c.Transact(func(tx *sdk.Tx) error {
					if err := add(tx, "lost"); err != nil {
						return err
					}
					close(idle)
					<-next
					return add(tx, "late")
				})
			}, sdk.Writes())
			h, x := hostWithExecutor(t, p)
			invoke(t, h, "x.Make", "")
			limit(x)
			result := make(chan error, 1)
			go func() {
				_, err := h.Invoke(t.Context(), call("x.Do", `{"name":""}`, true))
				result <- err
			}()
			<-idle
			invoke(t, h, "x.Insert", "other")
			close(next)
			if err := <-result; !errors.Is(err, plan.ErrTransactionTime) {
				t.Errorf("got %v", err)
			}
			if got := rowsOf(t, h); got != `{"n":1}` {
				t.Errorf("got %s", got)
			}
		})
	}
}

// hostWithExecutor is a host whose limits a test sets.
func hostWithExecutor(t *testing.T, plugins ...*sdk.Plugin) (*pluginhost.Host, *plan.Executor) {
	t.Helper()
	f := fixture.Open(t, t.TempDir())
	f.CreateProject("1")
	h, err := pluginhost.Open(t.Context(), pluginhost.Config{
		Dir: t.TempDir(), RuntimeDir: f.Layout.Runtime, Logger: hclog.NewNullLogger(), Executor: f.Executor,
	}, plugins...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = h.Close(context.Background()) })
	return h, f.Executor
}

func execute(text string) *pluginv1.TransactRequest {
	return &pluginv1.TransactRequest{Operation: &pluginv1.TransactRequest_Execute{Execute: &pluginv1.Statement{Sql: text}}}
}

// deaf is the stream of a plugin that sends a request and reads no response.
type deaf struct {
	pluginv1.HostService_TransactServer
	ctx     context.Context
	request *pluginv1.TransactRequest
	sent    chan struct{} // there is a response to read
}

func (d *deaf) Context() context.Context { return d.ctx }

func (d *deaf) Recv() (r *pluginv1.TransactRequest, err error) {
	if r, d.request = d.request, nil; r == nil {
		<-d.ctx.Done()
		err = d.ctx.Err()
	}
	return r, err
}

func (d *deaf) Send(*pluginv1.TransactResponse) error {
	close(d.sent)
	<-d.ctx.Done()
	return d.ctx.Err()
}

// A plugin that does not read what it is answered keeps the turn no longer than its
// call, and no longer than one that is idle.
func TestTransactOfAPluginThatDoesNotRead(t *testing.T) {
	t.Parallel()
	for name, idle := range map[string]bool{"its call ends": false, "it is idle": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p, _, _ := counting()
			begun, next := make(chan struct{}), make(chan struct{})
			sdk.Handle(p, command[output]("x.Do"), func(*sdk.Context, input) (output, error) {
				close(begun)
				<-next
				return output{}, nil
			}, sdk.Writes())
			h, x := hostWithExecutor(t, p)
			x.Queue = queue.New(queue.Config{Wait: patience}) // what hangs fails
			invoke(t, h, "x.Make", "")
			result := make(chan error, 1)
			go func() {
				_, err := h.Invoke(t.Context(), call("x.Do", `{"name":""}`, true))
				result <- err
			}()
			<-begun
			if idle {
				x.Idle = 50 * time.Millisecond
			}
			d := &deaf{ctx: t.Context(), request: execute("INSERT INTO t VALUES ('lost')"), sent: make(chan struct{})}
			d.request.CallToken = h.Tokens()[0]
			served := make(chan error, 1)
			go func() { served <- h.CallbacksOf("x").Transact(d) }()
			<-d.sent
			if !idle {
				close(next)
			}
			if err := <-served; err == nil {
				t.Error("the response counts as read")
			}
			invoke(t, h, "x.Insert", "other")
			if idle {
				close(next)
			}
			if err := <-result; err != nil {
				t.Error(err)
			}
			if got := rowsOf(t, h); got != `{"n":1}` {
				t.Errorf("got %s", got)
			}
		})
	}
}

// A commit that comes when its call is over commits nothing: the call may be made
// again already.
func TestCommitAfterTheCall(t *testing.T) {
	t.Parallel()
	p, _, _ := counting()
	begun, next := make(chan struct{}), make(chan struct{})
	sdk.Handle(p, command[output]("x.Do"), func(*sdk.Context, input) (output, error) {
		close(begun)
		<-next
		return output{}, nil
	}, sdk.Writes())
	h := host(t, p)
	invoke(t, h, "x.Make", "")
	result := make(chan error, 1)
	go func() {
		_, err := h.Invoke(t.Context(), call("x.Do", `{"name":""}`, true))
		result <- err
	}()
	<-begun
	token := h.Tokens()[0]
	stream, err := sdk.InProcess(h.CallbacksOf("x")).Transact(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ask := func(r *pluginv1.TransactRequest) *pluginv1.TransactResponse {
		if err := stream.Send(r); err != nil {
			t.Fatal(err)
		}
		resp, err := stream.Recv()
		if err != nil {
			t.Fatal(err)
		}
		return resp
	}
	first := execute("INSERT INTO t VALUES ('late')")
	first.CallToken = token
	if resp := ask(first); resp.GetError() != nil || resp.GetRowsAffected() != 1 {
		t.Errorf("got %v", resp)
	}
	h.End(token)
	resp := ask(&pluginv1.TransactRequest{Operation: &pluginv1.TransactRequest_Commit{Commit: &pluginv1.Commit{}}})
	if err := sdk.ErrorFromProto(resp.GetError()); !errors.Is(err, sdk.ErrDenied) {
		t.Errorf("got %v", err)
	}
	close(next)
	if err := <-result; err != nil {
		t.Error(err)
	}
	if got := rowsOf(t, h); got != `{"n":0}` {
		t.Errorf("got %s", got)
	}
}

// A transaction beside a callback that takes the turn is refused, as a lease is.
func TestTransactBesideAWrite(t *testing.T) {
	t.Parallel()
	p, insertion := writer()
	var q *queue.Queue
	waits := map[string]func(*sdk.Context) error{
		"x.BesideWrite": func(c *sdk.Context) error { _, err := c.Write(insert("waited")); return err },
		"x.BesideCall":  func(c *sdk.Context) error { _, err := sdk.Call(c, insertion, input{Name: "called"}); return err },
		"x.BesideLease": func(c *sdk.Context) error { return c.Lease() },
	}
	for name, wait := range waits {
		sdk.Handle(p, command[output](name), func(c *sdk.Context, _ input) (output, error) {
			turn, err := q.Acquire(t.Context(), "project_1_main")
			if err != nil {
				return output{}, err
			}
			waited := make(chan error, 1)
			go func() { waited <- wait(c) }()
			await(t, q, oneWaits)
			err = c.Transact(func(tx *sdk.Tx) error { return add(tx, "refused") })
			if !errors.Is(err, sdk.ErrConflict) || !strings.Contains(err.Error(), "wait until") {
				t.Errorf("%s: %v", name, err)
			}
			turn()
			if err := <-waited; err != nil {
				return output{}, err
			}
			return output{}, c.Transact(func(tx *sdk.Tx) error { return add(tx, "after") })
		}, sdk.Writes())
	}
	h, opened := hostWithQueue(t, p)
	q = opened
	invoke(t, h, "x.Make", "")
	for name := range waits {
		invoke(t, h, name, "")
	}
}
