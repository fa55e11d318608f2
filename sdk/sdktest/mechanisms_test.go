package sdktest_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/keboola/duckdb-storage/sdk"
	"github.com/keboola/duckdb-storage/sdk/sdktest"
	"github.com/keboola/duckdb-storage/sdk/sql"
)

// ran is an event of the plugin of these tests.
var ran = sdk.Event[input]{Name: "probe.Ran", Summary: "The command has run."}

type settings struct {
	Limit int `json:"limit,omitempty"`
}

func (s settings) Validate() error {
	if s.Limit > 10 {
		return errors.New("limit must be at most 10")
	}
	return nil
}

// moving is a plugin with everything that is not a command: a transaction, a job, an
// event, a hook on itself, a subscription to itself, settings.
func moving() (*sdk.Plugin, *sdk.Settings[settings]) {
	var limit *sdk.Settings[settings]
	p := plugin(func(c *sdk.Context, in input) (out output, err error) {
		err = c.Transact(func(tx *sdk.Tx) error {
			found, err := sdk.Query[output](tx, sql.New("SELECT id FROM t WHERE id <> ?", in.ID))
			if err != nil {
				return err
			}
			if len(found) >= limit.Get().Limit {
				return sdk.ErrConflict.Errorf("there are %d", len(found))
			}
			n, err := tx.Exec(sql.New("INSERT INTO t VALUES (?)", in.ID))
			if err != nil {
				return err
			}
			if n == 0 {
				return nil
			}
			if err := c.Progress(0.5, "half"); err != nil {
				return err
			}
			tx.Emit(ran.Of(in))
			return nil
		})
		if err != nil {
			return out, err
		}
		job, err := sdk.StartJob(c, probe, in)
		return output{ID: job.ID + c.RunID()}, err
	}, sdk.Writes())
	limit = sdk.Config(p, settings{Limit: 2})
	sdk.Emits(p, ran)
	sdk.Before(p, probe, func(c *sdk.Context, in input) error {
		if in.ID == "" {
			return sdk.ErrInvalid.Errorf("no id").At("/id")
		}
		return query(c)
	})
	sdk.After(p, ran, func(c *sdk.Context, n sdk.Notice[input]) error {
		_, err := c.Write(sdk.Unit{Do: []sql.Statement{sql.New("INSERT INTO heard VALUES (?, ?)", n.ID, n.Payload.ID)}, Events: []sdk.Emission{ran.Of(n.Payload)}})
		return err
	})
	return p, limit
}

// Every mechanism is answered as the test says and is in the text of the exchange.
func TestMechanisms(t *testing.T) {
	t.Parallel()
	p, _ := moving()
	h := sdktest.New(t, p)
	h.RunID = "-run"
	h.OnQuery("SELECT id FROM t")
	h.OnExec("INSERT INTO t", 1)
	h.OnStartJob("probe.Run", "17")
	committed := sdktest.Invoke(h, probe, input{ID: "1"})

	h.OnQuery("SELECT id FROM t", output{"2"}, output{"3"})
	rolledBack := sdktest.Invoke(h, probe, input{ID: "1"})

	h.OnQuery("SELECT id FROM t")
	h.OnExec("INSERT INTO t", 0)
	h.Fail("Transact", "COMMIT", sdk.ErrDiskFull.Errorf("no space"))
	failed := sdktest.Invoke(h, probe, input{ID: "1"})

	refused := sdktest.Before(h, probe, input{})
	h.OnQuery("SELECT 1")
	allowed := sdktest.Before(h, probe, input{ID: "1"})
	h.OnWrite("INSERT INTO heard", nil, 1)
	heard := sdktest.Notify(h, ran, input{ID: "1"})

	for _, x := range []*sdktest.Exchange{committed, allowed, heard} {
		if err := x.Err(); err != nil {
			t.Errorf("%s: %v", x.Command, err)
		}
	}
	if err := refused.Err(); !errors.Is(err, sdk.ErrInvalid) {
		t.Errorf("the hook answers %v", err)
	}
	sdktest.Golden(t, "mechanisms", committed, rolledBack, failed, refused, allowed, heard)
}

// While a transaction is open what would wait for it is refused, as by the host.
func TestCallbacksInATransaction(t *testing.T) {
	t.Parallel()
	p := plugin(func(c *sdk.Context, _ input) (output, error) {
		return output{}, c.Transact(func(tx *sdk.Tx) error {
			if _, err := tx.Exec(sql.New("DELETE FROM t")); err != nil {
				return err
			}
			_, err := sdk.Call(c, probe, input{})
			return err
		})
	}, sdk.Writes())
	h := sdktest.New(t, p)
	h.OnExec("DELETE", 1)
	if err := sdktest.Invoke(h, probe, input{}).Err(); !errors.Is(err, sdk.ErrConflict) {
		t.Errorf("the call answers %v", err)
	}
}

