package httpapi

import (
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/keboola/duckdb-storage/core/internal/auth"
)

var label = regexp.MustCompile(`([a-z_]+)="((?:[^"\\]|\\.)*)"`)

// Whatever clients send, the labels of metrics are names that the service knows: a
// client must not be able to make a series of its own.
func TestMetricsKeepTheirLabels(t *testing.T) {
	t.Parallel()
	s := served(t, zoo())
	const key = "the-key-of-the-operator"
	if err := s.cfg.Registry.SetAdminKey(t.Context(), auth.Hash(key)); err != nil {
		t.Fatal(err)
	}
	const odd = "evil%22name"
	for _, r := range []struct{ method, path, body string }{
		{"GET", "/" + odd, ""}, {"GET", "/projects/" + odd, ""}, {"GET", "/projects/" + odd + "/x/zoo/" + odd, ""},
		{"EVIL", "/health", ""}, {"EVIL", "/projects/1", ""}, {"POST", "/commands/" + odd, "{}"}, {"POST", "/commands/zoo.Drop?project=" + odd, "{}"},
		{"POST", "/commands/zoo.Drop", `{"thing":"evil"}`}, {"POST", "/commands/zoo.evil", "{}"}, {"GET", "/problems/" + odd, ""},
		{"GET", "/jobs/" + odd + "/events", ""}, {"PUT", "/x/zoo/evil?evil=evil&must=true", `{"one":{"name":"evil"}}`}, {"POST", "/backend/init", `{"evil":1}`},
		{"GET", "/commands", ""}, {"GET", "/projects", ""}, {"GET", "/docs", ""},
	} {
		for _, authorization := range []string{"", "Bearer evil", "Bearer " + key} {
			req := httptest.NewRequest(r.method, r.path, strings.NewReader(r.body))
			for name, value := range map[string]string{
				"Authorization": authorization, "X-Request-Id": "evil", "X-KBC-RunId": "evil", "Accept": "application/json, evil/evil", "Prefer": "evil",
			} {
				req.Header.Set(name, value)
			}
			s.http.Handler.ServeHTTP(httptest.NewRecorder(), req)
		}
	}
	text, err := s.cfg.Metrics.Text()
	if err != nil {
		t.Fatal(err)
	}
	known := map[string][]string{
		"command": {"none"}, "outcome": {"ok", "refused", "unavailable", "failed", "cancelled"}, "status": {"2xx", "4xx", "5xx", "aborted"},
		"callback": {"Query", "Write", "Call", "Transact", "Lease", "StartJob", "Progress"}, "reason": {"full", "timeout", "cancelled"},
		"line": {"turn", "lock"}, "state": {"waiting", "processing"},
	}
	for _, c := range s.cfg.Host.Table().Commands() {
		known["command"] = append(known["command"], c.GetName())
		if !slices.Contains(known["plugin"], c.Plugin) {
			known["plugin"] = append(known["plugin"], c.Plugin)
		}
	}
	seen := map[string]int{}
	for line := range strings.Lines(string(text)) {
		if !strings.HasPrefix(line, "duckdb_storage_") {
			continue
		}
		for _, m := range label.FindAllStringSubmatch(line, -1) {
			if m[1] == "le" {
				continue
			}
			if seen[m[1]]++; !slices.Contains(known[m[1]], m[2]) {
				t.Errorf("the label %s has the value %q", m[1], m[2])
			}
		}
	}
	for _, name := range []string{"command", "plugin", "outcome", "status"} {
		if seen[name] == 0 {
			t.Errorf("no metric has the label %s", name)
		}
	}
	if strings.Contains(string(text), "evil") {
		t.Error("the metrics have what a client sent")
	}
	for _, want := range []string{
		`duckdb_storage_command_runs_total{command="zoo.Drop",outcome="ok"} 1`, `duckdb_storage_plugin_call_duration_seconds_count{plugin="zoo"} 1`,
		`duckdb_storage_http_requests_total{command="none",status="4xx"}`,
	} {
		if !strings.Contains(string(text), want) {
			t.Errorf("the metrics have no %s", want)
		}
	}
}
