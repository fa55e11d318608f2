package sdk

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/hashicorp/go-hclog"

	pluginv1 "github.com/keboola/duckdb-storage/sdk/proto/duckdbstorage/plugin/v1"
	"github.com/keboola/duckdb-storage/sdk/sql"
)

// Context is one invocation: the request's deadline and cancellation, who asks,
// for which catalog, and the callbacks to the host. It ends when the handler
// returns; callbacks made later are refused.
type Context struct {
	context.Context
	host    pluginv1.HostServiceServer
	request *pluginv1.InvokeRequest
	log     hclog.Logger
}

// Project is the id of the project, or empty for a command of the service.
func (c *Context) Project() string { return c.request.GetTarget().GetProject() }

// Branch is the id of the branch, or "default".
func (c *Context) Branch() string { return c.request.GetTarget().GetBranch() }

// RequestID identifies the HTTP request in every log.
func (c *Context) RequestID() string { return c.request.GetRequestId() }

// Subject names the key that asks.
func (c *Context) Subject() string { return c.request.GetPrincipal().GetSubject() }

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

// Query runs a read on the catalog and decodes each row into a Row by column
// name and json tag. It is for looking before leaping: over MaxQueryRows rows or
// 1 MiB it fails with ErrTooLarge, and Rows is the way.
func Query[Row any](c *Context, s sql.Statement) ([]Row, error) {
	resp, err := c.host.Query(c, &pluginv1.QueryRequest{CallToken: c.request.GetCallToken(), Statement: statement(s)})
	if err != nil {
		return nil, callbackError(c, "Query", err)
	}
	if resp.GetError() != nil {
		return nil, ErrorFromProto(resp.GetError())
	}
	var rows []Row
	if err := json.Unmarshal(resp.GetRows(), &rows); err != nil {
		return nil, fmt.Errorf("decode query result: %w", err)
	}
	return rows, nil
}

// WriteResult tells what a Unit did.
type WriteResult struct {
	RowsAffected []int64         // one entry for each statement of Stage, then of Do
	Answer       json.RawMessage // the row of Answer as an object, or nil
}

// Write runs a Unit now and returns after its commit is durable. Most handlers
// return the Unit instead; Write is for those that must go on afterwards.
func (c *Context) Write(u Unit) (WriteResult, error) {
	resp, err := c.host.Write(c, &pluginv1.WriteRequest{CallToken: c.request.GetCallToken(), Unit: u.proto()})
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
// request was cancelled, or the connection to the host is gone.
func callbackError(ctx context.Context, name string, err error) error {
	if ctx.Err() != nil {
		return ErrCancelled.Errorf("the request ended during a %s callback", name)
	}
	return fmt.Errorf("callback %s: %w", name, err)
}
