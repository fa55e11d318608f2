package links

import (
	"context"
	"errors"
	"time"

	"github.com/keboola/duckdb-storage/core/internal/engine"
	"github.com/keboola/duckdb-storage/core/internal/plan"
	pluginv1 "github.com/keboola/duckdb-storage/sdk/proto/duckdbstorage/plugin/v1"
)

const (
	// patience is how long a session waits for the upkeep that another one has begun:
	// longer than 5000 new views take (measured: 1.6 s), and no reader fails for it.
	patience = 10 * time.Second
	// pause is how long nobody tries again after an upkeep that failed, so that a full
	// disk does not cost each session an attempt.
	pause = time.Second
	// attempts is how often a conflict with another write is tried again at once.
	attempts = 3
)

// Update implements plan.Links. Where nothing has changed it costs a look into a map.
func (l *Links) Update(ctx context.Context, at *pluginv1.Target, s *engine.Session) (apart bool) {
	if at.GetBranch() != plan.DefaultBranch {
		return false
	}
	return l.update(ctx, at, s, map[string]bool{})
}

// update is Update; seen are the projects that are looked after already on the way here.
func (l *Links) update(ctx context.Context, at *pluginv1.Target, s *engine.Session, seen map[string]bool) (apart bool) {
	t := l.target(at)
	if t.fresh.Load() == s.Epoch() {
		return false
	}
	current := l.upstream(ctx, at, s, seen) // with no turn in hand: projects may link each other
	if !t.wait(ctx) {
		l.counts.stale.Add(1)
		return false
	}
	defer func() { <-t.turn }()
	epoch := s.Epoch()
	if t.fresh.Load() == epoch || t.paused(epoch) {
		return false
	}
	pending, start := t.take(), time.Now()
	// In a session beside the one that is to be handed out, which begins its snapshot
	// later.
	beside, err := s.Beside()
	if err == nil {
		err = (&refresh{Links: l, project: at.GetProject(), target: t, session: beside, epoch: epoch}).run(ctx, pending)
		beside.Close()
	}
	took := time.Since(start)
	l.counts.nanoseconds.Add(int64(took))
	t.done(epoch, err)
	if !current {
		t.fresh.Store(0)
	}
	switch {
	case err == nil:
	case errors.Is(err, errApart), ctx.Err() != nil:
		t.unpause()
	default:
		l.counts.failed.Add(1)
		l.Logger.Warn("linked buckets could not be brought up to date; they show what they showed before", "project", at.GetProject(), "took", took, "error", err)
	}
	return errors.Is(err, errApart)
}

// upstream looks after the linked buckets of the sources: a view of a source may show
// what that is linked to, and must not show it for longer than the source does. It
// returns false if one of them could not be brought up to date.
func (l *Links) upstream(ctx context.Context, at *pluginv1.Target, s *engine.Session, seen map[string]bool) (current bool) {
	current = true
	seen[at.GetProject()] = true
	for _, link := range l.Registry.LinksOf(at.GetProject()) {
		if seen[link.Source] || !l.active(link.Source) {
			continue
		}
		neighbour, err := s.Neighbour(l.catalog(link.Source))
		if err != nil {
			continue // its views cannot be read either
		}
		l.update(ctx, place(link.Source), neighbour, seen)
		current = current && l.target(place(link.Source)).fresh.Load() == neighbour.Epoch()
		neighbour.Close()
	}
	return current
}

// errApart says that a source is not in the cell, and nothing says that it should be.
var errApart = errors.New("linked catalogs are apart")

// wait takes the turn; ok is false if that took too long.
func (t *target) wait(ctx context.Context) (ok bool) {
	select {
	case t.turn <- struct{}{}:
		return true
	default:
	}
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case t.turn <- struct{}{}:
		return true
	case <-timer.C:
	case <-ctx.Done():
	}
	return false
}

// paused reports whether an attempt has failed just now. One of a cell that came to its
// end says nothing of the next cell.
func (t *target) paused(epoch uint64) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.failedIn == epoch && !t.failedAt.IsZero() && time.Since(t.failedAt) < pause
}

func (t *target) unpause() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.failedAt = time.Time{}
}

// Join implements plan.Links.
func (l *Links) Join(ctx context.Context, at *pluginv1.Target) {
	for _, link := range l.Registry.LinksOf(at.GetProject()) {
		if err := l.join(ctx, link); err != nil {
			l.Logger.Warn("a linked catalog could not be joined", "project", link.Target, "source", link.Source, "error", err)
		}
	}
}
