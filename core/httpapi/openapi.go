package httpapi

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/keboola/duckdb-storage/core/internal/jobs"
	"github.com/keboola/duckdb-storage/core/internal/pluginhost"
	"github.com/keboola/duckdb-storage/sdk"
)

// openAPI assembles the API document, OpenAPI 3.1, of the commands of a table. It
// follows from its arguments alone.
func openAPI(t *pluginhost.Table, version string) ([]byte, error) {
	return json.Marshal(describe(t, version))
}

// describe is the document before it becomes JSON.
func describe(t *pluginhost.Table, version string) *document {
	b := &builder{
		schemas: newSchemas(), problems: problemTypes(t), responses: map[string]*response{},
		paths: map[string]map[string]*operation{},
	}
	b.schemas.named["Problem"] = problemSchema()
	b.schemas.add("Job", schemaOf[jobs.Job]())
	b.schemas.add("Plan", schemaOf[pluginhost.Explanation]())
	for _, r := range routes(t) {
		for _, method := range r.methods() {
			b.put(r.path, method, b.command(r, method))
		}
	}
	for _, c := range t.Commands() {
		if len(c.GetRoutes()) == 0 {
			b.put(commandPath+c.GetName(), http.MethodPost, b.unrouted(c))
		}
	}
	for _, r := range hostRoutes() {
		b.put(r.path, r.method, b.host(r))
	}
	events := b.events(t)
	b.schemas.share()
	return &document{
		OpenAPI: "3.1.0",
		Info:    info{Title: "DuckDB Storage", Version: version, Description: preface},
		Tags:    tags(t),
		Paths:   b.paths,
		Components: components{
			Schemas: b.schemas.named, Parameters: sharedParameters(), Headers: sharedHeaders(), Responses: b.responses,
			SecuritySchemes: map[string]securityScheme{
				projectKey: {Type: "http", Scheme: "bearer", Description: "A key of one project: what is below /projects/{project}, as far as its permissions go. x-permission says what an operation takes: read, write or admin, each of which has the one before; any is every key."},
				adminKey:   {Type: "http", Scheme: "bearer", Description: "The key of the whole service."},
			},
		},
		Security: []requirement{{projectKey: {}}, {adminKey: {}}},
		Problems: b.problems,
		Events:   events,
	}
}

const preface = "Storage on DuckDB. Each operation is a command of the service or of a plugin (x-command); POST /commands/{name} runs it by its name. " +
	"Errors are problems (RFC 9457); x-problems lists their types, and each operation those that it may answer with. " +
	"Sizes are in bytes, times RFC 3339 in UTC. HEAD is answered where a GET needs no statement."

// The names of the security schemes.
const (
	projectKey = "projectKey"
	adminKey   = "adminKey"
)

// builder collects what operations have in common.
type builder struct {
	schemas   *schemas
	problems  map[string]problemType
	responses map[string]*response // components, by name
	paths     map[string]map[string]*operation
}

func (b *builder) put(path, method string, o *operation) {
	if b.paths[path] == nil {
		b.paths[path] = map[string]*operation{}
	}
	b.paths[path][strings.ToLower(method)] = o
}

// tags are the plugins and the service itself.
func tags(t *pluginhost.Table) []tag {
	out := []tag{{Name: serviceTag, Description: "The service itself: health, documents, metrics."}}
	known := map[string]bool{}
	for _, d := range t.Plugins() {
		out = append(out, tag{Name: d.GetName(), Description: d.GetSummary()})
		known[d.GetName()] = true
	}
	return out
}

// events are what the plugins emit.
func (b *builder) events(t *pluginhost.Table) map[string]event {
	out := map[string]event{}
	for _, d := range t.Plugins() {
		for _, e := range d.GetEvents() {
			declared := event{Plugin: d.GetName(), Summary: e.GetSummary()}
			if len(e.GetSchema()) > 0 {
				declared.Schema = b.schemas.add(e.GetName()+".Event", clone(e.GetSchema()))
			}
			out[e.GetName()] = declared
		}
	}
	return out
}

// failures are the references to the problems of each status, and the slugs.
func (b *builder) failures(codes []sdk.Code) (map[string]*response, []string) {
	byStatus := map[string]*response{"default": b.problem("Problem", nil)}
	var slugs []string
	for _, c := range codes {
		slugs = append(slugs, c.Slug)
		status := strconv.Itoa(statusOf(c))
		byStatus[status] = b.problem("Problem"+status, b.ofStatus(statusOf(c)))
	}
	slices.Sort(slugs)
	return byStatus, slices.Compact(slugs)
}

