package pluginhost

import (
	"context"

	"github.com/keboola/duckdb-storage/sdk"
)

// lease keeps the turn of the invocation's catalog until release. Until it has it,
// the command writes nothing: a write that stood in the line behind the lease
// would wait for its own command. Where the host has the turn already, for the hooks
// on a command, there is nothing to wait for.
func (h *Host) lease(ctx context.Context, i *invocation, token string) error {
	has, err := h.beginLease(i)
	if has || err != nil {
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
	i.lease, i.asked = lease, true
	return nil
}

// beginLease notes that a handler wants a lease. It returns true if a lease of the
// host is there, which this one joins.
func (h *Host) beginLease(i *invocation) (has bool, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case !i.writes:
		return false, errReadWrites(i.step)
	case i.hasAsked() || i.leasing:
		return false, sdk.ErrConflict.Errorf("a second lease is refused: %s has one already, or a command that called it; what it writes joins that one", i.step)
	case i.transact:
		return false, sdk.ErrConflict.Errorf("%s asks for a lease inside its transaction; take the lease first", i.step)
	case i.writing > 0:
		return false, sdk.ErrConflict.Errorf("%s asks for a lease while a callback of it writes; take the lease first", i.step)
	}
	has = i.leased() != nil
	i.asked, i.leasing = has, !has
	return has, nil
}

// mayTakeTurn reports why a callback that writes to the catalog is refused. The caller
// holds Host.mu.
func (i *invocation) mayTakeTurn(u use) error {
	switch {
	case i.leasing:
		return sdk.ErrConflict.Errorf("%s writes while it waits for its lease; wait until Lease has returned", i.step)
	case i.transact:
		return sdk.ErrConflict.Errorf("%s has a transaction open, and what it writes elsewhere would wait for that; write inside of it, or after it", i.step)
	case u.transact && i.writing > 0:
		return sdk.ErrConflict.Errorf("%s asks for a transaction while a callback of it writes; wait until that has returned", i.step)
	}
	return nil
}
