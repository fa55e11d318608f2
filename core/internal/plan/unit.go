package plan

import (
	"context"
	"errors"
	"time"

	"github.com/keboola/duckdb-storage/core/internal/disk"
	"github.com/keboola/duckdb-storage/core/internal/engine"
	"github.com/keboola/duckdb-storage/sdk"
	pluginv1 "github.com/keboola/duckdb-storage/sdk/proto/duckdbstorage/plugin/v1"
	"github.com/keboola/duckdb-storage/sdk/sql"
)

// Along is what the host commits together with the statements of a plugin: events,
// for example. It is called in the catalog's turn, after those statements and just
// before the commit; an error rolls everything back.
type Along func() ([]sql.Statement, error)

// along runs what the host commits together with a plan.
func along(s *engine.Session, all []Along) error {
	for _, with := range all {
		statements, err := with()
		if err != nil {
			return err
		}
		for _, st := range statements {
			if _, err := s.Exec(st); err != nil {
				return err
			}
		}
	}
	return nil
}

// Write runs a Unit as one transaction, in the catalog's turn but for its Stage,
// which runs before the turn and beside other writes.
func (x *Executor) Write(ctx context.Context, target *pluginv1.Target, u *pluginv1.Unit, with ...Along) (*pluginv1.WriteResponse, error) {
	w := writer{Executor: x, ctx: ctx, target: target, catalog: disk.CatalogName(target.GetProject(), target.GetBranch())}
	defer w.release()
	if u.GetLock() != "" {
		if err := w.hold(x.Queue.Lock(ctx, w.catalog, u.GetLock())); err != nil {
			return nil, err
		}
	}
	// With nothing to stage, the transaction begins in the turn and sees what the
	// one before it did.
	staged := len(u.GetStage()) > 0
	if !staged {
		if err := w.hold(x.Queue.Acquire(ctx, w.catalog)); err != nil {
			return nil, err
		}
	}
	s, err := x.Session(ctx, target)
	if err != nil {
		return nil, err
	}
	defer s.Close()
	if u.GetUnordered() {
		if err := s.Unordered(); err != nil {
			return nil, err
		}
	}
	var steps []done
	err = s.Transaction(func() error {
		if err := w.contained(s, u); err != nil {
			return err
		}
		if staged {
			steps, err = w.stage(s, u)
		} else {
			err = require(s, u)
		}
		if err == nil {
			steps, err = w.run(s, u.GetStatements(), steps)
		}
		if err == nil {
			err = w.changes.unshare(s)
		}
		if err == nil {
			err = along(s, with)
		}
		if err == nil {
			err = leaveMark(ctx, s, u, steps)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	x.changed(target, w.changes)
	s.Relieve()
	out := &pluginv1.WriteResponse{}
	for _, step := range steps {
		out.RowsAffected = append(out.RowsAffected, step.rows)
	}
	// Still in this turn of the queue: nobody wrote between the commit and this.
	if out.Answer, err = answer(s, u.GetAnswer(), steps); err != nil && ctx.Err() != nil {
		s.Close()
		out.Answer, err = x.answerAfterall(ctx, target, u.GetAnswer(), steps)
	}
	return out, err
}

// writer is a Unit on its way, with what it holds of the queue.
type writer struct {
	*Executor
	ctx     context.Context
	target  *pluginv1.Target
	catalog string
	held    []func()
	changes Changes
}

func (w *writer) hold(release func(), err error) error {
	if err == nil {
		w.held = append(w.held, release)
	}
	return err
}

// release gives back what is held, the turn before the lock.
func (w *writer) release() {
	for i := len(w.held) - 1; i >= 0; i-- {
		w.held[i]()
	}
}

// stage runs what needs no turn, waits for the turn, and checks there what is
// required. That takes a session of its own: the transaction sees the catalog as
// it was when it began.
func (w *writer) stage(s *engine.Session, u *pluginv1.Unit) ([]done, error) {
	steps, err := w.run(s, u.GetStage(), nil)
	if err != nil {
		return nil, err
	}
	if err := w.hold(w.Queue.Acquire(w.ctx, w.catalog)); err != nil {
		return nil, err
	}
	now, err := s.Beside()
	if err != nil {
		return nil, err
	}
	defer now.Close()
	if err := forgetMarks(w.ctx, now); err != nil {
		return nil, err
	}
	return steps, require(now, u)
}

// contained refuses a Unit that would end its own transaction, or that defines
// something in a linked bucket.
func (w *writer) contained(s *engine.Session, u *pluginv1.Unit) error {
	for _, statements := range [][]*pluginv1.Statement{u.GetStage(), u.GetStatements(), {u.GetAnswer()}} {
		for _, st := range statements {
			if err := s.Control(st.GetSql()); err != nil {
				return err
			}
			if err := w.guarded(w.target, &w.changes, st.GetSql()); err != nil {
				return err
			}
		}
	}
	for _, p := range u.GetRequire() {
		if err := s.Control(p.GetStatement().GetSql()); err != nil {
			return err
		}
	}
	return nil
}

// require checks the preconditions of a Unit.
func require(s *engine.Session, u *pluginv1.Unit) error {
	for _, p := range u.GetRequire() {
		found, err := s.HasRows(bind(p.GetStatement(), nil))
		if err != nil {
			return err
		}
		if found != p.GetRowsExpected() {
			return sdk.ErrorFromProto(p.GetOtherwise())
		}
	}
	return nil
}

// done is what a statement of a Unit did, for those after it.
type done struct {
	rows    int64
	elapsed time.Duration
}

// run runs statements and adds what they did to what was done before.
func (w *writer) run(s *engine.Session, statements []*pluginv1.Statement, steps []done) ([]done, error) {
	for _, st := range statements {
		start := time.Now()
		n, err := s.Exec(bind(st, steps))
		if err != nil {
			return nil, w.explain(w.target, st.GetSql(), err)
		}
		steps = append(steps, done{rows: n, elapsed: time.Since(start)})
	}
	return steps, nil
}

// errAnswer tells a client that its write happened although there is no answer.
var errAnswer = sdk.Code{Slug: "answer-failed", Title: "Committed without an answer", Kind: sdk.Internal, Driver: 0}

// answer runs the statement whose one row is the answer of a Unit.
func answer(s *engine.Session, st *pluginv1.Statement, steps []done) ([]byte, error) {
	if st == nil {
		return nil, nil
	}
	rows, err := s.Objects(bind(st, steps), 1, maxInlineBytes)
	if errors.Is(err, sdk.ErrProjectNotFound) {
		return nil, err // what was committed is gone with it
	}
	if err != nil {
		return nil, errAnswer.Errorf("the write is committed, but its answer could not be made: %v", err)
	}
	if len(rows) != 1 {
		return nil, errAnswer.Errorf("the write is committed, but its answer has %d rows and not one", len(rows))
	}
	return rows[0], nil
}
