package registry

import (
	"context"
	gosql "database/sql"
	"maps"
	"time"

	"github.com/keboola/duckdb-storage/core/internal/engine"
	"github.com/keboola/duckdb-storage/sdk/sql"
)

// Key is what is known of an API key; its secret is not.
type Key struct {
	Hash    string // SHA-256 of the secret, hex
	Subject string // how the key is called in logs
	Project string // empty for the admin key
}

// Key finds a key by the hash of its secret.
func (r *Registry) Key(hash string) (Key, bool) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	k, ok := r.keys[hash]
	return k, ok
}

// HasAdminKey reports whether an admin key was ever made.
func (r *Registry) HasAdminKey() bool {
	r.mu.RLock()
	defer r.mu.RUnlock()
	for _, k := range r.keys {
		if k.Project == "" {
			return true
		}
	}
	return false
}

// SetAdminKey replaces the admin key.
func (r *Registry) SetAdminKey(ctx context.Context, hash string) error {
	k := Key{Hash: hash, Subject: "admin"}
	return r.write(ctx, func(s *engine.Session) error {
		if _, err := s.Exec(sql.New("DELETE FROM keys WHERE project IS NULL")); err != nil {
			return err
		}
		return putKey(s, k)
	}, func() {
		maps.DeleteFunc(r.keys, func(_ string, old Key) bool { return old.Project == "" })
		r.keys[k.Hash] = k
	})
}

// Activate makes a reserved project active together with its first key.
func (r *Registry) Activate(ctx context.Context, p Project, k Key) error {
	p.State = Active
	return r.write(ctx, func(s *engine.Session) error {
		if err := r.put(s, p); err != nil {
			return err
		}
		return putKey(s, k)
	}, func() {
		r.projects[p.ID] = p
		r.keys[k.Hash] = k
	})
}

func putKey(s *engine.Session, k Key) error {
	project := any(k.Project)
	if k.Project == "" {
		project = nil
	}
	_, err := s.Exec(sql.New("INSERT INTO keys VALUES (?, ?, ?, ?::TIMESTAMP)", k.Hash, k.Subject, project, timestamp(time.Now())))
	return err
}

func (r *Registry) loadKeys(ctx context.Context) error {
	return r.read(ctx, func(s *engine.Session) error {
		return s.Scan(sql.New("SELECT hash, subject, project FROM keys"), func(scan func(...any) error) error {
			var (
				k       Key
				project gosql.NullString
			)
			err := scan(&k.Hash, &k.Subject, &project)
			k.Project = project.String
			r.keys[k.Hash] = k
			return err
		})
	})
}
