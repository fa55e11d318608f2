package pluginhost

import (
	"errors"
	"time"

	"github.com/keboola/duckdb-storage/core/internal/registry"
	"github.com/keboola/duckdb-storage/sdk"
)

// audit records what a plugin has done after an event, if it may have changed something.
// No client waits for it: a kill in between has the event delivered again.
func (h *Host) audit(r *run, err error, took time.Duration) {
	if h.cfg.Audit == nil || !h.wrote(r) {
		return
	}
	e := registry.AuditEntry{
		Subject: r.Principal.Subject, Project: r.Target.GetProject(), Branch: r.Target.GetBranch(), Command: r.step, Input: registry.AuditInput(r.Payload),
		Outcome: registry.AuditOK, RequestID: r.RequestID, RunID: r.RunID, Duration: took,
	}
	if err != nil {
		e.Outcome, e.Problem = registry.AuditFailed, sdk.ErrInternal.Slug
		var known *sdk.Error
		if errors.As(err, &known) {
			e.Problem = known.Slug
		}
	}
	h.cfg.Audit(e)
}
