package plan_test

import (
	"testing"

	"github.com/keboola/duckdb-storage/core/internal/plan"
	"github.com/keboola/duckdb-storage/sdk"
)

func TestStatementFailed(t *testing.T) {
	t.Parallel()
	for answer, want := range map[string]bool{
		``: false, `null`: false, `[]`: false, `{"message":`: false, `{"message":"ok","status":"ok"}`: false,
		`{"message":"","status":"error"}`: true, `{"message":"","status":"error","rows":[]}`: false,
		string((&plan.StatementError{Err: sdk.ErrSQL.Errorf("it's \"wrong\"")}).JSON()): true,
	} {
		if got := plan.StatementFailed([]byte(answer)); got != want {
			t.Errorf("%s: %v", answer, got)
		}
	}
}
