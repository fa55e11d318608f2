package httpapi

import (
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/keboola/duckdb-storage/core/internal/engine"
	"github.com/keboola/duckdb-storage/core/internal/plan"
	"github.com/keboola/duckdb-storage/core/internal/pluginhost"
	"github.com/keboola/duckdb-storage/sdk"
	pluginv1 "github.com/keboola/duckdb-storage/sdk/proto/duckdbstorage/plugin/v1"
)

var pathVariable = regexp.MustCompile(`\{([^}]*)\}`)

// command describes one route of a command.
func (b *builder) command(r route, method string) *operation {
	c := r.command
	o := &operation{
		ID: operationID(r, method), Summary: c.GetSummary(), Tags: []string{c.Plugin},
		Command: c.GetName(), Permission: c.GetPermission(), Effect: "read",
	}
	if isWrite(c) {
		o.Effect = "write"
	}
	o.Parameters, o.Body = b.input(r)
	o.Parameters = append(o.Parameters, shared(c)...)
	o.Responses, o.Problems = b.failures(b.codes(r))
	maps.Copy(o.Responses, b.successes(r, method))
	if adminOnly(r) {
		o.Security = &[]requirement{{adminKey: {}}}
	}
	return o
}

func isWrite(c *pluginhost.Command) bool { return c.GetEffect() == pluginv1.Effect_EFFECT_WRITE }

// adminOnly reports whether a route takes the admin key.
func adminOnly(r route) bool {
	permission := r.command.GetPermission()
	return permission == sdk.AdminOnly || permission != sdk.AnyKey && !scoped(r)
}

// scoped reports whether a route works in a project.
func scoped(r route) bool {
	return strings.Contains(r.path, "{project}") || strings.HasPrefix(r.path, commandPath)
}

// commandPath is where commands are run by their names.
const commandPath = "/commands/"

// unrouted describes a command that has no route: it is run by its name.
func (b *builder) unrouted(c *pluginhost.Command) *operation {
	o := b.command(route{method: http.MethodPost, path: commandPath + c.GetName(), status: http.StatusOK, command: c}, http.MethodPost)
	o.Parameters = append(o.Parameters, placeParameters()...)
	return o
}

// placeParameters say where a command works that is run by its name.
func placeParameters() []parameter {
	return []parameter{
		{Name: "project", In: "query", Schema: textOf(""), Description: "Id of the project, for a command that works in one."},
		{Name: "branch", In: "query", Schema: textOf(""), Description: "Id of the branch; without it the main one."},
	}
}

// operationID is the command's name for its first route. What follows a colon tells
// the other ones.
func operationID(r route, method string) string {
	id := r.command.GetName()
	for i, declared := range r.command.GetRoutes() {
		n := slices.Index(pluginhost.Expand(declared.GetPath()), r.path)
		if declared.GetMethod() != r.method || n < 0 {
			continue
		}
		if i > 0 {
			id += ":" + strconv.Itoa(i+1)
		}
		if n > 0 {
			id += ":branch"
		}
		break
	}
	if method != r.method {
		id += ":" + strings.ToLower(method)
	}
	return id
}

// shared refers to the headers that every command takes, and every write.
func shared(c *pluginhost.Command) []parameter {
	names := []string{requestIDHeader, "X-KBC-RunId", "Prefer"}
	if isWrite(c) {
		names = append(names, "Idempotency-Key")
	}
	var out []parameter
	for _, name := range names {
		out = append(out, parameter{Ref: parameterRef + name})
	}
	return out
}

