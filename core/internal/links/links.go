// Package links keeps linked buckets: buckets of one project that show, to read, a
// bucket that another one shares, or the same one. Start with [New] and [Links.Open].
//
// A linked bucket is a schema in the file of its project, the target, with one view
// for each table and view of its source. A view of all columns follows what becomes of
// the columns of its table, so that only the set of tables needs upkeep. That is done
// lazily ([Links.Update]): before a session of the target is handed out, when the
// source has defined something since, and after a file was opened.
//
// What is true stands in the files: the shares of a bucket in that of its project,
// the links in that of the target. A link lives while its handle is among the shares of
// the source; otherwise its bucket is empty. The registry has a row for each
// link from before it is made until after it is removed: it says which files belong
// together, and who links to whom. A crash between two steps leaves a row without a
// link, which is forgotten when the target is opened next.
//
// Promised: what is committed in the source is seen by the next session of the
// target; nobody else writes in a linked bucket ([Links.Guard]); upkeep holds no turn
// of the write queue and fails no reader. Not promised: a bucket that shows a source
// whose file cannot be opened keeps the views that it had, and to read them is Unavailable.
package links

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/keboola/duckdb-storage/core/internal/engine"
	"github.com/keboola/duckdb-storage/core/internal/plan"
	"github.com/keboola/duckdb-storage/core/internal/registry"
	pluginv1 "github.com/keboola/duckdb-storage/sdk/proto/duckdbstorage/plugin/v1"
)

// Config is what links work with. All of it must be set.
type Config struct {
	Executor *plan.Executor
	Registry *registry.Registry
	Logger   hclog.Logger
	Version  string // of the service
}

// Links keeps the linked buckets of all projects.
type Links struct {
	Config
	targets sync.Map // of *target, by alias of the catalog

	mu     sync.Mutex
	making map[name]bool // links that may be in the registry and are not made yet

	counts counts
}

// name is a linked bucket; the bucket is folded.
type name struct{ project, bucket string }

// New makes links that are not open yet. The executor is told of them by who makes it.
func New(cfg Config) *Links {
	return &Links{Config: cfg, making: map[name]bool{}}
}

var _ plan.Links = (*Links)(nil)

// Open tells the engine which files belong together. It must run before the first
// session of a project: nothing has to move then.
func (l *Links) Open(ctx context.Context) error {
	for _, link := range l.Registry.Links() {
		if err := l.join(ctx, link); err != nil {
			return err
		}
	}
	return nil
}

// join puts the catalogs of a link into one cell, unless one of the projects is gone.
func (l *Links) join(ctx context.Context, link registry.Link) error {
	if link.Target == link.Source || !l.active(link.Target) || !l.active(link.Source) {
		return nil
	}
	return l.Executor.Engine.Link(ctx, l.catalog(link.Target), l.catalog(link.Source))
}

// part undoes join unless another link keeps the two together.
func (l *Links) part(link registry.Link) {
	for _, other := range l.Registry.Links() {
		if other.Target == link.Target && other.Source == link.Source || other.Target == link.Source && other.Source == link.Target {
			return
		}
	}
	l.Executor.Engine.Unlink(l.catalog(link.Target), l.catalog(link.Source))
}

func (l *Links) active(project string) bool {
	_, err := l.Registry.Project(project)
	return err == nil
}

// catalog is the only one of a project that is shared and linked.
func (l *Links) catalog(project string) engine.Catalog {
	return engine.Project(l.Executor.Layout, project, plan.DefaultBranch)
}

func (l *Links) session(ctx context.Context, project string) (*engine.Session, error) {
	return l.Executor.Session(ctx, place(project))
}

func place(project string) *pluginv1.Target {
	return &pluginv1.Target{Project: project, Branch: plan.DefaultBranch}
}

// Stats counts what was done since the start.
type Stats struct {
	Links       int           // that there are
	Whole       uint64        // comparisons of all linked buckets of a project with their sources
	Named       uint64        // of the names only that statements of a source had
	Failed      uint64        // either of them
	Time        time.Duration // that all of them took
	ViewsMade   uint64
	ViewsGone   uint64
	StaleServed uint64 // sessions that were handed out without waiting for the upkeep any longer
}

type counts struct {
	whole, named, failed, made, gone, stale atomic.Uint64
	nanoseconds                             atomic.Int64
}

// Stats counts at one moment.
func (l *Links) Stats() Stats {
	c := &l.counts
	return Stats{
		Links: len(l.Registry.Links()), Whole: c.whole.Load(), Named: c.named.Load(), Failed: c.failed.Load(), Time: time.Duration(c.nanoseconds.Load()),
		ViewsMade: c.made.Load(), ViewsGone: c.gone.Load(), StaleServed: c.stale.Load(),
	}
}
