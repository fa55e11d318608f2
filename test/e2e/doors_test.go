package e2e_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/keboola/duckdb-storage/sdk/sdktest/service"
)

// door is one way into the service: a route of the API document, or a command by its
// name. Its path has names in braces.
type door struct {
	method, path        string
	command, permission string
}

func (d door) String() string { return d.method + " " + d.path }

// inProject reports whether the door leads into a project.
func (d door) inProject() bool { return strings.Contains(d.path, "{project}") }

// doors lists all of them, as the service itself tells.
func doors(t *testing.T, s *service.Service) []door {
	t.Helper()
	var doc struct {
		Paths map[string]map[string]struct {
			Command    string `json:"x-command"`
			Permission string `json:"x-permission"`
		}
	}
	var commands struct {
		Items []struct {
			Name, Permission string
			Routes           []struct{ Method, Path string }
		}
	}
	fetch(t, s.Admin(), "/openapi.json", &doc)
	fetch(t, s.Admin(), "/commands", &commands)
	out := []door{{http.MethodHead, "/metrics", "", "admin"}} // the document shows no HEAD of a route that GET has
	permissions := map[string]string{}
	for _, c := range commands.Items {
		permissions[c.Name] = c.Permission
		d := door{method: http.MethodPost, path: "/commands/" + c.Name, command: c.Name, permission: c.Permission}
		if len(c.Routes) == 0 || strings.Contains(c.Routes[0].Path, "{project}") {
			d.path += "?project={project}"
		}
		out = append(out, d)
		for _, r := range c.Routes {
			if doc.Paths[r.Path][strings.ToLower(r.Method)].Command != c.Name {
				t.Errorf("%s %s is not in the API document", r.Method, r.Path)
			}
		}
	}
	for path, methods := range doc.Paths {
		for method, o := range methods {
			if o.Command != "" && (o.Permission == "" || o.Permission != permissions[o.Command]) {
				t.Errorf("%s %s takes %q, and its command %q", method, path, o.Permission, permissions[o.Command])
			}
			if path != "/commands/{name}" && !strings.HasPrefix(path, "/commands/") { // each of them is above
				out = append(out, door{strings.ToUpper(method), path, o.Command, o.Permission})
			}
		}
	}
	if len(out) < 80 {
		t.Fatalf("there are only %d doors", len(out))
	}
	slices.SortFunc(out, func(a, b door) int { return strings.Compare(a.String(), b.String()) })
	return out
}

func fetch(t *testing.T, c service.Client, path string, out any) {
	t.Helper()
	if _, err := c.Do(t.Context(), http.MethodGet, path, nil, out); err != nil {
		t.Fatalf("GET %s: %v", path, err)
	}
}

var inBraces = regexp.MustCompile(`\{[^}]*\}`)

// named puts names into a path. One that the test does not know must be thought about.
func named(t *testing.T, d door, names map[string]string) string {
	t.Helper()
	return inBraces.ReplaceAllStringFunc(d.path, func(parameter string) string {
		name, ok := names[strings.Trim(parameter, "{}")]
		if !ok {
			t.Fatalf("%s: the test knows no %s", d, parameter)
		}
		return url.PathEscape(name)
	})
}

// knock sends a request with an Authorization header and returns the answer.
func knock(t *testing.T, s *service.Service, d door, path, authorization string, header http.Header) (int, service.Problem, http.Header) {
	t.Helper()
	var body io.Reader
	if d.method == http.MethodPost || d.method == http.MethodPut {
		body = strings.NewReader("{}")
	}
	header = maps.Clone(header)
	if header == nil {
		header = http.Header{}
	}
	if authorization != "" {
		header.Set("Authorization", authorization)
	}
	resp, err := service.Client{URL: s.URL()}.Send(t.Context(), d.method, path, header, body)
	must(t, err)
	defer resp.Body.Close()
	var p service.Problem
	if d.method != http.MethodHead && strings.HasPrefix(resp.Header.Get("Content-Type"), "application/problem") {
		must(t, json.NewDecoder(resp.Body).Decode(&p))
	}
	return resp.StatusCode, p, resp.Header
}

// keyShown is a key as the API shows it, with its secret when it is new.
type keyShown struct {
	ID, Description, APIKey                string
	Permissions                            []string
	Branch, ExpiresAt, ReplacedSecretUntil *string
}

