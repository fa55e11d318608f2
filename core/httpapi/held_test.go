package httpapi

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/keboola/duckdb-storage/sdk"
)

// flush flushes an answer, as a stream does.
func flush(t *testing.T, w http.ResponseWriter) {
	t.Helper()
	if err := http.NewResponseController(w).Flush(); err != nil {
		t.Error(err)
	}
}

// An answer is held until it is passed on; what cannot be kept is passed on at once.
func TestHeld(t *testing.T) {
	t.Parallel()
	large := strings.Repeat("x", maxKeptBytes)
	for name, tc := range map[string]struct {
		do   func(w http.ResponseWriter)
		kept *kept
		// What the client has before and after the answer is passed on.
		early, body string
		status      int
	}{
		"nothing":       {func(http.ResponseWriter) {}, nil, "", "", 200},
		"only a status": {func(w http.ResponseWriter) { w.WriteHeader(http.StatusNoContent) }, &kept{Status: 204, Header: map[string]string{}}, "", "", 204},
		"only a body":   {func(w http.ResponseWriter) { w.Write([]byte("a")) }, &kept{Status: 200, Header: map[string]string{}, Body: []byte("a")}, "", "a", 200},
		"largest":       {func(w http.ResponseWriter) { w.WriteHeader(http.StatusCreated); w.Write([]byte(large)) }, &kept{Status: 201, Header: map[string]string{}, Body: []byte(large)}, "", large, 201},
		"too large": {func(w http.ResponseWriter) {
			w.WriteHeader(http.StatusCreated)
			w.Write([]byte("a"))
			w.Write([]byte(large))
		}, nil, "a" + large, "a" + large, 201},
		"flushed": {func(w http.ResponseWriter) {
			w.Write([]byte("a"))
			flush(t, w)
			w.Write([]byte("b"))
		}, nil, "ab", "ab", 200},
		"flushed before": {func(w http.ResponseWriter) { flush(t, w); w.Write([]byte("b")) }, nil, "b", "b", 200},
		"encoded": {func(w http.ResponseWriter) {
			w.Header().Set("Content-Encoding", "gzip")
			w.Write([]byte("a"))
		}, nil, "", "a", 200},
		"headers": {func(w http.ResponseWriter) {
			w.Header().Set("Location", "/jobs/1")
			w.Header().Set("Content-Type", "application/json")
			w.Header().Set("X-Request-Id", "1")
			w.WriteHeader(http.StatusAccepted)
			w.WriteHeader(http.StatusInternalServerError) // the first counts
		}, &kept{Status: 202, Header: map[string]string{"Location": "/jobs/1", "Content-Type": "application/json"}}, "", "", 202},
	} {
		to := httptest.NewRecorder()
		h := &held{ResponseWriter: to}
		tc.do(h)
		if diff := cmp.Diff(tc.kept, h.answer()); diff != "" {
			t.Errorf("%s: kept (-want +got):\n%s", name, diff)
		}
		if got := to.Body.String(); got != tc.early {
			t.Errorf("%s: the client has %d bytes at once, want %d", name, len(got), len(tc.early))
		}
		for range 2 { // the second one does nothing
			if err := h.pass(); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		if to.Body.String() != tc.body || to.Code != tc.status {
			t.Errorf("%s: the client has %d and %d bytes, want %d and %d", name, to.Code, to.Body.Len(), tc.status, len(tc.body))
		}
	}
}

func TestKeptIsSentAgain(t *testing.T) {
	t.Parallel()
	to := httptest.NewRecorder()
	(&kept{Status: 409, Header: map[string]string{"Content-Type": "application/problem+json"}, Body: []byte("{}\n")}).send(to)
	if to.Code != 409 || to.Body.String() != "{}\n" || to.Header().Get("Content-Type") != "application/problem+json" || to.Header().Get("Idempotency-Replayed") != "true" {
		t.Errorf("%d %v %s", to.Code, to.Header(), to.Body)
	}
}

// Only what a repeat would be answered as well is kept.
func TestLasts(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		status  int
		problem *sdk.Error
		want    bool
	}{
		{200, nil, true}, {201, nil, true}, {202, nil, true}, {204, nil, true},
		{400, sdk.ErrMalformed.Errorf(""), true}, {404, sdk.ErrTableNotFound.Errorf(""), true}, {409, sdk.ErrTableExists.Errorf(""), true},
		{409, sdk.ErrConflict.Errorf("").Retry(), false}, {422, sdk.ErrInvalid.Errorf("").Retry(), false},
		{429, sdk.ErrQueueFull.Errorf(""), false}, {500, sdk.ErrInternal.Errorf(""), false}, {501, sdk.ErrUnsupported.Errorf(""), false},
		{502, sdk.ErrPluginDied.Errorf(""), false}, {503, sdk.ErrUnavailable.Errorf(""), false}, {504, sdk.ErrCancelled.Errorf(""), false},
	} {
		if got := lasts(tc.status, tc.problem); got != tc.want {
			t.Errorf("%d %v: got %v", tc.status, tc.problem, got)
		}
	}
}
