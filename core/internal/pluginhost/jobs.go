package pluginhost

import (
	"context"

	"github.com/keboola/duckdb-storage/core/internal/registry"
	"github.com/keboola/duckdb-storage/sdk"
	pluginv1 "github.com/keboola/duckdb-storage/sdk/proto/duckdbstorage/plugin/v1"
)

// Jobs runs commands in the background. Package jobs implements it.
type Jobs interface {
	// Start makes a call a job and returns its id when that is durable. The job works in
	// the project that ctx is within.
	Start(ctx context.Context, call Call) (id string, err error)
	// Report notes how far the job is that ctx belongs to. Outside of a job it does
	// nothing. It returns ErrCancelled for a job that was cancelled.
	Report(ctx context.Context, fraction float64, message string) error
	// Carry returns ctx as one of the job that from belongs to, if any.
	Carry(ctx, from context.Context) context.Context
}

// Check refuses a call that Invoke would refuse before it asks a plugin.
func (h *Host) Check(call Call) error {
	c, err := h.Table().command(call.Command)
	if err != nil {
		return err
	}
	return h.admit(c, call)
}

// carry lets what a callback does be part of the job that its call is part of, and keeps
// it within the project of the call. The context of a callback comes from the plugin's
// process and knows nothing of either.
func (h *Host) carry(ctx context.Context, i *invocation) context.Context {
	ctx = registry.Carry(ctx, i.ctx)
	if h.cfg.Jobs == nil {
		return ctx
	}
	return h.cfg.Jobs.Carry(ctx, i.ctx)
}

// errNoJobs refuses jobs where nothing runs them, as while plugins are described.
var errNoJobs = sdk.ErrUnsupported.Errorf("this host runs no jobs")

// StartJob runs another command of the same caller and catalog in the background. It
// counts as a write of the command that asks: the job is there, whatever becomes of it.
func (c callbacks) StartJob(ctx context.Context, r *pluginv1.StartJobRequest) (*pluginv1.StartJobResponse, error) {
	id, err := c.startJob(ctx, r)
	if err != nil {
		return &pluginv1.StartJobResponse{Error: c.failure(nil, "StartJob", err)}, nil
	}
	return &pluginv1.StartJobResponse{JobId: id}, nil
}

func (c callbacks) startJob(ctx context.Context, r *pluginv1.StartJobRequest) (id string, err error) {
	if c.host.cfg.Jobs == nil {
		return "", errNoJobs
	}
	called, err := c.host.Table().command(r.GetCommand())
	if err != nil {
		return "", err
	}
	if called.GetSecret() {
		return "", sdk.ErrUnsupported.Errorf("%s is not run as a job: its answer holds a secret that is shown once", called.GetName())
	}
	i, ctx, end, err := c.within(ctx, r.GetCallToken(), use{callback: "StartJob", command: called, writes: true})
	if err != nil {
		return "", err
	}
	defer end()
	call := i.Call
	call.Command, call.Payload, call.Accept = r.GetCommand(), r.GetPayload(), "application/json"
	call.Mark = nil // the request is answered without the job
	if call.Depth = i.depth(); call.Depth >= sdk.MaxCallDepth {
		return "", sdk.ErrConflict.Errorf("%s is not started: calls, jobs and events lead to one another more than %d deep: %s", call.Command, sdk.MaxCallDepth, i.shown())
	}
	return c.host.cfg.Jobs.Start(ctx, call)
}

// Progress says how far the job of this command is.
func (c callbacks) Progress(ctx context.Context, r *pluginv1.ProgressRequest) (*pluginv1.ProgressResponse, error) {
	i, ctx, end, err := c.within(ctx, r.GetCallToken(), use{callback: "Progress"})
	if err != nil {
		return &pluginv1.ProgressResponse{Error: c.failure(nil, "Progress", err)}, nil
	}
	defer end()
	if c.host.cfg.Jobs == nil {
		return &pluginv1.ProgressResponse{}, nil
	}
	if err := c.host.cfg.Jobs.Report(ctx, r.GetFraction(), r.GetMessage()); err != nil {
		return &pluginv1.ProgressResponse{Error: c.failure(i, "Progress", err)}, nil
	}
	return &pluginv1.ProgressResponse{}, nil
}
