package httpapi

import (
	"bytes"
	"encoding/json"
	"html"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"testing"

	validator "github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/keboola/duckdb-storage/core/internal/pluginhost"
	"github.com/keboola/duckdb-storage/sdk"
	pluginv1 "github.com/keboola/duckdb-storage/sdk/proto/duckdbstorage/plugin/v1"
)

// browse asks a server as a client that likes accept best.
func browse(t *testing.T, s *Server, path, accept string) (status int, header http.Header, body string) {
	t.Helper()
	w := httptest.NewRecorder()
	r := httptest.NewRequest(http.MethodGet, path, nil)
	if accept != "" {
		r.Header.Set("Accept", accept)
	}
	s.http.Handler.ServeHTTP(w, r)
	return w.Code, w.Header(), w.Body.String()
}

var (
	wholeTag         = regexp.MustCompile(`<[a-z0-9][^>]*>`)
	tagPattern       = regexp.MustCompile(`<([a-z0-9]+)`)
	attributePattern = regexp.MustCompile(`\s(src|href|action|style|on[a-z]+)="?([^"> ]*)`)
)

// The page is whole in itself, whatever a plugin says of itself.
func TestDocsAreSafe(t *testing.T) {
	t.Parallel()
	status, header, page := browse(t, served(t, zoo()), "/docs", "text/html")
	if status != http.StatusOK || header.Get("Content-Type") != htmlType {
		t.Fatalf("%d %s", status, header.Get("Content-Type"))
	}
	allowed := strings.Fields("html head meta title style body header h1 h2 h3 h4 small input nav a main section p pre code b table tr td details summary br div script")
	for _, m := range tagPattern.FindAllStringSubmatch(strings.Replace(page, docsJS, "", 1), -1) {
		if !slices.Contains(allowed, m[1]) {
			t.Errorf("the page has a <%s>", m[1])
		}
	}
	if n := strings.Count(page, "<script>") + strings.Count(page, "<style>"); n != 2 {
		t.Errorf("%d scripts and styles", n)
	}
	tags := strings.Join(wholeTag.FindAllString(page, -1), " ")
	for _, m := range attributePattern.FindAllStringSubmatch(tags, -1) {
		if m[1] != "href" || !strings.HasPrefix(m[2], "#") && !strings.HasPrefix(m[2], "/") || strings.HasPrefix(m[2], "//") {
			t.Errorf("the page has %s=%q", m[1], m[2])
		}
	}
	if !strings.Contains(html.UnescapeString(page), hostile) {
		t.Error("the page does not show what the plugin says of itself")
	}
	if strings.Contains(page, "alert(1)</script>") {
		t.Error("the page has the plugin's script")
	}
}

// The policy of the page allows its own style and script, as they are, and nothing
// else.
func TestDocsPolicy(t *testing.T) {
	t.Parallel()
	s := served(t)
	_, header, page := browse(t, s, "/docs", "")
	policy := header.Get("Content-Security-Policy")
	for _, tag := range []string{"style", "script"} {
		_, rest, _ := strings.Cut(page, "<"+tag+">")
		text, _, found := strings.Cut(rest, "</"+tag+">")
		if want := tag + "-src '" + hashOf(text) + "'"; !found || !strings.Contains(policy, want) {
			t.Errorf("the policy %s does not allow %s", policy, want)
		}
	}
	if !strings.HasPrefix(policy, "default-src 'none'; ") || strings.Contains(policy, "unsafe") {
		t.Errorf("policy %s", policy)
	}
	if _, _, again := browse(t, s, "/docs", ""); again != page {
		t.Error("the page is another one the second time")
	}
	if len(page) > 100_000 {
		t.Errorf("the page has %d bytes", len(page))
	}
}

// Every command, route, event and type of problem is on the page, and every link
// within it leads somewhere.
func TestDocsAreComplete(t *testing.T) {
	t.Parallel()
	s := served(t, zoo())
	_, _, page := browse(t, s, "/docs", "")
	doc := describe(s.cfg.Host.Table(), "")
	ids := map[string]bool{}
	for _, m := range regexp.MustCompile(` id="([^"]*)"`).FindAllStringSubmatch(page, -1) {
		if id := html.UnescapeString(m[1]); ids[id] {
			t.Errorf("the id %s is there twice", id)
		} else {
			ids[id] = true
		}
	}
	for path, methods := range doc.Paths {
		if !strings.Contains(page, "<code>"+html.EscapeString(path)+"</code>") {
			t.Errorf("the page has no %s", path)
		}
		for _, o := range methods {
			if o.Command != "" && !ids["c-"+o.Command] {
				t.Errorf("the page has no %s", o.Command)
			}
		}
	}
	for slug := range doc.Problems {
		if !ids["p-"+slug] {
			t.Errorf("the page has no %s", slug)
		}
	}
	for name := range doc.Events {
		if !ids["e-"+name] {
			t.Errorf("the page has no %s", name)
		}
	}
	links := regexp.MustCompile(`href="#([^"]*)"`).FindAllStringSubmatch(page, -1)
	for _, m := range links {
		if !ids[html.UnescapeString(m[1])] {
			t.Errorf("the link #%s leads nowhere", m[1])
		}
	}
	if len(links) < 100 {
		t.Errorf("%d links", len(links))
	}
}