// makeKey makes a key of a project.
func makeKey(t *testing.T, s *service.Service, project, body string) keyShown {
	t.Helper()
	var k keyShown
	if _, err := s.Admin().Do(t.Context(), http.MethodPost, "/projects/"+project+"/keys", json.RawMessage(body), &k); err != nil {
		t.Fatal(err)
	}
	return k
}

// rotate gives a key of project 1 a new secret.
func rotate(t *testing.T, c service.Client, id string, overlap int) keyShown {
	t.Helper()
	var k keyShown
	if _, err := c.Do(t.Context(), http.MethodPost, "/projects/1/keys/"+id+"/rotate", map[string]int{"overlapSeconds": overlap}, &k); err != nil {
		t.Fatal(err)
	}
	return k
}

// untilRefused waits until a secret does not open project 1 any more and returns why.
func untilRefused(t *testing.T, s *service.Service, secret string) (why string) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(patience); ; <-tick.C {
		status, p, _ := knock(t, s, door{method: http.MethodGet}, "/projects/1", "Bearer "+secret, nil)
		switch {
		case status == http.StatusUnauthorized:
			return p.Detail
		case time.Now().After(deadline):
			t.Fatalf("the secret still opens the project: %d", status)
		}
	}
}

// furnished makes a project with a bucket, a table with a row, a file and a job, and
// returns the names of them all.
func furnished(t *testing.T, s *service.Service, id string) map[string]string {
	t.Helper()
	p, err := s.Admin().CreateProject(t.Context(), id)
	must(t, err)
	must(t, p.CreateBucket(t.Context(), "in.c-a"))
	must(t, p.CreateTable(t.Context(), "in.c-a", "t", []string{"id"}))
	f, err := p.Upload(t.Context(), "a.csv", strings.NewReader("id\n1\n"))
	must(t, err)
	_, err = p.Import(t.Context(), "in.c-a", "t", f.ID)
	must(t, err)
	j := startJob(t.Context(), t, p.Client, p.Path("tables", "in.c-a", "t", "export"), map[string]any{})
	awaitJob(t.Context(), t, p.Client, j.ID, job.done)
	return map[string]string{
		"project": id, "branch": "default", "bucket": "in.c-a", "schema": "in.c-a", "table": "t", "file": f.ID, "id": j.ID, "name": "files",
		"slug": "conflict", "key": makeKey(t, s, id, `{"permissions":["read"],"description":"to be tried at"}`).ID, "targetProject": "none",
	}
}

// state is what the doors lead to, as far as requests could change it.
func state(t *testing.T, s *service.Service, names map[string]string) map[string]string {
	t.Helper()
	project := "/projects/" + names["project"]
	out := map[string]string{}
	for _, path := range []string{
		"/projects", "/admin/plugins", "/jobs", project + "/keys", project + "/buckets", project + "/buckets/in.c-a", project + "/tables/in.c-a/t",
		project + "/tables/in.c-a/t/preview", project + "/files/" + names["file"], project + "/files/" + names["file"] + "/content",
	} {
		var body bytes.Buffer
		fetch(t, s.Admin(), path, &body)
		out[path] = body.String()
	}
	return out
}

// needs is the level that a permission takes: 1 read, 2 write, 3 admin of a project, 4
// the admin of the service; 0 is any key.
func needs(permission string) int {
	switch permission {
	case "any":
		return 0
	case "admin":
		return 4
	}
	_, level, _ := strings.Cut(permission, ":")
	return slices.Index([]string{"", "read", "write", "admin"}, level)
}

// refusal is what a door answers to a key of a project with a level: 0 is none, it is
// let in.
func refusal(d door, own bool, level int) (status int, slug string) {
	switch {
	case d.permission == "any":
		return 0, ""
	case d.inProject() && !own:
		return http.StatusNotFound, "project-not-found"
	case level < needs(d.permission):
		return http.StatusForbidden, "permission-denied"
	}
	return 0, ""
}

