package sdk

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/keboola/duckdb-storage/sdk/internal/wire"
	pluginv1 "github.com/keboola/duckdb-storage/sdk/proto/duckdbstorage/plugin/v1"
	"github.com/keboola/duckdb-storage/sdk/sql"
)

// Context is one invocation: the request's deadline and cancellation, who asks,
// for which catalog, and the callbacks to the host. It ends when the handler
// returns; callbacks made later are refused.
type Context struct {
	context.Context
	host    Host
	request *pluginv1.InvokeRequest
	log     hclog.Logger
	plugin  string
	running *sync.WaitGroup // what Go has started
}

// context makes the Context of one call; what names it in the log.
func (p *Plugin) context(ctx context.Context, host Host, req *pluginv1.InvokeRequest, what string) *Context {
	return &Context{
		Context: ctx, host: host, request: req, plugin: p.description.GetName(), running: &sync.WaitGroup{},
		log: p.log.With("command", what, "request_id", req.GetRequestId(), "run_id", req.GetRunId()),
	}
}

// run runs a handler, a hook or a subscription, and waits for what it started.
func (c *Context) run(fn func() error) *Error {
	err := recovered(fn)
	c.running.Wait()
	return c.classify(err)
}

// classify turns what an author's function returned into an error that may leave the
// plugin.
func (c *Context) classify(err error) *Error {
	var e *Error
	switch {
	case err == nil:
		return nil
	case errors.As(err, &e):
		if e.Kind == Unavailable && err.Error() != e.Detail {
			// The client is told to look at the log for the cause.
			c.log.Warn("the command could not be done now", "error", err)
		}
		return e
	case c.Err() != nil:
		return ErrCancelled.Errorf("the request ended before %s did", c.request.GetCommand())
	}
	c.log.Error("unclassified error", "error", err)
	return ErrInternal.Errorf("internal error in plugin %s; see its log for request %s", c.plugin, c.request.GetRequestId())
}

// recovered is fn with a panic as an error.
func recovered(fn func() error) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("panic: %v\n%s", v, debug.Stack())
		}
	}()
	return fn()
}

// Go runs fn beside the handler, and returns a function that waits for its error. A
// panic of fn is an error; in a goroutine that the handler started by itself it would
// end the process, and with it every call that runs there. The call ends when all of
// them have: fn uses the Context, which ends with the request.
func (c *Context) Go(fn func() error) (wait func() error) {
	result := make(chan error, 1)
	c.running.Go(func() { result <- recovered(fn) })
	return sync.OnceValue(func() error { return <-result })
}

// Project is the id of the project, or empty for a command of the service.
func (c *Context) Project() string { return c.request.GetTarget().GetProject() }

// Branch is the id of the branch, or "default".
func (c *Context) Branch() string { return c.request.GetTarget().GetBranch() }

// RequestID identifies the HTTP request in every log.
func (c *Context) RequestID() string { return c.request.GetRequestId() }

// Subject names the key that asks.
func (c *Context) Subject() string { return c.request.GetPrincipal().GetSubject() }

// RunID is of the job run at Keboola that the request belongs to, or empty.
func (c *Context) RunID() string { return c.request.GetRunId() }

// Admin reports whether the admin key asks.
func (c *Context) Admin() bool { return c.request.GetPrincipal().GetAdmin() }

// KeyProject is the one project that the key opens, or empty for the admin key.
func (c *Context) KeyProject() string { return c.request.GetPrincipal().GetProject() }

// KeyBranch is the one branch whose tables the key opens, or empty for every one.
func (c *Context) KeyBranch() string { return c.request.GetPrincipal().GetBranch() }

// Level is how much the key may do in its project. The admin key has none: it may do
// everything.
func (c *Context) Level() Level { return LevelOf(c.request.GetPrincipal().GetPermissions()) }

// Allows reports whether the key that asks may do what takes a permission. The host has
// asked this for the command itself before its handler runs; it is for a command that
// takes more for a part of what it does.
func (c *Context) Allows(permission string) bool { return c.Admin() || c.Level().Allows(permission) }

// Accept is the media type that the answer will have, for example text/csv.
func (c *Context) Accept() string { return c.request.GetAccept() }

// Log writes to the host's log with the command and request id.
func (c *Context) Log() hclog.Logger { return c.log }

// WithTimeout returns a Context of the same invocation whose callbacks end after
// the duration.
func (c *Context) WithTimeout(d time.Duration) (*Context, context.CancelFunc) {
	ctx, cancel := context.WithTimeout(c.Context, d)
	out := *c
	out.Context = ctx
	return &out, cancel
}

// MaxQueryRows is how many rows Query returns at most.
const MaxQueryRows = 1000

// MaxCallDepth is how many commands, hooks, jobs and events may lead to one another.
const MaxCallDepth = 8

