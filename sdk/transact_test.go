package sdk_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/keboola/duckdb-storage/sdk"
	pluginv1 "github.com/keboola/duckdb-storage/sdk/proto/duckdbstorage/plugin/v1"
	"github.com/keboola/duckdb-storage/sdk/sql"
)

// transactor answers transactions and notes how each ended.
type transactor struct {
	pluginv1.UnimplementedHostServiceServer
	committed *[]*pluginv1.Emission
	ended     *string
}

func (h transactor) Transact(s pluginv1.HostService_TransactServer) error {
	ended := "rolled back"
	defer func() { *h.ended = ended }()
	for n := 0; ; n++ {
		r, err := s.Recv()
		if err != nil {
			return nil
		}
		if (r.GetCallToken() == "token") != (n == 0) {
			return fmt.Errorf("request %d has the token %q", n, r.GetCallToken())
		}
		out := &pluginv1.TransactResponse{}
		switch op := r.GetOperation().(type) {
		case *pluginv1.TransactRequest_Execute:
			if out.RowsAffected = 3; op.Execute.GetSql() == "BAD" {
				out.Error = sdk.ErrSQL.Errorf("bad").Proto()
			}
		case *pluginv1.TransactRequest_Query:
			out.Rows = []byte(`[{"table":"t"}]`)
		case *pluginv1.TransactRequest_Commit:
			*h.committed, ended = op.Commit.GetEvents(), "committed"
		}
		if err := s.Send(out); err != nil {
			return err
		}
		if out.Error != nil {
			_, _ = s.Recv() // a host that takes its time to roll back
			return nil
		}
	}
}

// transact runs fn in a transaction, and returns how it ended.
func transact(t *testing.T, fn func(*sdk.Tx) error) (ended string, events []*pluginv1.Emission, err error) {
	t.Helper()
	p := doing(func(c *sdk.Context) (response, error) {
		err = c.Transact(fn)
		if ended == "" {
			t.Error("Transact returned before the host was done")
		}
		return response{}, nil
	})
	h := sdk.InProcess(transactor{committed: &events, ended: &ended})
	resp := p.Invoke(t.Context(), h, &pluginv1.InvokeRequest{Command: probe.Name, Payload: []byte("{}"), CallToken: "token"})
	if resp.GetError() != nil {
		t.Errorf("the handler: %v", resp.GetError())
	}
	return ended, events, err
}

func TestTransact(t *testing.T) {
	t.Parallel()
	ended, events, err := transact(t, func(tx *sdk.Tx) error {
		rows, err := sdk.Query[fact](tx, sql.New("SELECT 1"))
		if err != nil || len(rows) != 1 || rows[0].Table != "t" {
			t.Errorf("Query: %v, %v", rows, err)
		}
		n, err := tx.Exec(sql.New("DELETE FROM t"))
		if err != nil || n != 3 {
			t.Errorf("Exec: %v, %v", n, err)
		}
		tx.Emit(dropped.Of(fact{"t"}))
		return nil
	})
	if err != nil || ended != "committed" || len(events) != 1 {
		t.Errorf("%s, %v, events %v", ended, err, events)
	}
}

// Whatever fails, nothing is committed.
func TestTransactRollsBack(t *testing.T) {
	t.Parallel()
	no := errors.New("no")
	for name, tt := range map[string]struct {
		fn   func(*sdk.Tx) error
		want error
	}{
		"the author's error":             {func(*sdk.Tx) error { return no }, no},
		"an error that was not passed":   {func(tx *sdk.Tx) error { _, _ = tx.Exec(sql.New("BAD")); return nil }, sdk.ErrSQL},
		"an event that is no JSON":       {func(tx *sdk.Tx) error { tx.Emit(unsaid.Of(nil)); return nil }, nil},
		"a statement after a failed one": {func(tx *sdk.Tx) error { _, _ = tx.Exec(sql.New("BAD")); _, err := tx.Exec(sql.New("GOOD")); return err }, sdk.ErrSQL},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ended, _, err := transact(t, tt.fn)
			if ended != "rolled back" || err == nil || tt.want != nil && !errors.Is(err, tt.want) {
				t.Errorf("%s, %v; want %v", ended, err, tt.want)
			}
		})
	}
}

// A Tx that outlives its function is refused.
func TestTransactIsOver(t *testing.T) {
	t.Parallel()
	for name, result := range map[string]error{"committed": nil, "rolled back": errors.New("no")} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var kept *sdk.Tx
			ended, _, err := transact(t, func(tx *sdk.Tx) error { kept = tx; return result })
			if ended != name || !errors.Is(err, result) {
				t.Errorf("%s, %v", ended, err)
			}
			if _, err := kept.Exec(sql.New("DELETE FROM t")); !errors.Is(err, sdk.ErrConflict) {
				t.Errorf("got %v", err)
			}
		})
	}
}
