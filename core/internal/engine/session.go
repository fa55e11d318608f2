package engine

import (
	"context"
	gosql "database/sql"
	"encoding/json"
	"errors"
	"sync"

	"github.com/keboola/duckdb-storage/sdk"
	"github.com/keboola/duckdb-storage/sdk/sql"
)

// Session is one connection with one catalog as its default. It serves one
// caller: its methods must not run at the same time. All errors are *sdk.Error.
//
// All reads of a session see one snapshot, until a transaction ends.
type Session struct {
	engine *Engine
	att    *attachment
	conn   *gosql.Conn
	in     scope
	probe  *probe // or nil

	ctx    context.Context
	cancel context.CancelFunc
	stop   func() bool
	free   func() // closes the connection and gives the reference back, once
	once   sync.Once
}

// scope is the transaction that a session is in. No statement commits by itself:
// when an interrupt hits a commit, DuckDB 1.5.6 never ends that transaction, and
// no checkpoint of the catalog succeeds from then on (measured). So transactions
// are begun and ended by statements of their own, which nothing interrupts.
type scope int

const (
	outside  scope = iota
	snapshot       // begun by a read, ended by whatever comes next
	unit           // begun by Begin
)

// newSession opens a connection; release is called once it is closed. When the
// catalog goes, the session ends without its holder, who may wait for a client: a
// statement is interrupted, and the connection closed as soon as it returns.
func newSession(ctx context.Context, e *Engine, a *attachment, release func()) (*Session, error) {
	s := &Session{engine: e, att: a}
	s.ctx, s.cancel = context.WithCancel(ctx)
	conn, err := a.cell.db.Conn(s.ctx)
	if err != nil {
		s.cancel()
		release()
		return nil, s.fail(err)
	}
	s.conn = conn
	if s.probe, err = newProbe(s.ctx, a, conn); err != nil {
		s.cancel()
		conn.Close()
		release()
		return nil, s.fail(err)
	}
	s.free = sync.OnceFunc(func() {
		s.probe.leave()
		conn.Close()
		release()
	})
	s.stop = context.AfterFunc(a.ctx, func() {
		s.cancel()
		s.free()
	})
	if err := s.control(sql.New("USE ?", sql.Name(a.cat.Alias))); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// Close ends the session; an open transaction is rolled back. It may be called
// twice.
func (s *Session) Close() {
	s.once.Do(func() {
		s.leave()
		s.stop()
		s.cancel()
		s.free()
	})
}

// Beside opens another session of the same catalog, which sees what is committed
// now. It ends with this one's context at the latest. Unlike a new session it never
// waits for a cell that is to close once its sessions have ended: this one is one of
// them.
func (s *Session) Beside() (*Session, error) {
	e, c := s.engine, s.att.cell
	e.mu.Lock()
	if s.att.ctx.Err() != nil { // this one has ended without its holder, and perhaps its cell
		e.mu.Unlock()
		return nil, context.Cause(s.att.ctx)
	}
	c.refs++
	e.mu.Unlock()
	return newSession(s.ctx, e, s.att, func() { e.leave(c) })
}

// Unordered lets the session's statements write rows in another order than they
// read them, from now on. DuckDB then inserts with all threads without putting
// their pieces in order: a load of CSV takes 0.65 of the time (measured, 1.5.6).
func (s *Session) Unordered() error {
	return s.control(sql.New("SET SESSION preserve_insertion_order = false"))
}

// Alias is the name of the session's catalog.
func (s *Session) Alias() string { return s.att.cat.Alias }

// Exec runs one statement and returns the rows it changed. Outside of a
// transaction it is one of its own.
func (s *Session) Exec(st sql.Statement) (n int64, err error) {
	if s.in == unit {
		return s.exec(st)
	}
	err = s.Transaction(func() error {
		n, err = s.exec(st)
		return err
	})
	return n, err
}

func (s *Session) exec(st sql.Statement) (int64, error) {
	if err := s.ctx.Err(); err != nil { // a short statement might be done before it is interrupted
		return 0, s.fail(err)
	}
	defer s.probe.watch()()
	res, err := s.conn.ExecContext(s.ctx, st.SQL(), st.Args()...)
	if err != nil {
		return 0, s.fail(err)
	}
	n, err := res.RowsAffected()
	return n, s.fail(err)
}

// control runs a statement that nothing interrupts.
func (s *Session) control(st sql.Statement) error {
	if err := s.ctx.Err(); err != nil {
		return s.fail(err)
	}
	_, err := s.conn.ExecContext(context.WithoutCancel(s.ctx), st.SQL())
	return s.fail(err)
}

// Transaction runs fn inside a transaction: it commits if fn returns nil and
// rolls back otherwise. Once the commit has begun, cancelling the session no
// longer changes the outcome.
func (s *Session) Transaction(fn func() error) error {
	if err := s.Begin(); err != nil {
		return err
	}
	if err := fn(); err != nil {
		s.leave()
		return err
	}
	return s.Commit()
}

// Begin begins a transaction, for callers that cannot use Transaction. It ends
// with Commit or with the session.
func (s *Session) Begin() error {
	s.leave()
	if err := s.control(sql.New("BEGIN TRANSACTION")); err != nil {
		return err
	}
	s.in = unit
	return nil
}

// Commit makes the transaction durable. After an error it is rolled back.
func (s *Session) Commit() error {
	if err := s.control(sql.New("COMMIT")); err != nil {
		s.leave()
		return err
	}
	s.in = outside
	return nil
}

// look begins a snapshot for a read, unless the session is in a transaction. DuckDB
// refuses whatever would change something in it.
func (s *Session) look() error {
	if s.in != outside {
		return nil
	}
	if err := s.control(sql.New("BEGIN TRANSACTION READ ONLY")); err != nil {
		return err
	}
	s.in = snapshot
	return nil
}

// leave ends the transaction that the session is in. What a unit did is undone; of a
// snapshot there is nothing to undo.
func (s *Session) leave() {
	if s.in == outside {
		return
	}
	s.in = outside
	if _, err := s.conn.ExecContext(context.WithoutCancel(s.ctx), "ROLLBACK"); err != nil {
		// The connection is closed with the session, which rolls back as well.
		s.engine.cfg.Logger.Debug("end of a transaction", "catalog", s.Alias(), "error", err)
	}
}

// query runs a read.
func (s *Session) query(st sql.Statement) (*gosql.Rows, error) {
	if err := s.look(); err != nil {
		return nil, err
	}
	rows, err := s.conn.QueryContext(s.ctx, st.SQL(), st.Args()...)
	if err != nil {
		s.forget()
	}
	return rows, s.fail(err)
}

// forget ends a snapshot in which a read failed: DuckDB runs nothing more in it.
func (s *Session) forget() {
	if s.in == snapshot {
		s.leave()
	}
}

// HasRows reports whether a query returns at least one row.
func (s *Session) HasRows(st sql.Statement) (bool, error) {
	rows, err := s.query(st)
	if err != nil {
		return false, err
	}
	defer rows.Close()
	found := rows.Next()
	return found, s.fail(rows.Err())
}

// Objects runs a query and returns each row as a JSON object, in the order of
// the columns. More than maxRows rows or maxBytes bytes is ErrTooLarge.
func (s *Session) Objects(st sql.Statement, maxRows, maxBytes int) ([]json.RawMessage, error) {
	rows, err := s.query(sql.New("SELECT to_json(r)::VARCHAR FROM (?\n) AS r LIMIT ?", st, maxRows+1))
	if err != nil {
		return nil, err
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
	rows, err := s.query(st)
	if err != nil {
		return err
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
	known := s.names().Discreet(classify(s.ctx, err))
	if machineFault(err) != "" || errors.Is(known, ErrBroken) {
		s.engine.cfg.Logger.Error("a file failed a statement", "catalog", s.Alias(), "error", err)
	}
	return known
}
