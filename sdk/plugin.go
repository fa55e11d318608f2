// Package sdk is all that a plugin may know of DuckDB Storage.
//
// A plugin declares commands and the routes that reach them, and answers each
// command with a plan: what should happen, which the host then does. Start with
// [New], [Handle] and [Serve]:
//
//	var Drop = sdk.Command[DropRequest, sdk.None]{Name: "tables.Drop"}
//
//	func Plugin() *sdk.Plugin {
//		p := sdk.New("tables", "1.0.0")
//		sdk.Handle(p, Drop, drop, sdk.DELETE(sdk.Catalog+"/tables/{schema}/{table}"),
//			sdk.Permission("tables:write"), sdk.Writes())
//		return p
//	}
//
// The type that a handler returns picks the form of the answer: [Rows], [Unit],
// [File], [Upload], [Export], [Job], or any other value, which is sent as JSON.
//
// What is promised: a Unit is one transaction, acknowledged when it is durable;
// a plugin that dies leaves nothing behind. What is not: handlers run in
// parallel and keep no state between calls; between a look (Query) and a leap
// (Unit) another request may come, so a Unit states what it relies on in
// Require.
package sdk

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"

	"github.com/hashicorp/go-hclog"

	pluginv1 "github.com/keboola/duckdb-storage/sdk/proto/duckdbstorage/plugin/v1"
)

// Command names an operation together with the types of its input and of its
// JSON answer. Other plugins import it to Call it.
//
// Members of Request are fields with a json tag. A field with an in tag
// (`in:"path"` or `in:"query"`) is a parameter of the route, every other one is
// a member of the JSON body. A field is required unless its json tag has
// omitempty. The jsonschema tag is the member's description.
type Command[Request, Response any] struct {
	Name    string // area and operation, for example "tables.Drop"
	Summary string // one sentence for the list of commands and the API document
}

// None is the answer of a command that has none: HTTP 204.
type None struct{}

// Catalog is the first part of every route that works inside one catalog. The
// host serves it below /projects/{project} and below
// /projects/{project}/branches/{branch}, and tells the handler which it was.
const Catalog = "{catalog}"

// Plugin is a named set of commands. Make it with New, fill it with Handle.
type Plugin struct {
	description *pluginv1.DescribeResponse
	handlers    map[string]handler // by command
	hooks       map[string]hook    // by command
	notices     map[string]notice  // by event
	configure   func(config []byte) error
	log         hclog.Logger
}

// handler decodes the payload, runs the author's function and encodes its plan.
type handler func(c *Context, payload []byte) (*pluginv1.InvokeResponse, error)

// New makes a plugin without commands. Name is lower case; version is semver.
func New(name, version string) *Plugin {
	return &Plugin{
		description: &pluginv1.DescribeResponse{Name: name, Version: version, SdkVersion: Version},
		handlers:    map[string]handler{}, hooks: map[string]hook{}, notices: map[string]notice{},
		log: hclog.NewNullLogger(),
	}
}

// Handle adds a command. Result must be Response itself or a plan: Rows, Unit,
// File, Upload, Export, Job, or Plan for a handler that decides in each call.
//
// It panics when the declaration is wrong (a name used twice, a route without a
// leading slash, types that have no JSON Schema): the plugin then never starts,
// and its tests show why.
func Handle[Request, Response, Result any](p *Plugin, cmd Command[Request, Response], fn func(*Context, Request) (Result, error), options ...Option) {
	c := &pluginv1.Command{Name: cmd.Name, Summary: cmd.Summary, Effect: pluginv1.Effect_EFFECT_READ, Form: formOf[Response, Result](cmd.Name)}
	var err error
	if c.InputSchema, c.Parameters, err = inputSchema(reflect.TypeFor[Request]()); err != nil {
		panic(fmt.Sprintf("sdk: command %s: request: %v", cmd.Name, err))
	}
	if c.OutputSchema, err = outputSchema(reflect.TypeFor[Response]()); err != nil {
		panic(fmt.Sprintf("sdk: command %s: response: %v", cmd.Name, err))
	}
	for _, o := range options {
		o(c)
	}
	if c.Permission == "" {
		c.Permission = ownPermission(c)
	}
	for _, r := range c.Routes {
		if r.Status == 0 {
			r.Status = defaultStatus[Response]()
		}
	}
	if _, dup := p.handlers[cmd.Name]; dup {
		panic("sdk: command " + cmd.Name + " is declared twice")
	}
	p.description.Commands = append(p.description.Commands, c)
	p.handlers[cmd.Name] = func(ctx *Context, payload []byte) (*pluginv1.InvokeResponse, error) {
		var in Request
		d := json.NewDecoder(bytes.NewReader(payload))
		d.DisallowUnknownFields()
		if err := d.Decode(&in); err != nil {
			return nil, ErrMalformed.Errorf("the input of %s cannot be read: %v", cmd.Name, err)
		}
		result, err := fn(ctx, in)
		if err != nil {
			return nil, err
		}
		return encode(result)
	}
}

