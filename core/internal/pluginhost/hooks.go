package pluginhost

import (
	"context"
	"errors"
	"time"

	"github.com/keboola/duckdb-storage/sdk"
	pluginv1 "github.com/keboola/duckdb-storage/sdk/proto/duckdbstorage/plugin/v1"
)

// hookTime is how long a hook may take that does not say.
const hookTime = time.Minute

// before asks the hooks on a command, one after the other by the names of their
// plugins. When the command writes to a catalog, they and the command share a lease
// of it: nobody writes between what a hook has seen and what the command does. Hooks
// on a command that is only to show its plan are not asked, but those on the reads
// that it calls are: these run.
func (h *Host) before(ctx context.Context, r *run) error {
	hooks := h.hooksBefore(r.Command)
	if len(hooks) == 0 || r.explain != nil && r.caller == nil {
		return nil
	}
	if err := h.leaseForHooks(ctx, r); err != nil {
		return err
	}
	ctx = h.joined(ctx, r)
	for _, k := range hooks {
		if err := h.askHook(ctx, r, k); err != nil {
			return err
		}
	}
	// What the hooks wrote is theirs: a handler that dies having written nothing may be
	// asked again, without them. A command that called this one may not.
	h.mu.Lock()
	defer h.mu.Unlock()
	r.wrote = false
	return nil
}

// leaseForHooks takes the turn of the run's catalog, unless a caller has it.
func (h *Host) leaseForHooks(ctx context.Context, r *run) error {
	h.mu.Lock()
	leased := r.leased() != nil
	h.mu.Unlock()
	if leased || !r.writes || r.Target.GetProject() == "" {
		return nil
	}
	lease, err := h.cfg.Executor.Lease(ctx, r.Target)
	if err != nil {
		return err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	r.lease, r.hosted = lease, true
	return nil
}

// askHook asks one hook on a command, which runs for the same caller.
func (h *Host) askHook(ctx context.Context, command *run, k hook) error {
	r := &run{
		Call: command.Call, step: k.plugin + " before " + command.step, plugin: k.plugin, grants: h.grantsOf(k.plugin).on(command.Target),
		world: h.world(), caller: command, writes: command.writes,
	}
	r.Mark = nil // what a hook writes is not what the request asks for
	if err := r.bounded(); err != nil {
		return err
	}
	defer h.release(r)
	err := h.verdict(ctx, r, k)
	if errors.Is(err, sdk.ErrPluginDied) && ctx.Err() == nil && h.again(r) {
		h.cfg.Logger.Warn("asking a hook again after its plugin died", "plugin", k.plugin, "command", command.Command, "request_id", r.RequestID, "error", err)
		err = h.verdict(ctx, r, k)
	}
	var no veto
	switch {
	case err == nil, errors.Is(err, sdk.ErrPluginOff) && !errors.As(err, &no):
		return nil // one that was switched off a moment ago is no hook any more
	case errors.As(err, &no):
		return no.with(k)
	case ctx.Err() != nil:
		return err
	case k.failOpen:
		h.cfg.Logger.Warn("a command runs without a hook that cannot be asked", "plugin", k.plugin, "command", command.Command, "request_id", r.RequestID, "run_id", r.RunID, "error", err)
		return nil
	}
	refusal := sdk.ErrPluginDown.Errorf("%s was not run, because the hook of plugin %s before it cannot be asked: %v", command.Command, k.plugin, err).
		With("plugin", k.plugin).With("hook", "before "+command.Command)
	if down := new(sdk.Error); errors.As(err, &down) && errors.Is(err, sdk.ErrPluginDown) {
		refusal.Retryable = down.Retryable // not for a plugin that has failed for good
	}
	return refusal
}

// veto is the answer of a hook that refuses, as against an error of asking it.
type veto struct{ error }

// with is the hook's error for the client, who sees from whom it is.
func (v veto) with(k hook) error {
	var e *sdk.Error
	if errors.As(v.error, &e) {
		return e.With("plugin", k.plugin).With("hook", "before "+k.command)
	}
	return v.error
}

// verdict asks a hook within its time.
func (h *Host) verdict(ctx context.Context, r *run, k hook) error {
	bounded, cancel := context.WithTimeout(ctx, k.within)
	defer cancel()
	var resp *pluginv1.BeforeResponse
	var err error
	h.asking(bounded, r, func(ctx context.Context, req *pluginv1.InvokeRequest) {
		resp, err = k.owner.Before(ctx, &pluginv1.BeforeRequest{Request: req})
	})
	switch {
	case err == nil && resp.GetError() == nil:
		return nil
	case bounded.Err() != nil && ctx.Err() == nil:
		// What a hook says whose callbacks were interrupted is no verdict.
		return sdk.ErrTimeout.Errorf("it took longer than %v", k.within)
	case err != nil:
		return err
	}
	return veto{sdk.ErrorFromProto(resp.GetError())}
}

// hooksOf names the plugins that are asked before a command runs.
func (h *Host) hooksOf(command string) []string {
	names := []string{}
	for _, k := range h.hooksBefore(command) {
		names = append(names, k.plugin)
	}
	return names
}
