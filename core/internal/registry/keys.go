package registry

import (
	"cmp"
	"context"
	"crypto/subtle"
	gosql "database/sql"
	"slices"
	"time"

	"github.com/keboola/duckdb-storage/core/internal/engine"
	"github.com/keboola/duckdb-storage/sdk"
	"github.com/keboola/duckdb-storage/sdk/sql"
)

// ErrKeyNotFound is a key that a project does not have.
var ErrKeyNotFound = sdk.Code{Slug: "key-not-found", Title: "Key not found", Kind: sdk.NotFound, Driver: 2000}

// Key is what is known of an API key; its secrets are not. Times are in UTC and have
// microseconds.
type Key struct {
	ID          string // ULID; empty for the admin key of the service
	Subject     string // how the key is called in logs; it never changes
	Project     string // empty for the admin key of the service
	Description string
	Level       sdk.Level // of a project's key
	Branch      string    // the one branch whose tables it opens; empty for every one
	Created     time.Time
	Expires     time.Time // zero for never
	Hash        string    // SHA-256 of the secret, hex
	// Replaced is the hash of the secret before the last rotation, or empty, and
	// ReplacedEnd when that secret ended or ends.
	Replaced    string
	ReplacedEnd time.Time
}

// Expired reports whether the key opens nothing any more.
func (k Key) Expired(now time.Time) bool { return !k.Expires.IsZero() && !now.Before(k.Expires) }

// Key finds a key by the hash of its secret, or of the one before. Whether that opens
// anything now is another question. Candidates are found by a part of the hash, and
// compared in constant time.
func (r *Registry) Key(hash string) (Key, bool) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	for _, id := range r.hashes[prefixOf(hash)] {
		if k := r.keys[id]; sameHash(k.Hash, hash) || sameHash(k.Replaced, hash) {
			return k, true
		}
	}
	return Key{}, false
}

func sameHash(a, b string) bool {
	return a != "" && subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1
}

// prefixLength is how many digits of a hash find its key: 64 of its 256 bits.
const prefixLength = 16

func prefixOf(hash string) string { return hash[:min(len(hash), prefixLength)] }

// Keys lists the keys of a project, the oldest first.
func (r *Registry) Keys(project string) []Key {
	r.mu.RLock()
	defer r.mu.RUnlock()
	var out []Key
	for _, k := range r.keys {
		if k.Project == project {
			out = append(out, k)
		}
	}
	slices.SortFunc(out, func(a, b Key) int { return cmp.Compare(a.ID, b.ID) })
	return out
}

// KeyOf finds a key of a project by its id, or returns ErrKeyNotFound.
func (r *Registry) KeyOf(project, id string) (Key, error) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	k, ok := r.keys[id]
	if !ok || k.ID == "" || k.Project != project {
		return Key{}, ErrKeyNotFound.Errorf("project %q has no key %q", project, id)
	}
	return k, nil
}

// HasAdminKey reports whether an admin key of the service was ever made.
func (r *Registry) HasAdminKey() bool {
	r.mu.RLock()
	defer r.mu.RUnlock()
	_, ok := r.keys[""]
	return ok
}

// SetAdminKey replaces the admin key of the service.
func (r *Registry) SetAdminKey(ctx context.Context, hash string) error {
	k := Key{Hash: hash, Subject: "admin", Created: time.Now().UTC().Truncate(time.Microsecond)}
	return r.write(ctx, func(s *engine.Session) error { return putKey(s, k) }, func() { r.keep(k) })
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
		r.keep(k)
	})
}

// AddKey gives an active project one more key, unless may refuses: it is told which
// keys there are. Changes come one at a time, so they still are when the key is made.
// It returns ErrProjectNotFound, or what may returns.
func (r *Registry) AddKey(ctx context.Context, k Key, may func(keys []Key) error) error {
	return r.write(ctx, func(s *engine.Session) error {
		if _, err := r.active(ctx, k.Project); err != nil {
			return err
		}
		if err := may(r.Keys(k.Project)); err != nil {
			return err
		}
		return putKey(s, k)
	}, func() { r.keep(k) })
}

