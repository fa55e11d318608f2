package jobs

import (
	"context"
	"time"

	"github.com/keboola/duckdb-storage/core/internal/auth"
	"github.com/keboola/duckdb-storage/core/internal/registry"
	"github.com/keboola/duckdb-storage/sdk"
)

// ErrJobNotFound is a job that does not exist, or not for this key.
var ErrJobNotFound = sdk.Code{Slug: "job-not-found", Title: "Job not found", Kind: sdk.NotFound, Driver: 2000}

// others is the permission that takes a key to the jobs of other keys. Their results may
// hold what a key that only reads may not read.
const others = "jobs:write"

// maySee reports whether the principal may see a job, and cancel it: the admin all, a
// project's key those that it started itself and, if it may write, those of its project.
// Of them a key of one branch sees those of that branch.
func maySee(who auth.Principal, row registry.Job) bool {
	if !who.MayUse(row.Project) {
		return false
	}
	return row.Subject == who.Subject || who.Allows(others) && who.MayUseBranch(row.Branch)
}

// visible makes a filter of the jobs that the principal may see, as maySee says.
func visible(who auth.Principal, f *registry.JobFilter) {
	if who.Admin {
		return
	}
	f.Project = who.Project
	if !who.Allows(others) {
		f.Subject = who.Subject
	} else if who.Branch != "" {
		f.Subject, f.Branch = who.Subject, who.Branch
	}
}

// Find returns a job that the principal may see. running is nil for one that is done. Any
// other job is ErrJobNotFound.
func (j *Jobs) Find(ctx context.Context, who auth.Principal, id string) (row registry.Job, running *Running, err error) {
	j.mu.Lock()
	running = j.live[id]
	j.mu.Unlock()
	if running != nil {
		if row, _ = running.Look(); row.State.Done() {
			running = nil
		}
	} else if row, _, err = j.registry.Job(ctx, id); err != nil {
		return registry.Job{}, nil, err
	}
	if row.ID == "" || !maySee(who, row) {
		return registry.Job{}, nil, ErrJobNotFound.Errorf("job %q does not exist; one that is done is remembered for %s", id, j.cfg.Keep)
	}
	return row, running, nil
}

// List returns jobs as [registry.Registry.Jobs] does, with the progress of those that
// run.
func (j *Jobs) List(ctx context.Context, f registry.JobFilter) ([]registry.Job, error) {
	rows, err := j.registry.Jobs(ctx, f)
	if err != nil {
		return nil, err
	}
	for i := range rows {
		j.mu.Lock()
		running := j.live[rows[i].ID]
		j.mu.Unlock()
		if running != nil && !rows[i].State.Done() {
			rows[i], _ = running.Look()
		}
	}
	return rows, nil
}

// cancelWait is how long Cancel waits for the end of what it cancelled. An interrupt
// takes milliseconds.
const cancelWait = time.Second

// Cancel ends a job and shows what became of it. One that waits ends at once. One that
// runs is interrupted, and nothing half is left; it may still be on its way when Cancel
// returns, and a job whose commit has begun ends as if nobody had cancelled it. It
// returns ErrJobNotFound as Find does, and Conflict for a job that is done.
func (j *Jobs) Cancel(ctx context.Context, who auth.Principal, id string) (registry.Job, error) {
	row, running, err := j.Find(ctx, who, id)
	if err != nil {
		return registry.Job{}, err
	}
	if running == nil {
		return registry.Job{}, sdk.ErrConflict.Errorf("job %s is done, with state %s; there is nothing to cancel", id, row.State)
	}
	running.cancel(byRequest)
	if j.withdraw(running) {
		j.end(running, nil, byRequest)
	}
	wait := time.NewTimer(cancelWait)
	defer wait.Stop()
	select {
	case <-running.Done():
	case <-wait.C:
	case <-ctx.Done():
	}
	row, _ = running.Look()
	return row, nil
}
