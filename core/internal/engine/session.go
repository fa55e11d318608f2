package engine

import (
	"context"
	gosql "database/sql"
	"encoding/json"
	"sync"

	"github.com/keboola/duckdb-storage/sdk"
	"github.com/keboola/duckdb-storage/sdk/sql"
)

// Session is one connection with one catalog as its default. It serves one
// caller: its methods must not run at the same time. All errors are *sdk.Error.
type Session struct {
	engine *Engine
	att    *attachment
	conn   *gosql.Conn

	ctx     context.Context
	cancel  context.CancelFunc
	stop    func() bool
	release func()
	once    sync.Once
}

func newSession(ctx context.Context, e *Engine, a *attachment) (*Session, error) {
	s := &Session{engine: e, att: a, release: func() {}}
	s.ctx, s.cancel = context.WithCancel(ctx)
	s.stop = context.AfterFunc(a.ctx, s.cancel)
	var err error
	if s.conn, err = a.cell.db.Conn(s.ctx); err != nil {
		s.cancel()
		return nil, s.fail(err)
	}
	if _, err := s.conn.ExecContext(s.ctx, sql.New("USE ?", sql.Name(a.cat.Alias)).SQL()); err != nil {
		s.conn.Close()
		s.cancel()
		return nil, s.fail(err)
	}
	return s, nil
}

// Close ends the session; an open transaction is rolled back. It may be called
// twice.
func (s *Session) Close() {
	s.once.Do(func() {
		s.stop()
		s.cancel()
		s.conn.Close()
		s.release()
	})
}

// Alias is the name of the session's catalog.
func (s *Session) Alias() string { return s.att.cat.Alias }

// Exec runs one statement and returns the rows it changed.
func (s *Session) Exec(st sql.Statement) (int64, error) {
	res, err := s.conn.ExecContext(s.ctx, st.SQL(), st.Args()...)
	if err != nil {
		return 0, s.fail(err)
	}
	n, err := res.RowsAffected()
	return n, s.fail(err)
}

// Transaction runs fn inside a transaction: it commits if fn returns nil and
// rolls back otherwise. Once the commit has begun, cancelling the session no
// longer changes the outcome.
func (s *Session) Transaction(fn func() error) error {
	if _, err := s.Exec(sql.New("BEGIN TRANSACTION")); err != nil {
		return err
	}
	if err := fn(); err != nil {
		s.rollback()
		return err
	}
	if err := s.ctx.Err(); err != nil {
		s.rollback()
		return s.fail(err)
	}
	if _, err := s.conn.ExecContext(context.WithoutCancel(s.ctx), "COMMIT"); err != nil {
		err = s.fail(err)
		s.rollback()
		return err
	}
	return nil
}

func (s *Session) rollback() {
	if _, err := s.conn.ExecContext(context.WithoutCancel(s.ctx), "ROLLBACK"); err != nil {
		// The connection is closed with the session, which rolls back as well.
		s.engine.cfg.Logger.Debug("rollback", "catalog", s.Alias(), "error", err)
	}
}

// HasRows reports whether a query returns at least one row.
func (s *Session) HasRows(st sql.Statement) (bool, error) {
	rows, err := s.conn.QueryContext(s.ctx, st.SQL(), st.Args()...)
	if err != nil {
		return false, s.fail(err)
	}
	defer rows.Close()
	found := rows.Next()
	return found, s.fail(rows.Err())
}

// Objects runs a query and returns each row as a JSON object, in the order of
// the columns. More than maxRows rows or maxBytes bytes is ErrTooLarge.
func (s *Session) Objects(st sql.Statement, maxRows, maxBytes int) ([]json.RawMessage, error) {
	wrapped := sql.New("SELECT to_json(r)::VARCHAR FROM (?\n) AS r LIMIT ?", st, maxRows+1)
	rows, err := s.conn.QueryContext(s.ctx, wrapped.SQL(), wrapped.Args()...)
	if err != nil {
		return nil, s.fail(err)
	}
	defer rows.Close()
	out, size := []json.RawMessage{}, 0
	for rows.Next() {
		var row string
		if err := rows.Scan(&row); err != nil {
			return nil, s.fail(err)
		}
		if size += len(row); len(out) == maxRows || size > maxBytes {
			return nil, sdk.ErrTooLarge.Errorf("the result has more than %d rows or %d bytes; return it as Rows", maxRows, maxBytes)
		}
		out = append(out, json.RawMessage(row))
	}
	return out, s.fail(rows.Err())
}

// Scan runs a query and calls each for every row with a function that reads its
// columns, as database/sql does. It is for the registries' small results.
func (s *Session) Scan(st sql.Statement, each func(scan func(...any) error) error) error {
	rows, err := s.conn.QueryContext(s.ctx, st.SQL(), st.Args()...)
	if err != nil {
		return s.fail(err)
	}
	defer rows.Close()
	for rows.Next() {
		if err := each(rows.Scan); err != nil {
			return s.fail(err)
		}
	}
	return s.fail(rows.Err())
}

// fail classifies an error and closes the cell if it is beyond repair.
func (s *Session) fail(err error) error {
	if err == nil {
		return nil
	}
	if isFatal(err) {
		s.engine.condemn(s.att.cell, err)
		return errReopened
	}
	if s.att.ctx.Err() != nil {
		return context.Cause(s.att.ctx)
	}
	return classify(s.ctx, err)
}
