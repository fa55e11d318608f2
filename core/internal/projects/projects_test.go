package projects_test

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/go-hclog"

	"github.com/keboola/duckdb-storage/core/internal/auth"
	"github.com/keboola/duckdb-storage/core/internal/engine"
	"github.com/keboola/duckdb-storage/core/internal/fixture"
	"github.com/keboola/duckdb-storage/core/internal/plan"
	"github.com/keboola/duckdb-storage/core/internal/pluginhost"
	"github.com/keboola/duckdb-storage/core/internal/projects"
	"github.com/keboola/duckdb-storage/core/internal/queue"
	"github.com/keboola/duckdb-storage/core/internal/registry"
	"github.com/keboola/duckdb-storage/sdk"
	pluginv1 "github.com/keboola/duckdb-storage/sdk/proto/duckdbstorage/plugin/v1"
)

// service is the core's commands behind the table of commands.
type service struct {
	*fixture.Host
	commands *projects.Commands
	table    *pluginhost.Host
}

func open(t *testing.T, root string) service {
	t.Helper()
	h := fixture.Open(t, root)
	c := &projects.Commands{Executor: h.Executor, Registry: h.Registry, Links: h.Links, Turns: queue.New(queue.Config{}), Version: "1.0.0"}
	table, err := pluginhost.Open(t.Context(), pluginhost.Config{
		Dir: t.TempDir(), Logger: hclog.NewNullLogger(), Executor: h.Executor,
	}, c.Plugin())
	if err != nil {
		t.Fatal(err)
	}
	return service{h, c, table}
}

// invoke runs a command with the admin key and decodes its answer, be it a value,
// a stream, or the error of a statement.
func (s service) invoke(t *testing.T, command, project, payload string) (map[string]any, error) {
	t.Helper()
	target := &pluginv1.Target{}
	if project != "" {
		target = &pluginv1.Target{Project: project, Branch: plan.DefaultBranch}
	}
	a, err := s.table.Invoke(t.Context(), pluginhost.Call{
		Command: command, Payload: []byte(payload), Principal: auth.Principal{Subject: "admin", Admin: true}, Target: target, Accept: "application/json",
	})
	var statement *plan.StatementError
	if errors.As(err, &statement) { // as the API does
		a, err = plan.Answer{JSON: statement.JSON()}, nil
	}
	if err != nil {
		return nil, err
	}
	out := map[string]any{}
	switch {
	case a.Stream != nil:
		defer a.Stream.Body.Close()
		err = json.NewDecoder(a.Stream.Body).Decode(&out)
	case len(a.JSON) > 0:
		err = json.Unmarshal(a.JSON, &out)
	}
	if err != nil {
		t.Fatalf("%s: %v", command, err)
	}
	return out, nil
}

func (s service) must(t *testing.T, command, project, payload string) map[string]any {
	t.Helper()
	out, err := s.invoke(t, command, project, payload)
	if err != nil {
		t.Fatalf("%s: %v", command, err)
	}
	return out
}