// Querier is a *Context, which reads what is committed, or a *Tx, which reads what it
// has done as well.
type Querier interface {
	query(sql.Statement) (rows []byte, err error)
}

// Query runs a read on the catalog and decodes each row into a Row by column
// name and json tag. It is for looking before leaping: over MaxQueryRows rows or
// 1 MiB it fails with ErrTooLarge, and Rows is the way.
func Query[Row any](q Querier, s sql.Statement) ([]Row, error) {
	raw, err := q.query(s)
	if err != nil {
		return nil, err
	}
	var rows []Row
	if err := json.Unmarshal(raw, &rows); err != nil {
		return nil, fmt.Errorf("decode query result: %w", err)
	}
	return rows, nil
}

func (c *Context) query(s sql.Statement) ([]byte, error) {
	resp, err := c.host.Query(c, &pluginv1.QueryRequest{CallToken: c.request.GetCallToken(), Statement: statement(s)})
	if err != nil {
		return nil, callbackError(c, "Query", err)
	}
	return resp.GetRows(), ErrorFromProto(resp.GetError())
}

// WriteResult tells what a Unit did.
type WriteResult struct {
	RowsAffected []int64         // one entry for each statement of Stage, then of Do
	Answer       json.RawMessage // the row of Answer as an object, or nil
}

// Write runs a Unit now and returns after its commit is durable. Most handlers
// return the Unit instead; Write is for those that must go on afterwards.
func (c *Context) Write(u Unit) (WriteResult, error) {
	unit, err := u.proto()
	if err != nil {
		return WriteResult{}, err
	}
	resp, err := c.host.Write(c, &pluginv1.WriteRequest{CallToken: c.request.GetCallToken(), Unit: unit})
	if err != nil {
		return WriteResult{}, callbackError(c, "Write", err)
	}
	if resp.GetError() != nil {
		return WriteResult{}, ErrorFromProto(resp.GetError())
	}
	return WriteResult{RowsAffected: resp.GetRowsAffected(), Answer: resp.GetAnswer()}, nil
}

// Lease keeps the catalog for this command: from now until the command is done
// nobody else writes to it. Done is when the handler has returned and the host has
// executed its plan, or either has failed, or the client has left, or the plugin
// has died. Nothing has to be given back.
//
// It is for a command that must look, decide and write more than once, with nobody
// in between. Most need none: a Unit is one transaction, and its Require guards
// what was seen before. The writes of this command, and of every command that it
// calls, join the lease: they do not wait in the line again, and still come one at
// a time. They are as many transactions as there are writes: a lease undoes
// nothing when a later one fails. Reads of others go on, as always.
//
// Only a command declared with Writes may ask for it, before it does anything else
// that writes. Lease waits in the line like any write, with ErrQueueFull and
// ErrQueueWait; ErrCancelled is a request that ended meanwhile. ErrConflict
// refuses a second one, asked for by this command or by one that it calls while it
// has the first, and one asked for beside a running Write or Call. After an error
// nothing is held.
//
// Every write of the project waits meanwhile, and is refused after ten minutes
// unless the operator set another time: be quick, and do before it whatever needs
// no lease.
func (c *Context) Lease() error {
	resp, err := c.host.Lease(c, &pluginv1.LeaseRequest{CallToken: c.request.GetCallToken()})
	if err != nil {
		return callbackError(c, "Lease", err)
	}
	return ErrorFromProto(resp.GetError())
}

// Call runs another command, of this or another plugin, for the same caller,
// catalog and deadline, and waits until all of it is done.
func Call[Request, Response any](c *Context, cmd Command[Request, Response], in Request) (Response, error) {
	var out Response
	payload, err := json.Marshal(in)
	if err != nil {
		return out, err
	}
	resp, err := c.host.Call(c, &pluginv1.CallRequest{CallToken: c.request.GetCallToken(), Command: cmd.Name, Payload: payload})
	if err != nil {
		return out, callbackError(c, "Call", err)
	}
	if resp.GetError() != nil {
		return out, ErrorFromProto(resp.GetError())
	}
	if len(resp.GetJson()) > 0 {
		if err := json.Unmarshal(resp.GetJson(), &out); err != nil {
			return out, fmt.Errorf("decode answer of %s: %w", cmd.Name, err)
		}
	}
	return out, nil
}

// callbackError explains a callback that failed below the application: the
// request was cancelled, it is too large, or the connection to the host is gone.
func callbackError(ctx context.Context, name string, err error) error {
	switch {
	case ctx.Err() != nil:
		return ErrCancelled.Errorf("the request ended during a %s callback", name)
	case wire.IsTooLarge(err):
		return ErrTooLarge.Errorf("the %s callback or its answer is over the %d bytes that a message may have", name, pluginv1.MaxMessageBytes)
	}
	return fmt.Errorf("callback %s: %w", name, err)
}