// ChangeKey changes a key of an active project and returns what it became. Id, subject
// and project stay. It returns ErrProjectNotFound, ErrKeyNotFound, or what fn returns.
func (r *Registry) ChangeKey(ctx context.Context, project, id string, fn func(*Key) error) (k Key, err error) {
	err = r.write(ctx, func(s *engine.Session) error {
		if k, err = r.keyToChange(ctx, project, id); err != nil {
			return err
		}
		if err := fn(&k); err != nil {
			return err
		}
		return putKey(s, k)
	}, func() { r.keep(k) })
	return k, err
}

// RemoveKey takes a key from an active project, unless may refuses: it is told which
// others there are. No request that comes afterwards gets in with it. It returns
// ErrProjectNotFound, ErrKeyNotFound, or what may returns.
func (r *Registry) RemoveKey(ctx context.Context, project, id string, may func(k Key, others []Key) error) error {
	return r.write(ctx, func(s *engine.Session) error {
		k, err := r.keyToChange(ctx, project, id)
		if err != nil {
			return err
		}
		others := slices.DeleteFunc(r.Keys(project), func(other Key) bool { return other.ID == id })
		if err := may(k, others); err != nil {
			return err
		}
		_, err = s.Exec(sql.New("DELETE FROM keys WHERE id = ?", id))
		return err
	}, func() { r.lose(id) })
}

func (r *Registry) keyToChange(ctx context.Context, project, id string) (Key, error) {
	if _, err := r.active(ctx, project); err != nil {
		return Key{}, err
	}
	return r.KeyOf(project, id)
}

// keep holds a key in memory, in place of what was known of it. The caller holds mu.
func (r *Registry) keep(k Key) {
	r.lose(k.ID)
	r.keys[k.ID] = k
	for _, hash := range []string{k.Hash, k.Replaced} {
		if hash != "" {
			r.hashes[prefixOf(hash)] = append(r.hashes[prefixOf(hash)], k.ID)
		}
	}
}

// lose drops a key from memory. The caller holds mu.
func (r *Registry) lose(id string) {
	old, ok := r.keys[id]
	if !ok {
		return
	}
	delete(r.keys, id)
	for _, hash := range []string{old.Hash, old.Replaced} {
		prefix := prefixOf(hash)
		left := slices.DeleteFunc(r.hashes[prefix], func(other string) bool { return other == id })
		if r.hashes[prefix] = left; len(left) == 0 {
			delete(r.hashes, prefix)
		}
	}
}

// putKey writes the row of a key, in place of the one that there is.
func putKey(s *engine.Session, k Key) error {
	if _, err := s.Exec(sql.New("DELETE FROM keys WHERE id = ?", k.ID)); err != nil {
		return err
	}
	level := ""
	if names := k.Level.Names(); len(names) > 0 {
		level = names[len(names)-1]
	}
	_, err := s.Exec(sql.New("INSERT INTO keys VALUES (?, ?, ?, ?, ?, ?, ?::TIMESTAMP, ?::TIMESTAMP, ?, ?, ?::TIMESTAMP)",
		k.ID, k.Subject, k.Project, k.Description, level, k.Branch, timestamp(k.Created), perhaps(k.Expires), k.Hash, k.Replaced, perhaps(k.ReplacedEnd)))
	return err
}

// perhaps is how a time is bound that may be zero.
func perhaps(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return timestamp(t)
}

func (r *Registry) loadKeys(ctx context.Context) error {
	return r.read(ctx, func(s *engine.Session) error {
		return s.Scan(sql.New("SELECT id, subject, project, description, level, branch, created, expires, hash, replaced, replaced_end FROM keys"), func(scan func(...any) error) error {
			var (
				k             Key
				level         string
				expires, ends gosql.NullTime
			)
			err := scan(&k.ID, &k.Subject, &k.Project, &k.Description, &level, &k.Branch, &k.Created, &expires, &k.Hash, &k.Replaced, &ends)
			k.Level, k.Expires, k.ReplacedEnd = sdk.LevelOf([]string{level}), expires.Time, ends.Time
			r.keep(k)
			return err
		})
	})
}
