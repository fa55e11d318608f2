package plan_test

import (
	"errors"
	"testing"

	"github.com/keboola/duckdb-storage/sdk"
	pluginv1 "github.com/keboola/duckdb-storage/sdk/proto/duckdbstorage/plugin/v1"
	"github.com/keboola/duckdb-storage/sdk/sql"
)

// Inside a lease a Unit with a lock and a stage runs to its end, although a write
// from outside has that lock and waits for the turn of the lease. That one began
// before, so it has to be repeated.
func TestStagedUnitInsideALease(t *testing.T) {
	t.Parallel()
	h := open(t)
	must(t, h, "CREATE TABLE t AS SELECT 1 AS a")
	lease, err := h.Executor.Lease(t.Context(), target)
	if err != nil {
		t.Fatal(err)
	}
	outside := start(t, h, replacing(5))
	waitFor(t, h, "", 1)
	inside := sdk.Unit{
		Lock:  "table t",
		Stage: []sql.Statement{sql.New(`CREATE TABLE "t/other" AS FROM range(6) AS r(a)`)},
		Do:    []sql.Statement{sql.New("DROP TABLE t"), sql.New(`ALTER TABLE "t/other" RENAME TO t`)},
	}
	if _, err := h.Executor.Run(lease.Within(t.Context()), target, "application/json", respond(t, inside)); err != nil {
		t.Errorf("inside the lease: %v", err)
	}
	waitFor(t, h, "", 1)
	lease.Release()
	var e *sdk.Error
	if got := <-outside; !errors.Is(got.err, sdk.ErrConflict) || !errors.As(got.err, &e) || !e.Retryable {
		t.Errorf("outside: %v", got.err)
	}
	if rows := query(t, h, rowsAndLeftovers); rows != "[[6,0]]" {
		t.Errorf("afterwards t has rows, and staged tables there are: %s", rows)
	}
	if got := <-start(t, h, replacing(5)); got.err != nil {
		t.Errorf("repeated: %v", got.err)
	}
}

func TestLeaseOfNoProject(t *testing.T) {
	t.Parallel()
	h := open(t)
	if _, err := h.Executor.Lease(t.Context(), &pluginv1.Target{}); !errors.Is(err, sdk.ErrInvalid) {
		t.Errorf("got %v", err)
	}
}
