package e2e_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/google/go-cmp/cmp"

	"github.com/keboola/duckdb-storage/sdk/sdktest/service"
)

// members are those of every problem, RFC 9457 and the service's own.
var members = []string{
	"code", "context", "detail", "errors", "instance", "requestId", "retryable", "status", "title", "type",
}

// problem tells how the answer differs from a problem that is complete; a detail
// may be a part.
func (a *answer) problem(status int, slug string, code int, detail string) error {
	p, err := a.readProblem()
	if err != nil {
		return fmt.Errorf("%w: status %d: %s", err, a.status, a.body)
	}
	if p.Type != "/problems/"+slug || p.Status != status || p.Code != code || !strings.Contains(p.Detail, detail) {
		return fmt.Errorf("got %d %s %d, want %d %s %d %q: %s", p.Status, p.Type, p.Code, status, slug, code, detail, a.body)
	}
	faults := []error{
		same("status of HTTP", a.status, status), same("instance", p.Instance, a.path),
		same("requestId", p.RequestID, a.header.Get("X-Request-Id")),
		same("Content-Type", a.header.Get("Content-Type"), "application/problem+json"),
		same("Cache-Control", a.header.Get("Cache-Control"), "no-store"),
	}
	if p.Title == "" || p.Detail == "" || p.RequestID == "" {
		faults = append(faults, errors.New("title, detail or requestId is empty"))
	}
	for _, v := range p.Errors {
		if v.Detail == "" {
			faults = append(faults, errors.New("a member of errors has no detail"))
		}
	}
	switch status {
	case http.StatusUnauthorized:
		faults = append(faults, same("WWW-Authenticate", a.header.Get("WWW-Authenticate"), "Bearer"))
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		faults = append(faults, same("Retry-After", a.header.Get("Retry-After"), "1"))
	}
	return errors.Join(faults...)
}

// readProblem decodes a problem; no member may be missing, unknown or null.
func (a *answer) readProblem() (service.Problem, error) {
	var all map[string]any
	if err := json.Unmarshal(a.body, &all); err != nil {
		return service.Problem{}, fmt.Errorf("not a problem: %w", err)
	}
	if diff := cmp.Diff(members, slices.Sorted(maps.Keys(all))); diff != "" {
		return service.Problem{}, fmt.Errorf("not the members of a problem (-want +got):\n%s", diff)
	}
	for name, value := range all {
		if value == nil {
			return service.Problem{}, fmt.Errorf("the member %s is null", name)
		}
	}
	var p service.Problem
	decoder := json.NewDecoder(bytes.NewReader(a.body))
	decoder.DisallowUnknownFields()
	err := decoder.Decode(&p)
	return p, err
}

func same(what string, got, want any) error {
	if got != want {
		return fmt.Errorf("%s is %v, want %v", what, got, want)
	}
	return nil
}