func TestLifeOfAProject(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir())
	created := s.must(t, "projects.Create", "", `{"id":"a-1","name":"A","settings":{"x":1,"y":{"z":2}}}`)
	key, _ := created["apiKey"].(string)
	if p, err := auth.Authenticate(s.Registry, "Bearer "+key, time.Now()); err != nil || p.Admin || !p.MayUse("a-1") {
		t.Errorf("the key opens %+v, %v", p, err)
	}
	if _, err := s.invoke(t, "projects.Create", "", `{"id":"a-1"}`); !errors.Is(err, sdk.ErrProjectExists) {
		t.Errorf("created again: %v", err)
	}
	updated := s.must(t, "projects.Update", "a-1", `{"name":"B","timezone":"Europe/Prague","settings":{"x":null,"w":3}}`)
	if diff := cmp.Diff(map[string]any{"y": map[string]any{"z": 2.0}, "w": 3.0}, updated["settings"]); diff != "" || updated["name"] != "B" || updated["dataRetentionTimeInDays"] != 7.0 {
		t.Errorf("%v %s", updated, diff)
	}
	for _, payload := range []string{`{"timezone":"Mars/Base"}`, `{"dataRetentionTimeInDays":-1}`} {
		if _, err := s.invoke(t, "projects.Update", "a-1", payload); !errors.Is(err, sdk.ErrInvalid) {
			t.Errorf("%s: %v", payload, err)
		}
	}
	info := s.must(t, "projects.Info", "a-1", "{}")
	if info["name"] != "B" || info["tablesCount"] != 0.0 || info["sizeBytes"] == 0.0 {
		t.Errorf("%v", info)
	}
	s.must(t, "projects.Drop", "a-1", "{}")
	if _, err := s.invoke(t, "projects.Drop", "a-1", "{}"); !errors.Is(err, sdk.ErrProjectNotFound) {
		t.Errorf("dropped again: %v", err)
	}
	if _, err := auth.Authenticate(s.Registry, "Bearer "+key, time.Now()); !errors.Is(err, sdk.ErrUnauthenticated) {
		t.Errorf("the key after the drop: %v", err)
	}
	nothingLeft(t, s, "a-1")
	s.must(t, "projects.Create", "", `{"id":"a-1"}`) // the id is free again
}

func nothingLeft(t *testing.T, s service, id string) {
	t.Helper()
	left, err := filepath.Glob(s.Layout.Catalog(id, plan.DefaultBranch) + "*")
	if err != nil || len(left) > 0 {
		t.Errorf("catalog files: %v, %v", left, err)
	}
	if _, err := os.Stat(s.Layout.Files(id)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("folder of files: %v", err)
	}
}

func TestIDs(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir())
	for _, id := range []string{"", "a b", "a/b", "..", `a"b`, "a.b", "ž", "a\\u0000", strings.Repeat("x", 65)} {
		if _, err := s.invoke(t, "projects.Create", "", `{"id":"`+strings.ReplaceAll(id, `"`, `\"`)+`"}`); !errors.Is(err, sdk.ErrMalformed) {
			t.Errorf("id %q: %v", id, err)
		}
	}
	s.must(t, "projects.Create", "", `{"id":"`+strings.Repeat("x", 64)+`"}`)
}

func TestListHasPages(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir())
	for _, id := range []string{"b", "a", "c"} {
		s.must(t, "projects.Create", "", `{"id":"`+id+`"}`)
	}
	var got []any
	for token := ""; ; {
		page := s.must(t, "projects.List", "", `{"limit":2,"pageToken":"`+token+`"}`)
		for _, item := range page["items"].([]any) {
			got = append(got, item.(map[string]any)["id"])
		}
		var more bool
		if token, more = page["nextPageToken"].(string); !more {
			break
		}
	}
	if diff := cmp.Diff([]any{"a", "b", "c"}, got); diff != "" {
		t.Error(diff)
	}
}

