package httpapi

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/hashicorp/go-hclog"

	"github.com/keboola/duckdb-storage/core/internal/audit"
	"github.com/keboola/duckdb-storage/core/internal/metrics"
	"github.com/keboola/duckdb-storage/core/internal/registry"
)

// newAudit is an audit that ends with the test.
func newAudit(t *testing.T, s audit.Store) *audit.Log {
	t.Helper()
	l := audit.Open(s, audit.Config{})
	t.Cleanup(func() { l.Close(context.Background()) })
	return l
}

// ask sends a request with headers in turn, name and value.
func (d *door) ask(ctx context.Context, path, body string, header ...string) {
	r := httptest.NewRequest(http.MethodPost, path, strings.NewReader(body)).WithContext(ctx)
	r.Header.Set("Authorization", "Bearer "+d.key)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	d.http.Handler.ServeHTTP(httptest.NewRecorder(), r)
}

// entries are those of the audit, the oldest first.
func (d *door) entries() []registry.AuditEntry {
	d.t.Helper()
	found, err := d.cfg.Registry.Audit(d.t.Context(), registry.AuditFilter{Limit: 1000})
	if err != nil {
		d.t.Fatal(err)
	}
	out := make([]registry.AuditEntry, len(found))
	for i, e := range found {
		out[len(found)-1-i] = e
	}
	return out
}

// Each write has an entry that says what became of it; what is no write has none.
func TestAudit(t *testing.T) {
	t.Parallel()
	d := newDoor(t)
	left, leave := context.WithCancel(t.Context())
	leave()
	const key, wrong = "Idempotency-Key", "Authorization"
	d.ask(t.Context(), unitPath, `{"name":"a"}`, "X-Request-Id", "one", "X-KBC-RunId", "run")
	d.ask(t.Context(), unitPath, `{"name":"a"}`, "X-Request-Id", "exists")
	d.ask(t.Context(), unitPath, `{"nick":"a"}`, "X-Request-Id", "invalid")
	d.ask(t.Context(), unitPath, `[]`, "X-Request-Id", "no-object")
	d.ask(t.Context(), unitPath, `{"name":"b"}`, key, "k", "X-Request-Id", "first")
	d.ask(t.Context(), unitPath, `{"name":"b"}`, key, "k", "X-Request-Id", "repeat")
	d.ask(t.Context(), strings.Replace(unitPath, "/1/", "/9/", 1), `{"name":"c"}`, "X-Request-Id", "nowhere")
	d.ask(left, doPath, `{"name":"d"}`, "X-Request-Id", "left")
	d.ask(t.Context(), "/commands/x.Unit?project=1&secret=s", `{"name":"e"}`, "X-Request-Id", "refused")
	d.ask(t.Context(), "/commands/x.Unit?project=1", `{"name":"f"}`, "X-Request-Id", "by-name")
	d.ask(t.Context(), unitPath, `{"name":"g"}`, "Prefer", "return=plan", "X-Request-Id", "plan")
	d.ask(t.Context(), unitPath, `{"name":"g"}`, wrong, "Bearer nothing", "X-Request-Id", "wrong")
	d.ask(t.Context(), "/nowhere", ``, "X-Request-Id", "unrouted")
	d.ask(t.Context(), doPath+"?project=1", `{"name":"h"}`, "X-Request-Id", "pretends")

	entry := func(id, input, problem string, outcome registry.AuditOutcome, status int) registry.AuditEntry {
		return registry.AuditEntry{
			Subject: "admin", Project: "1", Branch: "default", Command: "x.Unit", Method: http.MethodPost, Path: unitPath,
			Input: input, Outcome: outcome, Status: status, Problem: problem, RequestID: id, RemoteAddr: "192.0.2.1:1234",
		}
	}
	one := entry("one", `{"name":"a"}`, "", registry.AuditOK, 200)
	one.RunID = "run"
	repeat := entry("repeat", `{"name":"b"}`, "", registry.AuditOK, 200)
	repeat.Repeated = true
	nowhere := entry("nowhere", "", "project-not-found", registry.AuditFailed, 404)
	nowhere.Project, nowhere.Path = "9", strings.Replace(unitPath, "/1/", "/9/", 1)
	gone := entry("left", `{"name":"d"}`, "", registry.AuditAborted, 201)
	gone.Command, gone.Path, gone.Project, gone.Branch = "x.Do", doPath, "", ""
	refused := entry("refused", "", "malformed-request", registry.AuditFailed, 400)
	named := entry("by-name", `{"name":"f"}`, "", registry.AuditOK, 200)
	refused.Path, named.Path = "/commands/x.Unit", "/commands/x.Unit"
	pretends := entry("pretends", "", "malformed-request", registry.AuditFailed, 400)
	pretends.Command, pretends.Path, pretends.Project, pretends.Branch = "x.Do", doPath, "", ""
	want := []registry.AuditEntry{
		one,
		entry("exists", `{"name":"a"}`, "table-exists", registry.AuditFailed, 409),
		entry("invalid", `{"nick":"a"}`, "malformed-request", registry.AuditFailed, 400),
		entry("no-object", "", "malformed-request", registry.AuditFailed, 400),
		entry("first", `{"name":"b"}`, "", registry.AuditOK, 200),
		repeat, nowhere, gone, refused, named, pretends,
	}
	if diff := cmp.Diff(want, d.entries(), cmpopts.IgnoreFields(registry.AuditEntry{}, "ID", "Time", "Duration")); diff != "" {
		t.Errorf("entries (-want +got):\n%s", diff)
	}
}

