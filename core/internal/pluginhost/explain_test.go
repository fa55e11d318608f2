package pluginhost_test

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/go-hclog"

	"github.com/keboola/duckdb-storage/core/internal/fixture"
	"github.com/keboola/duckdb-storage/core/internal/pluginhost"
	"github.com/keboola/duckdb-storage/sdk"
	pluginv1 "github.com/keboola/duckdb-storage/sdk/proto/duckdbstorage/plugin/v1"
	"github.com/keboola/duckdb-storage/sdk/sql"
)

// explained opens a host with one command that answers with what fn returns, and asks
// for its plan. The command is declared as a write.
func explained[Result any](t *testing.T, fn func(*sdk.Context, input) (Result, error), accept string, others ...*sdk.Plugin) (string, error) {
	t.Helper()
	p := sdk.New("x", "1.0.0")
	sdk.Handle(p, command[Result]("x.Do"), fn, sdk.Permission("x:write"), sdk.Writes())
	f, h := hostOf(t, append(others, p)...)
	c := call("x.Do", `{"name":"`+f.Layout.Root+`"}`, false)
	c.Accept = accept
	got, err := h.Explain(t.Context(), c)
	if err != nil {
		return "", err
	}
	var out strings.Builder
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(got); err != nil {
		t.Fatal(err)
	}
	tables, err := f.Executor.Query(t.Context(), c.Target, &pluginv1.Statement{Sql: "SELECT count(*) AS n FROM duckdb_tables() WHERE schema_name = 'main'"})
	if err != nil || string(tables) != `[{"n":0}]` {
		t.Errorf("something was run: %s, %v", tables, err)
	}
	return strings.TrimSpace(out.String()), nil
}

// Every plan is shown as it is, without paths of the host.
func TestExplain(t *testing.T) {
	t.Parallel()
	const head = `{"command":"x.Do","plugin":"x","permission":"x:write","target":{"project":"1","branch":"default"},`
	rows := func(c *sdk.Context, in input) (sdk.Rows, error) {
		if _, err := sdk.Query[struct{ One int }](c, sql.New("SELECT 1 AS one")); err != nil { // a look is allowed
			return sdk.Rows{}, err
		}
		return sdk.Rows{Statement: sql.New("SELECT ? FROM read_csv(?)", 1.5, sql.Literal(filepath.Join(in.Name, "it's", "a"))), MaxRows: 7, Timeout: time.Second}, nil
	}
	for name, tc := range map[string]struct {
		explain func() (string, error)
		want    string
	}{
		"rows": {func() (string, error) { return explained(t, rows, "text/csv") },
			`"form":"rows","hooks":[],"statements":[{"sql":"SELECT ? FROM read_csv('<data>/it''s/a')","args":[1.5]}],"mediaType":"text/csv","maxRows":7,"timeoutSeconds":1}`},
		"unit": {func() (string, error) {
			return explained(t, func(_ *sdk.Context, in input) (sdk.Unit, error) {
				return sdk.Unit{
					Lock:    "table t",
					Stage:   []sql.Statement{sql.New("CREATE TABLE s AS SELECT ?, ?, ?", nil, true, in.Name+"/x")},
					Require: []sdk.Precondition{sdk.Refuse(sql.New("FROM t WHERE a = ?", 9007199254740993), sdk.ErrTableExists.Errorf("%s/t", in.Name)), sdk.Expect(sql.New("FROM u"), sdk.ErrTableNotFound.Errorf("no u"))},
					Do:      []sql.Statement{sql.New("INSERT INTO t VALUES (?, ?)", []byte{1, 2}, math.Inf(1))},
					Answer:  sql.New("SELECT ?, ?", sql.RowsAffected(1), sql.Elapsed(0)),
				}, nil
			}, "application/json")
		}, `"form":"unit","hooks":[],"lock":"table t","stage":[{"sql":"CREATE TABLE s AS SELECT ?, ?, ?","args":[null,true,"<data>/x"]}],` +
			`"require":[{"sql":"FROM t WHERE a = ?","args":[9007199254740993],"expects":"none","otherwise":{"code":"table-exists","detail":"<data>/t"}},` +
			`{"sql":"FROM u","args":[],"expects":"rows","otherwise":{"code":"table-not-found","detail":"no u"}}],` +
			`"statements":[{"sql":"INSERT INTO t VALUES (?, ?)","args":[{"base64":"AQI="},"+Inf"]}],` +
			`"answer":{"sql":"SELECT ?, ?","args":[{"rowsAffected":1},{"elapsedSeconds":0}]}}`},
		"export": {func() (string, error) {
			return explained(t, func(*sdk.Context, input) (sdk.Export, error) {
				return sdk.Export{Statement: sql.New("FROM t"), Format: "csv", Compression: "gzip", File: sdk.FileSpec{Name: "t.csv", Tags: []string{"a"}, MaxAgeDays: 3}}, nil
			}, "application/json")
		}, `"form":"export","hooks":[],"statements":[{"sql":"FROM t","args":[]}],"mediaType":"application/json","file":{"name":"t.csv","format":"csv","compression":"gzip","tags":["a"],"maxAgeDays":3}}`},
		"streamed export": {func() (string, error) {
			return explained(t, func(*sdk.Context, input) (sdk.Export, error) {
				return sdk.Export{Statement: sql.New("FROM t"), Format: "csv", File: sdk.FileSpec{Name: "t.csv"}}, nil
			}, "text/csv")
		}, `"form":"export","hooks":[],"statements":[{"sql":"FROM t","args":[]}],"mediaType":"text/csv"}`},
		"file": {func() (string, error) {
			return explained(t, func(*sdk.Context, input) (sdk.File, error) { return sdk.File{ID: "7"}, nil }, "application/octet-stream")
		}, `"form":"file","hooks":[],"fileId":"7"}`},
		"upload": {func() (string, error) {
			return explained(t, func(*sdk.Context, input) (sdk.Upload, error) { return sdk.Upload{FileID: "7"}, nil }, "application/json")
		}, `"form":"upload","hooks":[],"fileId":"7"}`},
		"json": {func() (string, error) {
			return explained(t, func(*sdk.Context, input) (sdk.Plan, error) { return sdk.JSON{Value: 1}, nil }, "application/json")
		}, `"form":"json","hooks":[]}`},
		"the first write": {func() (string, error) {
			return explained(t, func(c *sdk.Context, _ input) (sdk.Plan, error) {
				for _, table := range []string{"a", "b"} { // the handler does not care
					_, _ = c.Write(sdk.Unit{Do: []sql.Statement{sql.New("CREATE TABLE ? (x INTEGER)", sql.Name(table))}})
				}
				_, err := c.Files().Create(sdk.FileSpec{Name: "f"})
				return sdk.JSON{Value: 1}, err
			}, "application/json")
		}, `"form":"unit","partial":true,"hooks":[],"statements":[{"sql":"CREATE TABLE \"a\" (x INTEGER)","args":[]}]}`},
	} {
		got, err := tc.explain()
		if diff := cmp.Diff(head+tc.want, got); err != nil || diff != "" {
			t.Errorf("%s (-want +got): %v\n%s", name, err, diff)
		}
	}
}

