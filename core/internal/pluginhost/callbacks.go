package pluginhost

import (
	"context"
	"encoding/json"
	"errors"
	"io"

	"github.com/keboola/duckdb-storage/core/internal/plan"
	"github.com/keboola/duckdb-storage/core/internal/queue"
	"github.com/keboola/duckdb-storage/sdk"
	pluginv1 "github.com/keboola/duckdb-storage/sdk/proto/duckdbstorage/plugin/v1"
)

// callbacks is what the handlers of one plugin may ask of the host.
type callbacks struct {
	pluginv1.UnimplementedHostServiceServer
	host   *Host
	plugin string
}

// use is what a callback does.
type use struct {
	callback   string
	permission string         // that the plugin needs for it, or empty
	command    *Command       // that it runs, or nil
	writes     bool           // may change something
	turn       bool           // takes the catalog's turn of the write queue
	unit       *pluginv1.Unit // that it writes, or nil
	transact   bool           // and keeps it between requests
}

// within finds the invocation of a token, checks that it allows what the callback
// does, and returns a context that ends with it. What a callback writes is noted
// before it begins, for the callers as well.
func (c callbacks) within(ctx context.Context, token string, u use) (*invocation, context.Context, func(), error) {
	c.host.cfg.Observer.CalledBack(c.plugin, u.callback)
	c.host.mu.Lock()
	defer c.host.mu.Unlock()
	i, err := c.host.running(token)
	if err != nil {
		return nil, nil, nil, err
	}
	if err := c.mayUse(i, u); err != nil {
		return nil, nil, nil, err
	}
	if u.turn {
		i.writing++
	}
	i.transact = i.transact || u.transact
	if u.writes {
		i.noteWrite()
	}
	ctx = asCaller(plan.WithMark(queue.As(ctx, i.writer()), i.Mark, false), i.Call)
	if l := i.leased(); l != nil {
		ctx = l.Within(ctx)
	}
	ctx, cancel := context.WithCancel(c.host.carry(ctx, i))
	stop := context.AfterFunc(i.ctx, cancel)
	return i, ctx, func() { stop(); cancel(); c.host.ended(i, u) }, nil
}

// mayUse reports why a callback is refused. The caller holds Host.mu.
func (c callbacks) mayUse(i *invocation, u use) error {
	if i.plugin != c.plugin {
		return sdk.ErrDenied.Errorf("the call token was given to another plugin than %s", c.plugin).With("plugin", c.plugin)
	}
	if u.permission != "" {
		if err := i.grants.demand(u.permission, "call "+u.callback); err != nil {
			return err
		}
		if err := i.demandOfCaller(u.permission, "the callback "+u.callback); err != nil {
			return err
		}
	}
	if u.command != nil {
		if err := i.grants.demandCommand(u.command, "call"); err != nil {
			return err
		}
	}
	if (u.writes || u.turn) && !i.writes {
		return errReadWrites(i.step)
	}
	if err := i.explain.stop(i.step, u); err != nil {
		return err
	}
	if u.turn {
		return i.mayTakeTurn(u)
	}
	return nil
}

// running finds an invocation whose handler runs. The caller holds Host.mu.
func (h *Host) running(token string) (*invocation, error) {
	if token == "" {
		return nil, sdk.ErrDenied.Errorf("the callback carries no call token; a plugin acts only inside a request")
	}
	i, ok := h.invocations[token]
	if !ok {
		return nil, sdk.ErrDenied.Errorf("the call token belongs to no running request: it is void once the handler has returned")
	}
	return i, nil
}

