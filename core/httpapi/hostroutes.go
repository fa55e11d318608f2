package httpapi

import (
	"maps"
	"net/http"
	"slices"
	"strconv"

	"github.com/keboola/duckdb-storage/core/internal/engine"
	"github.com/keboola/duckdb-storage/core/internal/jobs"
	"github.com/keboola/duckdb-storage/core/internal/metrics"
	"github.com/keboola/duckdb-storage/sdk"
)

// serviceTag groups the routes that are no commands.
const serviceTag = "service"

// hostRoute describes a route that the router has of its own.
type hostRoute struct {
	method, path string
	id, summary  string
	permission   string // empty: needs no key
	parameters   []parameter
	body         any // schema, or nil
	// answers are the schemas of successes by status and media type; nil where the
	// bytes are no JSON.
	answers map[string]map[string]any
	codes   []sdk.Code
	// asCommand answers with whatever a command may answer with.
	asCommand bool
}

// hostRoutes describes every route of the router that is no command's.
func hostRoutes() []hostRoute {
	const jsonType, html = string(engine.JSON), "text/html; charset=utf-8"
	get := func(path, id, summary string, answers map[string]map[string]any) hostRoute {
		return hostRoute{method: http.MethodGet, path: path, id: id, summary: summary, answers: answers}
	}
	readiness := record("status", textOf("ok or unavailable"), "notReady", listOf(textOf("what is not ready")))
	health := record("status", textOf("ok"), "version", textOf("of the service"), "duckdbVersion", textOf(""), "uptimeSeconds", object{"type": "integer"})
	return []hostRoute{
		get("/health", "health", "Tell versions and uptime.", ok(jsonType, health)),
		get("/livez", "live", "Tell that the process answers.", ok(jsonType, record("status", textOf("ok")))),
		get("/readyz", "ready", "Tell whether requests will be served; what is not ready is listed.", map[string]map[string]any{
			"200": {jsonType: readiness}, "503": {jsonType: readiness},
		}),
		get("/openapi.json", "openapi", "Show this document.", ok(jsonType, object{"type": "object"})),
		get("/docs", "docs", "Show this document to people.", ok(html, nil)),
		{
			method: http.MethodGet, path: problemPath + "{slug}", id: "problem", summary: "Explain a type of problem.",
			parameters: []parameter{{Name: "slug", In: "path", Required: true, Schema: textOf(""), Description: "The last part of a problem's type."}},
			answers:    map[string]map[string]any{"200": {jsonType: problemTypeSchema(), html: nil}},
			codes:      []sdk.Code{sdk.ErrNotFound},
		},
		get("/commands", "commands", "List the commands with their routes and input schemas.", ok(jsonType, record("items", listOf(commandSchema())))),
		{
			method: http.MethodPost, path: commandPath + "{name}", id: "runCommand", permission: sdk.AnyKey,
			summary: "Run a command by its name. The answer is that of the command; its permission is that of the command.",
			parameters: append(placeParameters(),
				parameter{Name: "name", In: "path", Required: true, Schema: textOf(""), Description: "For example tables.Info."},
				parameter{Ref: parameterRef + "Prefer"}, parameter{Ref: parameterRef + "Idempotency-Key"}),
			body: object{"type": "object", "description": "The whole input of the command, with what its routes have in path and query."},
			answers: map[string]map[string]any{
				"200": {jsonType: object{}}, "201": {jsonType: object{}}, "204": nil, "202": {jsonType: object{"$ref": schemaRef + "Job"}},
			},
			asCommand: true,
		},
		{
			method: http.MethodGet, path: "/jobs/{id}/events", id: "jobEvents", permission: sdk.AnyKey,
			summary:    "Follow a job by server-sent events until it has ended.",
			parameters: []parameter{{Name: "id", In: "path", Required: true, Schema: textOf(""), Description: "Id of the job."}},
			answers:    ok("text/event-stream", nil),
			codes:      []sdk.Code{sdk.ErrUnauthenticated, jobs.ErrJobNotFound},
		},
		{
			method: http.MethodGet, path: "/metrics", id: "metrics", permission: sdk.AdminOnly, summary: "Show the metrics in Prometheus' text format.",
			answers: ok(metrics.ContentType, nil),
			codes:   []sdk.Code{sdk.ErrUnauthenticated, sdk.ErrDenied},
		},
	}
}

// host describes a route of the host.
func (b *builder) host(r hostRoute) *operation {
	o := &operation{
		ID: r.id, Summary: r.summary, Tags: []string{serviceTag}, Permission: r.permission,
		Parameters: append(r.parameters, parameter{Ref: parameterRef + requestIDHeader}),
	}
	if r.body != nil {
		o.Body = &requestBody{Content: map[string]mediaType{string(engine.JSON): {Schema: r.body}}}
	}
	o.Responses, o.Problems = b.failures(r.codes)
	if r.asCommand {
		o.Problems = slices.Sorted(maps.Keys(b.problems))
		for _, p := range b.problems {
			status := strconv.Itoa(p.Status)
			o.Responses[status] = b.problem("Problem"+status, b.ofStatus(p.Status))
		}
	}
	maps.Copy(o.Responses, b.answers(r))
	switch r.permission {
	case "":
		o.Security = &[]requirement{}
	case sdk.AdminOnly:
		o.Security = &[]requirement{{adminKey: {}}}
	}
	return o
}

func (b *builder) answers(r hostRoute) map[string]*response {
	out := map[string]*response{}
	for status, content := range r.answers {
		answer := &response{Description: "Done.", Headers: map[string]header{requestIDHeader: {Ref: headerRef + requestIDHeader}}}
		for name, schema := range content {
			if answer.Content == nil {
				answer.Content = map[string]mediaType{}
			}
			answer.Content[name] = mediaType{Schema: schema}
		}
		out[status] = answer
	}
	return out
}

// ok is the only success of a route.
func ok(mediaType string, schema any) map[string]map[string]any {
	return map[string]map[string]any{"200": {mediaType: schema}}
}

// textOf, listOf and record make the few schemas that belong to no command.
func textOf(description string) object {
	out := object{"type": "string"}
	if description != "" {
		out["description"] = description
	}
	return out
}

func listOf(items any) object { return object{"type": "array", "items": items} }

// record takes names and schemas in turn; all members are there always.
func record(members ...any) object {
	properties, required := object{}, []string{}
	for i := 0; i < len(members); i += 2 {
		name := members[i].(string)
		properties[name], required = members[i+1], append(required, name)
	}
	return object{"type": "object", "properties": properties, "required": required}
}

func problemTypeSchema() object {
	return record(
		"type", textOf("where this answer is served"), "title", textOf(""), "status", object{"type": "integer"},
		"code", object{"type": "integer", "description": "Keboola's driver code"}, "kind", textOf(""),
		"retryable", object{"type": "boolean", "description": "usually; each problem says it for itself"},
		"meaning", textOf(""), "action", textOf("what to do"))
}

func commandSchema() object {
	return record(
		"name", textOf(""), "summary", textOf(""), "plugin", textOf(""), "state", textOf("of the plugin"), "effect", textOf("read or write"),
		"form", textOf("of the answer"), "permission", textOf(""),
		"routes", listOf(record("method", textOf(""), "path", textOf(""), "status", object{"type": "integer"})),
		"input", object{"description": "JSON Schema of the whole input"}, "output", object{"description": "JSON Schema of a JSON answer, or null"},
		"problems", listOf(textOf("slug")))
}
