package httpapi

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/hashicorp/go-hclog"

	"github.com/keboola/duckdb-storage/core/internal/metrics"
)

// observing serves a handler as the server does, but for its routes.
func observing(t *testing.T, handler http.HandlerFunc) (url string, m *metrics.Metrics) {
	t.Helper()
	m = metrics.New()
	s := &Server{cfg: Config{Metrics: m, Logger: hclog.NewNullLogger()}}
	server := httptest.NewServer(s.observe(handler))
	t.Cleanup(server.Close)
	return server.URL, m
}

// counts fails the test unless the metrics have each of the lines.
func counts(t *testing.T, m *metrics.Metrics, lines ...string) {
	t.Helper()
	text, err := m.Text()
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range lines {
		if !strings.Contains(string(text), "\nduckdb_storage_http_"+line+"\n") {
			t.Errorf("the metrics lack %s", line)
		}
	}
}

// A panic is a problem, as long as the client can be told.
func TestPanic(t *testing.T) {
	t.Parallel()
	url, m := observing(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/late":
			w.Write([]byte("begun"))
		case "/abort":
			panic(http.ErrAbortHandler)
		}
		panic("secret")
	})
	resp, err := http.Post(url+"/early", "text/plain", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusInternalServerError || !strings.Contains(string(body), "internal-error") || strings.Contains(string(body), "secret") {
		t.Errorf("%d %s, %v", resp.StatusCode, body, err)
	}
	for _, path := range []string{"/late", "/abort"} {
		resp, err := http.Post(url+path, "text/plain", nil) // a GET would be sent again
		if err == nil {
			defer resp.Body.Close()
			_, err = io.ReadAll(resp.Body)
		}
		if err == nil {
			t.Errorf("%s: the answer has a proper end", path)
		}
	}
	counts(t, m, `requests_total{command="none",status="5xx"} 1`, `requests_total{command="none",status="aborted"} 2`, `requests_in_flight 0`)
}

// Bytes are counted as they come and go.
func TestBytes(t *testing.T) {
	t.Parallel()
	var m *metrics.Metrics
	url, m := observing(t, func(w http.ResponseWriter, r *http.Request) {
		half := make([]byte, 3)
		if _, err := io.ReadFull(r.Body, half); err != nil {
			t.Error(err)
		}
		w.Write(half)
		counts(t, m, "received_bytes_total 3", "sent_bytes_total 3", "requests_in_flight 1")
		if _, err := io.Copy(w, r.Body); err != nil {
			t.Error(err)
		}
	})
	resp, err := http.Post(url, "text/plain", strings.NewReader("hello"))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if body, err := io.ReadAll(resp.Body); err != nil || string(body) != "hello" {
		t.Errorf("%s, %v", body, err)
	}
	counts(t, m, "received_bytes_total 5", "sent_bytes_total 5")
}