// Every door of the service is closed to everybody but those for whom it is declared, in
// every way to ask; and whoever was refused has changed nothing.
func TestEveryDoorIsClosed(t *testing.T) {
	t.Parallel()
	s := start(t)
	names := furnished(t, s, "1")
	other, err := s.Admin().CreateProject(t.Context(), "2")
	must(t, err)
	outside := badKeys(t, s)
	inside := map[string]struct {
		secret string
		own    bool
		level  int
	}{
		"read":             {makeKey(t, s, "1", `{"permissions":["read"]}`).APIKey, true, 1},
		"read of a branch": {makeKey(t, s, "1", `{"permissions":["read"],"branch":"default"}`).APIKey, true, 1},
		"write":            {makeKey(t, s, "1", `{"permissions":["write"]}`).APIKey, true, 2},
		"write of one day": {makeKey(t, s, "1", fmt.Sprintf(`{"permissions":["write"],"expiresAt":%q}`, time.Now().Add(24*time.Hour).Format(time.RFC3339))).APIKey, true, 2},
		"admin":            {makeKey(t, s, "1", `{"permissions":["admin"]}`).APIKey, true, 3},
		"other project":    {other.Key, false, 3},
	}
	before := state(t, s, names)
	var public []string
	tried := 0
	for _, d := range doors(t, s) {
		path := named(t, d, names)
		if d.permission == "" {
			public = append(public, d.String())
			if status, _, _ := knock(t, s, d, path, "", nil); status != http.StatusOK {
				t.Errorf("%s without a key: %d", d, status)
			}
			continue
		}
		if needs(d.permission) < 0 {
			t.Errorf("%s takes the permission %q, which no key has by its name", d, d.permission)
		}
		for n, header := range []http.Header{nil, {"Prefer": {"respond-async"}}, {"Prefer": {"return=plan"}}, {"Idempotency-Key": {"door"}}} {
			for name, authorization := range outside {
				if n > 0 && !slices.Contains([]string{"no key", "a deleted key", "an expired key"}, name) {
					continue
				}
				status, p, head := knock(t, s, d, path, authorization, header)
				if status != http.StatusUnauthorized || head.Get("WWW-Authenticate") != "Bearer" || d.method != http.MethodHead && (p.Type != "/problems/unauthenticated" || p.Code != 1002) {
					t.Errorf("%s with %s, way %d: %d %+v", d, name, n, status, p)
				}
				tried++
			}
			for name, key := range inside {
				wantStatus, want := refusal(d, key.own, key.level)
				if wantStatus == 0 {
					continue
				}
				status, p, _ := knock(t, s, d, path, "Bearer "+key.secret, header)
				if status != wantStatus || d.method != http.MethodHead && p.Type != "/problems/"+want {
					t.Errorf("%s with %s, way %d: %d %+v, want %d %s", d, name, n, status, p, wantStatus, want)
				}
				if status == http.StatusForbidden && d.method != http.MethodHead && (p.Code != 2007 || d.permission != "admin" && p.Context["permission"] != d.permission) {
					t.Errorf("%s with %s: the refusal does not name %s: %+v", d, name, d.permission, p)
				}
				tried++
			}
		}
	}
	if diff := cmp.Diff(before, state(t, s, names)); diff != "" {
		t.Errorf("somebody who was refused has changed it:\n%s", diff)
	}
	want := []string{"GET /commands", "GET /docs", "GET /health", "GET /livez", "GET /openapi.json", "GET /problems/{slug}", "GET /readyz"}
	if diff := cmp.Diff(want, public); diff != "" || tried < 3000 {
		t.Errorf("%d requests; doors that are open to everybody:\n%s", tried, diff)
	}
}

// badKeys are the Authorization headers with which nobody gets in.
func badKeys(t *testing.T, s *service.Service) map[string]string {
	t.Helper()
	deleted := makeKey(t, s, "1", `{"permissions":["admin"]}`)
	if _, err := s.Admin().Do(t.Context(), http.MethodDelete, "/projects/1/keys/"+deleted.ID, nil, nil); err != nil {
		t.Fatal(err)
	}
	rotated := makeKey(t, s, "1", `{"permissions":["admin"]}`)
	rotate(t, s.Admin(), rotated.ID, 0)
	overlapped := makeKey(t, s, "1", `{"permissions":["admin"]}`)
	rotate(t, s.Admin(), overlapped.ID, 1)
	expired := makeKey(t, s, "1", fmt.Sprintf(`{"permissions":["admin"],"expiresAt":%q}`, time.Now().Add(time.Second).Format(time.RFC3339Nano)))
	if why := untilRefused(t, s, expired.APIKey); !strings.Contains(why, "expired at "+*expired.ExpiresAt) {
		t.Errorf("the refusal of an expired key says %q", why)
	}
	if why := untilRefused(t, s, overlapped.APIKey); !strings.Contains(why, "was rotated") {
		t.Errorf("the refusal of a secret that was rotated out says %q", why)
	}
	valid := makeKey(t, s, "1", `{"permissions":["admin"]}`).APIKey
	return map[string]string{
		"no key": "", "a scheme alone": "Bearer", "a blank": "Bearer  ", "the key alone": s.AdminKey, "another scheme": "Basic " + s.AdminKey,
		"a key twice": "Bearer " + valid + " " + valid, "a part of a key": "Bearer " + valid[:len(valid)-1], "a longer key": "Bearer " + valid + "A",
		"a wrong key": "Bearer dsp_" + strings.Repeat("A", 43), "a deleted key": "Bearer " + deleted.APIKey, "an expired key": "Bearer " + expired.APIKey,
		"a secret that was rotated out": "Bearer " + rotated.APIKey, "one whose overlap is over": "Bearer " + overlapped.APIKey,
	}
}