// watched is a store that looks at what it gets.
type watched struct {
	audit.Store
	add func([]registry.AuditEntry) error
}

func (w watched) AddAudit(_ context.Context, entries ...registry.AuditEntry) error {
	return w.add(entries)
}

// The client hears nothing before the entry is durable. When it cannot be, the answer
// goes out, and the log has the entry.
func TestAnswersWaitForTheAudit(t *testing.T) {
	t.Parallel()
	d := newDoor(t)
	m := metrics.New()
	var log bytes.Buffer
	var to *order
	var failure error
	asked := 0
	d.cfg.Audit = audit.Open(watched{d.cfg.Registry, func(entries []registry.AuditEntry) error {
		if asked += len(entries); to.begun {
			t.Error("the answer had begun")
		}
		return failure
	}}, audit.Config{Observer: m.Audit, Logger: hclog.New(&hclog.LoggerOptions{Output: &log, JSONFormat: true})})
	for _, failure = range []error{nil, errors.New("the disk is full")} {
		to = &order{ResponseRecorder: httptest.NewRecorder()}
		r := httptest.NewRequest(http.MethodPost, doPath, strings.NewReader(`{"name":"secretly"}`))
		r.Header.Set("Authorization", "Bearer "+d.key)
		d.http.Handler.ServeHTTP(to, r)
		if !to.begun || to.Code != http.StatusCreated {
			t.Errorf("with %v: status %d", failure, to.Code)
		}
	}
	if asked != 2 {
		t.Errorf("%d entries", asked)
	}
	if err := d.cfg.Audit.Close(t.Context()); err != nil {
		t.Error(err)
	}
	for _, part := range []string{`"@level":"error"`, `"command":"x.Do"`, `"input":"{\"name\":\"secretly\"}"`, `"subject":"admin"`, `"outcome":"ok"`, `"status":201`, `"error":"the disk is full"`} {
		if !strings.Contains(log.String(), part) {
			t.Errorf("the log lacks %s: %s", part, log.String())
		}
	}
	if strings.Count(log.String(), "\n") != 1 || strings.Contains(log.String(), d.key) {
		t.Errorf("the log: %s", log.String())
	}
	text, err := m.Text()
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{`entries_total{outcome="ok"} 1`, `lost_total{outcome="ok"} 1`, `wait_seconds_count 1`} {
		if !strings.Contains(string(text), "\nduckdb_storage_audit_"+line+"\n") {
			t.Errorf("the metrics lack %s", line)
		}
	}
}

// However an answer begins, what comes before it is told once, and first.
func TestBeforeAnAnswer(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		answer func(w http.ResponseWriter)
		want   int
	}{
		"head":      {func(w http.ResponseWriter) { w.WriteHeader(http.StatusTeapot); w.Write([]byte("x")) }, http.StatusTeapot},
		"body":      {func(w http.ResponseWriter) { w.Write([]byte("x")); w.Write([]byte("y")) }, http.StatusOK},
		"flush":     {func(w http.ResponseWriter) { _ = http.NewResponseController(w).Flush() }, http.StatusOK},
		"hint":      {func(w http.ResponseWriter) { w.WriteHeader(http.StatusEarlyHints); w.WriteHeader(http.StatusCreated) }, http.StatusCreated},
		"two heads": {func(w http.ResponseWriter) { w.WriteHeader(http.StatusCreated); w.WriteHeader(http.StatusOK) }, http.StatusCreated},
		"nothing":   {func(http.ResponseWriter) {}, 0},
	} {
		to := &order{ResponseRecorder: httptest.NewRecorder()}
		var told []int
		rec := &recorder{ResponseWriter: to, sent: func(int) {}, before: func(status int) {
			if to.begun {
				t.Errorf("%s: the answer had begun", name)
			}
			told = append(told, status)
		}}
		tc.answer(rec)
		rec.settle()
		if diff := cmp.Diff([]int{tc.want}, told); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// order notes when an answer begins.
type order struct {
	*httptest.ResponseRecorder
	begun bool
}

func (o *order) WriteHeader(status int) {
	o.begun = o.begun || status >= http.StatusOK
	o.ResponseRecorder.WriteHeader(status)
}

func (o *order) Write(b []byte) (int, error) {
	o.begun = true
	return o.ResponseRecorder.Write(b)
}

func (o *order) Flush() {
	o.begun = true
	o.ResponseRecorder.Flush()
}
