package pluginhost_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/go-hclog"

	"github.com/keboola/duckdb-storage/core/internal/auth"
	"github.com/keboola/duckdb-storage/core/internal/fixture"
	"github.com/keboola/duckdb-storage/core/internal/plan"
	"github.com/keboola/duckdb-storage/core/internal/pluginhost"
	"github.com/keboola/duckdb-storage/core/internal/queue"
	"github.com/keboola/duckdb-storage/sdk"
	pluginv1 "github.com/keboola/duckdb-storage/sdk/proto/duckdbstorage/plugin/v1"
	"github.com/keboola/duckdb-storage/sdk/sql"
)

type input struct {
	Name  string   `json:"name"`
	Count int      `json:"count,omitempty"`
	Inner []member `json:"inner,omitempty"`
}

type member struct {
	Key string `json:"key"`
}

type output struct {
	Text string `json:"text"`
}

func command[Response any](name string) sdk.Command[input, Response] {
	return sdk.Command[input, Response]{Name: name, Summary: "Does it."}
}

// host runs plugins in process, with an empty directory of plugins.
func host(t *testing.T, plugins ...*sdk.Plugin) *pluginhost.Host {
	t.Helper()
	h, _ := hostWithQueue(t, plugins...)
	return h
}

func hostWithQueue(t *testing.T, plugins ...*sdk.Plugin) (*pluginhost.Host, *queue.Queue) {
	t.Helper()
	f := fixture.Open(t, t.TempDir())
	f.CreateProject("1")
	f.Executor.Queue = queue.New(queue.Config{Wait: 20 * time.Second}) // what hangs fails
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
	return h, f.Executor.Queue
}

func call(command, payload string, admin bool) pluginhost.Call {
	return pluginhost.Call{
		Command: command, Payload: []byte(payload), Principal: auth.Principal{Subject: "test", Admin: admin, Project: "1", Level: sdk.LevelWrite},
		Target: &pluginv1.Target{Project: "1", Branch: plan.DefaultBranch}, Accept: "application/json", RequestID: "r1",
	}
}

func TestInputIsValidated(t *testing.T) {
	t.Parallel()
	p := sdk.New("x", "1.0.0")
	sdk.Handle(p, command[output]("x.Do"), func(*sdk.Context, input) (output, error) { return output{"done"}, nil })
	h := host(t, p)
	for _, tc := range []struct {
		payload string
		want    []pluginhost.Violation
	}{
		{`{"name":"a","count":9007199254740993,"inner":[{"key":"k"}]}`, nil},
		{`{}`, []pluginhost.Violation{{Pointer: "/name", Detail: "is required"}}},
		{`{"name":"a","nick":1,"x/y":2}`, []pluginhost.Violation{{Pointer: "/nick", Detail: "unknown field"}, {Pointer: "/x~1y", Detail: "unknown field"}}},
		{`{"name":1}`, []pluginhost.Violation{{Pointer: "/name", Detail: "got number, want string"}}},
		{`{"name":"a","inner":[{"key":"k"},{}]}`, []pluginhost.Violation{{Pointer: "/inner/1/key", Detail: "is required"}}},
		{`[]`, []pluginhost.Violation{{Pointer: "", Detail: "got array, want object"}}},
		{`{"name":"a","count":1e99999999}`, []pluginhost.Violation{{Pointer: "/count", Detail: "the number is out of range"}}},
		{`{"name":"a","inner":[{"key":-1E-1001}]}`, []pluginhost.Violation{{Pointer: "/inner/0/key", Detail: "the number is out of range"}}},
	} {
		_, err := h.Invoke(t.Context(), call("x.Do", tc.payload, false))
		var invalid *pluginhost.InputError
		if errors.As(err, &invalid) != (tc.want != nil) {
			t.Errorf("%s: got %v", tc.payload, err)
			continue
		}
		if tc.want == nil {
			continue
		}
		if !errors.Is(err, sdk.ErrMalformed) {
			t.Errorf("%s: got %v", tc.payload, err)
		}
		if diff := cmp.Diff(tc.want, invalid.Violations); diff != "" {
			t.Errorf("%s: %s", tc.payload, diff)
		}
	}
	if _, err := h.Invoke(t.Context(), call("x.Do", `{"name"`, false)); !errors.Is(err, sdk.ErrMalformed) {
		t.Errorf("no JSON: %v", err)
	}
	if _, err := h.Invoke(t.Context(), call("x.None", `{}`, true)); !errors.Is(err, sdk.ErrUnsupported) {
		t.Errorf("unknown command: %v", err)
	}
}

