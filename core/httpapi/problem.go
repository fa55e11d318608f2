package httpapi

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"

	"github.com/keboola/duckdb-storage/core/internal/pluginhost"
	"github.com/keboola/duckdb-storage/sdk"
)

// The problems that only HTTP has.
var (
	errMethod    = sdk.Code{Slug: "method-not-allowed", Title: "Method not allowed", Kind: sdk.Malformed, Driver: 900}
	errAccept    = sdk.Code{Slug: "not-acceptable", Title: "Not acceptable", Kind: sdk.Malformed, Driver: 3000}
	errMediaType = sdk.Code{Slug: "unsupported-media-type", Title: "Unsupported media type", Kind: sdk.Malformed, Driver: 3000}
)

// problemPath is where types of problems are explained.
const problemPath = "/problems/"

// codes lists the problem types of this package.
func codes() []sdk.Code {
	return []sdk.Code{errMethod, errAccept, errMediaType, errInProgress, errKeyReused, errAnswerLost}
}

// problem is RFC 9457 with Keboola's members.
type problem struct {
	Type      string                 `json:"type"`
	Title     string                 `json:"title"`
	Status    int                    `json:"status"`
	Detail    string                 `json:"detail"`
	Instance  string                 `json:"instance"`
	Code      uint32                 `json:"code"`
	Retryable bool                   `json:"retryable"`
	RequestID string                 `json:"requestId"`
	Errors    []pluginhost.Violation `json:"errors"`
	Context   map[string]string      `json:"context"`
}

// fail answers with a problem. An error that nobody classified leaves as an
// internal error with the request id; the log has the rest.
func (s *Server) fail(w http.ResponseWriter, r *http.Request, err error) {
	log := loggerOf(r.Context(), s.cfg.Logger)
	var e *sdk.Error
	if !errors.As(err, &e) {
		if r.Context().Err() != nil {
			e = sdk.ErrCancelled.Errorf("the client left before the answer was ready")
		} else {
			log.Error("unclassified error", "error", err)
			e = sdk.ErrInternal.Errorf("internal error; see the log for request %s", requestID(r.Context()))
		}
	}
	observedOf(r.Context()).problem = e
	p := newProblem(e, err, r.URL.EscapedPath(), requestID(r.Context()))
	if p.Status >= 500 {
		log.Warn("problem", "slug", e.Slug, "error", err)
	}
	h := w.Header()
	h.Set("Content-Type", "application/problem+json")
	h.Set("Cache-Control", "no-store")
	switch {
	case e.Retryable && (e.Kind == sdk.Exhausted || e.Kind == sdk.Unavailable):
		h.Set("Retry-After", "1")
	case e.Kind == sdk.Unauthenticated:
		h.Set("WWW-Authenticate", "Bearer")
	}
	w.WriteHeader(p.Status)
	json.NewEncoder(w).Encode(p)
}

// newProblem is what an error is answered with. err is the whole of it, e what leaves
// the service.
func newProblem(e *sdk.Error, err error, instance, requestID string) problem {
	p := problem{
		Type: problemPath + e.Slug, Title: e.Title, Status: statusOf(e.Code), Detail: e.Detail, Instance: instance,
		Code: e.Driver, Retryable: e.Retryable, RequestID: requestID,
		Errors: []pluginhost.Violation{}, Context: e.Meta,
	}
	if p.Context == nil {
		p.Context = map[string]string{}
	}
	var input *pluginhost.InputError
	if errors.As(err, &input) {
		p.Errors = input.Violations
	} else if e.Pointer != "" {
		p.Errors = append(p.Errors, pluginhost.Violation{Pointer: e.Pointer, Detail: e.Detail})
	}
	return p
}

// contextKey is the type of this package's context values.
type contextKey int

const observedKey contextKey = iota

// observed is what the log line of a request says beyond HTTP.
type observed struct {
	requestID, runID string
	command, subject string
	problem          *sdk.Error // that was answered, or nil
	asked
}

func observedOf(ctx context.Context) *observed {
	if o, ok := ctx.Value(observedKey).(*observed); ok {
		return o
	}
	return &observed{}
}

func requestID(ctx context.Context) string { return observedOf(ctx).requestID }