// Describe returns the declarations of the plugin.
func (p *Plugin) Describe() *pluginv1.DescribeResponse { return p.description }

// Invoke runs one command with the given host behind its callbacks. It always
// answers: errors and panics of the handler become an Error result.
func (p *Plugin) Invoke(ctx context.Context, host Host, req *pluginv1.InvokeRequest) *pluginv1.InvokeResponse {
	c := p.context(ctx, host, req, req.GetCommand())
	var out *pluginv1.InvokeResponse
	err := c.run(func() (err error) {
		h, ok := p.handlers[req.GetCommand()]
		if !ok {
			return ErrUnsupported.Errorf("plugin %s has no command %s", p.description.GetName(), req.GetCommand())
		}
		out, err = h(c, req.GetPayload())
		return err
	})
	if err != nil {
		return &pluginv1.InvokeResponse{Result: &pluginv1.InvokeResponse_Error{Error: err.Proto()}}
	}
	return out
}

// SetLogger makes the plugin and its handlers log there. Serve calls it.
func (p *Plugin) SetLogger(log hclog.Logger) { p.log = log }

// Option is a property of a command, given to Handle.
type Option func(*pluginv1.Command)

// GET adds a route. Its path starts with a slash or with Catalog.
func GET(path string, options ...RouteOption) Option { return route("GET", path, options) }

// POST adds a route.
func POST(path string, options ...RouteOption) Option { return route("POST", path, options) }

// PUT adds a route.
func PUT(path string, options ...RouteOption) Option { return route("PUT", path, options) }

// DELETE adds a route.
func DELETE(path string, options ...RouteOption) Option { return route("DELETE", path, options) }

// AdminOnly is the permission of a command for the service as a whole: it takes the
// admin key.
const AdminOnly = "admin"

// AnyKey is the permission of a command for the service as a whole that any valid key
// may run. The handler decides what a key sees: Context.Admin, Context.KeyProject.
const AnyKey = "any"

// Permission says what a caller must be allowed to do: area:read, area:write or
// area:admin inside a project, AdminOnly or AnyKey; see Level. The default is the area that the command's name
// begins with, to read or, with Writes, to write.
func Permission(name string) Option {
	return func(c *pluginv1.Command) { c.Permission = name }
}

func ownPermission(c *pluginv1.Command) string {
	area, _, _ := strings.Cut(c.GetName(), ".")
	if c.GetEffect() == pluginv1.Effect_EFFECT_WRITE {
		return area + ":write"
	}
	return area + ":read"
}

// Writes marks a command that changes something. Without it a command is a read.
func Writes() Option {
	return func(c *pluginv1.Command) { c.Effect = pluginv1.Effect_EFFECT_WRITE }
}

// Secret marks a command whose answer holds a secret that is shown once, such as a new
// key. It is not run as a job: results of jobs are stored, and shown again.
func Secret() Option {
	return func(c *pluginv1.Command) { c.Secret = true }
}

// Fails lists the problems of its own that the command answers with, for the API
// document. Those of package sdk need not be named.
func Fails(codes ...Code) Option {
	return func(c *pluginv1.Command) { c.Problems = append(c.Problems, problems(codes)...) }
}

func problems(codes []Code) []*pluginv1.Problem {
	var out []*pluginv1.Problem
	for _, c := range codes {
		out = append(out, &pluginv1.Problem{Code: c.Slug, Title: c.Title, Kind: pluginv1.Kind(c.Kind), DriverCode: c.Driver})
	}
	return out
}

// RouteOption is a property of one route.
type RouteOption func(*pluginv1.Route)

// Status sets the HTTP status of success; the default is 200, or 204 for None.
func Status(code int) RouteOption {
	return func(r *pluginv1.Route) { r.Status = uint32(code) }
}

func route(method, path string, options []RouteOption) Option {
	if len(path) == 0 || path[0] != '/' && path[0] != '{' {
		panic("sdk: route " + method + " " + path + " must start with / or sdk.Catalog")
	}
	return func(c *pluginv1.Command) {
		r := &pluginv1.Route{Method: method, Path: path}
		for _, o := range options {
			o(r)
		}
		c.Routes = append(c.Routes, r)
	}
}

func defaultStatus[Response any]() uint32 {
	if reflect.TypeFor[Response]() == reflect.TypeFor[None]() {
		return 204
	}
	return 200
}