// Files that are there without a project belong to somebody: neither the refused
// create nor a sweep after it may touch them.
func TestForeignFilesAreLeftAlone(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	s := open(t, root)
	catalog := s.Layout.Catalog("x", plan.DefaultBranch)
	if err := os.WriteFile(catalog, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(s.Layout.Files("y"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{"x", "y"} {
		if _, err := s.invoke(t, "projects.Create", "", `{"id":"`+id+`"}`); !errors.Is(err, sdk.ErrProjectExists) || !strings.Contains(err.Error(), "move it away") {
			t.Errorf("%s: %v", id, err)
		}
	}
	s.Close()
	s = open(t, root)
	if n, err := s.commands.Sweep(t.Context()); n != 0 || err != nil {
		t.Errorf("swept %d, %v", n, err)
	}
	if b, err := os.ReadFile(catalog); err != nil || string(b) != "precious" {
		t.Errorf("the catalog: %q, %v", b, err)
	}
	if _, err := os.Stat(s.Layout.Files("y")); err != nil {
		t.Error(err)
	}
}

// What a kill leaves of a create or a drop is removed at the next start.
func TestSweep(t *testing.T) {
	t.Parallel()
	for _, step := range []string{"reserved", "folder", "catalog", "dropping"} {
		t.Run(step, func(t *testing.T) {
			t.Parallel()
			root := t.TempDir()
			s := open(t, root)
			s.must(t, "projects.Create", "", `{"id":"other"}`)
			p := registry.Project{ID: "x", Settings: []byte("{}")}
			steps := map[string]func() error{
				"reserved": func() error { return s.Registry.Reserve(t.Context(), p, func() error { return nil }) },
				"folder":   func() error { return s.Files.CreateProject("x") },
				"catalog": func() error {
					return s.Engine.Create(t.Context(), engine.Project(s.Layout, "x", plan.DefaultBranch))
				},
				"dropping": func() error {
					if err := s.Registry.Activate(t.Context(), p, registry.Key{ID: "h", Hash: "h", Project: "x"}); err != nil {
						return err
					}
					_, err := s.Registry.Change(t.Context(), "x", func(p *registry.Project) error { p.State = registry.Dropping; return nil })
					return err
				},
			}
			for _, name := range []string{"reserved", "folder", "catalog", "dropping"} {
				if err := steps[name](); err != nil {
					t.Fatal(err)
				}
				if name == step {
					break
				}
			}
			s.Close()
			s = open(t, root)
			if n, err := s.commands.Sweep(t.Context()); n != 1 || err != nil {
				t.Errorf("swept %d, %v", n, err)
			}
			nothingLeft(t, s, "x")
			if _, ok := s.Registry.Key("h"); ok {
				t.Error("the key is still there")
			}
			s.must(t, "projects.Info", "other", "{}")
			s.must(t, "projects.Create", "", `{"id":"x"}`)
		})
	}
}

func TestQuery(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir())
	s.must(t, "projects.Create", "", `{"id":"1"}`)
	s.must(t, "projects.Create", "", `{"id":"2"}`)
	for _, tc := range []struct{ payload, want string }{
		{`{"sql":"CREATE TABLE t (a BIGINT, b VARCHAR);"}`, `{"columns":[],"message":"Statement executed successfully: 0 rows affected.","rows":[],"rowsAffected":0,"status":"ok"}`},
		{`{"sql":"INSERT INTO t VALUES (?, ?), (2, NULL)","params":[9007199254740993,"x"]}`, `{"columns":[],"message":"Statement executed successfully: 2 rows affected.","rows":[],"rowsAffected":2,"status":"ok"}`},
		{`{"sql":" FROM t ORDER BY a ; ","limit":1}`, `{"columns":[{"name":"a","type":"BIGINT"},{"name":"b","type":"VARCHAR"}],"message":"","rows":[[2,null]],"rowsAffected":null,"status":"ok"}`},
		{`{"sql":"SELECT a = 9007199254740993 AS exact FROM t WHERE b = ?","params":["x"]}`, `{"columns":[{"name":"exact","type":"BOOLEAN"}],"message":"","rows":[[true]],"rowsAffected":null,"status":"ok"}`},
		{`{"sql":"SELECT $2 AS a, $1 AS b, $2 AS c","params":["one","two"]}`, `{"columns":[{"name":"a","type":"VARCHAR"},{"name":"b","type":"VARCHAR"},{"name":"c","type":"VARCHAR"}],"message":"","rows":[["two","one","two"]],"rowsAffected":null,"status":"ok"}`},
		{`{"sql":"SELECT ? AS a, ? AS b","params":[null,true]}`, `{"columns":[{"name":"a","type":"INTEGER"},{"name":"b","type":"BOOLEAN"}],"message":"","rows":[[null,true]],"rowsAffected":null,"status":"ok"}`},
	} {
		got, err := json.Marshal(s.must(t, "query.Execute", "1", tc.payload))
		if diff := cmp.Diff(tc.want, string(got)); err != nil || diff != "" {
			t.Errorf("%s: %v %s", tc.payload, err, diff)
		}
	}
}

// An error of the statement is an answer; it changes nothing and the next one runs.
func TestQueryErrorsAreAnswers(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir())
	s.must(t, "projects.Create", "", `{"id":"1"}`)
	s.must(t, "query.Execute", "1", `{"sql":"CREATE TABLE t (a INTEGER NOT NULL)"}`)
	for statement, want := range map[string]string{
		"SELEC 1":                                "syntax error",
		"SELECT 1; SELECT 2":                     "exactly one statement",
		"SELECT * FROM missing":                  "missing",
		"SELECT 'x'::INTEGER":                    "Could not convert string 'x'",
		"INSERT INTO t VALUES (NULL)":            "Required field a cannot be null",
		"INSERT INTO t VALUES ('x')":             "Could not convert string 'x'",
		"CREATE TABLE t (b INTEGER)":             "already exists",
		"ATTACH ':memory:' AS m":                 "not allowed",
		"DELETE FROM __storage.buckets":          "belongs to the service",
		"CREATE TABLE memory.main.t (a INTEGER)": "not a part of the project",
		"SELECT 1 LIMIT ?":                       "",
	} {
		payload, _ := json.Marshal(map[string]string{"sql": statement})
		got, err := s.invoke(t, "query.Execute", "1", string(payload))
		if err != nil {
			t.Errorf("%s: %v", statement, err)
		}
		message, _ := got["message"].(string)
		if got["status"] != "error" || message == "" || !strings.Contains(message, want) {
			t.Errorf("%s: got %v, want %q", statement, got, want)
		}
	}
	timeout := s.must(t, "query.Execute", "1", `{"sql":"SELECT sum(a.range * b.range) FROM range(1000000) a, range(1000000) b","timeoutSeconds":1}`)
	if timeout["status"] != "error" {
		t.Errorf("a statement over its time: %v", timeout)
	}
	if got := s.must(t, "query.Execute", "1", `{"sql":"SELECT count(*) AS n FROM t"}`); got["status"] != "ok" || !cmp.Equal(got["rows"], []any{[]any{0.0}}) {
		t.Errorf("afterwards: %v", got)
	}
}

// A drop that fails half-way is finished by the next one.
func TestDropAgainAfterAFailure(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir())
	s.must(t, "projects.Create", "", `{"id":"1"}`)
	obstacle := s.Layout.Catalog("1", plan.DefaultBranch) + ".wal.recovery"
	if err := os.MkdirAll(filepath.Join(obstacle, "in the way"), 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := s.invoke(t, "projects.Drop", "1", "{}"); err == nil {
		t.Error("the drop removed what it cannot remove")
	}
	if _, err := s.invoke(t, "projects.Info", "1", "{}"); !errors.Is(err, sdk.ErrProjectNotFound) {
		t.Errorf("a project that is half dropped: %v", err)
	}
	if err := os.RemoveAll(obstacle); err != nil {
		t.Fatal(err)
	}
	s.must(t, "projects.Drop", "1", "{}")
	nothingLeft(t, s, "1")
	if _, err := s.invoke(t, "projects.Drop", "1", "{}"); !errors.Is(err, sdk.ErrProjectNotFound) {
		t.Errorf("a third drop: %v", err)
	}
	s.must(t, "projects.Create", "", `{"id":"1"}`)
}

// A client that leaves does not bring back a project whose drop has begun.
func TestDropGoesOnWithoutItsClient(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir())
	s.must(t, "projects.Create", "", `{"id":"1"}`)
	session, err := s.Engine.Session(context.Background(), engine.Project(s.Layout, "1", plan.DefaultBranch))
	if err != nil {
		t.Fatal(err)
	}
	ctx, leave := context.WithCancel(t.Context())
	dropped := make(chan error, 1)
	go func() {
		_, err := s.table.Invoke(ctx, pluginhost.Call{
			Command: "projects.Drop", Payload: []byte("{}"), Principal: auth.Principal{Admin: true},
			Target: &pluginv1.Target{Project: "1", Branch: plan.DefaultBranch},
		})
		dropped <- err
	}()
	poll := time.NewTicker(time.Millisecond)
	defer poll.Stop()
	for err = error(nil); err == nil; _, err = s.Registry.Project("1") {
		<-poll.C // until it is gone for clients, while the drop waits for the session
	}
	leave()
	session.Close()
	if err := <-dropped; err != nil {
		t.Error(err)
	}
	nothingLeft(t, s, "1")
}
