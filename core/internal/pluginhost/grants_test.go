package pluginhost_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/hashicorp/go-hclog"

	"github.com/keboola/duckdb-storage/core/internal/fixture"
	"github.com/keboola/duckdb-storage/core/internal/plan"
	"github.com/keboola/duckdb-storage/core/internal/pluginhost"
	"github.com/keboola/duckdb-storage/sdk"
	pluginv1 "github.com/keboola/duckdb-storage/sdk/proto/duckdbstorage/plugin/v1"
	"github.com/keboola/duckdb-storage/sdk/sql"
)

// granting runs plugins in process with what the operator grants them.
func granting(t *testing.T, grants map[string][]string, plugins ...*sdk.Plugin) *pluginhost.Host {
	t.Helper()
	f := fixture.Open(t, t.TempDir())
	f.CreateProject("1")
	settings := map[string]pluginhost.Settings{}
	for name, g := range grants {
		settings[name] = pluginhost.Settings{Grants: g}
	}
	h, err := pluginhost.Open(t.Context(), pluginhost.Config{
		Dir: t.TempDir(), RuntimeDir: f.Layout.Runtime, Logger: hclog.NewNullLogger(), Executor: f.Executor, Plugins: settings,
	}, plugins...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = h.Close(context.Background()) })
	return h
}

// guest is a plugin in whose commands each use of the host is made once, and the
// permission that each takes.
func guest() (*sdk.Plugin, map[string]string) {
	one := sql.New("SELECT 1 AS a")
	do := sdk.Unit{Do: []sql.Statement{one}}
	read, admin := command[output]("tables.Read"), command[output]("tables.Admin")
	p := sdk.New("guest", "1.0.0")
	takes := map[string]string{}
	add := func(name, permission string, use func(c *sdk.Context, in input) (sdk.Plan, error)) {
		takes["guest."+name] = permission
		sdk.Handle(p, sdk.Command[input, any]{Name: "guest." + name}, use, sdk.Writes())
	}
	callback := func(use func(c *sdk.Context, in input) error) func(*sdk.Context, input) (sdk.Plan, error) {
		return func(c *sdk.Context, in input) (sdk.Plan, error) { return sdk.JSON{Value: 1}, use(c, in) }
	}
	answers := func(p sdk.Plan) func(*sdk.Context, input) (sdk.Plan, error) {
		return func(*sdk.Context, input) (sdk.Plan, error) { return p, nil }
	}
	add("Query", sdk.ReadSQL, callback(func(c *sdk.Context, _ input) error { _, err := sdk.Query[member](c, one); return err }))
	add("Rows", sdk.ReadSQL, answers(sdk.Rows{Statement: one}))
	add("Export", sdk.ReadSQL, answers(sdk.Export{Statement: one, Format: "csv"}))
	add("Write", sdk.WriteSQL, callback(func(c *sdk.Context, _ input) error { _, err := c.Write(do); return err }))
	add("Unit", sdk.WriteSQL, answers(do))
	add("Transact", sdk.WriteSQL, callback(func(c *sdk.Context, _ input) error {
		return c.Transact(func(tx *sdk.Tx) error { _, err := tx.Exec(one); return err })
	}))
	add("GetFile", sdk.ReadFiles, callback(func(c *sdk.Context, _ input) error { _, err := c.Files().Get("none"); return found(err) }))
	add("CreateFile", sdk.WriteFiles, callback(func(c *sdk.Context, _ input) error { _, err := c.Files().Create(sdk.FileSpec{Name: "f"}); return err }))
	add("RegisterFile", sdk.WriteFiles, callback(func(c *sdk.Context, _ input) error { _, err := c.Files().Register("none"); return found(err) }))
	add("DeleteFile", sdk.WriteFiles, callback(func(c *sdk.Context, _ input) error { return found(c.Files().Delete("none")) }))
	add("File", sdk.ReadFiles, answers(sdk.File{ID: "none"}))
	add("Upload", sdk.WriteFiles, answers(sdk.Upload{FileID: "none"}))
	add("Call", "tables:read", callback(func(c *sdk.Context, in input) error { _, err := sdk.Call(c, read, in); return err }))
	add("CallAdmin", sdk.AdminOnly, callback(func(c *sdk.Context, in input) error { _, err := sdk.Call(c, admin, in); return err }))
	return p, takes
}

// found is an error but for a file that is not there: then the callback was allowed.
func found(err error) error {
	if errors.Is(err, sdk.ErrFileNotFound) {
		return nil
	}
	return err
}

func areaTables() *sdk.Plugin {
	p := sdk.New("tables", "1.0.0")
	sdk.Handle(p, command[output]("tables.Read"), func(*sdk.Context, input) (output, error) { return output{}, nil }, sdk.Permission("tables:read"))
	sdk.Handle(p, command[output]("tables.Admin"), func(*sdk.Context, input) (output, error) { return output{}, nil }, sdk.Permission(sdk.AdminOnly))
	return p
}

func ended(a plan.Answer, err error) error {
	if a.Stream != nil {
		a.Stream.Body.Close()
	}
	return err
}