// The input of an example is what its command takes. (That a shell takes the line is
// tested with the real service.)
func TestDocsExamples(t *testing.T) {
	t.Parallel()
	table := served(t, zoo()).cfg.Host.Table()
	doc := describe(table, "")
	bodies := 0
	for _, methods := range doc.Paths {
		for _, o := range methods {
			if o.Command == "" || o.Body == nil || o.Body.Content["application/json"].Schema == nil {
				continue
			}
			bodies++
			checkExample(t, table, o, canonical(doc.example(o.Body.Content["application/json"].Schema, "", 0)))
		}
	}
	if bodies < 5 {
		t.Errorf("%d examples with a body", bodies)
	}
	path, quoted := shellPath("/a/{b-c}/$(d)`\\\"/{e}"), singleQuoted("it's $x")
	if path != "/a/${B_C}/\\$(d)\\`\\\\\\\"/${E}" || quoted != `'it'\''s $x'` {
		t.Errorf("got %s and %s", path, quoted)
	}
	if path := shellPath("/keys/{key}"); path != "/keys/${KEY_ID}" {
		t.Errorf("a path with the secret of a key: %s", path)
	}
}

// checkExample completes the body of an example with its parameters and checks it as
// a request is checked.
func checkExample(t *testing.T, table *pluginhost.Table, o *operation, body string) {
	t.Helper()
	var members map[string]any
	if err := json.Unmarshal([]byte(body), &members); err != nil {
		t.Errorf("%s: %v: %s", o.ID, err, body)
		return
	}
	for _, c := range table.Commands() {
		if c.GetName() != o.Command {
			continue
		}
		for _, p := range c.GetParameters() {
			if p.GetLocation() == pluginv1.Location_LOCATION_PATH {
				members[p.GetName()] = p.GetName()
			}
		}
		if strings.HasPrefix(o.Command, "zoo.") && members["one"] != nil {
			members["must"] = true // in the query
		}
		doc, err := validator.UnmarshalJSON(bytes.NewReader(c.GetInputSchema()))
		if err != nil {
			t.Fatal(err)
		}
		compiler := validator.NewCompiler()
		if err := compiler.AddResource("input.json", doc); err != nil {
			t.Fatal(err)
		}
		if err := compiler.MustCompile("input.json").Validate(members); err != nil {
			t.Errorf("%s does not take the example %s: %v", o.Command, body, err)
		}
	}
}

// A type of problem is shown to people and programs at the address that every
// problem of it names.
func TestProblemTypeIsServed(t *testing.T) {
	t.Parallel()
	s := served(t, zoo())
	for _, tc := range []struct{ accept, mediaType string }{
		{"", "application/json"}, {"*/*", "application/json"}, {"application/json", "application/json"},
		{"text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", htmlType},
		{"text/html;q=0.5, application/json", "application/json"}, {"image/png", "application/json"},
	} {
		status, header, body := browse(t, s, "/problems/table-not-found", tc.accept)
		if status != http.StatusOK || header.Get("Content-Type") != tc.mediaType || !strings.Contains(body, "Table not found") || !strings.Contains(body, "404") {
			t.Errorf("%q: %d %s %s", tc.accept, status, header.Get("Content-Type"), body)
		}
		if (header.Get("Content-Security-Policy") != "") != (tc.mediaType == htmlType) {
			t.Errorf("%q: policy %q", tc.accept, header.Get("Content-Security-Policy"))
		}
	}
	_, _, body := browse(t, s, "/problems/cage-full", "text/html")
	if strings.Contains(body, "<script>") || !strings.Contains(html.UnescapeString(body), hostile) {
		t.Errorf("a plugin's problem: %s", body)
	}
	var own problemType
	_, _, body = browse(t, s, "/problems/cage-full", "")
	if err := json.Unmarshal([]byte(body), &own); err != nil || own.Status != http.StatusConflict || own.Code != 7 || !slices.Equal(own.Plugins, []string{"zoo"}) || own.Action == "" {
		t.Errorf("%+v, %v", own, err)
	}
	status, _, body := browse(t, s, "/problems/no-such-type", "")
	if status != http.StatusNotFound || !strings.Contains(body, "/problems/"+sdk.ErrNotFound.Slug) {
		t.Errorf("%d %s", status, body)
	}
}
