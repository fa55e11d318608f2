package httpapi

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/gorilla/mux"

	"github.com/keboola/duckdb-storage/core/internal/auth"
	"github.com/keboola/duckdb-storage/core/internal/engine"
	"github.com/keboola/duckdb-storage/core/internal/plan"
	"github.com/keboola/duckdb-storage/core/internal/pluginhost"
	"github.com/keboola/duckdb-storage/sdk"
	pluginv1 "github.com/keboola/duckdb-storage/sdk/proto/duckdbstorage/plugin/v1"
)

// route is one way to reach a command.
type route struct {
	method  string
	path    string
	status  int // of success
	command *pluginhost.Command
}

// methods are those that the route takes. Whoever may GET a file may ask for its
// head; for rows that would run the statement for nothing.
func (r route) methods() []string {
	if r.method == http.MethodGet && r.command.GetForm() == pluginv1.Form_FORM_FILE {
		return []string{http.MethodGet, http.MethodHead}
	}
	return []string{r.method}
}

// routes lists every route, fixed segments before parameters: the router takes
// the first match.
func routes(t *pluginhost.Table) []route {
	var out []route
	for _, c := range t.Commands() {
		for _, r := range c.GetRoutes() {
			for _, path := range pluginhost.Expand(r.GetPath()) {
				out = append(out, route{method: r.GetMethod(), path: path, status: int(r.GetStatus()), command: c})
			}
		}
	}
	slices.SortStableFunc(out, func(a, b route) int { return slices.Compare(ordered(a.path), ordered(b.path)) })
	return out
}

// ordered are the segments of a path as they sort: a parameter after every fixed name,
// which may begin with "~".
func ordered(path string) []string {
	return strings.Split(strings.ReplaceAll(path, "{", "\x7f"), "/")
}

// command serves one route: who asks, what they ask, what the answer is.
func (s *Server) command(route route) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		vars, _ := pathVariables(mux.Vars(r)) // what is wrong with them is said below
		r = s.reach(r, route.command, vars["project"], vars["branch"])
		principal, err := s.principal(r)
		if err != nil {
			s.fail(w, r, err)
			return
		}
		call, err := s.call(route, principal, w, r)
		if err != nil {
			s.fail(w, r, err)
			return
		}
		s.run(w, r, route, call)
	})
}

// principal tells who asks, to the log as well.
func (s *Server) principal(r *http.Request) (auth.Principal, error) {
	principal, err := auth.Authenticate(s.cfg.Registry, r.Header.Get("Authorization"), time.Now())
	o := observedOf(r.Context())
	o.subject, o.principal, o.authentic = principal.Subject, principal, err == nil
	return principal, err
}

// reach notes the command of a request, and has it work in the project that there is now.
func (s *Server) reach(r *http.Request, c *pluginhost.Command, project, branch string) *http.Request {
	o := observedOf(r.Context())
	o.reach(r, c, project, branch)
	return r.WithContext(s.cfg.Registry.Within(r.Context(), o.project))
}

// run does a call as its client prefers: it shows the plan, or does it once however
// often it is asked, as a job or at once.
func (s *Server) run(w http.ResponseWriter, r *http.Request, route route, call pluginhost.Call) {
	// Once more: a client may take for ever to send its body, and its key may be deleted,
	// rotated or over by now.
	if _, err := s.principal(r); err != nil {
		s.fail(w, r, err)
		return
	}
	prefer := preferred(r.Header)
	if prefer.plan {
		s.explain(w, r, call)
		return
	}
	if prefer.async && route.command.GetForm() == pluginv1.Form_FORM_UPLOAD {
		s.fail(w, r, errNoAsync(route.command.GetName()))
		return
	}
	s.once(w, r, route, call, func(w http.ResponseWriter, call pluginhost.Call) {
		if prefer.async && mayBeJob(route.command) && call.Accept == string(engine.JSON) {
			s.startJob(w, r, route, call, prefer.wait)
			return
		}
		answer, err := s.cfg.Host.Invoke(r.Context(), call)
		if err != nil {
			s.failOrAnswer(w, r, err)
			return
		}
		observedOf(r.Context()).reads = answer.Reads
		s.answer(w, r, route, call, answer)
	})
}

// mayBeJob reports whether a command can outlive its request: it changes something,
// and its answer is JSON, at least when the client takes that, and may be stored. One
// that starts a job by itself needs no other.
func mayBeJob(c *pluginhost.Command) bool {
	switch c.GetForm() {
	case pluginv1.Form_FORM_UPLOAD, pluginv1.Form_FORM_FILE, pluginv1.Form_FORM_ROWS, pluginv1.Form_FORM_JOB:
		return false
	}
	return isWrite(c) && !c.GetSecret()
}

// explain shows what a call would do.
func (s *Server) explain(w http.ResponseWriter, r *http.Request, call pluginhost.Call) {
	explanation, err := s.cfg.Host.Explain(r.Context(), call)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	w.Header().Set("Preference-Applied", "return=plan")
	w.Header().Set("Content-Type", string(engine.JSON))
	w.WriteHeader(http.StatusOK)
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false) // people read the SQL
	encoder.Encode(explanation)
}

// call turns a request into a call of its command.
func (s *Server) call(route route, principal auth.Principal, w http.ResponseWriter, r *http.Request) (pluginhost.Call, error) {
	vars, err := pathVariables(mux.Vars(r))
	if err != nil {
		return pluginhost.Call{}, err
	}
	target, err := s.target(route, principal, vars)
	if err != nil {
		return pluginhost.Call{}, err
	}
	accept, err := negotiate(route.command.GetForm(), r.Header.Get("Accept"))
	if err != nil {
		return pluginhost.Call{}, err
	}
	payload, err := input(route.command, vars, w, r)
	return newCall(r, route, principal, target, accept, payload), err
}

func newCall(r *http.Request, route route, principal auth.Principal, target *pluginv1.Target, accept string, payload []byte) pluginhost.Call {
	o := observedOf(r.Context())
	o.input = payload
	return pluginhost.Call{
		Command: route.command.GetName(), Payload: payload, Principal: principal, Target: target,
		Accept: accept, RequestID: o.requestID, RunID: o.runID,
	}
}

// target finds the catalog of a request and whether the principal may do there what the
// command does. A project that the principal may not see does not exist for it.
func (s *Server) target(route route, principal auth.Principal, vars map[string]string) (*pluginv1.Target, error) {
	project, scoped := vars["project"]
	target := &pluginv1.Target{Project: project}
	if scoped {
		if err := s.exists(route, principal, project); err != nil {
			return nil, err
		}
		target.Branch = plan.DefaultBranch
		// Dev branches have no commands yet, so none exists. A file of that name
		// would belong to another project.
		if branch, ok := vars["branch"]; ok && branch != plan.DefaultBranch {
			return nil, sdk.ErrBranchNotFound.Errorf("branch %q does not exist in project %q", branch, project)
		}
	}
	return target, route.command.Admit(principal, target)
}

// exists reports whether there is a project for the principal. What only the admin does
// may be about a project that is half dropped.
func (s *Server) exists(route route, principal auth.Principal, project string) error {
	if !principal.MayUse(project) {
		return sdk.ErrProjectNotFound.Errorf("project %q does not exist", project)
	}
	if _, err := s.cfg.Registry.Project(project); err != nil && route.command.GetPermission() != sdk.AdminOnly {
		return err
	}
	return nil
}
