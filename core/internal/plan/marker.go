package plan

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/keboola/duckdb-storage/core/internal/engine"
	pluginv1 "github.com/keboola/duckdb-storage/sdk/proto/duckdbstorage/plugin/v1"
	"github.com/keboola/duckdb-storage/sdk/sql"
)

// MarkKept is how long a mark is found, and the answer that it stands for.
const MarkKept = 24 * time.Hour

// Mark is what the writes of a request leave in the catalog, each in its own
// transaction, so that a repeat of the request finds that they happened: after a
// crash, and after a client that left before it had its answer. Only requests with
// an Idempotency-Key have one.
type Mark struct {
	Key         string // of the request, unique in the whole service
	Fingerprint string // of what it asked for
	RequestID   string
	Time        time.Time
	// Seal makes of an answer what may lie on disk.
	Seal func(plain []byte) []byte

	left atomic.Bool
}

// Left reports whether a write of the request began to commit the mark.
func (m *Mark) Left() bool { return m.left.Load() }

// expired is the time before which marks count no more.
func expired(now time.Time) string { return timestamp(now.Add(-MarkKept)) }

// timestamp is how a time is bound: DuckDB's TIMESTAMP has no zone, ours is UTC.
func timestamp(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05.999999") }

type markKey struct{}

// marking is the mark that writes of a context leave.
type marking struct {
	*Mark
	last bool
}

// WithMark returns a context whose writes leave a mark; with a nil mark they leave
// none. last says that the Unit which is written is what the request comes to: then
// the mark knows how to make its answer again.
func WithMark(ctx context.Context, m *Mark, last bool) context.Context {
	return context.WithValue(ctx, markKey{}, marking{m, last})
}

// leaveMark adds the context's mark to the transaction of a Unit. steps are what the
// statements of the Unit did; u is nil for a transaction that is none.
func leaveMark(ctx context.Context, s *engine.Session, u *pluginv1.Unit, steps []done) error {
	m, _ := ctx.Value(markKey{}).(marking)
	if m.Mark == nil {
		return nil
	}
	// A transaction that began before its turn may not remove what another one has
	// removed since: that would be a conflict. See forgetMarks.
	if len(u.GetStage()) == 0 {
		if _, err := s.Exec(withoutMarks(m.Mark)); err != nil {
			return err
		}
	}
	m.left.Store(true)
	if !m.last || u == nil {
		// One is enough for all that a handler writes by itself.
		_, err := s.Exec(sql.New(`INSERT INTO __storage.committed SELECT ?, ?, ?, ?::TIMESTAMP, NULL
			WHERE NOT EXISTS (FROM __storage.committed WHERE key = ? AND committed >= ?::TIMESTAMP)`,
			m.Key, m.Fingerprint, m.RequestID, timestamp(m.Time), m.Key, expired(m.Time)))
		return err
	}
	answer, err := proto.Marshal(bound(u.GetAnswer(), steps))
	if err != nil {
		return err
	}
	_, err = s.Exec(sql.New("INSERT INTO __storage.committed VALUES (?, ?, ?, ?::TIMESTAMP, ?)",
		m.Key, m.Fingerprint, m.RequestID, timestamp(m.Time), m.Seal(answer)))
	return err
}

// withoutMarks removes the marks that have expired.
func withoutMarks(m *Mark) sql.Statement {
	return sql.New("DELETE FROM __storage.committed WHERE committed < ?::TIMESTAMP", expired(m.Time))
}

// forgetMarks removes the marks that have expired for a Unit that is staged, in the
// catalog's turn and in a transaction of its own, if there are any.
func forgetMarks(ctx context.Context, now *engine.Session) error {
	m, ok := ctx.Value(markKey{}).(marking)
	if !ok || m.Mark == nil {
		return nil
	}
	old, err := now.HasRows(sql.New("FROM __storage.committed WHERE committed < ?::TIMESTAMP LIMIT 1", expired(m.Time)))
	if err == nil && old {
		_, err = now.Exec(withoutMarks(m.Mark))
	}
	return err
}

// bound is a statement in which what earlier statements did has become values.
func bound(st *pluginv1.Statement, steps []done) *pluginv1.Statement {
	if st == nil {
		return nil
	}
	out := &pluginv1.Statement{Sql: st.GetSql()}
	for _, a := range st.GetArgs() {
		switch v := a.GetKind().(type) {
		case *pluginv1.Value_RowsAffected:
			a = &pluginv1.Value{}
			if int(v.RowsAffected) < len(steps) {
				a.Kind = &pluginv1.Value_Integer{Integer: steps[v.RowsAffected].rows}
			}
		case *pluginv1.Value_Elapsed:
			a = &pluginv1.Value{}
			if int(v.Elapsed) < len(steps) {
				a.Kind = &pluginv1.Value_Number{Number: steps[v.Elapsed].elapsed.Seconds()}
			}
		}
		out.Args = append(out.Args, a)
	}
	return out
}

// Marked is a mark that was found.
type Marked struct {
	Fingerprint string
	RequestID   string
	// Answer is sealed, and for [Executor.AnswerAgain]. It is nil when nobody can make
	// the answer again: the handler wrote by itself, and may have had more to do.
	Answer []byte
}

// FindMark looks for a mark that a write has committed; ok is false if there is none.
func (x *Executor) FindMark(ctx context.Context, target *pluginv1.Target, key string, now time.Time) (found Marked, ok bool, err error) {
	if target.GetProject() == "" {
		return Marked{}, false, nil // its commands write to no catalog
	}
	s, err := x.Session(ctx, target)
	if err != nil {
		return Marked{}, false, err
	}
	defer s.Close()
	err = s.Scan(sql.New(`SELECT fingerprint, request_id, answer FROM __storage.committed
			WHERE key = ? AND committed >= ?::TIMESTAMP ORDER BY answer IS NULL LIMIT 1`, key, expired(now)),
		func(scan func(...any) error) error {
			ok = true
			return scan(&found.Fingerprint, &found.RequestID, &found.Answer)
		})
	return found, ok, err
}

// AnswerAgain makes the answer of a Unit that was committed earlier, from what was
// sealed in its mark. It shows what is there now. nil is an answer without content.
func (x *Executor) AnswerAgain(ctx context.Context, target *pluginv1.Target, plain []byte) ([]byte, error) {
	st := &pluginv1.Statement{}
	if err := proto.Unmarshal(plain, st); err != nil || st.GetSql() == "" {
		return nil, err
	}
	s, err := x.Session(ctx, target)
	if err != nil {
		return nil, err
	}
	defer s.Close()
	rows, err := s.Objects(bind(st, nil), 1, maxInlineBytes)
	if err != nil {
		return nil, err
	}
	if len(rows) != 1 {
		return nil, errors.New("the statement of the answer has not one row")
	}
	return rows[0], nil
}

// ForgetMark removes a mark, for a request that failed and may be made again. It
// takes a turn of the write queue.
func (x *Executor) ForgetMark(ctx context.Context, target *pluginv1.Target, m *Mark) error {
	_, err := x.Write(WithMark(ctx, nil, false), target, &pluginv1.Unit{Statements: []*pluginv1.Statement{{
		Sql:  "DELETE FROM __storage.committed WHERE key = ?",
		Args: []*pluginv1.Value{{Kind: &pluginv1.Value_Text{Text: m.Key}}},
	}}})
	return err
}