// A plugin cannot lend a project's key more than it has.
func TestAdminCommandsAreClosedToProjectKeys(t *testing.T) {
	t.Parallel()
	secret, lend := command[output]("x.Secret"), command[output]("x.Lend")
	p := sdk.New("x", "1.0.0")
	sdk.Handle(p, secret, func(*sdk.Context, input) (output, error) { return output{"secret"}, nil }, sdk.Permission(sdk.AdminOnly))
	sdk.Handle(p, lend, func(c *sdk.Context, in input) (output, error) { return sdk.Call(c, secret, in) })
	h := host(t, p)
	for _, name := range []string{"x.Secret", "x.Lend"} {
		if _, err := h.Invoke(t.Context(), call(name, `{"name":"a"}`, false)); !errors.Is(err, sdk.ErrDenied) {
			t.Errorf("%s with a project's key: %v", name, err)
		}
		if a, err := h.Invoke(t.Context(), call(name, `{"name":"a"}`, true)); err != nil || string(a.JSON) != `{"text":"secret"}` {
			t.Errorf("%s with the admin key: %s, %v", name, a.JSON, err)
		}
	}
}

// Callbacks work inside their request and never after it.
func TestCallbacksEndWithTheirRequest(t *testing.T) {
	t.Parallel()
	type row struct {
		N int `json:"n"`
	}
	look := func(c *sdk.Context) error {
		_, err := sdk.Query[row](c, sql.New("SELECT 1 AS n"))
		return err
	}
	var kept *sdk.Context
	waiting, late := make(chan struct{}), make(chan error, 1)
	p := sdk.New("x", "1.0.0")
	sdk.Handle(p, command[output]("x.Keep"), func(c *sdk.Context, _ input) (output, error) {
		kept = c
		return output{}, look(c)
	})
	sdk.Handle(p, command[output]("x.Leave"), func(c *sdk.Context, _ input) (output, error) {
		go func() {
			close(waiting)
			_, err := sdk.Query[row](c, sql.New("SELECT count(*) AS n FROM range(100000000000)"))
			late <- err
		}()
		<-waiting
		return output{}, nil
	})
	h := host(t, p)
	for _, name := range []string{"x.Keep", "x.Leave"} {
		if _, err := h.Invoke(t.Context(), call(name, `{"name":"a"}`, false)); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
	}
	if err := look(kept); !errors.Is(err, sdk.ErrDenied) && !errors.Is(err, sdk.ErrCancelled) {
		t.Errorf("a callback after the end: %v", err)
	}
	select {
	case err := <-late:
		if err == nil {
			t.Error("a callback outlived its request")
		}
	case <-time.After(30 * time.Second):
		t.Error("a callback still runs after its request")
	}
}