func TestConfigure(t *testing.T) {
	t.Parallel()
	p, limit := moving()
	h := sdktest.New(t, p)
	if err := h.Configure(map[string]string{"limit": "1"}); !errors.Is(err, sdk.ErrMalformed) {
		t.Errorf("a limit that is a text: %v", err)
	}
	if err := h.Configure(settings{11}); !errors.Is(err, sdk.ErrInvalid) {
		t.Errorf("a limit that the plugin refuses: %v", err)
	}
	if err := h.Configure(settings{5}); err != nil || limit.Get().Limit != 5 {
		t.Errorf("a good limit: %v, and the plugin has %d", err, limit.Get().Limit)
	}
}

func TestUndeclared(t *testing.T) {
	t.Parallel()
	bare := func(fn func(*sdk.Context, input) (sdk.Plan, error)) *sdk.Plugin {
		p := sdk.New("probe", "1.0.0")
		sdk.Handle(p, probe, fn, sdk.Writes())
		return p
	}
	for name, tt := range map[string]struct {
		handler func(*sdk.Context, input) (sdk.Plan, error)
		answer  func(*sdktest.Host)
		want    string
	}{
		"query": {func(c *sdk.Context, _ input) (sdk.Plan, error) { return sdk.JSON{Value: output{}}, query(c) },
			func(h *sdktest.Host) { h.OnQuery("SELECT 1") }, "probe.Run makes the callback Query, and the plugin does not declare that it needs sql:read"},
		"rows": {func(*sdk.Context, input) (sdk.Plan, error) { return sdk.Rows{Statement: sql.New("SELECT 1")}, nil }, nil,
			"does not declare that it needs sql:read"},
		"unit": {func(*sdk.Context, input) (sdk.Plan, error) { return sdk.Unit{}, nil }, nil, "does not declare that it needs sql:write"},
		"file": {func(*sdk.Context, input) (sdk.Plan, error) { return sdk.File{ID: "7"}, nil }, nil, "does not declare that it needs files:read"},
		"call of another area": {func(c *sdk.Context, _ input) (sdk.Plan, error) {
			_, err := sdk.Call(c, sdk.Command[input, output]{Name: "tables.Info"}, input{})
			return sdk.JSON{Value: output{}}, err
		}, func(h *sdktest.Host) { h.OnCall("tables.Info", output{}) }, "needs tables:read, or tables:write, or admin"},
		"event": {func(*sdk.Context, input) (sdk.Plan, error) {
			return sdk.Unit{Events: []sdk.Emission{ran.Of(input{})}}, nil
		}, nil,
			"the event probe.Ran is not declared with sdk.Emits"},
	} {
		t.Run(name, func(t *testing.T) {
			got := failing(t, func(t testing.TB) {
				h := sdktest.New(t, bare(tt.handler))
				if tt.answer != nil {
					tt.answer(h)
				}
				sdktest.Invoke(h, probe, input{})
			})
			if !strings.Contains(got, tt.want) {
				t.Errorf("the test reports %q, want %q", got, tt.want)
			}
		})
	}
}

// Who asks, and for which run, is what the test says.
func TestPrincipal(t *testing.T) {
	t.Parallel()
	var got string
	h := sdktest.New(t, plugin(func(c *sdk.Context, _ input) (output, error) {
		got = strings.Join([]string{c.Subject(), c.KeyProject(), c.Project(), c.Branch(), c.RunID()}, " ")
		if c.Admin() {
			got += " as admin"
		}
		if c.KeyBranch() != "" {
			got += " bound to " + c.KeyBranch()
		}
		for _, permission := range []string{"a:read", "a:write", "a:admin", sdk.AdminOnly} {
			if c.Allows(permission) {
				got += " " + permission
			}
		}
		return output{}, nil
	}))
	sdktest.Invoke(h, probe, input{})
	if want := "project:demo demo demo default  a:read a:write a:admin"; got != want {
		t.Errorf("by default it is %q, want %q", got, want)
	}
	h.Level, h.Bound = sdk.LevelRead, "7"
	sdktest.Invoke(h, probe, input{})
	if want := "project:demo demo demo default  bound to 7 a:read"; got != want {
		t.Errorf("as a reader it is %q, want %q", got, want)
	}
	h.Admin, h.Subject, h.Project, h.Branch, h.RunID = true, "admin", "7", "9", "run-1"
	sdktest.Invoke(h, probe, input{})
	if want := "admin  7 9 run-1 as admin a:read a:write a:admin admin"; got != want {
		t.Errorf("it is %q, want %q", got, want)
	}
}
