package pluginhost_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/keboola/duckdb-storage/core/internal/auth"
	"github.com/keboola/duckdb-storage/core/internal/plan"
	"github.com/keboola/duckdb-storage/core/internal/pluginhost"
	"github.com/keboola/duckdb-storage/sdk"
	pluginv1 "github.com/keboola/duckdb-storage/sdk/proto/duckdbstorage/plugin/v1"
	"github.com/keboola/duckdb-storage/sdk/sql"
)

// keyOf is a key of project 1.
func keyOf(level sdk.Level, branch string) auth.Principal {
	return auth.Principal{Subject: "project-1/k", Project: "1", Key: "k", Level: level, Branch: branch}
}

// Who may run a command where: what a key may not see does not exist for it, and what it
// may see and not do is denied.
func TestAdmit(t *testing.T) {
	t.Parallel()
	do := func(*sdk.Context, input) (output, error) { return output{}, nil }
	p := sdk.New("x", "1.0.0")
	sdk.Handle(p, command[output]("x.Read"), do, sdk.POST(sdk.Catalog+"/x/x/read"), sdk.Permission("x:read"))
	sdk.Handle(p, command[output]("x.Change"), do, sdk.POST(sdk.Catalog+"/x/x/write"), sdk.Permission("x:write"), sdk.Writes())
	sdk.Handle(p, command[output]("x.Wide"), do, sdk.POST("/projects/{project}/x/wide"), sdk.Permission("x:read"))
	sdk.Handle(p, command[output]("x.Keys"), do, sdk.POST("/projects/{project}/x/keys"), sdk.Permission("x:admin"))
	sdk.Handle(p, command[output]("x.Hidden"), do, sdk.Permission("x:read"))
	sdk.Handle(p, command[output]("x.Any"), do, sdk.POST("/x/x/any"), sdk.Permission(sdk.AnyKey))
	sdk.Handle(p, command[output]("x.Service"), do, sdk.POST("/x/x/service"), sdk.Permission(sdk.AdminOnly))
	h := host(t, p)
	admin, other := auth.Principal{Subject: "admin", Admin: true}, auth.Principal{Subject: "o", Project: "2", Level: sdk.LevelAdmin}
	none, read, write, all := keyOf(sdk.LevelNone, ""), keyOf(sdk.LevelRead, ""), keyOf(sdk.LevelWrite, ""), keyOf(sdk.LevelAdmin, "")
	main, dev := keyOf(sdk.LevelWrite, plan.DefaultBranch), keyOf(sdk.LevelWrite, "7")
	inProject, inService := &pluginv1.Target{Project: "1", Branch: plan.DefaultBranch}, &pluginv1.Target{}
	for _, tc := range []struct {
		command string
		at      *pluginv1.Target
		want    map[auth.Principal]error
	}{
		{"x.Read", inProject, map[auth.Principal]error{admin: nil, all: nil, write: nil, read: nil, main: nil, none: sdk.ErrDenied, dev: sdk.ErrBranchNotFound, other: sdk.ErrProjectNotFound}},
		{"x.Change", inProject, map[auth.Principal]error{admin: nil, all: nil, write: nil, read: sdk.ErrDenied, main: nil, none: sdk.ErrDenied, dev: sdk.ErrBranchNotFound, other: sdk.ErrProjectNotFound}},
		{"x.Wide", inProject, map[auth.Principal]error{admin: nil, all: nil, write: nil, read: nil, main: nil, none: sdk.ErrDenied, dev: nil, other: sdk.ErrProjectNotFound}},
		{"x.Keys", inProject, map[auth.Principal]error{admin: nil, all: nil, write: sdk.ErrDenied, read: sdk.ErrDenied, main: sdk.ErrDenied, dev: sdk.ErrDenied, other: sdk.ErrProjectNotFound}},
		{"x.Hidden", inProject, map[auth.Principal]error{admin: nil, read: nil, none: sdk.ErrDenied, main: nil, dev: sdk.ErrBranchNotFound, other: sdk.ErrProjectNotFound}},
		{"x.Any", inProject, map[auth.Principal]error{admin: nil, none: nil, dev: nil, other: sdk.ErrProjectNotFound}},
		{"x.Service", inProject, map[auth.Principal]error{admin: nil, all: sdk.ErrDenied, other: sdk.ErrProjectNotFound}},
		// In the service as a whole a project's key has only what any key has.
		{"x.Any", inService, map[auth.Principal]error{admin: nil, all: nil, none: nil, dev: nil, other: nil}},
		{"x.Read", inService, map[auth.Principal]error{admin: nil, all: sdk.ErrDenied, read: sdk.ErrDenied, dev: sdk.ErrDenied}},
		{"x.Service", inService, map[auth.Principal]error{admin: nil, all: sdk.ErrDenied, other: sdk.ErrDenied}},
	} {
		for who, want := range tc.want {
			call := pluginhost.Call{Command: tc.command, Payload: []byte(`{"name":"a"}`), Principal: who, Target: tc.at, Accept: "application/json"}
			_, err := h.Invoke(t.Context(), call)
			if !errors.Is(err, want) || want == nil && err != nil {
				t.Errorf("%s in %q by %+v: %v", tc.command, tc.at.GetProject(), who, err)
			}
			if as := h.Check(call); (as == nil) != (err == nil) {
				t.Errorf("%s by %+v: as a job %v, at once %v", tc.command, who, as, err)
			}
			if _, as := h.Explain(t.Context(), call); want != nil && !errors.Is(as, want) {
				t.Errorf("%s by %+v: its plan %v", tc.command, who, as)
			}
		}
	}
	_, err := h.Invoke(t.Context(), pluginhost.Call{Command: "x.Change", Payload: []byte(`{"name":"a"}`), Principal: read, Target: inProject})
	if e := problem(t, err); e.Meta["permission"] != "x:write" || e.Driver != 2007 || !strings.Contains(e.Detail, "takes the permission x:write, which the key project-1/k does not have; it has read") {
		t.Errorf("the refusal says %v, %v", e.Detail, e.Meta)
	}
}

