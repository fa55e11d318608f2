package e2e_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/keboola/duckdb-storage/sdk/sdktest/service"
)

// shownCommand is a command in the list of all.
type shownCommand struct {
	Name, Plugin, State, Effect, Form string
	Routes                            []struct {
		Method, Path string
		Status       int
	}
	Input    struct{ Required []string }
	Problems []string
}

func listCommands(t *testing.T, c service.Client) []shownCommand {
	t.Helper()
	var list struct{ Items []shownCommand }
	if _, err := c.Do(t.Context(), http.MethodGet, "/commands", nil, &list); err != nil {
		t.Fatal(err)
	}
	if len(list.Items) == 0 {
		t.Fatal("the service has no commands")
	}
	return list.Items
}

// shownPlan is what Prefer: return=plan shows.
type shownPlan struct {
	Command, Form string
	Partial       bool
	Statements    []struct{ SQL string }
	Stage         []struct{ SQL string }
	FileID        string
}

// hostPlugins do their work themselves, so they have no plans; query.Execute goes
// through the callbacks of a plugin.
var hostPlugins = map[string]bool{"core": true, "admin": true, "audit": true, "jobs": true, "keys": true, "links": true}

// Prefer: return=plan of every command shows what would run, and runs nothing: not a
// byte below the data directory changes. What it shows names no path of the host.
func TestPlans(t *testing.T) {
	t.Parallel()
	k := newKeyProject(t)
	if err := k.CreateTable(t.Context(), "b", "orders", []string{"id", "name"}, "id"); err != nil {
		t.Fatal(err)
	}
	small, err := k.Upload(t.Context(), "orders.csv", strings.NewReader("id,name\n1,Ada\n"))
	if err != nil {
		t.Fatal(err)
	}
	large, err := k.Upload(t.Context(), "orders.csv", strings.NewReader("id,name\n"+strings.Repeat("1,Ada\n", 1<<20)))
	if err != nil {
		t.Fatal(err)
	}
	prepared, err := k.Prepare(t.Context(), "empty.csv")
	if err != nil {
		t.Fatal(err)
	}
	table := func(parts ...string) string { return k.Path(append([]string{"tables", "b", "orders"}, parts...)...) }
	requests := map[string][]struct {
		sent
		want string // as planOf says
	}{
		"buckets.Create":  {{k.bucket("in.c-new"), "unit"}, {k.bucket("b"), "unit"}}, // refused only in its turn
		"buckets.Drop":    {{sent{method: "DELETE", path: k.Path("buckets", "b") + "?cascade=true"}, "unit"}},
		"buckets.Info":    {{sent{method: "GET", path: k.Path("buckets", "b")}, "json"}, {sent{method: "GET", path: k.Path("buckets", "none")}, "bucket-not-found"}},
		"buckets.List":    {{sent{method: "GET", path: k.Path("buckets")}, "json"}},
		"buckets.Update":  {{sent{method: "PUT", path: k.Path("buckets", "b"), body: `{"description":"d"}`}, "unit*"}},
		"buckets.Share":   {{sent{method: "POST", path: k.Path("buckets", "b", "share"), body: `{}`}, "unit"}},
		"buckets.Unshare": {{sent{method: "DELETE", path: k.Path("buckets", "b", "share")}, "unit"}},
		// Other projects are the host's business.
		"buckets.Link":           {{sent{method: "POST", path: k.Path("buckets", "l", "link"), body: `{"shareHandle":"1.x"}`}, "plan-not-available"}},
		"buckets.Unlink":         {{sent{method: "DELETE", path: k.Path("buckets", "b", "link")}, "plan-not-available"}},
		"buckets.RevokeLinks":    {{sent{method: "DELETE", path: k.Path("buckets", "b", "links", "2")}, "plan-not-available"}},
		"buckets.GrantReadOnly":  {{sent{method: "POST", path: k.Path("buckets", "b", "grant-readonly"), body: `{}`}, "unit*"}},
		"buckets.RevokeReadOnly": {{sent{method: "DELETE", path: k.Path("buckets", "b", "grant-readonly")}, "unit"}},
		"files.Delete":           {{sent{method: "DELETE", path: k.Path("files", small.ID)}, "plan-not-available"}},
		"files.Download":         {{sent{method: "GET", path: k.Path("files", small.ID, "content")}, "file"}},
		"files.Get":              {{sent{method: "GET", path: k.Path("files", small.ID)}, "json"}},
		"files.Prepare":          {{sent{method: "POST", path: k.Path("files", "prepare"), body: `{"name":"a"}`}, "plan-not-available"}},
		"files.Register":         {{sent{method: "POST", path: k.Path("files"), body: fmt.Sprintf(`{"id":%q}`, prepared)}, "plan-not-available"}},
		"files.Upload":           {{sent{method: "PUT", path: k.Path("files", prepared, "content"), body: "id,name\n"}, "upload"}},
		"tables.Create":          {{sent{method: "POST", path: k.Path("tables"), body: `{"bucket":"b","name":"new","columns":["a"]}`}, "unit"}},
		"tables.Drop":            {{sent{method: "DELETE", path: table()}, "unit"}},
		"tables.Export":          {{sent{method: "POST", path: table("export"), body: `{}`}, "export"}, {sent{method: "POST", path: table("export"), body: `{}`, header: map[string]string{"Accept": "text/csv"}}, "export"}},
		"tables.ImportFile":      {{sent{method: "POST", path: table("import", "file"), body: fmt.Sprintf(`{"fileId":%q}`, small.ID)}, "unit"}, {sent{method: "POST", path: table("import", "file"), body: fmt.Sprintf(`{"fileId":%q}`, large.ID)}, "unit staged"}},
		"tables.Info":            {{sent{method: "GET", path: table()}, "json"}},
		"tables.List":            {{sent{method: "GET", path: k.Path("tables")}, "json"}},
		"tables.Preview":         {{sent{method: "GET", path: table("preview")}, "rows"}},
		"keys.Create":            {{sent{method: "POST", path: k.Path("keys"), body: `{"permissions":["read"]}`}, "plan-not-available"}},
		"query.Execute": {{k.insert(1), "unit*"}, {sent{method: "POST", path: k.Path("query"), body: `{"sql":"SELECT 1"}`}, "rows"},
			{sent{method: "POST", path: k.Path("query"), body: fmt.Sprintf(`{"sql":"FROM read_csv('%s/files/project_1/a.csv')"}`, k.dir)}, "json"}}, // it cannot be read
	}
	before := bytesBelow(t, k.dir)
	shown := 0
	for _, c := range listCommands(t, k.service.Admin()) {
		cases, known := requests[c.Name]
		if !known && hostPlugins[c.Plugin] {
			cases, known = append(cases, struct {
				sent
				want string
			}{anyInput(c), "plan-not-available"}), true
		}
		if !known {
			t.Errorf("%s has no request here; add one", c.Name)
		}
		for _, r := range cases {
			a := r.with("Prefer", "return=plan").must(t, k.service.Admin())
			form, problem := planOf(t, a)
			if form+problem != r.want {
				t.Errorf("%s: %d %s; want %s", c.Name, a.status, a.body, r.want)
			}
			if bytes.Contains(a.body, []byte(k.dir)) {
				t.Errorf("%s shows a path of the host: %s", c.Name, a.body)
			}
			if problem == "" {
				shown++
				if got := a.header.Get("Preference-Applied"); got != "return=plan" {
					t.Errorf("%s: Preference-Applied is %q", c.Name, got)
				}
			}
		}
	}
	if shown < 15 {
		t.Errorf("only %d plans were shown", shown)
	}
	if diff := cmp.Diff(before, bytesBelow(t, k.dir)); diff != "" {
		t.Errorf("something was done (-before +after):\n%s", diff)
	}
	hidden := requests["tables.ImportFile"][0].with("Prefer", "return=plan").must(t, k.Client)
	if !bytes.Contains(hidden.body, []byte("'<data>/files/project_1/")) {
		t.Errorf("the plan of an import does not show its file: %s", hidden.body)
	}
	// What was shown can still be done.
	if a := k.bucket("in.c-new").must(t, k.Client); a.status != http.StatusCreated {
		t.Errorf("%d %s", a.status, a.body)
	}
	if err := k.service.Stop(); err != nil {
		t.Error(err)
	}
}

