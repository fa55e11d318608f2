package plan

import (
	"context"
	"time"

	"github.com/keboola/duckdb-storage/core/internal/disk"
	"github.com/keboola/duckdb-storage/core/internal/engine"
	"github.com/keboola/duckdb-storage/sdk"
	pluginv1 "github.com/keboola/duckdb-storage/sdk/proto/duckdbstorage/plugin/v1"
)

// Write runs a Unit as one transaction in the catalog's turn.
func (x *Executor) Write(ctx context.Context, target *pluginv1.Target, u *pluginv1.Unit) (*pluginv1.WriteResponse, error) {
	release, err := x.Queue.Acquire(ctx, disk.CatalogName(target.GetProject(), target.GetBranch()))
	if err != nil {
		return nil, err
	}
	defer release()
	s, err := x.Session(ctx, target)
	if err != nil {
		return nil, err
	}
	defer s.Close()
	var steps []done
	err = s.Transaction(func() error {
		steps, err = unit(s, u)
		return err
	})
	if err != nil {
		return nil, err
	}
	out := &pluginv1.WriteResponse{}
	for _, step := range steps {
		out.RowsAffected = append(out.RowsAffected, step.rows)
	}
	// Still in this turn of the queue: nobody wrote between the commit and this.
	out.Answer, err = answer(s, u.GetAnswer(), steps)
	return out, err
}

// done is what a statement of a Unit did, for those after it.
type done struct {
	rows    int64
	elapsed time.Duration
}

func unit(s *engine.Session, u *pluginv1.Unit) ([]done, error) {
	for _, p := range u.GetRequire() {
		found, err := s.HasRows(bind(p.GetStatement(), nil))
		if err != nil {
			return nil, err
		}
		if found != p.GetRowsExpected() {
			return nil, sdk.ErrorFromProto(p.GetOtherwise())
		}
	}
	var steps []done
	for _, st := range u.GetStatements() {
		start := time.Now()
		n, err := s.Exec(bind(st, steps))
		if err != nil {
			return nil, err
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
	if err != nil {
		return nil, errAnswer.Errorf("the write is committed, but its answer could not be made: %v", err)
	}
	if len(rows) != 1 {
		return nil, errAnswer.Errorf("the write is committed, but its answer has %d rows and not one", len(rows))
	}
	return rows[0], nil
}
