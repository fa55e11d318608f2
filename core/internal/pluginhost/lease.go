package pluginhost

import (
	"context"

	"github.com/keboola/duckdb-storage/core/internal/queue"
	"github.com/keboola/duckdb-storage/sdk"
)

// lease keeps the turn of the invocation's catalog until release. Until it has it,
// the command writes nothing: a write that stood in the line behind the lease
// would wait for its own command.
func (h *Host) lease(ctx context.Context, i *invocation, token string) error {
	if err := h.beginLease(i); err != nil {
		return err
	}
	lease, err := h.cfg.Executor.Lease(ctx, i.Target)
	h.mu.Lock()
	defer h.mu.Unlock()
	i.leasing = false
	if err != nil {
		return err
	}
	if _, err := h.running(token); err != nil {
		// The handler returned, or its plugin died, while the turn came.
		lease.Release()
		return err
	}
	i.lease = lease
	return nil
}

func (h *Host) beginLease(i *invocation) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case !i.writes:
		return errReadWrites(i.Command)
	case i.leased() != nil || i.leasing:
		return sdk.ErrConflict.Errorf("a second lease is refused: %s has one already, or a command that called it; what it writes joins that one", i.Command)
	case i.writing > 0:
		return sdk.ErrConflict.Errorf("%s asks for a lease while a callback of it writes; take the lease first", i.Command)
	}
	i.leasing = true
	return nil
}

// mayWrite reports why a callback that writes is refused. The caller holds Host.mu.
func (i *invocation) mayWrite() error {
	switch {
	case !i.writes:
		return errReadWrites(i.Command)
	case i.leasing:
		return sdk.ErrConflict.Errorf("%s writes while it waits for its lease; wait until Lease has returned", i.Command)
	}
	return nil
}

// leased is the lease that the invocation writes inside of, its own or that of a
// caller, or nil. The caller holds Host.mu.
func (i *invocation) leased() *queue.Lease {
	for ; i != nil; i = i.caller {
		if i.lease != nil {
			return i.lease
		}
	}
	return nil
}

// join returns a context in which the plan joins the lease of its handler. That of
// a caller is in the context already.
func (h handled) join(ctx context.Context) context.Context {
	if h.lease == nil {
		return ctx
	}
	return h.lease.Within(ctx)
}

func (h handled) release() {
	if h.lease != nil {
		h.lease.Release()
	}
}