// Each use of the host takes its permission, and no other one is enough.
func TestGrants(t *testing.T) {
	t.Parallel()
	_, takes := guest()
	all := []string{sdk.ReadSQL, sdk.WriteSQL, sdk.ReadFiles, sdk.WriteFiles, "tables:read", sdk.AdminOnly}
	for _, granted := range append(all, "none", "*") {
		t.Run(granted, func(t *testing.T) {
			t.Parallel()
			p, _ := guest()
			h := granting(t, map[string][]string{"guest": {granted}}, areaTables(), p)
			for name, permission := range takes {
				err := ended(h.Invoke(t.Context(), call(name, `{"name":"a"}`, true)))
				if granted == permission || granted == "*" {
					if err != nil {
						t.Errorf("%s: %v", name, err)
					}
					continue
				}
				e := problem(t, err)
				if !errors.Is(err, sdk.ErrDenied) || e.Meta["permission"] != permission || !strings.Contains(e.Detail, permission+", which the operator grants it in plugins.guest.grants") {
					t.Errorf("%s with %s: %v", name, granted, err)
				}
			}
		})
	}
}

// A transaction is for writing; what it reads takes the permission to read.
func TestGrantOfReadsInATransaction(t *testing.T) {
	t.Parallel()
	for granted, allowed := range map[string]bool{sdk.WriteSQL: false, sdk.WriteSQL + " " + sdk.ReadSQL: true} {
		p := sdk.New("guest", "1.0.0")
		sdk.Handle(p, command[output]("guest.Do"), func(c *sdk.Context, _ input) (output, error) {
			return output{}, c.Transact(func(tx *sdk.Tx) error { _, err := sdk.Query[member](tx, sql.New("SELECT 1 AS a")); return err })
		}, sdk.Writes())
		h := granting(t, map[string][]string{"guest": strings.Fields(granted)}, p)
		_, err := h.Invoke(t.Context(), call("guest.Do", `{"name":"a"}`, true))
		if allowed != (err == nil) || !allowed && !errors.Is(err, sdk.ErrDenied) {
			t.Errorf("with %s: %v", granted, err)
		}
	}
}

// The tables of the host are read by everybody and written by nobody, whatever is
// granted.
func TestMetadataIsTheHosts(t *testing.T) {
	t.Parallel()
	write := sql.New(`DELETE FROM "__Storage".tables`)
	p := sdk.New("guest", "1.0.0")
	sdk.Handle(p, command[sdk.None]("guest.Plan"), func(*sdk.Context, input) (sdk.Unit, error) {
		return sdk.Unit{Do: []sql.Statement{write}}, nil
	}, sdk.Writes())
	sdk.Handle(p, command[output]("guest.Stage"), func(c *sdk.Context, _ input) (output, error) {
		_, err := c.Write(sdk.Unit{Stage: []sql.Statement{write}})
		return output{}, err
	}, sdk.Writes())
	sdk.Handle(p, command[output]("guest.Transact"), func(c *sdk.Context, _ input) (output, error) {
		return output{}, c.Transact(func(tx *sdk.Tx) error { _, err := tx.Exec(write); return err })
	}, sdk.Writes())
	sdk.Handle(p, command[output]("guest.Read"), func(c *sdk.Context, _ input) (output, error) {
		_, err := sdk.Query[member](c, sql.New("SELECT count(*) AS a FROM __storage.tables"))
		return output{}, err
	})
	h := granting(t, map[string][]string{"guest": {"*"}}, p)
	for _, name := range []string{"guest.Plan", "guest.Stage", "guest.Transact"} {
		if _, err := h.Invoke(t.Context(), call(name, `{"name":"a"}`, true)); !errors.Is(err, sdk.ErrDenied) || !strings.Contains(err.Error(), "__storage") {
			t.Errorf("%s: %v", name, err)
		}
	}
	invoke(t, h, "guest.Read", "")
}

// What is granted to a plugin is not lent to its caller.
func TestGrantsDoNotWidenTheCaller(t *testing.T) {
	t.Parallel()
	p, _ := guest()
	h := granting(t, map[string][]string{"guest": {"*"}}, areaTables(), p)
	_, err := h.Invoke(t.Context(), call("guest.CallAdmin", `{"name":"a"}`, false))
	if !errors.Is(err, sdk.ErrDenied) || err.Error() != "tables.Admin needs the admin key" {
		t.Errorf("got %v", err)
	}
}

// A plugin's own area is its own, and "sql" is nobody's.
func TestOwnArea(t *testing.T) {
	t.Parallel()
	own := command[output]("guest.Own")
	p := sdk.New("guest", "1.0.0")
	sdk.Handle(p, own, func(*sdk.Context, input) (output, error) { return output{}, nil }, sdk.Permission("guest:write"))
	sdk.Handle(p, command[output]("guest.Call"), func(c *sdk.Context, in input) (output, error) { return sdk.Call(c, own, in) })
	posing := sdk.New("sql", "1.0.0")
	sdk.Handle(posing, command[output]("sql.Query"), func(c *sdk.Context, _ input) (output, error) {
		_, err := sdk.Query[member](c, sql.New("SELECT 1 AS a"))
		return output{}, err
	})
	h := granting(t, map[string][]string{"guest": nil, "sql": nil}, p, posing)
	invoke(t, h, "guest.Call", "")
	if _, err := h.Invoke(t.Context(), call("sql.Query", `{"name":"a"}`, true)); !errors.Is(err, sdk.ErrDenied) {
		t.Errorf("got %v", err)
	}
}