// input describes the parameters of a route, and the body: what is left of the
// command's input without them.
func (b *builder) input(r route) ([]parameter, *requestBody) {
	input, _ := clone(r.command.GetInputSchema()).(object)
	properties, _ := input["properties"].(object)
	name := r.command.GetName() + ".Request"
	// A schema that refers into itself stays whole, and parameters refer to it.
	whole := hasReferences(input)
	property := func(name string) any { return properties[name] }
	var ref object
	if whole {
		ref = b.schemas.add(name, input)
		property = func(name string) any { return memberOf(ref, properties, name) }
	}
	required := namesOf(input["required"])
	var parameters []parameter
	inBody, declared := maps.Clone(properties), map[string]bool{}
	for _, m := range pathVariable.FindAllStringSubmatch(r.path, -1) {
		parameters = append(parameters, newParameter(m[1], "path", true, property(m[1])))
	}
	for _, p := range r.command.GetParameters() {
		declared[p.GetName()] = true
		if p.GetLocation() == pluginv1.Location_LOCATION_QUERY {
			inQueryOnly := !bodyTakes(r.method, p.GetLocation())
			parameters = append(parameters, newParameter(p.GetName(), "query", inQueryOnly && slices.Contains(required, p.GetName()), property(p.GetName())))
		}
		if !bodyTakes(r.method, p.GetLocation()) {
			delete(inBody, p.GetName())
		}
	}
	if r.command.GetForm() == pluginv1.Form_FORM_UPLOAD {
		return append(parameters, uploadHeaders()...), &requestBody{Required: true, Description: "The bytes of the file.", Content: map[string]mediaType{"application/octet-stream": {}}}
	}
	if len(inBody) == 0 {
		return parameters, nil
	}
	// What may stand in the query as well is not required here.
	required = slices.DeleteFunc(required, func(name string) bool { return inBody[name] == nil || declared[name] })
	if !whole {
		input["properties"] = inBody
		if delete(input, "required"); len(required) > 0 {
			input["required"] = required
		}
		ref = b.schemas.add(name, input)
	}
	return parameters, &requestBody{
		Required: len(required) > 0,
		Content:  map[string]mediaType{string(engine.JSON): {Schema: ref}},
	}
}

// memberOf refers to a member of a component, if it has the member.
func memberOf(component, properties object, name string) any {
	if properties[name] == nil {
		return nil
	}
	pointer := strings.NewReplacer("~", "~0", "/", "~1").Replace(name)
	return object{"$ref": component["$ref"].(string) + "/properties/" + pointer}
}

// newParameter describes a parameter; its schema's description becomes its own.
func newParameter(name, in string, required bool, schema any) parameter {
	p := parameter{Name: name, In: in, Required: required, Schema: schema}
	members, ok := schema.(object)
	switch {
	case ok:
		members = maps.Clone(members)
		p.Description, _ = members["description"].(string)
		delete(members, "description")
		p.Schema = members
	case schema == nil:
		p.Schema = object{"type": "string"}
	}
	if p.Description == "" {
		p.Description = map[string]string{"project": "Id of the project.", "branch": "Id of the branch; default is the main one."}[name]
	}
	return p
}

// uploadHeaders are the checksums that an upload may carry.
func uploadHeaders() []parameter {
	str := object{"type": "string"}
	return []parameter{
		{Name: "Content-MD5", In: "header", Schema: str, Description: "Base64 of the MD5 of the bytes (RFC 1864); checked."},
		{Name: "Digest", In: "header", Schema: str, Description: "sha-256= and the base64 of the SHA-256 of the bytes (RFC 3230); checked."},
	}
}

// successes are the answers that are no problems, by status.
func (b *builder) successes(r route, method string) map[string]*response {
	c, form := r.command, r.command.GetForm()
	headers := map[string]header{requestIDHeader: {Ref: headerRef + requestIDHeader}}
	if isWrite(c) {
		headers[replayedHeader] = header{Ref: headerRef + replayedHeader}
	}
	done := &response{Description: "Done.", Headers: headers}
	if r.status != http.StatusNoContent && method != http.MethodHead {
		done.Content = b.content(c)
	}
	out := map[string]*response{strconv.Itoa(r.status): done}
	switch {
	case form == pluginv1.Form_FORM_FILE:
		done.Description, headers["ETag"] = "The bytes of the file.", header{Ref: headerRef + "ETag"}
		out["206"] = &response{Description: "A part of the file, as Range asks for.", Headers: headers, Content: done.Content}
		out["304"] = &response{Description: "The client has these bytes already: If-None-Match."}
		out["416"] = &response{Description: "The file has no such range."}
	case form == pluginv1.Form_FORM_JOB, mayBeJob(c):
		out["202"] = b.accepted()
	}
	return out
}

