package pluginhost_test

import (
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/keboola/duckdb-storage/core/internal/plan"
	"github.com/keboola/duckdb-storage/sdk"
	pluginv1 "github.com/keboola/duckdb-storage/sdk/proto/duckdbstorage/plugin/v1"
	"github.com/keboola/duckdb-storage/sdk/sql"
)

// Every write of a call leaves its mark: what the command comes to with an answer,
// what its handler and the commands that it calls write by themselves without. What
// a hook writes is not the call's.
func TestMarks(t *testing.T) {
	t.Parallel()
	create := func(table string) sdk.Unit {
		return sdk.Unit{Do: []sql.Statement{sql.New("CREATE TABLE ? (x INTEGER)", sql.Name(table))}, Answer: sql.New("SELECT 'x' AS text")}
	}
	failed := sdk.ErrInvalid.Errorf("the handler fails")
	p := sdk.New("x", "1.0.0")
	writes := []sdk.Option{sdk.Permission("x:write"), sdk.Writes()}
	sdk.Handle(p, command[sdk.Unit]("x.Unit"), func(_ *sdk.Context, in input) (sdk.Unit, error) { return create(in.Name), nil }, writes...)
	sdk.Handle(p, command[output]("x.Write"), func(c *sdk.Context, in input) (output, error) {
		_, err := c.Write(create(in.Name))
		return output{}, err
	}, writes...)
	sdk.Handle(p, command[output]("x.Transact"), func(c *sdk.Context, in input) (output, error) {
		return output{}, c.Transact(func(tx *sdk.Tx) error {
			_, err := tx.Exec(create(in.Name).Do[0])
			return err
		})
	}, writes...)
	sdk.Handle(p, command[output]("x.Call"), func(c *sdk.Context, in input) (output, error) {
		_, err := sdk.Call(c, command[sdk.Unit]("x.Unit"), in)
		return output{}, err
	}, writes...)
	sdk.Handle(p, command[sdk.Unit]("x.Both"), func(c *sdk.Context, in input) (sdk.Unit, error) {
		_, err := c.Write(create(in.Name))
		return create(in.Name + "2"), err
	}, writes...)
	sdk.Handle(p, command[output]("x.Hooked"), func(*sdk.Context, input) (output, error) { return output{}, failed }, writes...)
	sdk.Before(p, command[output]("x.Hooked"), func(c *sdk.Context, in input) error {
		_, err := c.Write(create(in.Name))
		return err
	})
	f, h := hostOf(t, p)
	for name, want := range map[string]string{
		"x.Unit": "with an answer", "x.Write": "without", "x.Transact": "without", "x.Call": "without", "x.Both": "with an answer", "x.Hooked": "none",
	} {
		c := call(name, `{"name":"`+name+`"}`, false)
		c.Mark = &plan.Mark{Key: name, Fingerprint: "f", RequestID: "r1", Time: time.Now(), Seal: func(plain []byte) []byte { return plain }}
		if _, err := h.Invoke(t.Context(), c); err != nil && !errors.Is(err, sdk.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
		got := "none"
		mark, ok, err := f.Executor.FindMark(t.Context(), c.Target, name, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		if ok {
			got = "without"
		}
		if mark.Answer != nil {
			got = "with an answer"
		}
		if got != want {
			t.Errorf("%s left a mark %s, want %s", name, got, want)
		}
	}
	raw, err := f.Executor.Query(t.Context(), call("", "", false).Target, &pluginv1.Statement{Sql: "SELECT count(*) AS n FROM duckdb_tables() WHERE schema_name = 'main'"})
	if err != nil {
		t.Fatal(err)
	}
	var tables []struct{ N int }
	if err := json.Unmarshal(raw, &tables); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]struct{ N int }{{7}}, tables); diff != "" {
		t.Errorf("tables that were made (-want +got):\n%s", diff)
	}
}