// ofStatus lists the types of problems that have a status.
func (b *builder) ofStatus(status int) []string {
	var out []string
	for _, slug := range slices.Sorted(maps.Keys(b.problems)) {
		if b.problems[slug].Status == status {
			out = append(out, slug)
		}
	}
	return out
}

// problem returns a reference to an answer that is a problem of one of the types.
func (b *builder) problem(name string, slugs []string) *response {
	if b.responses[name] == nil {
		description := "What went wrong and what to do."
		headers := map[string]header{requestIDHeader: {Ref: headerRef + requestIDHeader}}
		if len(slugs) > 0 {
			status := b.problems[slugs[0]].Status
			description = fmt.Sprintf("%s. A problem of one of the types %s.", http.StatusText(status), strings.Join(slugs, ", "))
			switch status {
			case http.StatusTooManyRequests, http.StatusServiceUnavailable:
				headers["Retry-After"] = header{Ref: headerRef + "Retry-After"}
			case http.StatusUnauthorized:
				headers["WWW-Authenticate"] = header{Ref: headerRef + "WWW-Authenticate"}
			}
		}
		b.responses[name] = &response{Description: description, Headers: headers, Content: map[string]mediaType{
			"application/problem+json": {Schema: object{"$ref": schemaRef + "Problem"}},
		}}
	}
	return &response{Ref: "#/components/responses/" + name}
}

const (
	headerRef    = "#/components/headers/"
	parameterRef = "#/components/parameters/"

	requestIDHeader = "X-Request-Id"
	replayedHeader  = "Idempotency-Replayed"
)

// sharedParameters are the headers that every command takes.
func sharedParameters() map[string]parameter {
	str := object{"type": "string"}
	return map[string]parameter{
		"Idempotency-Key": {Name: "Idempotency-Key", In: "header", Schema: object{"type": "string", "minLength": 1, "maxLength": 255}, Description: "Makes a write happen once: within 24 hours a repeat with the same key and the same request gets the first answer."},
		"Prefer":          {Name: "Prefer", In: "header", Schema: str, Description: "respond-async makes a write a job and answers 202; wait=N waits up to N seconds for it; return=plan shows what would be done, as 200 with a Plan, and does nothing (RFC 7240)."},
		requestIDHeader:   {Name: requestIDHeader, In: "header", Schema: object{"type": "string", "pattern": clientID.String()}, Description: "Names the request in the answer and in the log. Without it the service makes one."},
		"X-KBC-RunId":     {Name: "X-KBC-RunId", In: "header", Schema: object{"type": "string", "pattern": clientID.String()}, Description: "Of the job at Keboola that the request belongs to; for the log."},
	}
}

func sharedHeaders() map[string]header {
	return map[string]header{
		requestIDHeader:    {Schema: object{"type": "string"}, Description: "Names the request in the log."},
		replayedHeader:     {Schema: object{"const": "true"}, Description: "The answer is that of an earlier request with the same Idempotency-Key."},
		"Retry-After":      {Schema: object{"type": "integer"}, Description: "Seconds to wait before a repeat; only where one may help."},
		"WWW-Authenticate": {Schema: object{"type": "string"}, Description: "Bearer."},
		"Location":         {Schema: object{"type": "string", "format": "uri-reference"}, Description: "Where the job is: /jobs/{id}."},
		"ETag":             {Schema: object{"type": "string"}, Description: "The SHA-256 of the bytes."},
	}
}

// schemaOf is the schema of a type of the host.
func schemaOf[T any]() any {
	schema, err := sdk.SchemaFor[T]()
	if err != nil {
		panic(err) // a type that this package names has no schema
	}
	raw, _ := json.Marshal(schema) // it was made to be JSON
	return clone(raw)
}

func problemSchema() object {
	texts := object{}
	for _, name := range []string{"type", "title", "detail", "instance", "requestId"} {
		texts[name] = object{"type": "string"}
	}
	maps.Copy(texts, object{
		"type":      object{"type": "string", "format": "uri-reference", "description": "/problems/{slug}, where the type is explained"},
		"status":    object{"type": "integer"},
		"code":      object{"type": "integer", "description": "Keboola's driver code"},
		"retryable": object{"type": "boolean", "description": "the same request may succeed later"},
		"errors": object{"type": "array", "items": object{"type": "object", "required": []string{"pointer", "detail"}, "properties": object{
			"pointer": object{"type": "string", "description": "JSON pointer into the input"}, "detail": object{"type": "string"}}}},
		"context": object{"type": "object", "additionalProperties": object{"type": "string"}},
	})
	return object{"type": "object", "properties": texts, "required": slices.Sorted(maps.Keys(texts))}
}