// A key that only reads changes nothing, although a plugin declares that its command
// takes no more, and one that writes does no more than that.
func TestNoCommandLendsALevel(t *testing.T) {
	t.Parallel()
	p, takes := guest()
	for _, c := range p.Describe().GetCommands() {
		c.Permission = "guest:read"
	}
	takes["guest.Export"] = sdk.WriteFiles // it makes a file
	h := granting(t, map[string][]string{"guest": {"*"}}, areaTables(), p)
	for _, level := range []sdk.Level{sdk.LevelRead, sdk.LevelWrite, sdk.LevelAdmin} {
		for name, permission := range takes {
			asked := call(name, `{"name":"a"}`, false)
			asked.Principal = keyOf(level, "")
			err := ended(h.Invoke(t.Context(), asked))
			if level.Allows(permission) {
				if err != nil && !errors.Is(err, sdk.ErrFileNotFound) {
					t.Errorf("%s with level %d: %v", name, level, err)
				}
				continue
			}
			if !errors.Is(err, sdk.ErrDenied) || permission != sdk.AdminOnly && problem(t, err).Meta["permission"] != permission {
				t.Errorf("%s with level %d: %v", name, level, err)
			}
		}
	}
	streamed := call("guest.Export", `{"name":"a"}`, false)
	streamed.Principal, streamed.Accept = keyOf(sdk.LevelRead, ""), "text/csv"
	if err := ended(h.Invoke(t.Context(), streamed)); err != nil {
		t.Errorf("an export that is streamed: %v", err)
	}
}

// What is taken away from keys that only read stays away from them, whichever way a
// plugin reads it for them.
func TestPluginsReadForTheirCaller(t *testing.T) {
	t.Parallel()
	read := sql.New("SELECT 'secret' AS key FROM b.t")
	p := sdk.New("x", "1.0.0")
	sdk.Handle(p, command[sdk.None]("x.Hide"), func(*sdk.Context, input) (sdk.Unit, error) {
		return sdk.Unit{Do: []sql.Statement{
			sql.New("CREATE SCHEMA b"), sql.New("CREATE TABLE b.t AS SELECT 1 AS i"), sql.New("INSERT INTO __storage.revoked (bucket) VALUES ('b')"),
		}}, nil
	}, sdk.Writes())
	queries := command[[]member]("x.Query")
	sdk.Handle(p, queries, func(c *sdk.Context, _ input) ([]member, error) { return sdk.Query[member](c, read) })
	sdk.Handle(p, command[[]member]("x.Call"), func(c *sdk.Context, in input) ([]member, error) { return sdk.Call(c, queries, in) })
	sdk.Handle(p, command[any]("x.Rows"), func(*sdk.Context, input) (sdk.Rows, error) { return sdk.Rows{Statement: read}, nil })
	sdk.Handle(p, command[any]("x.Export"), func(*sdk.Context, input) (sdk.Export, error) {
		return sdk.Export{Statement: read, Format: "csv"}, nil
	}, sdk.Permission("x:read"), sdk.Writes())
	h := host(t, p)
	if _, err := h.Invoke(t.Context(), call("x.Hide", `{"name":"a"}`, true)); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"x.Query", "x.Call", "x.Rows", "x.Export"} {
		for level, want := range map[sdk.Level]error{sdk.LevelRead: sdk.ErrDenied, sdk.LevelWrite: nil} {
			asked := call(name, `{"name":"a"}`, false)
			asked.Principal = keyOf(level, "")
			if name == "x.Export" {
				asked.Accept = "text/csv"
			}
			if err := ended(h.Invoke(t.Context(), asked)); !errors.Is(err, want) || want == nil && err != nil {
				t.Errorf("%s with level %d: %v", name, level, err)
			}
		}
	}
}
