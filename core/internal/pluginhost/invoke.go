package pluginhost

import (
	"context"
	"crypto/rand"
	"io"

	"github.com/keboola/duckdb-storage/core/internal/auth"
	"github.com/keboola/duckdb-storage/core/internal/plan"
	"github.com/keboola/duckdb-storage/sdk"
	pluginv1 "github.com/keboola/duckdb-storage/sdk/proto/duckdbstorage/plugin/v1"
)

// maxDepth bounds commands that call commands.
const maxDepth = 8

// AdminOnly is the permission of commands for the service as a whole. It is
// checked here as well as at the door, so that a plugin cannot lend a project's
// key more than it has.
const AdminOnly = "admin"

// Call is a request for a command.
type Call struct {
	Command   string
	Payload   []byte // JSON
	Principal auth.Principal
	Target    *pluginv1.Target
	Accept    string // negotiated media type of the answer
	RequestID string
}

// invocation is a call whose handler runs.
type invocation struct {
	Call
	ctx   context.Context
	depth int
}

// Invoke runs a command: it validates the input, asks the plugin for its plan
// and does what the plan says.
func (h *Host) Invoke(ctx context.Context, call Call) (plan.Answer, error) {
	return h.invoke(ctx, call, 0)
}

func (h *Host) invoke(ctx context.Context, call Call, depth int) (plan.Answer, error) {
	c, err := h.table.command(call.Command)
	if err != nil {
		return plan.Answer{}, err
	}
	if c.GetPermission() == AdminOnly && !call.Principal.Admin {
		return plan.Answer{}, sdk.ErrDenied.Errorf("%s needs the admin key", c.GetName())
	}
	if err := c.validate(call.Payload); err != nil {
		return plan.Answer{}, err
	}
	handling, end := context.WithCancel(ctx)
	token := h.begin(&invocation{Call: call, ctx: handling, depth: depth})
	resp, err := c.owner.Invoke(handling, &pluginv1.InvokeRequest{
		Command: call.Command, Payload: call.Payload, CallToken: token, RequestId: call.RequestID,
		Target: call.Target, Accept: call.Accept,
		Principal: &pluginv1.Principal{Subject: call.Principal.Subject, Admin: call.Principal.Admin},
	})
	// The handler is done: a callback that comes now is refused or interrupted.
	h.end(token)
	end()
	if err != nil {
		return plan.Answer{}, err
	}
	return h.cfg.Executor.Run(ctx, call.Target, call.Accept, resp)
}

func (h *Host) begin(i *invocation) (token string) {
	token = rand.Text()
	h.mu.Lock()
	defer h.mu.Unlock()
	h.invocations[token] = i
	return token
}

func (h *Host) end(token string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.invocations, token)
}

// callbacks is what a handler may ask of the host.
type callbacks struct{ host *Host }

// within finds the invocation of a token and a context that ends with it.
func (c callbacks) within(ctx context.Context, token string) (*invocation, context.Context, func(), error) {
	c.host.mu.Lock()
	i, ok := c.host.invocations[token]
	c.host.mu.Unlock()
	if !ok {
		return nil, nil, nil, sdk.ErrDenied.Errorf("the call token belongs to no running request")
	}
	ctx, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(i.ctx, cancel)
	return i, ctx, func() { stop(); cancel() }, nil
}

// call runs another command for the caller of this one and returns its JSON.
func (c callbacks) call(ctx context.Context, i *invocation, command string, payload []byte) ([]byte, error) {
	if i.depth+1 >= maxDepth {
		return nil, sdk.ErrConflict.Errorf("commands call each other more than %d deep", maxDepth)
	}
	call := i.Call
	call.Command, call.Payload, call.Accept = command, payload, "application/json"
	answer, err := c.host.invoke(ctx, call, i.depth+1)
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
