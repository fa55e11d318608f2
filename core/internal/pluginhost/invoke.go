package pluginhost

import (
	"context"
	"crypto/rand"
	"errors"
	"time"

	"github.com/keboola/duckdb-storage/core/internal/auth"
	"github.com/keboola/duckdb-storage/core/internal/plan"
	"github.com/keboola/duckdb-storage/core/internal/queue"
	"github.com/keboola/duckdb-storage/sdk"
	pluginv1 "github.com/keboola/duckdb-storage/sdk/proto/duckdbstorage/plugin/v1"
)

// Call is a request for a command.
type Call struct {
	Command   string
	Payload   []byte // JSON
	Principal auth.Principal
	Target    *pluginv1.Target
	Accept    string // negotiated media type of the answer
	RequestID string
	RunID     string // of the job run at Keboola that the request belongs to, or empty
	Depth     int    // of the calls, jobs and events that led to it: they count against the depth of calls

	// Mark is left by what the call writes; nil leaves none.
	Mark *plan.Mark

	explain *explaining // the plan is to be shown; nil when it is to be done
}

// writer is how the write queue knows the call.
func (c Call) writer() queue.Writer {
	return queue.Writer{Command: c.Command, RequestID: c.RequestID}
}

// Invoke runs a command: it validates the input, asks the hooks on the command, asks
// the plugin for its plan and does what the plan says.
func (h *Host) Invoke(ctx context.Context, call Call) (plan.Answer, error) {
	return h.invoke(ctx, call, nil)
}

func (h *Host) invoke(ctx context.Context, call Call, caller *run) (_ plan.Answer, err error) {
	ctx = asCaller(plan.WithMark(queue.As(ctx, call.writer()), call.Mark, caller == nil), call)
	c, err := h.Table().command(call.Command)
	if err != nil {
		return plan.Answer{}, err
	}
	defer func(start time.Time) { h.cfg.Observer.Ran(c.GetName(), outcome(err), time.Since(start)) }(time.Now())
	if err := h.admit(c, call); err != nil {
		return plan.Answer{}, err
	}
	r, err := h.newRun(c, call, caller)
	if err != nil {
		return plan.Answer{}, err
	}
	defer h.release(r) // after the plan
	if err := h.before(ctx, r); err != nil {
		return plan.Answer{}, err
	}
	resp, err := h.answer(ctx, c, r)
	if err != nil {
		return plan.Answer{}, err
	}
	events, err := h.emit(r, resp.GetUnit().GetEvents())
	if err != nil {
		return plan.Answer{}, err
	}
	defer events.committed()
	answer, err := h.cfg.Executor.Run(h.joined(ctx, r), call.Target, call.Accept, resp, events.along()...)
	answer.Reads = resp.GetRows() != nil && !h.wrote(r)
	return answer, err
}

// wrote reports whether a handler of the run may have changed something by itself.
func (h *Host) wrote(r *run) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return r.wrote
}

// newRun makes the run of a command. It returns Conflict for a chain without end.
func (h *Host) newRun(c *Command, call Call, caller *run) (*run, error) {
	r := &run{Call: call, step: c.GetName(), plugin: c.Plugin, grants: h.grantsOf(c.Plugin).on(call.Target), world: h.world(), caller: caller, writes: isWrite(c)}
	return r, r.bounded()
}

// answer asks the handler for its plan, and checks that the plugin may have it done.
func (h *Host) answer(ctx context.Context, c *Command, r *run) (*pluginv1.InvokeResponse, error) {
	resp, err := h.ask(ctx, c, r)
	if errors.Is(err, sdk.ErrPluginDied) && ctx.Err() == nil && h.again(r) {
		// A handler that has written nothing left nothing behind: its next process can
		// answer. Once, because the request itself may be what killed it.
		h.cfg.Logger.Warn("asking again after a plugin died", "plugin", c.Plugin, "command", r.Command, "request_id", r.RequestID, "error", err)
		resp, err = h.ask(ctx, c, r)
	}
	if err != nil {
		return nil, err
	}
	if plan.Writes(resp) && !r.writes {
		return nil, errReadWrites(r.step)
	}
	if err := r.grants.demandPlan(r.step, resp); err != nil {
		return nil, err
	}
	return resp, r.demandPlanOfCaller(resp)
}

func isWrite(c *Command) bool { return c.GetEffect() == pluginv1.Effect_EFFECT_WRITE }

func errReadWrites(step string) error {
	return sdk.ErrDenied.Errorf("%s is declared as a read and must not write; its author adds sdk.Writes", step)
}

// ask runs the handler of a command.
func (h *Host) ask(ctx context.Context, c *Command, r *run) (resp *pluginv1.InvokeResponse, err error) {
	h.asking(ctx, r, func(ctx context.Context, req *pluginv1.InvokeRequest) {
		resp, err = c.owner.Invoke(ctx, req)
	})
	return resp, err
}

// asking calls a plugin with a token that is valid meanwhile: a callback that comes
// later is refused, and one that runs is interrupted.
func (h *Host) asking(ctx context.Context, r *run, call func(context.Context, *pluginv1.InvokeRequest)) {
	handling, end := context.WithCancel(h.joined(ctx, r))
	defer end()
	token := h.begin(&invocation{run: r, ctx: handling})
	defer h.end(token)
	h.cfg.Observer.Asks(r.plugin)
	defer func(start time.Time) { h.cfg.Observer.Answered(r.plugin, time.Since(start)) }(time.Now())
	call(handling, &pluginv1.InvokeRequest{
		Command: r.Command, Payload: r.Payload, CallToken: token, RequestId: r.RequestID, RunId: r.RunID,
		Target: r.Target, Accept: r.Accept,
		Principal: r.Principal.Proto(),
	})
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

// again prepares a run for another process, if its handler has written nothing. A
// lease that the handler took goes back, and is taken anew in its turn; that of the
// host stays, and with it holds what the hooks have found.
func (h *Host) again(r *run) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if r.wrote {
		return false
	}
	r.asked = false
	if r.lease != nil && !r.hosted {
		r.lease.Release()
		r.lease = nil
	}
	return true
}

// joined returns a context in which writers join the lease of the run. That of a
// caller is in the context already.
func (h *Host) joined(ctx context.Context, r *run) context.Context {
	h.mu.Lock()
	defer h.mu.Unlock()
	if r.lease == nil {
		return ctx
	}
	return r.lease.Within(ctx)
}

// release ends the lease of a run that is over.
func (h *Host) release(r *run) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if r.lease != nil {
		r.lease.Release()
	}
}