// A hook acts for the caller of the command with the grants of its own plugin.
func TestGrantsOfAHook(t *testing.T) {
	t.Parallel()
	for _, granted := range [][]string{{"tables:read"}, {"tables:read", sdk.ReadSQL}} {
		p := sdk.New("guest", "1.0.0")
		sdk.Before(p, command[output]("tables.Read"), func(c *sdk.Context, _ input) error {
			_, err := sdk.Query[member](c, sql.New("SELECT 1 AS a"))
			return err
		})
		h := granting(t, map[string][]string{"guest": granted}, areaTables(), p)
		_, err := h.Invoke(t.Context(), call("tables.Read", `{"name":"a"}`, false))
		if len(granted) == 2 != (err == nil) || err != nil && (!errors.Is(err, sdk.ErrDenied) || problem(t, err).Meta["hook"] != "before tables.Read") {
			t.Errorf("with %v: %v", granted, err)
		}
	}
}

// Every callback is refused without the token of a request of its own that runs.
func TestTokens(t *testing.T) {
	t.Parallel()
	p, other := sdk.New("x", "1.0.0"), sdk.New("other", "1.0.0")
	var h *pluginhost.Host
	refused := func(who, token, want string) {
		t.Helper()
		for name, err := range everyCallback(t, h.CallbacksOf(who), token) {
			if err.GetCode() != sdk.ErrDenied.Slug || !strings.Contains(err.GetDetail(), want) {
				t.Errorf("%s by %s: %v", name, who, err)
			}
		}
	}
	var token string
	sdk.Handle(p, command[output]("x.Do"), func(*sdk.Context, input) (output, error) {
		token = h.Tokens()[0]
		refused("other", token, "another plugin")
		if e := everyCallback(t, h.CallbacksOf("x"), token)["Query"]; e != nil {
			t.Errorf("with its own token: %v", e)
		}
		return output{}, nil
	}, sdk.Writes())
	h = host(t, p, other)
	invoke(t, h, "x.Do", "")
	refused("x", token, "no running request")
	refused("x", "guessed", "no running request")
	refused("x", "", "no call token")
}

// everyCallback makes each callback with a token and returns what it answers.
func everyCallback(t *testing.T, s pluginv1.HostServiceServer, token string) map[string]*pluginv1.Error {
	t.Helper()
	ctx := t.Context()
	one := &pluginv1.Statement{Sql: "SELECT 1 AS a"}
	out := map[string]*pluginv1.Error{}
	add := func(name string, resp interface{ GetError() *pluginv1.Error }, err error) {
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		out[name] = resp.GetError()
	}
	query, err := s.Query(ctx, &pluginv1.QueryRequest{CallToken: token, Statement: one})
	add("Query", query, err)
	write, err := s.Write(ctx, &pluginv1.WriteRequest{CallToken: token, Unit: &pluginv1.Unit{}})
	add("Write", write, err)
	call, err := s.Call(ctx, &pluginv1.CallRequest{CallToken: token, Command: "x.Do", Payload: []byte(`{"name":""}`)})
	add("Call", call, err)
	lease, err := s.Lease(ctx, &pluginv1.LeaseRequest{CallToken: token})
	add("Lease", lease, err)
	progress, err := s.Progress(ctx, &pluginv1.ProgressRequest{CallToken: token})
	add("Progress", progress, err)
	created, err := s.CreateFile(ctx, &pluginv1.CreateFileRequest{CallToken: token, Spec: &pluginv1.FileSpec{Name: "f"}})
	add("CreateFile", created, err)
	got, err := s.GetFile(ctx, &pluginv1.GetFileRequest{CallToken: token, FileId: "1"})
	add("GetFile", got, err)
	registered, err := s.RegisterFile(ctx, &pluginv1.RegisterFileRequest{CallToken: token, FileId: "1"})
	add("RegisterFile", registered, err)
	deleted, err := s.DeleteFile(ctx, &pluginv1.DeleteFileRequest{CallToken: token, FileId: "1"})
	add("DeleteFile", deleted, err)
	stream, err := sdk.InProcess(s).Transact(ctx)
	if err == nil {
		err = stream.Send(&pluginv1.TransactRequest{CallToken: token, Operation: &pluginv1.TransactRequest_Query{Query: one}})
	}
	if err != nil {
		t.Fatal(err)
	}
	transact, err := stream.Recv()
	add("Transact", transact, err)
	if err := stream.CloseSend(); err != nil {
		t.Error(err)
	}
	return out
}