// A handler that changes something before it answers, other than by a Write, has no
// plan to show. What it would have changed stays as it is.
func TestNoPlan(t *testing.T) {
	t.Parallel()
	writes := sdk.New("w", "1.0.0")
	sdk.Handle(writes, command[sdk.Unit]("w.Do"), func(*sdk.Context, input) (sdk.Unit, error) {
		t.Error("the command that was called was asked")
		return sdk.Unit{}, nil
	}, sdk.Permission("w:write"), sdk.Writes())
	unit := sdk.Unit{Do: []sql.Statement{sql.New("CREATE TABLE a (x INTEGER)")}}
	for callback, fn := range map[string]func(c *sdk.Context) error{
		"Lease": func(c *sdk.Context) error { return c.Lease() },
		"Transact": func(c *sdk.Context) error {
			return c.Transact(func(tx *sdk.Tx) error {
				_, err := tx.Exec(sql.New("CREATE TABLE a (x INTEGER)"))
				return err
			})
		},
		"Call": func(c *sdk.Context) error {
			_, err := sdk.Call(c, command[sdk.Unit]("w.Do"), input{Name: "a"})
			return err
		},
		"CreateFile":   func(c *sdk.Context) error { _, err := c.Files().Create(sdk.FileSpec{Name: "f"}); return err },
		"RegisterFile": func(c *sdk.Context) error { _, err := c.Files().Register("1"); return err },
		"DeleteFile":   func(c *sdk.Context) error { return c.Files().Delete("1") },
	} {
		for _, heeds := range []bool{true, false} {
			_, err := explained(t, func(c *sdk.Context, _ input) (sdk.Unit, error) {
				if err := fn(c); err != nil && heeds {
					return sdk.Unit{}, err
				} else if err == nil {
					t.Errorf("%s was done", callback)
				}
				_, _ = c.Write(unit) // comes too late to be a plan
				return unit, nil
			}, "application/json", writes)
			if !errors.Is(err, pluginhost.ErrNoPlan) || !strings.Contains(err.Error(), "callback "+callback+",") {
				t.Errorf("%s, heeded %v: got %v", callback, heeds, err)
			}
		}
	}
}

// A command that is called while a plan is made is asked, and may not change
// anything either.
func TestExplainAsksWhatIsRead(t *testing.T) {
	t.Parallel()
	reads := sdk.New("r", "1.0.0")
	sdk.Handle(reads, command[output]("r.Do"), func(*sdk.Context, input) (output, error) { return output{"found"}, nil }, sdk.Permission("r:read"))
	got, err := explained(t, func(c *sdk.Context, in input) (sdk.Unit, error) {
		found, err := sdk.Call(c, command[output]("r.Do"), input{Name: "a"})
		return sdk.Unit{Do: []sql.Statement{sql.New("CREATE TABLE ? (x INTEGER)", sql.Name(found.Text))}}, err
	}, "application/json", reads)
	if err != nil || !strings.Contains(got, `CREATE TABLE \"found\" (x INTEGER)`) {
		t.Errorf("%s, %v", got, err)
	}
}