// anyInput is a request by name that has all that is required.
func anyInput(c shownCommand) sent {
	r := sent{method: http.MethodPost, path: "/commands/" + c.Name}
	if len(c.Routes) > 0 && strings.Contains(c.Routes[0].Path, "{project}") {
		r.path += "?project=1"
	}
	input := map[string]string{}
	for _, name := range c.Input.Required {
		input[name] = "1"
	}
	body, _ := json.Marshal(input) // texts always marshal
	r.body = string(body)
	return r
}

// planOf is the form of the plan in an answer, with a star for a partial one, and
// whether it stages something; or the slug of a problem.
func planOf(t *testing.T, a *answer) (form, problem string) {
	t.Helper()
	if a.status != http.StatusOK {
		var p service.Problem
		if err := json.Unmarshal(a.body, &p); err != nil {
			t.Errorf("%s: %d %s", a.request, a.status, a.body)
		}
		return "", strings.TrimPrefix(p.Type, "/problems/")
	}
	var p shownPlan
	if err := json.Unmarshal(a.body, &p); err != nil {
		t.Errorf("%s: %s", a.request, a.body)
	}
	switch p.Form {
	case "unit", "rows", "export":
		if len(p.Statements) == 0 {
			t.Errorf("%s: the plan has no statements: %s", a.request, a.body)
		}
	case "file", "upload":
		if p.FileID == "" {
			t.Errorf("%s: the plan has no file: %s", a.request, a.body)
		}
	}
	form = p.Form
	if p.Partial {
		form += "*"
	}
	if len(p.Stage) > 0 {
		form += " staged"
	}
	return form, ""
}

