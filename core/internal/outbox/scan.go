package outbox

import (
	"errors"
	"time"

	"github.com/keboola/duckdb-storage/core/internal/plan"
	"github.com/keboola/duckdb-storage/sdk"
	pluginv1 "github.com/keboola/duckdb-storage/sdk/proto/duckdbstorage/plugin/v1"
)

// Scan looks, in the background, into the catalog of each project for events that
// wait: those that an earlier run left, and those of a subscriber that was switched
// on again. A scan that is asked for while one runs comes after it. A catalog that
// cannot be opened is tried again until it can: nobody else may ever wake its lanes.
func (d *Dispatcher) Scan() {
	select {
	case d.scans <- struct{}{}:
	default: // one is due
	}
}

// scan is the goroutine that scans.
func (d *Dispatcher) scan() {
	var closed []string
	again := time.NewTicker(d.cfg.BackoffMax)
	defer again.Stop()
	for {
		select {
		case <-d.scans:
			closed = d.lookInto(d.cfg.Projects())
		case <-again.C:
			closed = d.lookInto(closed)
		case <-d.stopping.Done():
			return
		}
	}
}

// lookInto returns the projects that could not be looked into now.
func (d *Dispatcher) lookInto(projects []string) (closed []string) {
	for _, project := range projects {
		if !d.look(&pluginv1.Target{Project: project, Branch: plan.DefaultBranch}) {
			closed = append(closed, project)
		}
		if !d.pause(time.Second / time.Duration(d.cfg.Rate)) {
			return nil
		}
	}
	return closed
}

// look wakes the lanes of a catalog in which something waits. It returns false for
// one that cannot be opened.
func (d *Dispatcher) look(target *pluginv1.Target) bool {
	log := d.cfg.Logger.With("project", target.GetProject())
	waiting, err := d.waiting(d.stopping, target)
	if err != nil {
		log.Debug("events that may wait are not looked for now", "error", err)
		return isDropped(err)
	}
	for subscriber, n := range waiting {
		switch d.cfg.State(subscriber) {
		case On:
			d.found(key{target.GetProject(), target.GetBranch(), subscriber}, n)
		case Unknown:
			if err := d.forget(d.stopping, target, subscriber); err != nil {
				log.Warn("old events of a plugin that is no longer there cannot be removed", "plugin", subscriber, "error", err)
			}
		}
	}
	return true
}

// isDropped tells of an error that the project is gone, with its events.
func isDropped(err error) bool {
	return errors.Is(err, sdk.ErrNotFound) || errors.Is(err, sdk.ErrProjectNotFound) || errors.Is(err, sdk.ErrBranchNotFound)
}

// found wakes a lane that has rows on disk. One that is at work may know of them.
func (d *Dispatcher) found(k key, rows int) {
	d.mu.Lock()
	l := d.lanes[k]
	if l != nil {
		l.again = true
	}
	d.mu.Unlock()
	if l == nil {
		d.wake(k, rows)
	}
}
