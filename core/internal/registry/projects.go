package registry

import (
	"context"
	"encoding/json"
	"maps"
	"slices"
	"time"

	"github.com/keboola/duckdb-storage/core/internal/engine"
	"github.com/keboola/duckdb-storage/sdk"
	"github.com/keboola/duckdb-storage/sdk/sql"
)

// State is how far the life of a project has come.
type State string

// The states. Only an active project is served; the other two are found after
// a crash and swept.
const (
	Creating State = "creating"
	Active   State = "active"
	Dropping State = "dropping"
)

// Project is a project of Keboola Connection.
type Project struct {
	ID                string
	Name              string
	DataRetentionDays int
	Timezone          string
	Settings          json.RawMessage // JSON object
	State             State
	Created           time.Time // UTC, whole seconds
}

// Project returns an active project, or ErrProjectNotFound.
func (r *Registry) Project(id string) (Project, error) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	p, ok := r.projects[id]
	if !ok || p.State != Active {
		return Project{}, sdk.ErrProjectNotFound.Errorf("project %q does not exist", id)
	}
	return p, nil
}

// Projects returns the projects in a state, by id.
func (r *Registry) Projects(state State) []Project {
	r.mu.RLock()
	defer r.mu.RUnlock()
	var out []Project
	for _, id := range slices.Sorted(maps.Keys(r.projects)) {
		if p := r.projects[id]; p.State == state {
			out = append(out, p)
		}
	}
	return out
}

// Reserve takes the id of a new project in state creating. It returns
// ErrProjectExists if the id is taken in any state, or what unclaimed returns: it
// says whether the disk is free of that id, and runs before anything is written.
func (r *Registry) Reserve(ctx context.Context, p Project, unclaimed func() error) error {
	p.State = Creating
	return r.write(ctx, func(s *engine.Session) error {
		r.mu.RLock()
		_, taken := r.projects[p.ID]
		r.mu.RUnlock()
		if taken {
			return sdk.ErrProjectExists.Errorf("project %q already exists", p.ID)
		}
		if err := unclaimed(); err != nil {
			return err
		}
		return r.put(s, p)
	}, func() {
		r.births++
		r.projects[p.ID], r.lives[p.ID] = p, r.births
	})
}

// Change changes an active project and returns what it became. Changes come one
// at a time, so none is lost. It returns ErrProjectNotFound, or what fn returns.
func (r *Registry) Change(ctx context.Context, id string, fn func(*Project) error) (Project, error) {
	var p Project
	err := r.write(ctx, func(s *engine.Session) (err error) {
		if p, err = r.active(ctx, id); err != nil {
			return err
		}
		if err := fn(&p); err != nil {
			return err
		}
		return r.put(s, p)
	}, func() { r.projects[id] = p })
	return p, err
}

// BeginDrop takes an active project from the clients. A drop that was begun before
// and failed half-way is begun again. It returns ErrProjectNotFound, and
// hostapi.ErrBucketLinked while other projects link to buckets of this one.
func (r *Registry) BeginDrop(ctx context.Context, id string) error {
	r.mu.RLock()
	dropping := r.projects[id].State == Dropping
	r.mu.RUnlock()
	if dropping && r.Alive(ctx, id) == nil {
		return nil
	}
	_, err := r.Change(ctx, id, func(p *Project) error {
		if links := r.LinksFromOthers(id); len(links) > 0 {
			return Linked(links)
		}
		p.State = Dropping
		return nil
	})
	return err
}

// Forget removes a project, its keys, its links, and its jobs that are done.
func (r *Registry) Forget(ctx context.Context, id string) error {
	var keys []Key
	return r.write(ctx, func(s *engine.Session) error {
		keys = r.Keys(id)
		if _, err := s.Exec(sql.New("DELETE FROM keys WHERE project = ?", id)); err != nil {
			return err
		}
		if _, err := s.Exec(sql.New("DELETE FROM jobs WHERE project = ? AND ended IS NOT NULL", id)); err != nil {
			return err
		}
		if _, err := s.Exec(sql.New("DELETE FROM links WHERE target_project = ?", id)); err != nil {
			return err
		}
		_, err := s.Exec(sql.New("DELETE FROM projects WHERE id = ?", id))
		return err
	}, func() {
		delete(r.projects, id)
		r.loseLinks(func(l Link) bool { return l.Target == id })
		for _, k := range keys {
			r.lose(k.ID)
		}
	})
}

// write changes the file and, once that is durable and before the next write, what is
// held in memory: the next one may start from it.
func (r *Registry) write(ctx context.Context, fn func(*engine.Session) error, remember func()) error {
	return r.writeThen(ctx, fn, func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		remember()
	})
}

func (r *Registry) put(s *engine.Session, p Project) error {
	if _, err := s.Exec(sql.New("DELETE FROM projects WHERE id = ?", p.ID)); err != nil {
		return err
	}
	_, err := s.Exec(sql.New("INSERT INTO projects VALUES (?, ?, ?, ?, ?, ?, ?::TIMESTAMP)",
		p.ID, p.Name, p.DataRetentionDays, p.Timezone, string(p.Settings), string(p.State), timestamp(p.Created)))
	return err
}

func (r *Registry) loadProjects(ctx context.Context) error {
	return r.read(ctx, func(s *engine.Session) error {
		return s.Scan(sql.New("SELECT id, name, data_retention_days, timezone, settings, state, created FROM projects"), func(scan func(...any) error) error {
			var (
				p        Project
				settings string
			)
			err := scan(&p.ID, &p.Name, &p.DataRetentionDays, &p.Timezone, &settings, &p.State, &p.Created)
			p.Settings = json.RawMessage(settings)
			r.projects[p.ID] = p
			return err
		})
	})
}

// timestamp is how a time is bound: DuckDB's TIMESTAMP has no zone, ours is UTC.
func timestamp(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05.999999") }
