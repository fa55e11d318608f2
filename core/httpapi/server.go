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
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/keboola/duckdb-storage/core/internal/audit"
	"github.com/keboola/duckdb-storage/core/internal/files"
	"github.com/keboola/duckdb-storage/core/internal/jobs"
	"github.com/keboola/duckdb-storage/core/internal/metrics"
	"github.com/keboola/duckdb-storage/core/internal/plan"
	"github.com/keboola/duckdb-storage/core/internal/pluginhost"
	"github.com/keboola/duckdb-storage/core/internal/registry"
	"github.com/keboola/duckdb-storage/sdk"
)

// Config is what the server works with.
type Config struct {
	Host          *pluginhost.Host
	Registry      *registry.Registry
	Files         *files.Store
	Executor      *plan.Executor
	Jobs          *jobs.Jobs
	Audit         *audit.Log
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
	stopping chan struct{} // closed when Shutdown begins, for those who wait or follow
	current  atomic.Pointer[surface]
	remaking sync.Mutex // held by whoever makes a surface
	pages    *pages
	keys     *keyring
	http     *http.Server
}

// New makes a server for the commands that the host has loaded.
func New(cfg Config) (*Server, error) {
	cfg.WriteTimeout = cmp.Or(cfg.WriteTimeout, defaultWriteTimeout)
	s := &Server{cfg: cfg, started: time.Now(), stopping: make(chan struct{}), pages: newPages(), keys: newKeyring(cfg.Registry, cfg.Executor, cfg.Logger)}
	if _, err := s.surface().openAPI(); err != nil {
		return nil, err
	}
	s.http = &http.Server{
		Handler: s.patience(s.observe(http.HandlerFunc(s.serve))),
		// A request may stream for hours; only its head has a deadline.
		ReadHeaderTimeout: 30 * time.Second,
		IdleTimeout:       2 * time.Minute,
		ErrorLog:          cfg.Logger.StandardLogger(&hclog.StandardLoggerOptions{InferLevels: true}),
	}
	s.http.RegisterOnShutdown(sync.OnceFunc(func() { close(s.stopping) }))
	return s, nil
}

// Serve answers requests on the listener until Shutdown.
func (s *Server) Serve(l net.Listener) error {
	s.keys.open()
	if err := s.http.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// Shutdown refuses new requests and waits for the running ones until ctx ends,
// then cancels them.
func (s *Server) Shutdown(ctx context.Context) error {
	s.draining.Store(true)
	defer s.keys.close()
	if err := s.http.Shutdown(ctx); err != nil {
		s.cfg.Logger.Warn("requests were still running at the end of the shutdown", "error", err)
		return s.http.Close()
	}
	return nil
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
	principal, err := s.principal(r)
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

func (s *Server) document(w http.ResponseWriter, r *http.Request) {
	text, err := s.surface().openAPI()
	if err != nil {
		s.fail(w, r, err)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Write(text)
}

func writeJSON(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(body)
}