// bytesBelow is a digest of every file of a data directory, by path, without what
// belongs to the run.
func bytesBelow(t *testing.T, dir string) map[string]string {
	t.Helper()
	out := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if e.IsDir() && (e.Name() == "run" || e.Name() == "tmp") {
			return fs.SkipDir
		}
		if !e.Type().IsRegular() {
			return nil
		}
		content, err := os.ReadFile(path)
		out[strings.TrimPrefix(path, dir)] = fmt.Sprintf("%x", sha256.Sum256(content))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// A command by its name answers as its first route does.
func TestCommandsByName(t *testing.T) {
	t.Parallel()
	k := newKeyProject(t)
	run := func(c service.Client, name, body string, header map[string]string) *answer {
		t.Helper()
		return sent{method: http.MethodPost, path: "/commands/" + name, body: body, header: header}.must(t, c)
	}
	for name, tc := range map[string]struct {
		command, body string
		header        map[string]string
		status        int
		contains      string
	}{
		"created":           {"tables.Create?project=1", `{"bucket":"b","name":"t","columns":["a"]}`, nil, http.StatusCreated, `"name":"t"`},
		"in its branch":     {"tables.Info?project=1&branch=default", `{"schema":"b","table":"numbers"}`, nil, http.StatusOK, `"name":"numbers"`},
		"a query parameter": {"tables.Preview?project=1", `{"schema":"b","table":"numbers","limit":1}`, nil, http.StatusOK, `"columns":["n"]`},
		"as CSV":            {"tables.Preview?project=1", `{"schema":"b","table":"numbers"}`, map[string]string{"Accept": "text/csv"}, http.StatusOK, "n\n"},
		"no body":           {"buckets.List?project=1", ``, nil, http.StatusOK, `"items"`},
		"as a plan":         {"buckets.Drop?project=1", `{"bucket":"b"}`, map[string]string{"Prefer": "return=plan"}, http.StatusOK, `"form":"unit"`},
		"as a job":          {"buckets.Create?project=1", `{"name":"in.c-job"}`, map[string]string{"Prefer": "respond-async"}, http.StatusAccepted, `"command":"buckets.Create"`},
	} {
		if a := run(k.Client, tc.command, tc.body, tc.header); a.status != tc.status || !strings.Contains(string(a.body), tc.contains) {
			t.Errorf("%s: %d %s; want %d with %s", name, a.status, a.body, tc.status, tc.contains)
		}
	}
	if a := run(k.service.Admin(), "projects.Update?project=1", `{"name":"One"}`, nil); a.status != http.StatusOK || !strings.Contains(string(a.body), `"name":"One"`) {
		t.Errorf("%d %s", a.status, a.body)
	}
	if a := run(k.Client, "buckets.Drop?project=1", `{"bucket":"b","cascade":true}`, nil); a.status != http.StatusNoContent || len(a.body) != 0 {
		t.Errorf("%d %s", a.status, a.body)
	}
	nobody := service.Client{URL: k.URL}
	for name, tc := range map[string]struct {
		client        service.Client
		command, body string
		status        int
		slug          string
		code          int
	}{
		"unknown":            {k.Client, "tables.Fly?project=1", `{}`, http.StatusNotImplemented, "unsupported", 900},
		"of no plugin":       {k.Client, "nothing", `{}`, http.StatusNotImplemented, "unsupported", 900},
		"no key":             {nobody, "tables.Fly", `{}`, http.StatusUnauthorized, "unauthenticated", 1002},
		"an upload":          {k.Client, "files.Upload?project=1", `{"file":"1"}`, http.StatusUnprocessableEntity, "invalid-request", 3000},
		"no project":         {k.Client, "buckets.List", `{}`, http.StatusBadRequest, "malformed-request", 3000},
		"no project to have": {k.service.Admin(), "projects.List?project=1", `{}`, http.StatusBadRequest, "malformed-request", 3000},
		"twice":              {k.Client, "buckets.List?project=1&project=2", `{}`, http.StatusBadRequest, "malformed-request", 3000},
		"another parameter":  {k.Client, "buckets.List?project=1&limit=1", `{}`, http.StatusBadRequest, "malformed-request", 3000},
		"another project":    {k.Client, "buckets.List?project=2", `{}`, http.StatusNotFound, "project-not-found", 2002},
		"another branch":     {k.Client, "buckets.List?project=1&branch=x", `{}`, http.StatusNotFound, "branch-not-found", 2000},
		"not allowed":        {k.Client, "projects.Drop?project=1", `{}`, http.StatusForbidden, "permission-denied", 2007},
		"an unknown field":   {k.Client, "buckets.Create?project=1", `{"name":"x","nick":"y"}`, http.StatusBadRequest, "malformed-request", 3000},
		"no object":          {k.Client, "buckets.Create?project=1", `[]`, http.StatusBadRequest, "malformed-request", 3000},
	} {
		if err := run(tc.client, tc.command, tc.body, nil).problem(tc.status, tc.slug, tc.code, ""); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := k.service.Stop(); err != nil {
		t.Error(err)
	}
}

// GET /commands tells what a client needs to run a command.
func TestCommandList(t *testing.T) {
	t.Parallel()
	s := start(t, "DUCKDB_STORAGE_PLUGINS__FILES__ENABLED=false")
	found := map[string]shownCommand{}
	for _, c := range listCommands(t, s.Admin()) {
		found[c.Name] = c
	}
	drop := found["buckets.Drop"]
	if drop.Plugin != "buckets" || drop.State != "running" || drop.Effect != "write" || drop.Form != "unit" || len(drop.Routes) != 2 ||
		drop.Routes[0].Method != http.MethodDelete || drop.Routes[0].Status != http.StatusNoContent || !cmp.Equal(drop.Problems, []string{"bucket-not-empty", "bucket-linked"}) {
		t.Errorf("buckets.Drop is %+v", drop)
	}
	if c := found["files.Get"]; c.State != "disabled" || c.Effect != "read" || c.Form != "json" {
		t.Errorf("files.Get is %+v", c)
	}
	if c := found["query.Execute"]; c.State != "running" || c.Form != "plan" {
		t.Errorf("query.Execute is %+v", c)
	}
	a := sent{method: http.MethodPost, path: "/commands/files.Get?project=1", body: `{"file":"1"}`}
	if _, err := s.Admin().CreateProject(t.Context(), "1"); err != nil {
		t.Fatal(err)
	}
	if err := a.must(t, s.Admin()).problem(http.StatusNotImplemented, "plugin-disabled", 900, "files"); err != nil {
		t.Error(err)
	}
	if err := s.Stop(); err != nil {
		t.Error(err)
	}
}