// A command that is declared as a read cannot write, by whatever way.
func TestReadsCannotWrite(t *testing.T) {
	t.Parallel()
	unit := sdk.Unit{Do: []sql.Statement{sql.New("CREATE TABLE t (a INTEGER)")}}
	write := command[sdk.None]("x.Write")
	p := sdk.New("x", "1.0.0")
	sdk.Handle(p, write, func(*sdk.Context, input) (sdk.Unit, error) { return unit, nil }, sdk.Writes())
	sdk.Handle(p, command[output]("x.Callback"), func(c *sdk.Context, _ input) (output, error) {
		_, err := c.Write(unit)
		return output{}, err
	})
	sdk.Handle(p, command[output]("x.File"), func(c *sdk.Context, _ input) (output, error) {
		_, err := c.Files().Create(sdk.FileSpec{Name: "x"})
		return output{}, err
	})
	sdk.Handle(p, command[output]("x.Lease"), func(c *sdk.Context, _ input) (output, error) { return output{}, c.Lease() })
	sdk.Handle(p, command[sdk.None]("x.Plan"), func(*sdk.Context, input) (sdk.Unit, error) { return unit, nil })
	sdk.Handle(p, command[output]("x.Call"), func(c *sdk.Context, in input) (output, error) {
		_, err := sdk.Call(c, write, in)
		return output{}, err
	})
	h := host(t, p)
	for _, name := range []string{"x.Callback", "x.File", "x.Lease", "x.Plan", "x.Call"} {
		if _, err := h.Invoke(t.Context(), call(name, `{"name":"a"}`, true)); !errors.Is(err, sdk.ErrDenied) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := h.Invoke(t.Context(), call("x.Write", `{"name":"a"}`, true)); err != nil {
		t.Errorf("a write, and the table is not there yet: %v", err)
	}
}

func TestFaultsOfAHandler(t *testing.T) {
	t.Parallel()
	p := sdk.New("x", "1.0.0")
	sdk.Handle(p, command[output]("x.Panic"), func(*sdk.Context, input) (output, error) { panic("secret detail") })
	sdk.Handle(p, command[output]("x.Plain"), func(*sdk.Context, input) (output, error) { return output{}, errors.New("secret detail") })
	sdk.Handle(p, command[output]("x.Known"), func(*sdk.Context, input) (output, error) {
		return output{}, sdk.ErrInvalid.Errorf("wrong").At("/name").With("k", "v")
	})
	h := host(t, p)
	for _, name := range []string{"x.Panic", "x.Plain"} {
		_, err := h.Invoke(t.Context(), call(name, `{"name":"a"}`, false))
		if !errors.Is(err, sdk.ErrInternal) || strings.Contains(err.Error(), "secret") || !strings.Contains(err.Error(), "r1") {
			t.Errorf("%s: %v", name, err)
		}
	}
	_, err := h.Invoke(t.Context(), call("x.Known", `{"name":"a"}`, false))
	var e *sdk.Error
	if !errors.As(err, &e) || !errors.Is(err, sdk.ErrInvalid) || e.Pointer != "/name" || e.Meta["k"] != "v" {
		t.Errorf("got %+v", err)
	}
}

// What cannot be loaded is reported and left out; the rest is served.
func TestBrokenPluginsDoNotStopTheHost(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, text := range map[string]string{
		"plugin-dies": "#!/bin/sh\nexit 3\n", "plugin-text": "no program", "other": "#!/bin/sh\nexit 1\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	good := sdk.New("good", "1.0.0")
	sdk.Handle(good, command[output]("good.Do"), func(*sdk.Context, input) (output, error) { return output{"done"}, nil })
	runtime, err := os.MkdirTemp("", "ds")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(runtime) })
	h, err := pluginhost.Open(t.Context(), pluginhost.Config{
		Dir: dir, RuntimeDir: runtime, Plugins: map[string]pluginhost.Settings{"absent": {Off: true}}, Logger: hclog.NewNullLogger(), Executor: &plan.Executor{},
	}, good)
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close(t.Context())
	states := map[string]string{}
	for _, s := range h.Plugins() {
		states[s.Name] = s.State
		if s.State == "failed" && s.Detail == "" {
			t.Errorf("%s failed without a reason", s.Name)
		}
	}
	if diff := cmp.Diff(map[string]string{"dies": "failed", "text": "failed", "absent": "disabled"}, states); diff != "" {
		t.Error(diff)
	}
	if a, err := h.Invoke(t.Context(), call("good.Do", `{"name":"a"}`, false)); err != nil || string(a.JSON) != `{"text":"done"}` {
		t.Errorf("%s, %v", a.JSON, err)
	}
	if _, err := pluginhost.Binaries(filepath.Join(dir, "none")); err == nil || !strings.Contains(err.Error(), "--plugin-dir") {
		t.Errorf("a folder that does not exist: %v", err)
	}
}

// Two plugins that claim one thing: the second is refused with every conflict.
func TestConflictsAreRefused(t *testing.T) {
	t.Parallel()
	declare := func(plugin, command string, routes ...string) *sdk.Plugin {
		p := sdk.New(plugin, "1.0.0")
		var options []sdk.Option
		for _, r := range routes {
			options = append(options, sdk.GET(r))
		}
		sdk.Handle(p, sdk.Command[struct{}, output]{Name: command}, func(*sdk.Context, struct{}) (output, error) { return output{}, nil }, options...)
		return p
	}
	for _, tc := range []struct {
		name          string
		first, second *sdk.Plugin
		want          []string
	}{
		{"other", declare("a", "a.Do", "/x/a/{id}"), declare("b", "b.Do", "/x/b/{id}"), nil},
		{"command", declare("a", "a.Do"), declare("b", "a.Do"), []string{"command a.Do belongs to plugin a"}},
		{"route, other names of parameters", declare("a", "a.Do", "/x/{id}"), declare("b", "b.Do", "/x/{name}"), []string{"route GET /x/{name} belongs to command a.Do"}},
		{"route through the catalog", declare("a", "a.Do", sdk.Catalog+"/x"), declare("b", "b.Do", "/projects/{p}/x"), []string{"belongs to command a.Do"}},
		{"twice in one", declare("a", "a.Do"), declare("b", "b.Do", "/x", "/x"), []string{"route GET /x is declared twice"}},
		{"all of them", declare("a", "a.Do", "/x"), declare("b", "a.Do", "/x"), []string{"command a.Do belongs", "route GET /x belongs"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			_, err := pluginhost.Open(t.Context(), pluginhost.Config{Dir: t.TempDir(), Logger: hclog.NewNullLogger()}, tc.first, tc.second)
			if (err != nil) != (tc.want != nil) {
				t.Fatalf("got %v", err)
			}
			for _, want := range tc.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("got %v, want %q", err, want)
				}
			}
		})
	}
}
