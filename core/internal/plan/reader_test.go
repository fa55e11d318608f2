package plan_test

import (
	"context"
	"errors"
	"io"
	"testing"

	"github.com/keboola/duckdb-storage/core/internal/fixture"
	"github.com/keboola/duckdb-storage/core/internal/plan"
	"github.com/keboola/duckdb-storage/sdk"
	pluginv1 "github.com/keboola/duckdb-storage/sdk/proto/duckdbstorage/plugin/v1"
	"github.com/keboola/duckdb-storage/sdk/sql"
)

// ways are all in which a statement can be read.
func ways(t *testing.T, h *fixture.Host) map[string]func(ctx context.Context, text string) error {
	run := func(ctx context.Context, accept string, resp *pluginv1.InvokeResponse) error {
		answer, err := h.Executor.Run(ctx, target, accept, resp)
		if err == nil && answer.Stream != nil {
			_, err = io.Copy(io.Discard, answer.Stream.Body)
			answer.Stream.Body.Close()
		}
		return err
	}
	return map[string]func(ctx context.Context, text string) error{
		"query": func(ctx context.Context, text string) error {
			_, err := h.Executor.Query(ctx, target, &pluginv1.Statement{Sql: text})
			return err
		},
		"rows": func(ctx context.Context, text string) error {
			return run(ctx, "application/json", respond(t, sdk.Rows{Statement: sql.Raw(text)}))
		},
		"small rows": func(ctx context.Context, text string) error {
			return run(ctx, "text/csv", respond(t, sdk.Rows{Statement: sql.Raw(text), MaxRows: 1}))
		},
		"export": func(ctx context.Context, text string) error {
			return run(ctx, "application/json", respond(t, sdk.Export{Statement: sql.Raw(text), Format: "csv"}))
		},
		"streamed export": func(ctx context.Context, text string) error {
			return run(ctx, "text/csv", respond(t, sdk.Export{Statement: sql.Raw(text), Format: "csv"}))
		},
		"transaction": func(ctx context.Context, text string) error {
			tx, err := h.Executor.Transact(ctx, target)
			if err != nil {
				return err
			}
			defer tx.Close()
			_, err = tx.Query(&pluginv1.Statement{Sql: text})
			return err
		},
	}
}

// What is taken away from readers they read in no way, whatever the name that leads to it.
func TestReadersReadWhatIsGranted(t *testing.T) {
	t.Parallel()
	h := open(t)
	do := func(statements ...string) {
		t.Helper()
		for _, st := range statements {
			if _, err := write(t, h, sdk.Unit{Do: []sql.Statement{sql.Raw(st)}}); err != nil {
				t.Fatalf("%s: %v", st, err)
			}
		}
	}
	do("CREATE SCHEMA granted", "CREATE TABLE granted.t AS SELECT 1 AS a", "CREATE SCHEMA \"Taken\"", "CREATE TABLE \"Taken\".t AS SELECT 2 AS a",
		"CREATE VIEW granted.v AS FROM \"Taken\".t", "CREATE MACRO granted.m() AS TABLE SELECT count(*) AS n FROM taken.t", "CREATE VIEW \"Taken\".w AS FROM granted.t")
	hidden := []string{"FROM \"Taken\".t", "SELECT count(*) AS n FROM taken.t", "FROM granted.v", "FROM granted.m()", "SELECT 1 AS a FROM granted.t WHERE EXISTS (FROM taken.t) LIMIT 0"}
	open := []string{"FROM granted.t", "FROM \"Taken\".w", "SELECT 1 AS a"}
	check := func(taken bool) {
		t.Helper()
		for way, read := range ways(t, h) {
			for _, text := range append(hidden, open...) {
				if err := read(t.Context(), text); err != nil {
					t.Errorf("%s, who may write, %s: %v", way, text, err)
				}
			}
			for _, text := range hidden {
				if err := read(plan.WithReader(t.Context()), text); taken != errors.Is(err, sdk.ErrDenied) || !taken && err != nil {
					t.Errorf("%s, who only reads, %s: %v", way, text, err)
				}
			}
			for _, text := range open {
				if err := read(plan.WithReader(t.Context()), text); err != nil {
					t.Errorf("%s, who only reads, %s: %v", way, text, err)
				}
			}
		}
	}
	check(false)
	do("INSERT INTO __storage.revoked VALUES ('Taken')")
	check(true)
	do("DELETE FROM __storage.revoked")
	check(false)
}