// ended notes the end of a callback.
func (h *Host) ended(i *invocation, u use) {
	if !u.turn {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	i.writing--
	i.transact = i.transact && !u.transact
}

// failure is an error as data. What is no *sdk.Error stays inside the host: the
// plugin learns only that it is internal.
func (c callbacks) failure(i *invocation, callback string, err error) *pluginv1.Error {
	id := ""
	if i != nil {
		id = i.RequestID
	}
	log := c.host.cfg.Logger.With("callback", callback, "plugin", c.plugin, "request_id", id)
	var e *sdk.Error
	if !errors.As(err, &e) {
		log.Error("callback failed", "error", err)
		return sdk.ErrInternal.Errorf("internal error; see the log for request %s", id).Proto()
	}
	if e.Kind == sdk.Unavailable && err.Error() != e.Detail {
		log.Warn("callback failed", "error", err)
	}
	return e.Proto()
}

func (c callbacks) Query(ctx context.Context, r *pluginv1.QueryRequest) (*pluginv1.QueryResponse, error) {
	i, ctx, end, err := c.within(ctx, r.GetCallToken(), use{callback: "Query", permission: sdk.ReadSQL})
	if err != nil {
		return &pluginv1.QueryResponse{Error: c.failure(nil, "Query", err)}, nil
	}
	defer end()
	if err := i.grants.demandRead(r.GetStatement()); err != nil {
		return &pluginv1.QueryResponse{Error: c.failure(i, "Query", err)}, nil
	}
	rows, err := c.host.cfg.Executor.Query(ctx, i.Target, r.GetStatement())
	if err != nil {
		return &pluginv1.QueryResponse{Error: c.failure(i, "Query", err)}, nil
	}
	return &pluginv1.QueryResponse{Rows: rows}, nil
}

func (c callbacks) Write(ctx context.Context, r *pluginv1.WriteRequest) (*pluginv1.WriteResponse, error) {
	i, ctx, end, err := c.within(ctx, r.GetCallToken(), use{callback: "Write", permission: sdk.WriteSQL, writes: true, turn: true, unit: r.GetUnit()})
	if err != nil {
		return &pluginv1.WriteResponse{Error: c.failure(nil, "Write", err)}, nil
	}
	defer end()
	out, err := c.write(ctx, i, r.GetUnit())
	if err != nil {
		return &pluginv1.WriteResponse{Error: c.failure(i, "Write", err)}, nil
	}
	return out, nil
}

// write runs a Unit together with its events.
func (c callbacks) write(ctx context.Context, i *invocation, u *pluginv1.Unit) (*pluginv1.WriteResponse, error) {
	if err := i.grants.demandUnit(u); err != nil {
		return nil, err
	}
	events, err := c.host.emit(i.run, u.GetEvents())
	if err != nil {
		return nil, err
	}
	defer events.committed()
	return c.host.cfg.Executor.Write(ctx, i.Target, u, events.along()...)
}

func (c callbacks) Call(ctx context.Context, r *pluginv1.CallRequest) (*pluginv1.CallResponse, error) {
	called, err := c.host.Table().command(r.GetCommand())
	if err != nil {
		return &pluginv1.CallResponse{Error: c.failure(nil, "Call", err)}, nil
	}
	i, ctx, end, err := c.within(ctx, r.GetCallToken(), use{callback: "Call", command: called, writes: isWrite(called), turn: isWrite(called)})
	if err != nil {
		return &pluginv1.CallResponse{Error: c.failure(nil, "Call", err)}, nil
	}
	defer end()
	out, err := c.call(ctx, i, r.GetCommand(), r.GetPayload())
	if err != nil {
		return &pluginv1.CallResponse{Error: c.failure(i, "Call", err)}, nil
	}
	return &pluginv1.CallResponse{Json: out}, nil
}

// call runs another command for the caller of this one and returns its JSON.
func (c callbacks) call(ctx context.Context, i *invocation, command string, payload []byte) ([]byte, error) {
	call := i.Call
	call.Command, call.Payload, call.Accept = command, payload, "application/json"
	answer, err := c.host.invoke(ctx, call, i.run)
	if err != nil {
		return nil, err
	}
	switch {
	case answer.Stream != nil:
		defer answer.Stream.Body.Close()
		return readInline(answer.Stream.Body, command)
	case answer.File != "" || answer.Upload != "":
		return nil, sdk.ErrUnsupported.Errorf("command %s moves bytes and cannot be called by another command", command)
	case answer.Job != "":
		return json.Marshal(sdk.Job{ID: answer.Job})
	}
	return answer.JSON, nil
}

// readInline reads the rows of a called command, which travel in a message.
func readInline(body io.Reader, command string) ([]byte, error) {
	const maxBytes = 1 << 20
	out, err := io.ReadAll(io.LimitReader(body, maxBytes+1))
	if err == nil && len(out) > maxBytes {
		err = sdk.ErrTooLarge.Errorf("the rows of %s are over %d bytes", command, maxBytes)
	}
	return out, err
}

func (c callbacks) Lease(ctx context.Context, r *pluginv1.LeaseRequest) (*pluginv1.LeaseResponse, error) {
	i, ctx, end, err := c.within(ctx, r.GetCallToken(), use{callback: "Lease"})
	if err != nil {
		return &pluginv1.LeaseResponse{Error: c.failure(nil, "Lease", err)}, nil
	}
	defer end()
	if err := c.host.lease(ctx, i, r.GetCallToken()); err != nil {
		return &pluginv1.LeaseResponse{Error: c.failure(i, "Lease", err)}, nil
	}
	return &pluginv1.LeaseResponse{}, nil
}
