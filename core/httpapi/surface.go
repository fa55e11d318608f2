package httpapi

import (
	"net/http"
	"strings"
	"sync"

	"github.com/gorilla/mux"

	"github.com/keboola/duckdb-storage/core/internal/pluginhost"
	"github.com/keboola/duckdb-storage/sdk"
)

// surface is what the API looks like for one table of commands. A reload of plugins
// makes another table, and the first request after it another surface.
type surface struct {
	table   *pluginhost.Table
	handler http.Handler
	openAPI func() ([]byte, error) // made when somebody asks for it
	docs    func() ([]byte, error) // likewise
}

// serve answers a request by the surface of its moment.
func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	s.surface().handler.ServeHTTP(w, r)
}

// surface is the current one.
func (s *Server) surface() *surface {
	table := s.cfg.Host.Table()
	if now := s.current.Load(); now != nil && now.table == table {
		return now
	}
	s.remaking.Lock()
	defer s.remaking.Unlock()
	if now := s.current.Load(); now != nil && now.table == table {
		return now
	}
	made := &surface{
		table: table, handler: s.router(table),
		openAPI: sync.OnceValues(func() ([]byte, error) { return openAPI(table, s.cfg.Version) }),
		docs:    sync.OnceValues(func() ([]byte, error) { return docsPage(s.pages, table, s.cfg.Version) }),
	}
	s.current.Store(made)
	return made
}

func (s *Server) router(table *pluginhost.Table) http.Handler {
	r := mux.NewRouter().UseEncodedPath().SkipClean(true)
	r.HandleFunc("/health", s.health).Methods(http.MethodGet, http.MethodHead)
	r.HandleFunc("/livez", s.live).Methods(http.MethodGet, http.MethodHead)
	r.HandleFunc("/readyz", s.ready).Methods(http.MethodGet, http.MethodHead)
	r.HandleFunc("/metrics", s.metrics).Methods(http.MethodGet, http.MethodHead)
	r.HandleFunc("/openapi.json", s.document).Methods(http.MethodGet, http.MethodHead)
	r.HandleFunc("/docs", s.showDocs).Methods(http.MethodGet, http.MethodHead)
	r.HandleFunc(problemPath+"{slug}", s.showProblem).Methods(http.MethodGet, http.MethodHead)
	r.HandleFunc("/jobs/{id}/events", s.jobEvents).Methods(http.MethodGet)
	r.HandleFunc("/commands", s.commands).Methods(http.MethodGet, http.MethodHead)
	r.Handle("/commands/{name}", s.byName(table)).Methods(http.MethodPost)
	for _, route := range routes(table) {
		r.Handle(route.path, s.command(route)).Methods(route.methods()...)
	}
	r.NotFoundHandler = http.HandlerFunc(s.unrouted)
	r.MethodNotAllowedHandler = http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		allowed := strings.Join(allowedMethods(r, req), ", ")
		w.Header().Set("Allow", allowed)
		s.fail(w, req, errMethod.Errorf("%s takes %s, not %s", req.URL.Path, allowed, req.Method))
	})
	return r
}

// unrouted answers for a path that leads nowhere. Where it would lead if a plugin were
// there is no 404: a client takes that for "already gone".
func (s *Server) unrouted(w http.ResponseWriter, r *http.Request) {
	err := s.cfg.Host.Unrouted(r.URL.Path)
	if err == nil {
		err = sdk.ErrNotFound.Errorf("there is no route %s; see /openapi.json", r.URL.Path)
	}
	s.fail(w, r, err)
}

// allowedMethods lists the methods that a path takes.
func allowedMethods(router *mux.Router, req *http.Request) []string {
	var allowed []string
	for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodDelete} {
		other := *req
		other.Method = method
		match := mux.RouteMatch{}
		if router.Match(&other, &match) && match.MatchErr == nil {
			allowed = append(allowed, method)
		}
	}
	return allowed
}