// content is the body of a success, by media type.
func (b *builder) content(c *pluginhost.Command) map[string]mediaType {
	if c.GetForm() == pluginv1.Form_FORM_FILE {
		return map[string]mediaType{"*/*": {}} // the type that the file was given
	}
	out := map[string]mediaType{}
	for _, name := range produces(c.GetForm()) {
		out[name] = mediaType{}
	}
	if _, ok := out[string(engine.JSON)]; ok && len(c.GetOutputSchema()) > 0 {
		out[string(engine.JSON)] = mediaType{Schema: b.schemas.add(c.GetName()+".Response", clone(c.GetOutputSchema()))}
	}
	return out
}

// accepted is the answer of a write that became a job.
func (b *builder) accepted() *response {
	if b.responses["Accepted"] == nil {
		b.responses["Accepted"] = &response{
			Description: "The work goes on as a job. Ask for it at Location.",
			Headers:     map[string]header{"Location": {Ref: headerRef + "Location"}, requestIDHeader: {Ref: headerRef + requestIDHeader}},
			Content:     map[string]mediaType{string(engine.JSON): {Schema: object{"$ref": schemaRef + "Job"}}},
		}
	}
	return &response{Ref: "#/components/responses/Accepted"}
}

// codes are the types of problems that a route may answer with: those that the way
// to its command has, those of the SDK, which any command may use, and those that the
// command declares.
func (b *builder) codes(r route) []sdk.Code {
	c, form := r.command, r.command.GetForm()
	out := slices.DeleteFunc(sdk.Codes(), func(code sdk.Code) bool { return !fits(code, r) })
	out = append(out, pluginhost.ErrNoPlan)
	if form != pluginv1.Form_FORM_FILE {
		out = append(out, errAccept)
	}
	if r.method != http.MethodGet && form != pluginv1.Form_FORM_UPLOAD {
		out = append(out, errMediaType)
	}
	if scoped(r) {
		out = append(append(out, engine.ErrBroken), plan.Refusals()...)
	}
	if isWrite(c) {
		out = append(append(out, plan.Codes()...), errInProgress, errKeyReused, errAnswerLost)
	}
	for _, p := range c.GetProblems() {
		out = append(out, codeOf(p))
	}
	return out
}

// Problem types of the SDK that only some commands can have.
var (
	ofPlugins = []sdk.Code{sdk.ErrPluginDown, sdk.ErrPluginDied, sdk.ErrPluginOff}
	ofObjects = []sdk.Code{sdk.ErrBucketNotFound, sdk.ErrTableNotFound, sdk.ErrColumnNotFound, sdk.ErrFileNotFound, sdk.ErrBucketExists, sdk.ErrTableExists, sdk.ErrObjectExists}
	ofWrites  = []sdk.Code{
		sdk.ErrReservedName, sdk.ErrProjectExists, sdk.ErrBucketExists, sdk.ErrTableExists, sdk.ErrObjectExists,
		sdk.ErrConstraint, sdk.ErrCSV, sdk.ErrQueueFull, sdk.ErrQueueWait, sdk.ErrDiskFull,
	}
)

// fits reports whether a command can answer with a type of the SDK.
func fits(code sdk.Code, r route) bool {
	switch {
	case code == sdk.ErrBranchNotFound:
		return r.command.OfBranch() || strings.Contains(r.path, "{branch}")
	case code == sdk.ErrProjectExists:
		return !scoped(r) && isWrite(r.command)
	case code == sdk.ErrJobsFull:
		return mayBeJob(r.command) || r.command.GetForm() == pluginv1.Form_FORM_JOB
	case slices.Contains(ofPlugins, code) && r.command.Core(),
		slices.Contains(ofObjects, code) && !scoped(r),
		slices.Contains(ofWrites, code) && !isWrite(r.command):
		return false
	}
	return true
}
