package pluginhost

import (
	"context"
	"slices"
	"strings"

	"github.com/keboola/duckdb-storage/core/internal/queue"
	"github.com/keboola/duckdb-storage/sdk"
)

// run is a command, a before-hook or a subscription that runs. Those that called one
// another are a chain.
type run struct {
	Call
	step   string // how the chain shows it
	plugin string // whose handler it is
	grants grants // of that plugin
	world  *world // in which it began
	caller *run   // nil for what a request, a job or an event started
	writes bool   // may change something

	// Guarded by Host.mu.
	wrote  bool         // a callback may have changed something
	lease  *queue.Lease // or nil
	hosted bool         // the host took the lease, for the hooks on the command
	asked  bool         // the handler asked for a lease, and has that one or joined a host's
}

// invocation is what a call token stands for: a run whose handler is being asked.
type invocation struct {
	*run
	ctx context.Context

	// Guarded by Host.mu.
	writing  int  // callbacks that run and take a turn of the catalog
	leasing  bool // a Lease callback waits
	transact bool // a Transact callback is open
}

// chain lists the run and its callers, the first caller first.
func (r *run) chain() []*run {
	var out []*run
	for ; r != nil; r = r.caller {
		out = append(out, r)
	}
	slices.Reverse(out)
	return out
}

// bounded refuses a run that would go on for ever: one that is among its own
// callers, and one with too many of them.
func (r *run) bounded() error {
	again := false
	for _, c := range r.chain() {
		again = again || c != r && c.step == r.step
	}
	switch {
	case again:
		return sdk.ErrConflict.Errorf("%s runs already and was called again by what it called itself: %s", r.step, r.shown())
	case r.depth() > sdk.MaxCallDepth:
		return sdk.ErrConflict.Errorf("calls, jobs and events lead to one another more than %d deep: %s", sdk.MaxCallDepth, r.shown())
	}
	return nil
}

// depth is how many runs led to this one, itself counted.
func (r *run) depth() int { return r.Depth + len(r.chain()) }

// shown prints the chain.
func (r *run) shown() string {
	var steps []string
	for _, c := range r.chain() {
		steps = append(steps, c.step)
	}
	return strings.Join(steps, " → ")
}

// leased is the lease that the run writes inside of, its own or that of a caller, or
// nil. The caller holds Host.mu.
func (r *run) leased() *queue.Lease {
	for ; r != nil; r = r.caller {
		if r.lease != nil {
			return r.lease
		}
	}
	return nil
}

// hasAsked reports whether a handler of the chain has asked for a lease. The caller
// holds Host.mu.
func (r *run) hasAsked() bool {
	for ; r != nil; r = r.caller {
		if r.asked {
			return true
		}
	}
	return false
}

// noteWrite notes that a callback of the run is about to change something. The caller
// holds Host.mu.
func (r *run) noteWrite() {
	for ; r != nil; r = r.caller {
		r.wrote = true
	}
}
