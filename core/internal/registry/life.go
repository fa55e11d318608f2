package registry

import (
	"context"

	"github.com/keboola/duckdb-storage/sdk"
)

// Ids of projects are used again: a request, or a job, that is older than a project must
// not reach it. So each project that is made gets a number, its life; those that are
// there at the start have none. It is not kept, because no request survives the service.

type lifeKey struct{}

// life is one of the projects that had an id.
type life struct {
	project string
	number  uint64
}

// Within is a context for what a request does in a project from now on. One that is
// within that project already stays as it is. Whoever checks the caller's key does so
// afterwards: a key that is valid then belongs to that project, and not to one before.
func (r *Registry) Within(ctx context.Context, project string) context.Context {
	if now, is := ctx.Value(lifeKey{}).(life); project == "" || is && now.project == project {
		return ctx
	}
	r.mu.RLock()
	defer r.mu.RUnlock()
	return context.WithValue(ctx, lifeKey{}, life{project, r.lives[project]})
}

// Carry is ctx within the project that another context is within, if that is in one.
func Carry(ctx, from context.Context) context.Context {
	if now, is := from.Value(lifeKey{}).(life); is {
		return context.WithValue(ctx, lifeKey{}, now)
	}
	return ctx
}

// Alive returns ErrProjectNotFound if the project that a context is within was dropped
// and another one has its id. It says nothing about a project that the context is not
// within.
func (r *Registry) Alive(ctx context.Context, project string) error {
	now, is := ctx.Value(lifeKey{}).(life)
	if !is || now.project != project {
		return nil
	}
	r.mu.RLock()
	defer r.mu.RUnlock()
	if r.lives[project] != now.number {
		return sdk.ErrProjectNotFound.Errorf("the project was dropped while the request ran")
	}
	return nil
}

// active returns a project for what a request changes of it.
func (r *Registry) active(ctx context.Context, project string) (Project, error) {
	if err := r.Alive(ctx, project); err != nil {
		return Project{}, err
	}
	return r.Project(project)
}
