package jobs

import (
	"context"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/keboola/duckdb-storage/core/internal/registry"
	"github.com/keboola/duckdb-storage/sdk"
)

// stopGrace is how long the end of cancelled jobs is waited for. An interrupt takes
// milliseconds, a rollback of much a few seconds.
const stopGrace = 5 * time.Second

// Why jobs end that the end of the service ends.
var (
	lostWaiting    = sdk.ErrUnavailable.Errorf("the service was restarted before the job began; nothing of it happened; repeat it")
	lostProcessing = sdk.ErrUnavailable.Errorf("the service was restarted while the job was processing; what it had committed is kept, nothing half; repeat it")
	stopWaiting    = sdk.ErrUnavailable.Errorf("the service stopped before the job began; nothing of it happened; repeat it")
	stopProcessing = sdk.ErrUnavailable.Errorf("the service stopped while the job was processing; what it had committed is kept, nothing half; repeat it")
)

// Close lets no more jobs begin, waits for those that run until ctx ends, then cancels
// them, and records why they and those that wait did not end. It may be called twice.
func (j *Jobs) Close(ctx context.Context) error {
	var err error
	j.closing.Do(func() {
		j.sweeper.stop()
		err = j.abandon(j.stopLine(), stopWaiting)
		if j.idle(ctx) {
			return
		}
		running := j.cancelAll()
		if len(running) == 0 {
			return // they ended in the last moment
		}
		j.cfg.Logger.Warn("jobs were still running at the end of the shutdown and are cancelled", "count", len(running))
		bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopGrace)
		defer cancel()
		if !j.idle(bounded) {
			err = errors.Join(err, j.abandon(running, stopProcessing))
		}
	})
	return err
}

// stopLine stops the dispatch and returns the jobs that will not begin.
func (j *Jobs) stopLine() []*Running {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.stopped = true
	waiting := j.waiting
	j.waiting = nil
	j.dispatch()
	return waiting
}

// idle waits until no job runs, or ctx ends.
func (j *Jobs) idle(ctx context.Context) bool {
	done := make(chan struct{})
	go func() {
		j.workers.Wait()
		close(done)
	}()
	select {
	case <-done:
		return true
	case <-ctx.Done():
		return false
	}
}

func (j *Jobs) cancelAll() []*Running {
	j.mu.Lock()
	defer j.mu.Unlock()
	var out []*Running
	for _, r := range j.live {
		r.cancel(stopProcessing)
		out = append(out, r)
	}
	return out
}

// abandon ends jobs without waiting for their commands.
func (j *Jobs) abandon(jobs []*Running, why error) error {
	ended := map[*Running]registry.Job{}
	var runs []registry.AuditEntry
	for _, r := range jobs {
		r.cancel(why)
		if row, first := r.settle(nil, why); first {
			ended[r] = row
			runs = append(runs, r.audited(row))
			j.note(r, row)
		}
	}
	if len(ended) == 0 {
		return nil
	}
	err := j.registry.EndJobs(context.Background(), runs, slices.Collect(maps.Values(ended))...)
	for r, row := range ended {
		r.finish(row, err == nil)
	}
	return err
}

// endLost ends the jobs that an earlier run of the service left.
func (j *Jobs) endLost(ctx context.Context) error {
	lost, err := j.registry.Jobs(ctx, registry.JobFilter{Undone: true})
	if err != nil || len(lost) == 0 {
		return err
	}
	runs := make([]registry.AuditEntry, len(lost))
	for i := range lost {
		why := lostWaiting
		if lost[i].State == registry.JobProcessing {
			why = lostProcessing
		}
		lost[i].State, lost[i].Ended = registry.JobError, j.now()
		lost[i].Error = j.cfg.Problem(why, path(lost[i].ID), lost[i].RequestID)
		runs[i] = audited(lost[i], "", nil)
		runs[i].Duration = 0 // nobody knows when it ended
	}
	j.cfg.Logger.Warn("jobs were not done when the service ended, and are now in error", "count", len(lost))
	return j.registry.EndJobs(ctx, runs, lost...)
}

// path is where a job is shown.
func path(id string) string { return "/jobs/" + id }

// sweepEvery is how often old jobs are removed.
const sweepEvery = time.Hour

// sweeper removes old jobs in the background.
type sweeper struct {
	cancel context.CancelFunc
	done   chan struct{}
}

func (s *sweeper) start(j *Jobs) {
	var ctx context.Context
	ctx, s.cancel = context.WithCancel(context.Background())
	s.done = make(chan struct{})
	go func() {
		defer close(s.done)
		tick := time.NewTicker(sweepEvery)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				if err := j.forgetOld(ctx); err != nil && ctx.Err() == nil {
					j.cfg.Logger.Warn("old jobs could not be removed", "error", err)
				}
			}
		}
	}()
}

// stop ends it, if it was started.
func (s *sweeper) stop() {
	if s.cancel != nil {
		s.cancel()
		<-s.done
	}
}

// forgetOld removes the jobs that were done too long ago.
func (j *Jobs) forgetOld(ctx context.Context) error {
	n, err := j.registry.ForgetJobs(ctx, j.now().Add(-j.cfg.Keep))
	if n > 0 {
		j.cfg.Logger.Debug("removed old jobs", "count", n)
	}
	return err
}
