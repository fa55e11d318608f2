package pluginhost

import (
	"context"
	"crypto/rand"
	"errors"
	"io"

	"github.com/keboola/duckdb-storage/core/internal/auth"
	"github.com/keboola/duckdb-storage/core/internal/plan"
	"github.com/keboola/duckdb-storage/core/internal/queue"
	"github.com/keboola/duckdb-storage/sdk"
	pluginv1 "github.com/keboola/duckdb-storage/sdk/proto/duckdbstorage/plugin/v1"
)

// maxDepth bounds commands that call commands.
const maxDepth = 8

// Call is a request for a command.
type Call struct {
	Command   string
	Payload   []byte // JSON
	Principal auth.Principal
	Target    *pluginv1.Target
	Accept    string // negotiated media type of the answer
	RequestID string
}

// writer is how the write queue knows the call.
func (c Call) writer() queue.Writer {
	return queue.Writer{Command: c.Command, RequestID: c.RequestID}
}

// invocation is a call whose handler runs.
type invocation struct {
	Call
	ctx    context.Context
	caller *invocation // nil for a request
	writes bool        // declared with sdk.Writes
	wrote  bool        // a callback may have changed something; guarded by Host.mu
}

func (i *invocation) depth() int {
	n := 0
	for ; i != nil; i = i.caller {
		n++
	}
	return n
}

// Invoke runs a command: it validates the input, asks the plugin for its plan
// and does what the plan says.
func (h *Host) Invoke(ctx context.Context, call Call) (plan.Answer, error) {
	return h.invoke(ctx, call, nil)
}

func (h *Host) invoke(ctx context.Context, call Call, caller *invocation) (plan.Answer, error) {
	ctx = queue.As(ctx, call.writer())
	c, err := h.table.command(call.Command)
	if err != nil {
		return plan.Answer{}, err
	}
	// Here as well as at the door, so that a plugin cannot lend a project's key more
	// than it has.
	if c.GetPermission() == sdk.AdminOnly && !call.Principal.Admin {
		return plan.Answer{}, sdk.ErrDenied.Errorf("%s needs the admin key", c.GetName())
	}
	if err := c.validate(call.Payload); err != nil {
		return plan.Answer{}, err
	}
	resp, wrote, err := h.ask(ctx, c, call, caller)
	if errors.Is(err, sdk.ErrPluginDied) && !wrote && ctx.Err() == nil {
		// A handler that has written nothing left nothing behind: its next process
		// can answer. Once, because the request itself may be what killed it.
		h.cfg.Logger.Warn("asking again after a plugin died", "plugin", c.Plugin, "command", call.Command, "request_id", call.RequestID, "error", err)
		resp, _, err = h.ask(ctx, c, call, caller)
	}
	if err != nil {
		return plan.Answer{}, err
	}
	if plan.Writes(resp) && !isWrite(c) {
		return plan.Answer{}, errReadWrites(c.GetName())
	}
	return h.cfg.Executor.Run(ctx, call.Target, call.Accept, resp)
}

func isWrite(c *Command) bool { return c.GetEffect() == pluginv1.Effect_EFFECT_WRITE }

func errReadWrites(command string) error {
	return sdk.ErrDenied.Errorf("%s is declared as a read and must not write; its author adds sdk.Writes", command)
}

// ask runs the handler and reports whether a callback of it may have changed
// something.
func (h *Host) ask(ctx context.Context, c *Command, call Call, caller *invocation) (_ *pluginv1.InvokeResponse, wrote bool, err error) {
	handling, end := context.WithCancel(ctx)
	i := &invocation{Call: call, ctx: handling, caller: caller, writes: isWrite(c)}
	token := h.begin(i)
	resp, err := c.owner.Invoke(handling, &pluginv1.InvokeRequest{
		Command: call.Command, Payload: call.Payload, CallToken: token, RequestId: call.RequestID,
		Target: call.Target, Accept: call.Accept,
		Principal: &pluginv1.Principal{Subject: call.Principal.Subject, Admin: call.Principal.Admin},
	})
	// The handler is done: a callback that comes now is refused or interrupted.
	wrote = h.end(token)
	end()
	return resp, wrote, err
}

func (h *Host) begin(i *invocation) (token string) {
	token = rand.Text()
	h.mu.Lock()
	defer h.mu.Unlock()
	h.invocations[token] = i
	return token
}

// end closes an invocation and reports whether it may have changed something.
func (h *Host) end(token string) (wrote bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	wrote = h.invocations[token].wrote
	delete(h.invocations, token)
	return wrote
}

// callbacks is what a handler may ask of the host.
type callbacks struct{ host *Host }

// within finds the invocation of a token and a context that ends with it. A
// callback that writes is noted before it begins, for the callers as well.
func (c callbacks) within(ctx context.Context, token string, writes bool) (*invocation, context.Context, func(), error) {
	c.host.mu.Lock()
	defer c.host.mu.Unlock()
	i, ok := c.host.invocations[token]
	if !ok {
		return nil, nil, nil, sdk.ErrDenied.Errorf("the call token belongs to no running request")
	}
	if writes && !i.writes {
		return nil, nil, nil, errReadWrites(i.Command)
	}
	for up := i; writes && up != nil; up = up.caller {
		up.wrote = true
	}
	ctx, cancel := context.WithCancel(queue.As(ctx, i.writer()))
	stop := context.AfterFunc(i.ctx, cancel)
	return i, ctx, func() { stop(); cancel() }, nil
}

// call runs another command for the caller of this one and returns its JSON.
func (c callbacks) call(ctx context.Context, i *invocation, command string, payload []byte) ([]byte, error) {
	if i.depth() >= maxDepth {
		return nil, sdk.ErrConflict.Errorf("commands call each other more than %d deep", maxDepth)
	}
	call := i.Call
	call.Command, call.Payload, call.Accept = command, payload, "application/json"
	answer, err := c.host.invoke(ctx, call, i)
	if err != nil {
		return nil, err
	}
	switch {
	case answer.Stream != nil:
		defer answer.Stream.Body.Close()
		return readInline(answer.Stream.Body, command)
	case answer.File != "" || answer.Upload != "":
		return nil, sdk.ErrUnsupported.Errorf("command %s moves bytes and cannot be called by another command", command)
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