// A plan is refused as its command would be.
func TestExplainRefuses(t *testing.T) {
	t.Parallel()
	asked := 0
	p := sdk.New("x", "1.0.0")
	sdk.Handle(p, command[output]("x.JSON"), func(*sdk.Context, input) (output, error) { asked++; return output{}, nil }, sdk.Permission("x:write"), sdk.Writes())
	sdk.Handle(p, command[sdk.Unit]("x.Admin"), func(*sdk.Context, input) (sdk.Unit, error) { asked++; return sdk.Unit{}, nil }, sdk.Permission(sdk.AdminOnly), sdk.Writes())
	sdk.Handle(p, command[sdk.Unit]("x.Read"), func(*sdk.Context, input) (sdk.Unit, error) { return sdk.Unit{}, nil }, sdk.Permission("x:read"))
	sdk.Handle(p, command[sdk.Plan]("x.Sly"), func(c *sdk.Context, _ input) (sdk.Plan, error) {
		_, err := c.Write(sdk.Unit{})
		return sdk.JSON{Value: 1}, err
	}, sdk.Permission("x:read"))
	sdk.Handle(p, command[sdk.Unit]("x.Fail"), func(*sdk.Context, input) (sdk.Unit, error) {
		return sdk.Unit{}, sdk.ErrTableNotFound.Errorf("no table")
	}, sdk.Permission("x:write"), sdk.Writes())
	_, h := hostOf(t, p)
	for _, tc := range []struct {
		command, payload string
		want             error
	}{
		{"x.Nothing", `{"name":"a"}`, sdk.ErrUnsupported},
		{"x.JSON", `{"name":"a"}`, pluginhost.ErrNoPlan}, // the host's own does its work by itself
		{"x.Admin", `{"name":"a"}`, sdk.ErrDenied},
		{"x.Fail", `{"nick":"a"}`, sdk.ErrMalformed},
		{"x.Fail", `{"name":"a"}`, sdk.ErrTableNotFound},
		{"x.Read", `{"name":"a"}`, sdk.ErrDenied},
		{"x.Sly", `{"name":"a"}`, sdk.ErrDenied},
	} {
		if got, err := h.Explain(t.Context(), call(tc.command, tc.payload, false)); !errors.Is(err, tc.want) {
			t.Errorf("%s %s: got %+v, %v; want %v", tc.command, tc.payload, got, err, tc.want)
		}
	}
	if asked != 0 {
		t.Errorf("handlers were asked %d times", asked)
	}
}

// hostOf is a host together with what it stands on.
func hostOf(t *testing.T, plugins ...*sdk.Plugin) (*fixture.Host, *pluginhost.Host) {
	t.Helper()
	f := fixture.Open(t, t.TempDir())
	f.CreateProject("1")
	h, err := pluginhost.Open(t.Context(), pluginhost.Config{
		Dir: t.TempDir(), RuntimeDir: f.Layout.Runtime, Logger: hclog.NewNullLogger(), Executor: f.Executor,
	}, plugins...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := h.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return f, h
}

// The hooks on a command are named and not asked. Those on what it reads for its plan
// are asked, and may refuse that.
func TestExplainNamesHooks(t *testing.T) {
	t.Parallel()
	for _, refuses := range []bool{false, true} {
		explainWithHooks(t, refuses)
	}
}

func explainWithHooks(t *testing.T, refuses bool) {
	t.Helper()
	called := sdk.New("r", "1.0.0")
	sdk.Handle(called, command[output]("r.Do"), func(*sdk.Context, input) (output, error) { return output{}, nil }, sdk.Permission("r:read"))
	hook := sdk.New("h", "1.0.0")
	asked := 0
	sdk.Before(hook, command[sdk.Unit]("x.Do"), func(*sdk.Context, input) error {
		t.Error("the hook on the command was asked")
		return nil
	})
	sdk.Before(hook, command[output]("r.Do"), func(c *sdk.Context, _ input) error {
		asked++
		if _, err := c.Write(sdk.Unit{}); !errors.Is(err, sdk.ErrDenied) { // before a read, as ever
			t.Errorf("the hook writes: %v", err)
		}
		if refuses {
			return sdk.ErrConflict.Errorf("it is kept secret")
		}
		return nil
	})
	got, err := explained(t, func(c *sdk.Context, in input) (sdk.Unit, error) {
		_, err := sdk.Call(c, command[output]("r.Do"), in)
		return sdk.Unit{Do: []sql.Statement{sql.New("CREATE TABLE a (x INTEGER)")}}, err
	}, "application/json", called, hook)
	if asked != 1 {
		t.Errorf("the hook on what is read was asked %d times", asked)
	}
	switch {
	case refuses && (!errors.Is(err, sdk.ErrConflict) || problem(t, err).Meta["hook"] != "before r.Do"):
		t.Errorf("refused: %s, %v", got, err)
	case !refuses && (err != nil || !strings.Contains(got, `"hooks":["h"]`)):
		t.Errorf("%s, %v", got, err)
	}
}
