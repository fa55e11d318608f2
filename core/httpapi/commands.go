package httpapi

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"

	"github.com/gorilla/mux"

	"github.com/keboola/duckdb-storage/core/internal/auth"
	"github.com/keboola/duckdb-storage/core/internal/pluginhost"
	"github.com/keboola/duckdb-storage/sdk"
	pluginv1 "github.com/keboola/duckdb-storage/sdk/proto/duckdbstorage/plugin/v1"
)

// commandShown is a command in the list of all.
type commandShown struct {
	Name       string          `json:"name"`
	Summary    string          `json:"summary"`
	Plugin     string          `json:"plugin"`
	State      string          `json:"state"` // of the plugin
	Effect     string          `json:"effect"`
	Form       string          `json:"form"`
	Permission string          `json:"permission"`
	Routes     []routeShown    `json:"routes"`
	Input      json.RawMessage `json:"input"`
	Output     json.RawMessage `json:"output"`   // null when there is no JSON answer
	Problems   []string        `json:"problems"` // its own, beside those that every command may answer with
}

type routeShown struct {
	Method string `json:"method"`
	Path   string `json:"path"`
	Status uint32 `json:"status"`
}

// commands lists what the service can do.
func (s *Server) commands(w http.ResponseWriter, _ *http.Request) {
	states := map[string]string{}
	for _, p := range s.cfg.Host.Plugins() {
		states[p.Name] = p.State
	}
	items := []commandShown{}
	for _, c := range s.cfg.Host.Table().Commands() {
		item := showCommand(c)
		if state, ok := states[c.Plugin]; ok { // the core has none: it is always there
			item.State = state
		}
		items = append(items, item)
	}
	writeJSON(w, http.StatusOK, map[string]any{"items": items})
}

func showCommand(c *pluginhost.Command) commandShown {
	out := commandShown{
		Name: c.GetName(), Summary: c.GetSummary(), Plugin: c.Plugin, State: "running", Effect: "read", Form: formName(c.GetForm()),
		Permission: c.GetPermission(), Routes: []routeShown{}, Input: c.GetInputSchema(), Problems: []string{},
	}
	if isWrite(c) {
		out.Effect = "write"
	}
	if len(c.GetOutputSchema()) > 0 {
		out.Output = c.GetOutputSchema()
	}
	for _, r := range c.GetRoutes() {
		for _, path := range pluginhost.Expand(r.GetPath()) {
			out.Routes = append(out.Routes, routeShown{r.GetMethod(), path, r.GetStatus()})
		}
	}
	for _, p := range c.GetProblems() {
		out.Problems = append(out.Problems, p.GetCode())
	}
	return out
}

// formName is the last word of a form, in lower case.
func formName(form pluginv1.Form) string {
	return strings.ToLower(strings.TrimPrefix(form.String(), "FORM_"))
}

// byName serves POST /commands/{name}: a command with its whole input as one JSON
// object. It answers as the command's first route does.
func (s *Server) byName(t *pluginhost.Table) http.Handler {
	commands := map[string]route{}
	for _, c := range t.Commands() {
		commands[c.GetName()] = firstRoute(c)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		principal, err := s.principal(r)
		if err != nil {
			s.fail(w, r, err)
			return
		}
		route, known := commands[mux.Vars(r)["name"]] // no name of a command needs to be encoded
		if !known {
			s.fail(w, r, s.unknown(mux.Vars(r)["name"]))
			return
		}
		where := r.URL.Query() // see place
		r = s.reach(r, route.command, where.Get("project"), where.Get("branch"))
		call, err := s.namedCall(route, principal, w, r)
		if err != nil {
			s.fail(w, r, err)
			return
		}
		s.run(w, r, route, call)
	})
}

// unknown explains a name that no command has. It may be one of a plugin that never
// said which commands it has.
func (s *Server) unknown(name string) error {
	owner, _, _ := strings.Cut(name, ".")
	p, err := s.cfg.Host.Plugin(owner)
	switch {
	case err != nil || len(p.Commands) > 0:
		return sdk.ErrUnsupported.Errorf("Command %q not supported.", name)
	case p.Enabled:
		e := sdk.ErrPluginDown.Errorf("there is no command %q, but it may belong to plugin %s, which could not be loaded; the administrator finds the reason in GET /admin/plugins", name, owner).With("plugin", owner)
		e.Retryable = false // until somebody has repaired it
		return e
	}
	return sdk.ErrPluginOff.Errorf("there is no command %q, but it may belong to plugin %s, which is switched off", name, owner).With("plugin", owner)
}

// firstRoute is what a command by its name answers as. A command without routes
// answers with 200.
func firstRoute(c *pluginhost.Command) route {
	out := route{method: http.MethodPost, status: http.StatusOK, command: c}
	if routes := c.GetRoutes(); len(routes) > 0 {
		out.method, out.path, out.status = routes[0].GetMethod(), pluginhost.Expand(routes[0].GetPath())[0], int(routes[0].GetStatus())
	}
	return out
}

// namedCall turns a request for a command by its name into a call.
func (s *Server) namedCall(route route, principal auth.Principal, w http.ResponseWriter, r *http.Request) (pluginhost.Call, error) {
	where, err := place(route, r)
	if err != nil {
		return pluginhost.Call{}, err
	}
	target, err := s.target(route, principal, where)
	if err != nil {
		return pluginhost.Call{}, err
	}
	if route.command.GetForm() == pluginv1.Form_FORM_UPLOAD {
		return pluginhost.Call{}, sdk.ErrInvalid.Errorf("%s takes the bytes of a file: send them to %s %s", route.command.GetName(), route.method, route.path)
	}
	accept, err := negotiate(route.command.GetForm(), r.Header.Get("Accept"))
	if err != nil {
		return pluginhost.Call{}, err
	}
	members := map[string]json.RawMessage{}
	if err := body(members, w, r); err != nil {
		return pluginhost.Call{}, err
	}
	for _, p := range route.command.GetParameters() {
		if value, ok := where[p.GetName()]; ok && p.GetLocation() == pluginv1.Location_LOCATION_PATH {
			members[p.GetName()] = text(value)
		}
	}
	payload, err := json.Marshal(members)
	return newCall(r, route, principal, target, accept, payload), err
}

// place reads project and branch from the query: what a route has in its path. A
// command without routes takes a project or none.
func place(route route, r *http.Request) (map[string]string, error) {
	out := map[string]string{}
	for name, values := range r.URL.Query() {
		if !slices.Contains([]string{"project", "branch"}, name) {
			return nil, sdk.ErrMalformed.Errorf("unknown query parameter %q: the input of a command stands in the body, only project and branch in the query", name).At("/" + name)
		}
		if len(values) > 1 {
			return nil, sdk.ErrMalformed.Errorf("query parameter %s: is given more than once", name).At("/" + name)
		}
		out[name] = values[0]
	}
	_, inProject := out["project"]
	_, inBranch := out["branch"]
	switch {
	case route.path != "" && scoped(route) && !inProject:
		return nil, sdk.ErrMalformed.Errorf("%s works in a project: add ?project= with its id", route.command.GetName()).At("/project")
	case route.path != "" && !scoped(route) && inProject:
		return nil, sdk.ErrMalformed.Errorf("%s works in no project", route.command.GetName()).At("/project")
	case inBranch && !inProject:
		return nil, sdk.ErrMalformed.Errorf("a branch is one of a project: add ?project= with its id").At("/project")
	}
	return out, nil
}
