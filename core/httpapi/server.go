// Package httpapi is the REST face of the service: routes, keys, input,
// problems, streams. Nothing else of the host imports net/http.
//
// Start with [New]. The routes are made from the host's table of commands; a
// request becomes a command with a JSON payload, its answer becomes the
// response. Errors are RFC 9457 problems; after the first byte of a stream an
// error aborts the connection, so that no result is quietly short.
package httpapi

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/gorilla/mux"
	"github.com/hashicorp/go-hclog"

	"github.com/keboola/duckdb-storage/core/internal/auth"
	"github.com/keboola/duckdb-storage/core/internal/files"
	"github.com/keboola/duckdb-storage/core/internal/metrics"
	"github.com/keboola/duckdb-storage/core/internal/pluginhost"
	"github.com/keboola/duckdb-storage/core/internal/registry"
	"github.com/keboola/duckdb-storage/sdk"
)

// Config is what the server works with.
type Config struct {
	Host          *pluginhost.Host
	Registry      *registry.Registry
	Files         *files.Store
	Metrics       *metrics.Metrics
	Logger        hclog.Logger
	Version       string
	DuckDBVersion string
	// WriteTimeout is how long a client may take for 256 KiB of an answer; default 1
	// minute. Then its connection is broken off.
	WriteTimeout time.Duration
}

// Server serves the API until it is shut down.
type Server struct {
	cfg      Config
	started  time.Time
	draining atomic.Bool
	openAPI  []byte
	http     *http.Server
}

// New makes a server for the commands that the host has loaded.
func New(cfg Config) (*Server, error) {
	cfg.WriteTimeout = cmp.Or(cfg.WriteTimeout, defaultWriteTimeout)
	s := &Server{cfg: cfg, started: time.Now()}
	var err error
	if s.openAPI, err = openAPI(cfg.Host.Table(), cfg.Version); err != nil {
		return nil, err
	}
	s.http = &http.Server{
		Handler: s.patience(s.observe(s.router())),
		// A request may stream for hours; only its head has a deadline.
		ReadHeaderTimeout: 30 * time.Second,
		IdleTimeout:       2 * time.Minute,
		ErrorLog:          cfg.Logger.StandardLogger(&hclog.StandardLoggerOptions{InferLevels: true}),
	}
	return s, nil
}

// Serve answers requests on the listener until Shutdown.
func (s *Server) Serve(l net.Listener) error {
	if err := s.http.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// Shutdown refuses new requests and waits for the running ones until ctx ends,
// then cancels them.
func (s *Server) Shutdown(ctx context.Context) error {
	s.draining.Store(true)
	if err := s.http.Shutdown(ctx); err != nil {
		s.cfg.Logger.Warn("requests were still running at the end of the shutdown", "error", err)
		return s.http.Close()
	}
	return nil
}

func (s *Server) router() http.Handler {
	r := mux.NewRouter().UseEncodedPath().SkipClean(true)
	r.HandleFunc("/health", s.health).Methods(http.MethodGet, http.MethodHead)
	r.HandleFunc("/livez", s.live).Methods(http.MethodGet, http.MethodHead)
	r.HandleFunc("/readyz", s.ready).Methods(http.MethodGet, http.MethodHead)
	r.HandleFunc("/metrics", s.metrics).Methods(http.MethodGet, http.MethodHead)
	r.HandleFunc("/openapi.json", s.document).Methods(http.MethodGet, http.MethodHead)
	r.HandleFunc("/commands", s.commands).Methods(http.MethodGet, http.MethodHead)
	for _, route := range routes(s.cfg.Host.Table()) {
		r.Handle(route.path, s.command(route)).Methods(route.methods()...)
	}
	r.NotFoundHandler = http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		s.fail(w, req, sdk.ErrNotFound.Errorf("there is no route %s; see /openapi.json", req.URL.Path))
	})
	r.MethodNotAllowedHandler = http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		allowed := strings.Join(allowedMethods(r, req), ", ")
		w.Header().Set("Allow", allowed)
		s.fail(w, req, errMethod.Errorf("%s takes %s, not %s", req.URL.Path, allowed, req.Method))
	})
	return r
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

func (s *Server) health(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusOK, map[string]any{
		"status": "ok", "version": s.cfg.Version, "duckdbVersion": s.cfg.DuckDBVersion,
		"uptimeSeconds": int64(time.Since(s.started).Seconds()),
	})
}

// live says only that the process answers.
func (s *Server) live(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusOK, map[string]string{"status": "ok"})
}

// ready names what is not ready: a plugin that is down, or the service stopping.
func (s *Server) ready(w http.ResponseWriter, _ *http.Request) {
	notReady := []string{}
	if s.draining.Load() {
		notReady = append(notReady, "the service is shutting down")
	}
	for _, p := range s.cfg.Host.Plugins() {
		if p.State != "running" && p.State != "disabled" {
			notReady = append(notReady, "plugin "+p.Name+" is "+p.State)
		}
	}
	if len(notReady) > 0 {
		writeJSON(w, http.StatusServiceUnavailable, map[string]any{"status": "unavailable", "notReady": notReady})
		return
	}
	writeJSON(w, http.StatusOK, map[string]any{"status": "ok", "notReady": notReady})
}

// metrics takes the admin key: labels show the ids of projects.
func (s *Server) metrics(w http.ResponseWriter, r *http.Request) {
	principal, err := auth.Authenticate(s.cfg.Registry, r.Header.Get("Authorization"))
	if err == nil && !principal.Admin {
		err = sdk.ErrDenied.Errorf("/metrics needs the admin key")
	}
	var text []byte
	if err == nil {
		text, err = s.cfg.Metrics.Text()
	}
	if err != nil {
		s.fail(w, r, err)
		return
	}
	w.Header().Set("Content-Type", metrics.ContentType)
	w.Header().Set("Cache-Control", "no-store")
	w.Write(text)
}

func (s *Server) document(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	w.Write(s.openAPI)
}

func (s *Server) commands(w http.ResponseWriter, _ *http.Request) {
	type route struct {
		Method string `json:"method"`
		Path   string `json:"path"`
	}
	type command struct {
		Name       string          `json:"name"`
		Summary    string          `json:"summary"`
		Plugin     string          `json:"plugin"`
		Permission string          `json:"permission"`
		Routes     []route         `json:"routes"`
		Input      json.RawMessage `json:"input"`
	}
	items := []command{}
	for _, c := range s.cfg.Host.Table().Commands() {
		item := command{Name: c.GetName(), Summary: c.GetSummary(), Plugin: c.Plugin, Permission: c.GetPermission(), Routes: []route{}, Input: c.GetInputSchema()}
		for _, r := range c.GetRoutes() {
			for _, path := range pluginhost.Expand(r.GetPath()) {
				item.Routes = append(item.Routes, route{r.GetMethod(), path})
			}
		}
		items = append(items, item)
	}
	writeJSON(w, http.StatusOK, map[string]any{"items": items})
}

func writeJSON(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(body)
}
