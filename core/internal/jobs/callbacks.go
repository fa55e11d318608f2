package jobs

import (
	"context"

	"github.com/keboola/duckdb-storage/core/internal/pluginhost"
)

type runningKey struct{}

// within returns a context of the job.
func (r *Running) within(ctx context.Context) context.Context {
	return r.progress.Within(context.WithValue(ctx, runningKey{}, r))
}

// of is the job that a context belongs to, or nil.
func of(ctx context.Context) *Running {
	r, _ := ctx.Value(runningKey{}).(*Running)
	return r
}

// Jobs is what callbacks ask for jobs.
var _ pluginhost.Jobs = (*Jobs)(nil)

// Start implements pluginhost.Jobs.
func (j *Jobs) Start(ctx context.Context, call pluginhost.Call) (id string, err error) {
	r, err := j.Submit(ctx, call, "")
	if err != nil {
		return "", err
	}
	return r.ID(), nil
}

// Report implements pluginhost.Jobs.
func (j *Jobs) Report(ctx context.Context, fraction float64, message string) error {
	r := of(ctx)
	if r == nil {
		return nil
	}
	return r.report(fraction, message)
}

// Carry implements pluginhost.Jobs.
func (j *Jobs) Carry(ctx, from context.Context) context.Context {
	r := of(from)
	if r == nil {
		return ctx
	}
	return r.within(ctx)
}
