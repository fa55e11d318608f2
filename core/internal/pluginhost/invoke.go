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

	// Guarded by Host.mu.
	wrote   bool // a callback may have changed something
	writing int  // callbacks that run and may change something
	leasing bool // a Lease callback waits
	lease   *queue.Lease
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
	done, err := h.ask(ctx, c, call, caller)
	if errors.Is(err, sdk.ErrPluginDied) && !done.wrote && ctx.Err() == nil {
		// A handler that has written nothing left nothing behind: its next process
		// can answer. Once, because the request itself may be what killed it. It
		// takes its lease anew, in its turn.
		h.cfg.Logger.Warn("asking again after a plugin died", "plugin", c.Plugin, "command", call.Command, "request_id", call.RequestID, "error", err)
		done.release()
		done, err = h.ask(ctx, c, call, caller)
	}
	defer done.release() // after the plan
	if err != nil {
		return plan.Answer{}, err
	}
	if plan.Writes(done.resp) && !isWrite(c) {
		return plan.Answer{}, errReadWrites(c.GetName())
	}
	return h.cfg.Executor.Run(done.join(ctx), call.Target, call.Accept, done.resp)
}

func isWrite(c *Command) bool { return c.GetEffect() == pluginv1.Effect_EFFECT_WRITE }

func errReadWrites(command string) error {
	return sdk.ErrDenied.Errorf("%s is declared as a read and must not write; its author adds sdk.Writes", command)
}

// handled is a handler that has returned, with what its callbacks left.
type handled struct {
	resp  *pluginv1.InvokeResponse
	wrote bool         // a callback may have changed something
	lease *queue.Lease // or nil
}

// ask runs the handler.
func (h *Host) ask(ctx context.Context, c *Command, call Call, caller *invocation) (handled, error) {
	handling, end := context.WithCancel(ctx)
	defer end()
	token := h.begin(&invocation{Call: call, ctx: handling, caller: caller, writes: isWrite(c)})
	resp, err := c.owner.Invoke(handling, &pluginv1.InvokeRequest{
		Command: call.Command, Payload: call.Payload, CallToken: token, RequestId: call.RequestID,
		Target: call.Target, Accept: call.Accept,
		Principal: &pluginv1.Principal{Subject: call.Principal.Subject, Admin: call.Principal.Admin},
	})
	// The handler is done: a callback that comes now is refused or interrupted.
	i := h.end(token)
	return handled{resp: resp, wrote: i.wrote, lease: i.lease}, err
}

func (h *Host) begin(i *invocation) (token string) {
	token = rand.Text()
	h.mu.Lock()
	defer h.mu.Unlock()
	h.invocations[token] = i
	return token
}

// end closes an invocation and returns what became of it.
func (h *Host) end(token string) invocation {
	h.mu.Lock()
	defer h.mu.Unlock()
	i := *h.invocations[token]
	delete(h.invocations, token)
	return i
}

// callbacks is what a handler may ask of the host.
type callbacks struct{ host *Host }

// within finds the invocation of a token and a context that ends with it. A
// callback that writes is noted before it begins, for the callers as well.
func (c callbacks) within(ctx context.Context, token string, writes bool) (*invocation, context.Context, func(), error) {
	c.host.mu.Lock()
	defer c.host.mu.Unlock()
	i, err := c.host.running(token)
	if err != nil {
		return nil, nil, nil, err
	}
	if writes {
		if err := i.mayWrite(); err != nil {
			return nil, nil, nil, err
		}
		i.writing++
	}
	for up := i; writes && up != nil; up = up.caller {
		up.wrote = true
	}
	ctx = queue.As(ctx, i.writer())
	if l := i.leased(); l != nil {
		ctx = l.Within(ctx)
	}
	ctx, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(i.ctx, cancel)
	return i, ctx, func() { stop(); cancel(); c.host.ended(i, writes) }, nil
}

// running finds an invocation whose handler runs. The caller holds Host.mu.
func (h *Host) running(token string) (*invocation, error) {
	i, ok := h.invocations[token]
	if !ok {
		return nil, sdk.ErrDenied.Errorf("the call token belongs to no running request")
	}
	return i, nil
}

// ended notes the end of a callback.
func (h *Host) ended(i *invocation, writes bool) {
	if !writes {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	i.writing--
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
