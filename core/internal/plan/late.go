package plan

import (
	"context"
	"time"

	pluginv1 "github.com/keboola/duckdb-storage/sdk/proto/duckdbstorage/plugin/v1"
)

// lateAnswer is how long the answer of a Unit may take that nobody may cancel: about
// as long as others wait for the turn without noticing.
const lateAnswer = 30 * time.Second

// answerAfterall makes the answer of a Unit that was cancelled too late: it is
// committed, and what waits for its outcome, a job or a repeated request, has to
// learn that.
func (x *Executor) answerAfterall(ctx context.Context, target *pluginv1.Target, st *pluginv1.Statement, steps []done) ([]byte, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lateAnswer)
	defer cancel()
	s, err := x.Session(ctx, target)
	if err != nil {
		return nil, err
	}
	defer s.Close()
	return answer(s, st, steps)
}