// The right key gets past each door: with the least that is declared, and with more.
func TestEveryDoorOpens(t *testing.T) {
	t.Parallel()
	s := start(t)
	if _, err := s.Admin().CreateProject(t.Context(), "1"); err != nil {
		t.Fatal(err)
	}
	// Of what is not there nothing is changed.
	names := map[string]string{"project": "1", "branch": "default", "slug": "conflict"}
	for _, name := range []string{"bucket", "schema", "table", "file", "id", "name", "key", "targetProject"} {
		names[name] = "none"
	}
	keys := []struct {
		name, secret string
		level        int
	}{
		{"read", makeKey(t, s, "1", `{"permissions":["read"]}`).APIKey, 1}, {"read of a branch", makeKey(t, s, "1", `{"permissions":["read"],"branch":"default"}`).APIKey, 1},
		{"write", makeKey(t, s, "1", `{"permissions":["write"]}`).APIKey, 2}, {"write of a branch", makeKey(t, s, "1", `{"permissions":["write"],"branch":"default"}`).APIKey, 2},
		{"admin", makeKey(t, s, "1", `{"permissions":["admin"]}`).APIKey, 3}, {"the admin key", s.AdminKey, 4},
	}
	opened := 0
	for _, d := range doors(t, s) {
		if d.permission == "" || d.command == "projects.Drop" { // below
			continue
		}
		path := named(t, d, names)
		for _, k := range keys {
			if k.level < needs(d.permission) {
				continue
			}
			status, p, _ := knock(t, s, d, path, "Bearer "+k.secret, nil)
			if status == http.StatusUnauthorized || status == http.StatusForbidden || status >= 500 && p.Type != "/problems/unsupported" ||
				p.Type == "/problems/project-not-found" || p.Type == "/problems/branch-not-found" {
				t.Errorf("%s with %s: %d %+v", d, k.name, status, p)
			}
			opened++
		}
	}
	if opened < 300 {
		t.Errorf("only %d doors were opened", opened)
	}
	if status, err := s.Admin().Do(t.Context(), http.MethodDelete, "/projects/1", nil, nil); status != http.StatusNoContent {
		t.Errorf("drop of a project: %d, %v", status, err)
	}
}

// What is not among the branches of a key, or of the project, does not exist.
func TestDoorsOfBranches(t *testing.T) {
	t.Parallel()
	s := start(t)
	names := furnished(t, s, "1")
	names["branch"] = "7"
	bound, wide := makeKey(t, s, "1", `{"permissions":["write"],"branch":"default"}`), makeKey(t, s, "1", `{"permissions":["admin"]}`)
	tried := 0
	for _, d := range doors(t, s) {
		if !strings.Contains(d.path, "{branch}") {
			continue
		}
		for _, secret := range []string{bound.APIKey, wide.APIKey, s.AdminKey} {
			status, p, _ := knock(t, s, d, named(t, d, names), "Bearer "+secret, nil)
			if status != http.StatusNotFound || p.Type != "/problems/branch-not-found" {
				t.Errorf("%s: %d %+v", d, status, p)
			}
			tried++
		}
	}
	if tried < 30 {
		t.Errorf("only %d requests", tried)
	}
	if bound.Branch == nil || *bound.Branch != "default" || wide.Branch != nil {
		t.Errorf("%+v, %+v", bound, wide)
	}
}
