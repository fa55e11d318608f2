package httpapi

import (
	"net/http"
	"slices"
	"strings"

	"github.com/keboola/duckdb-storage/core/internal/engine"
	"github.com/keboola/duckdb-storage/core/internal/jobs"
	"github.com/keboola/duckdb-storage/core/internal/plan"
	"github.com/keboola/duckdb-storage/core/internal/pluginhost"
	"github.com/keboola/duckdb-storage/core/internal/registry"
	"github.com/keboola/duckdb-storage/sdk"
	"github.com/keboola/duckdb-storage/sdk/hostapi"
	pluginv1 "github.com/keboola/duckdb-storage/sdk/proto/duckdbstorage/plugin/v1"
)

// problemType is what all problems with one slug have in common. It is what
// GET /problems/{slug} answers.
type problemType struct {
	Type      string   `json:"type"` // the address that it is served at
	Title     string   `json:"title"`
	Status    int      `json:"status"`
	Code      uint32   `json:"code"` // Keboola's driver code
	Kind      string   `json:"kind"`
	Retryable bool     `json:"retryable"`         // usually; each problem says it for itself
	Plugins   []string `json:"plugins,omitempty"` // those that declare it, if it is not the host's
	Meaning   string   `json:"meaning"`
	Action    string   `json:"action"`
}

// statuses maps the kinds of errors; a few problems of HTTP's own have their own.
var statuses = map[sdk.Kind]int{
	sdk.Malformed: http.StatusBadRequest, sdk.Invalid: http.StatusUnprocessableEntity,
	sdk.Unauthenticated: http.StatusUnauthorized, sdk.Denied: http.StatusForbidden,
	sdk.NotFound: http.StatusNotFound, sdk.Exists: http.StatusConflict, sdk.Conflict: http.StatusConflict,
	sdk.TooLarge: http.StatusRequestEntityTooLarge, sdk.Exhausted: http.StatusTooManyRequests,
	sdk.Unsupported: http.StatusNotImplemented, sdk.BadGateway: http.StatusBadGateway,
	sdk.Unavailable: http.StatusServiceUnavailable, sdk.Timeout: http.StatusGatewayTimeout,
	sdk.Internal: http.StatusInternalServerError,
}

var slugStatuses = map[string]int{
	errMethod.Slug: http.StatusMethodNotAllowed, errAccept.Slug: http.StatusNotAcceptable,
	errMediaType.Slug: http.StatusUnsupportedMediaType,
}

// statusOf is the HTTP status of a type of problem.
func statusOf(c sdk.Code) int {
	if status, ok := slugStatuses[c.Slug]; ok {
		return status
	}
	if status, ok := statuses[c.Kind]; ok {
		return status
	}
	return http.StatusInternalServerError
}

// kinds are the names of the kinds of errors, with what can be said of a type of
// problem when only its kind is known.
var kinds = map[sdk.Kind]struct{ name, meaning, action string }{
	sdk.Malformed:       {"malformed", "The input has not the shape that the route declares.", "Correct the request: errors names each member that is wrong."},
	sdk.Invalid:         {"invalid", "The input has the right shape, but cannot be accepted.", "Read the detail and correct the request."},
	sdk.Unauthenticated: {"unauthenticated", "The request has no valid key.", "Send Authorization: Bearer and a key."},
	sdk.Denied:          {"denied", "The key does not allow this.", "Use a key that does."},
	sdk.NotFound:        {"not-found", "What the request names does not exist, or not for this key.", "Check the names in the request."},
	sdk.Exists:          {"exists", "The name is taken.", "Choose another name, or remove what has it."},
	sdk.Conflict:        {"conflict", "The state of things does not allow this.", "Read the detail; repeat the request if retryable says so."},
	sdk.TooLarge:        {"too-large", "The request or its answer is over a limit.", "Send or ask for less at once."},
	sdk.Exhausted:       {"exhausted", "Too much of this is going on already.", "Repeat after Retry-After."},
	sdk.Unsupported:     {"unsupported", "This service does not do this.", "Read the detail."},
	sdk.BadGateway:      {"bad-gateway", "A plugin did not do its part.", "Look at what was done before you repeat the request; the log says more."},
	sdk.Unavailable:     {"unavailable", "It cannot be done now.", "Repeat after Retry-After, if retryable says so."},
	sdk.Timeout:         {"timeout", "It took too long, or the client left.", "Look at what was done, and repeat the request."},
	sdk.Internal:        {"internal", "A fault of the service.", "Report it with the requestId: the log says more."},
}

// hostProblems are the types that do not belong to a plugin.
func hostProblems() []sdk.Code {
	return slices.Concat(sdk.Codes(), engine.Codes(), plan.Codes(), pluginhost.Codes(), jobs.Codes(), registry.Codes(), hostapi.Codes(), codes())
}

// problemTypes are all types of problems that the service may answer with, by slug:
// its own and those that plugins declare.
func problemTypes(t *pluginhost.Table) map[string]problemType {
	out := map[string]problemType{}
	for _, code := range hostProblems() {
		out[code.Slug] = newProblemType(code)
	}
	declared := func(plugin string, problems []*pluginv1.Problem) {
		for _, p := range problems {
			pt, known := out[p.GetCode()]
			if !known {
				pt = newProblemType(codeOf(p))
			}
			if (!known || len(pt.Plugins) > 0) && !slices.Contains(pt.Plugins, plugin) {
				pt.Plugins = append(pt.Plugins, plugin)
			}
			out[p.GetCode()] = pt
		}
	}
	for _, c := range t.Commands() {
		declared(c.Plugin, c.GetProblems())
	}
	for _, d := range t.Plugins() {
		for _, h := range d.GetHooks() {
			declared(d.GetName(), h.GetProblems())
		}
	}
	return out
}

func newProblemType(c sdk.Code) problemType {
	kind, ok := kinds[c.Kind]
	if !ok {
		kind = kinds[sdk.Internal]
	}
	out := problemType{
		Type: problemPath + c.Slug, Title: c.Title, Status: statusOf(c), Code: c.Driver, Kind: kind.name,
		Retryable: c.Errorf("").Retryable, Meaning: kind.meaning, Action: kind.action,
	}
	if e, ok := explanations[c.Slug]; ok {
		out.Meaning, out.Action = e.meaning, e.action
	}
	return out
}

func codeOf(p *pluginv1.Problem) sdk.Code {
	return sdk.Code{Slug: p.GetCode(), Title: p.GetTitle(), Kind: sdk.Kind(p.GetKind()), Driver: p.GetDriverCode()}
}

// Slug is the last part of the type.
func (p problemType) Slug() string { return strings.TrimPrefix(p.Type, problemPath) }
