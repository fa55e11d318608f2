package httpapi

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/google/go-cmp/cmp"
	"github.com/google/jsonschema-go/jsonschema"
	"github.com/gorilla/mux"
	"github.com/hashicorp/go-hclog"
	validator "github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/keboola/duckdb-storage/core/internal/fixture"
	"github.com/keboola/duckdb-storage/core/internal/jobs"
	"github.com/keboola/duckdb-storage/core/internal/metrics"
	"github.com/keboola/duckdb-storage/core/internal/pluginhost"
	"github.com/keboola/duckdb-storage/core/internal/projects"
	"github.com/keboola/duckdb-storage/core/internal/queue"
	"github.com/keboola/duckdb-storage/sdk"
	"github.com/keboola/duckdb-storage/sdk/sql"
)

// served are the core's commands and plugins in the same process, behind a server
// that does not listen.
func served(t *testing.T, plugins ...*sdk.Plugin) *Server {
	t.Helper()
	h := fixture.Open(t, t.TempDir())
	core := &projects.Commands{Executor: h.Executor, Registry: h.Registry, Links: h.Links, Turns: queue.New(queue.Config{}), Version: "1.0.0"}
	m := metrics.New()
	background, err := jobs.Open(t.Context(), h.Registry, jobs.Config{Problem: Problem, Logger: hclog.NewNullLogger(), Observer: m.Jobs})
	if err != nil {
		t.Fatal(err)
	}
	host, err := pluginhost.Open(t.Context(), pluginhost.Config{
		Dir: t.TempDir(), RuntimeDir: h.Layout.Runtime, Logger: hclog.NewNullLogger(), Executor: h.Executor, Observer: m.Plugins, Jobs: background,
	}, append(plugins, core.Plugin(), background.Plugin("1.0.0"))...)
	if err != nil {
		t.Fatal(err)
	}
	background.Serve(host)
	t.Cleanup(func() {
		if err := errors.Join(background.Close(context.Background()), host.Close(context.Background())); err != nil {
			t.Error(err)
		}
	})
	s, err := New(Config{Host: host, Registry: h.Registry, Audit: newAudit(t, h.Registry), Files: h.Files, Executor: h.Executor, Jobs: background, Metrics: m, Logger: hclog.NewNullLogger(), Version: "1.0.0"})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// hostile is what a third party may write to get out of its place.
const hostile = `"'</script></style><script>alert(1)</script><img src=x onerror=alert(2)> {{.}} $(id) ` + "`id`" + ` ${id} \ https://example.com/x`

type part struct {
	Name string `json:"name" jsonschema:"a part that is long enough to be shared by all that have it"`
	Size int    `json:"size,omitempty"`
	More bool   `json:"more,omitempty"`
}

type thingRequest struct {
	Thing string        `json:"thing" in:"path"`
	Limit sdk.PageLimit `json:"limit,omitempty" in:"query"`
	Must  bool          `json:"must" in:"query"`
	Parts []part        `json:"parts,omitempty"`
	One   part          `json:"one"`
}

type thing struct {
	Parts []part `json:"parts"`
	Kind  kind   `json:"kind"`
}

type kind string

func (kind) JSONSchema() *jsonschema.Schema { return sdk.Enum("a", hostile) }

type thingPath struct {
	Thing string `json:"thing" in:"path"`
}

// forest has a schema as other languages make them: it refers into itself.
type forest struct {
	At   string `json:"at" in:"path"`
	Tree any    `json:"tree"`
}

func (forest) JSONSchema() *jsonschema.Schema {
	tree := &jsonschema.Schema{Ref: "#/$defs/a~1tree"}
	return &jsonschema.Schema{
		Type: "object", Required: []string{"at", "tree"},
		Properties: map[string]*jsonschema.Schema{"at": {Ref: "#/$defs/name"}, "tree": tree},
		Defs: map[string]*jsonschema.Schema{
			"name":   {Type: "string"},
			"a/tree": {Type: "object", Properties: map[string]*jsonschema.Schema{"children": {Type: "array", Items: tree}}},
		},
	}
}

type dropped struct {
	Thing string `json:"thing"`
}

// zoo is a plugin with one of everything that a plugin may declare.
func zoo() *sdk.Plugin {
	p := sdk.New("zoo", "1.0.0")
	p.Summary(hostile)
	full := sdk.Code{Slug: "cage-full", Title: hostile, Kind: sdk.Conflict, Driver: 7}
	sdk.Handle(p, sdk.Command[thingRequest, thing]{Name: "zoo.Change", Summary: hostile},
		func(*sdk.Context, thingRequest) (thing, error) { return thing{}, nil },
		sdk.POST(sdk.Catalog+"/x/zoo/{thing}", sdk.Status(201)), sdk.PUT("/x/zoo/{thing}"), sdk.Permission("zoo:write"), sdk.Writes(), sdk.Fails(full))
	sdk.Handle(p, sdk.Command[thingRequest, thing]{Name: "zoo.Read", Summary: "Reads."},
		func(*sdk.Context, thingRequest) (sdk.Rows, error) {
			return sdk.Rows{Statement: sql.Raw("SELECT 1")}, nil
		},
		sdk.GET(sdk.Catalog+"/x/zoo/{thing}"), sdk.Permission("zoo:read"))
	sdk.Handle(p, sdk.Command[thingPath, sdk.File]{Name: "zoo.Bytes"},
		func(*sdk.Context, thingPath) (sdk.File, error) { return sdk.File{}, nil }, sdk.GET("/x/zoo/bytes/{thing}"), sdk.Permission(sdk.AnyKey))
	sdk.Handle(p, sdk.Command[dropped, sdk.None]{Name: "zoo.Drop"},
		func(*sdk.Context, dropped) (sdk.None, error) { return sdk.None{}, nil }, sdk.DELETE("/x/zoo/{thing}"), sdk.Permission(sdk.AdminOnly), sdk.Writes())
	sdk.Handle(p, sdk.Command[forest, forest]{Name: "zoo.Hidden", Summary: "Has no route."},
		func(_ *sdk.Context, in forest) (forest, error) { return in, nil }, sdk.Permission("zoo:read"))
	sdk.Handle(p, sdk.Command[forest, forest]{Name: "zoo.Grow", Summary: "Has a schema that refers into itself."},
		func(_ *sdk.Context, in forest) (forest, error) { return in, nil }, sdk.POST(sdk.Catalog+"/x/zoo/trees/{at}"), sdk.Permission("zoo:read"))
	sdk.Emits(p, sdk.Event[dropped]{Name: "zoo.Dropped", Summary: hostile})
	return p
}

// asJSON is the document of a table as clients read it.
func asJSON(t *testing.T, table *pluginhost.Table) (raw []byte, doc map[string]any) {
	t.Helper()
	raw, err := openAPI(table, "1.0.0")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(raw, &doc); err != nil {
		t.Fatal(err)
	}
	return raw, doc
}

// invalid checks a document against OpenAPI 3.1, references, examples and defaults
// included.
func invalid(raw []byte) error {
	doc, err := openapi3.NewLoader().LoadFromData(raw)
	if err != nil {
		return err
	}
	if !doc.IsOpenAPI31OrLater() {
		return fmt.Errorf("it is OpenAPI %s", doc.OpenAPI)
	}
	return doc.Validate(context.Background(), openapi3.EnableExamplesValidation(), openapi3.EnableSchemaDefaultsValidation(), openapi3.EnableSchemaFormatValidation(), openapi3.IsOpenAPI31OrLater())
}

func TestOpenAPIIsValid(t *testing.T) {
	t.Parallel()
	raw, _ := asJSON(t, served(t, zoo()).cfg.Host.Table())
	if err := invalid(raw); err != nil {
		t.Error(err)
	}
	// The check finds what is wrong.
	for name, change := range map[string][2]string{
		"a reference to nothing":   {`"#/components/schemas/Problem"`, `"#/components/schemas/Nothing"`},
		"an operationId twice":     {`"operationId":"live"`, `"operationId":"health"`},
		"an unknown place":         {`"in":"path"`, `"in":"road"`},
		"a type that is none":      {`{"type":"boolean"}`, `{"type":"bool"}`},
		"a default that is wrong":  {`"default":100`, `"default":"x"`},
		"a parameter without name": {`"name":"slug"`, `"name":""`},
	} {
		broken := bytes.ReplaceAll(raw, []byte(change[0]), []byte(change[1]))
		if bytes.Equal(broken, raw) {
			t.Errorf("%s: the document has no %s", name, change[0])
		}
		if invalid(broken) == nil {
			t.Errorf("%s is not found", name)
		}
	}
}

// The document has every route that the router has, and no other.
func TestOpenAPIHasEveryRoute(t *testing.T) {
	t.Parallel()
	s := served(t, zoo())
	var want, got []string
	router := s.router(s.cfg.Host.Table()).(*mux.Router)
	err := router.Walk(func(route *mux.Route, _ *mux.Router, _ []*mux.Route) error {
		path, err := route.GetPathTemplate()
		if err != nil {
			return err
		}
		methods, err := route.GetMethods()
		for _, m := range methods {
			if m != http.MethodHead || strings.Contains(path, "/x/zoo/bytes/") { // the preface says where HEAD works
				want = append(want, m+" "+path)
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for path, methods := range describe(s.cfg.Host.Table(), "").Paths {
		for m := range methods {
			if strings.HasPrefix(path, commandPath+"zoo.") {
				continue // by its name, which the router has as a parameter
			}
			got = append(got, strings.ToUpper(m)+" "+path)
		}
	}
	slices.Sort(want)
	slices.Sort(got)
	if diff := cmp.Diff(want, got); diff != "" || len(got) < 20 {
		t.Errorf("routes (-router +document):\n%s", diff)
	}
}

// Every operation says who may, what may go wrong, and what it takes.
func TestOpenAPIOperations(t *testing.T) {
	t.Parallel()
	doc := describe(served(t, zoo()).cfg.Host.Table(), "")
	ids := map[string]string{}
	for path, methods := range doc.Paths {
		for method, o := range methods {
			where := method + " " + path
			if other, taken := ids[o.ID]; taken || o.ID == "" {
				t.Errorf("%s has the id of %s: %q", where, other, o.ID)
			}
			ids[o.ID] = where
			for _, slug := range o.Problems {
				if _, known := doc.Problems[slug]; !known {
					t.Errorf("%s may answer with %s, which nothing explains", where, slug)
				}
				if status := fmt.Sprint(doc.Problems[slug].Status); o.Responses[status] == nil {
					t.Errorf("%s may answer with %s and has no %s", where, slug, status)
				}
			}
			if o.Command == "" {
				continue
			}
			if o.Permission == "" {
				t.Errorf("%s has no permission", where)
			}
			statuses := []string{"400", "401", "403", "422", "500", "501", "503", "504", "default"}
			if strings.Contains(path, "{project}") {
				statuses = append(statuses, "404")
			}
			if o.Effect == "write" {
				statuses = append(statuses, "409", "429")
			}
			for _, status := range statuses {
				if o.Responses[status] == nil {
					t.Errorf("%s has no %s", where, status)
				}
			}
			if write := slices.Contains(o.Parameters, parameter{Ref: parameterRef + "Idempotency-Key"}); write != (o.Effect == "write") {
				t.Errorf("%s: Idempotency-Key %v, effect %s", where, write, o.Effect)
			}
		}
	}
	for id, want := range map[string]string{
		"zoo.Change": "post /projects/{project}/x/zoo/{thing}", "zoo.Change:branch": "post /projects/{project}/branches/{branch}/x/zoo/{thing}",
		"zoo.Change:2": "put /x/zoo/{thing}", "zoo.Bytes:head": "head /x/zoo/bytes/{thing}", "zoo.Drop": "delete /x/zoo/{thing}",
	} {
		if ids[id] != want {
			t.Errorf("%s is %q, want %s", id, ids[id], want)
		}
	}
}

// What a plugin declares is where clients look for it.
func TestOpenAPIOfAPlugin(t *testing.T) {
	t.Parallel()
	_, doc := asJSON(t, served(t, zoo()).cfg.Host.Table())
	for path, want := range map[string]any{
		"paths|/projects/{project}/x/zoo/{thing}|post|requestBody|content|application/json|schema|$ref":  "#/components/schemas/zoo.Change.Request",
		"paths|/projects/{project}/x/zoo/{thing}|post|x-permission":                                      "zoo:write",
		"paths|/projects/{project}/x/zoo/{thing}|post|summary":                                           hostile,
		"paths|/projects/{project}/x/zoo/{thing}|get|responses|200|content|application/json|schema|$ref": "#/components/schemas/zoo.Change.Response",
		"paths|/projects/{project}/x/zoo/{thing}|get|responses|200|content|text/csv|schema":              nil,
		"paths|/projects/{project}/x/zoo/{thing}|get|requestBody|required":                               true,
		"paths|/projects/{project}/x/zoo/{thing}|get|responses|429":                                      nil,
		"paths|/projects/{project}/x/zoo/{thing}|post|responses|202|$ref":                                "#/components/responses/Accepted",
		"paths|/x/zoo/{thing}|delete|security":                                                           []any{map[string]any{"adminKey": []any{}}},
		"paths|/x/zoo/bytes/{thing}|get|security":                                                        nil, // any key, as the document says
		"paths|/x/zoo/bytes/{thing}|get|responses|206|description":                                       "A part of the file, as Range asks for.",
		"paths|/commands/zoo.Hidden|post|x-command":                                                      "zoo.Hidden",
		"paths|/commands/zoo.Hidden|post|requestBody|content|application/json|schema|$ref":               "#/components/schemas/zoo.Grow.Request",
		"components|schemas|zoo.Grow.Request|properties|tree|$ref":                                       "#/components/schemas/zoo.Grow.Request/$defs/a~1tree",
		"components|schemas|zoo.Grow.Request|$defs|a/tree|properties|children|items|$ref":                "#/components/schemas/zoo.Grow.Request/$defs/a~1tree",
		"paths|/health|get|security":                                                                     []any{},
		"components|schemas|zoo.Change.Request|required":                                                 []any{"one"},
		"components|schemas|zoo.Change.Request|properties|thing":                                         nil,
		"components|schemas|zoo.Change.Request|properties|parts|items|$ref":                              "#/components/schemas/zoo.Change.Request.one",
		"components|schemas|zoo.Change.Response|properties|parts|items|$ref":                             "#/components/schemas/zoo.Change.Request.one",
		"components|responses|Accepted|headers|Location|$ref":                                            "#/components/headers/Location",
		"x-events|zoo.Dropped|plugin":                                                                    "zoo",
		"x-problems|cage-full|status":                                                                    409.0,
		"x-problems|cage-full|plugins":                                                                   []any{"zoo"},
		"x-problems|table-not-found|title":                                                               "Table not found",
	} {
		var at any = doc
		for step := range strings.SplitSeq(path, "|") {
			members, _ := at.(map[string]any)
			at = members[step]
		}
		if diff := cmp.Diff(want, at); diff != "" {
			t.Errorf("%s: %s", path, diff)
		}
	}
}

// Each schema is one of JSON Schema 2020-12, and all together are compiled within
// the document, so that every reference is followed.
func TestOpenAPISchemasCompile(t *testing.T) {
	t.Parallel()
	raw, _ := asJSON(t, served(t, zoo()).cfg.Host.Table())
	doc, err := validator.UnmarshalJSON(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	c := validator.NewCompiler()
	c.DefaultDraft(validator.Draft2020)
	if err := c.AddResource("openapi.json", doc); err != nil {
		t.Fatal(err)
	}
	named := doc.(map[string]any)["components"].(map[string]any)["schemas"].(map[string]any)
	for _, name := range slices.Sorted(maps.Keys(named)) {
		if _, err := c.Compile("openapi.json#/components/schemas/" + name); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if len(named) < 10 {
		t.Errorf("%d schemas", len(named))
	}
}

// Schemas of other languages refer into themselves. They keep their meaning in the
// document, or are left out, and never break it.
func TestSchemaReferences(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct{ schema, want string }{
		"of its own":     {`{"$defs":{"a/b":{"type":"string"}},"properties":{"x":{"$ref":"#/$defs/a~1b"}}}`, `{"$defs":{"a/b":{"type":"string"}},"properties":{"x":{"$ref":"#/components/schemas/n/$defs/a~1b"}}}`},
		"recursive":      {`{"properties":{"x":{"$ref":"#"}}}`, `{"properties":{"x":{"$ref":"#/components/schemas/n"}}}`},
		"to another":     {`{"properties":{"x":{"$ref":"https://example.com/s.json"}}}`, ""},
		"with an id":     {`{"$id":"https://example.com/","properties":{"x":{"$ref":"#/properties/y"}}}`, ""},
		"by an anchor":   {`{"properties":{"x":{"$ref":"#a"}},"$defs":{"a":{"$anchor":"a"}}}`, ""},
		"a large number": {`{"maximum":9007199254740993}`, `{"maximum":9007199254740993}`},
		"no JSON":        {`{`, `{}`},
		"no schema":      {`[1]`, `{}`},
		"everything":     {`true`, `true`},
	} {
		s := newSchemas()
		s.add("n", clone([]byte(tc.schema)))
		s.share()
		got := canonical(s.named["n"])
		if tc.want == "" && strings.Contains(got, `"description":"This schema`) {
			continue
		}
		if got != tc.want {
			t.Errorf("%s: got %s, want %s", name, got, tc.want)
		}
	}
}
