package registry

import (
	"context"
	"time"

	"github.com/keboola/duckdb-storage/core/internal/engine"
	"github.com/keboola/duckdb-storage/sdk/sql"
)

// FirstAnswer is what a request with an Idempotency-Key was answered.
type FirstAnswer struct {
	Key         string // of the request, unique in the whole service: a SHA-256 in hex
	Fingerprint string // of what was asked for
	Sealed      []byte // the answer, for the holder of the API key; nil if it is lost
	Created     time.Time
}

// answers keeps the long ones.
func (r *Registry) answers() longs { return longs{r.metadata, "answers"} }

// FirstAnswer finds the answer to a key that was given since a time; ok is false if
// there is none.
func (r *Registry) FirstAnswer(ctx context.Context, key string, since time.Time) (a FirstAnswer, ok bool, err error) {
	err = r.read(ctx, func(s *engine.Session) error {
		return s.Scan(sql.New("SELECT key, fingerprint, sealed, created FROM answers WHERE key = ? AND created >= ?::TIMESTAMP", key, timestamp(since)),
			func(scan func(...any) error) error {
				ok = true
				return scan(&a.Key, &a.Fingerprint, &a.Sealed, &a.Created)
			})
	})
	if err == nil && ok && a.Sealed == nil {
		a.Sealed, err = r.answers().get(key)
	}
	return a, ok, err
}

// KeepAnswer makes an answer durable, in place of an older one to the same key.
func (r *Registry) KeepAnswer(ctx context.Context, a FirstAnswer) error {
	sealed := any(a.Sealed)
	if len(a.Sealed) > maxInRow {
		if err := r.answers().put(a.Key, a.Sealed, a.Created); err != nil {
			return err
		}
		sealed = nil
	}
	return r.store.write(ctx, func(s *engine.Session) error {
		if _, err := s.Exec(sql.New("DELETE FROM answers WHERE key = ?", a.Key)); err != nil {
			return err
		}
		_, err := s.Exec(sql.New("INSERT INTO answers VALUES (?, ?, ?, ?::TIMESTAMP)", a.Key, a.Fingerprint, sealed, timestamp(a.Created)))
		return err
	})
}

// ForgetAnswers removes the answers that were given before a time and returns how
// many there were.
func (r *Registry) ForgetAnswers(ctx context.Context, before time.Time) (n int64, err error) {
	err = r.store.write(ctx, func(s *engine.Session) error {
		n, err = s.Exec(sql.New("DELETE FROM answers WHERE created < ?::TIMESTAMP", timestamp(before)))
		return err
	})
	if err != nil {
		return 0, err
	}
	return n, r.answers().forget(before)
}
