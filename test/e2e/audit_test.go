package e2e_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/keboola/duckdb-storage/sdk/sdktest/service"
)

// entry is an entry of the audit as the API shows it.
type entry struct {
	ID, Time, Subject, KeyID, Project, Branch, Command, Method, Path, Input, Outcome, Problem, RequestID, RunID, JobID, RemoteAddress string

	InputTruncated, Repeated bool
	Status                   int
	DurationMs               float64
}

// audited lists entries, the newest first, and the token of the next page.
func audited(t *testing.T, admin service.Client, filter string) ([]entry, string) {
	t.Helper()
	var out struct {
		Items         []entry
		NextPageToken string
	}
	_, err := admin.Do(t.Context(), http.MethodGet, "/admin/audit?"+filter, nil, &out)
	must(t, err)
	return out.Items, out.NextPageToken
}

// id is the request with a request id.
func (r sent) id(id string) sent { return r.with("X-Request-Id", id) }

// What was asked for, by whom, and what became of it: each write has its entry, and what
// is no write has none.
func TestAudit(t *testing.T) {
	t.Parallel()
	dir := dataDir(t)
	s, other := startProject(t.Context(), t, dir)
	admin := s.Admin()
	post := func(path, body string) sent { return sent{method: http.MethodPost, path: path, body: body} }

	created := post("/projects", `{"id":"7","name":"Seven"}`).id("create").must(t, admin)
	var made struct{ APIKey string }
	must(t, json.Unmarshal(created.body, &made))
	p := service.Project{Client: service.Client{URL: s.URL(), Key: made.APIKey}, ID: "7"}
	const bucket = `{"name":"in.c-ž"}`
	post("/projects/7/buckets", bucket).id("bucket").with("X-KBC-RunId", "run.1").must(t, p.Client)
	post("/projects/7/buckets", bucket).id("bucket-again").must(t, p.Client)
	table := `{"bucket":"in.c-ž","name":"t","columns":["id","name"]}`
	post("/projects/7/tables", table).id("table").must(t, p.Client)
	file, err := p.Upload(t.Context(), "a.csv", strings.NewReader("id,name\n1,a\n"))
	must(t, err)
	imported := fmt.Sprintf(`{"fileId":%q}`, file.ID)
	at := "/projects/7/tables/in.c-%C5%BE/t"
	post(at+"/import/file", imported).id("import").must(t, p.Client)
	post(at+"/import/file", `{"fileId":"999"}`).id("import-fails").must(t, p.Client)
	post("/projects/7/buckets", `{"name":"stolen"}`).id("denied").must(t, other.Client)
	sent{method: http.MethodDelete, path: "/projects/7"}.id("admins").must(t, p.Client)
	queued := post(at+"/import/file", imported).id("job").with("Prefer", "respond-async").must(t, p.Client)
	jobID := strings.TrimPrefix(queued.header.Get("Location"), "/jobs/")
	awaitJob(t.Context(), t, p.Client, jobID, job.done)
	insert := `{"sql":"INSERT INTO \"in.c-ž\".t (id, name) VALUES ('2', 'b')"}`
	post("/projects/7/query", insert).id("insert").under("k").must(t, p.Client)
	post("/projects/7/query", insert).id("repeat").under("k").must(t, p.Client)
	post("/projects/7/query", `{"sql":"SELEC 1"}`).id("sql-fails").must(t, p.Client)
	long := `{"sql":"` + strings.Repeat("x", 5000) + `"}`
	post("/projects/7/query", long).id("long").must(t, p.Client)
	post("/commands/tables.Create?project=7", `{"bucket":"in.c-ž","name":"u","columns":["a"]}`).id("by-name").must(t, p.Client)
	post("/admin/reload", ``).id("reload").must(t, admin)
	post("/admin/projects/7/reopen", ``).id("reopen").must(t, admin)
	sent{method: http.MethodDelete, path: at}.id("drop").must(t, p.Client)
	// No writes: a read, a plan, a query that reads, a key that is none.
	sent{method: http.MethodGet, path: "/projects/7/buckets"}.id("read").must(t, p.Client)
	post("/projects/7/buckets", `{"name":"planned"}`).id("plan").with("Prefer", "return=plan").must(t, p.Client)
	post("/projects/7/query", `{"sql":"SELECT 1"}`).id("select").must(t, p.Client)
	post("/projects/7/buckets", `{"name":"x"}`).id("nobody").must(t, service.Client{URL: s.URL(), Key: "dsp_wrong-key-of-nobody"})

	got, next := audited(t, admin, "limit=1000&project=7")
	if next != "" {
		t.Errorf("there is another page: %s", next)
	}
	service7, _ := audited(t, admin, "requestId=reload")
	all := slices.Concat(service7, got)
	byRequest := map[string]entry{}
	for _, e := range all {
		if e.Command == "files.Prepare" || e.Command == "files.Upload" || e.Command == "files.Register" {
			e.RequestID = e.Command // the steps of the upload
		}
		if e.JobID != "" && e.Outcome != "accepted" {
			e.RequestID = "run of " + e.RequestID
		}
		if _, twice := byRequest[e.RequestID]; twice {
			t.Errorf("two entries for %s", e.RequestID)
		}
		byRequest[e.RequestID] = e
	}
	keyOf := byRequest["bucket"]
	if keyOf.KeyID == "" || !strings.HasPrefix(keyOf.Subject, "project-7") {
		t.Errorf("who made the bucket: %+v", keyOf)
	}
	foreign := byRequest["denied"]
	if foreign.KeyID == "" || foreign.KeyID == keyOf.KeyID || !strings.HasPrefix(foreign.Subject, "project-1") {
		t.Errorf("who was denied: %+v", foreign)
	}
	by := func(command, method, path, input, outcome string, status int, problem string) entry {
		return entry{
			Subject: keyOf.Subject, KeyID: keyOf.KeyID, Project: "7", Branch: "default", Command: command, Method: method, Path: path, Input: input,
			Outcome: outcome, Status: status, Problem: problem,
		}
	}
	denied := by("buckets.Create", "POST", "/projects/7/buckets", "", "denied", 404, "project-not-found")
	denied.Subject, denied.KeyID = foreign.Subject, foreign.KeyID
	create := entry{Subject: "admin", Project: "7", Command: "projects.Create", Method: "POST", Path: "/projects", Outcome: "ok", Status: 201}
	first := by("buckets.Create", "POST", "/projects/7/buckets", bucket, "ok", 201, "")
	first.RunID = "run.1"
	importInput := fmt.Sprintf(`{"fileId":%q,"schema":"in.c-ž","table":"t"}`, file.ID)
	asJob := by("tables.ImportFile", "POST", at+"/import/file", importInput, "accepted", 202, "")
	asJob.JobID = jobID
	run := by("tables.ImportFile", "", "", importInput, "ok", 0, "")
	run.JobID = jobID
	insertion := by("query.Execute", "POST", "/projects/7/query", insert, "ok", 200, "")
	repeat := insertion
	repeat.Repeated = true
	tooLong := by("query.Execute", "POST", "/projects/7/query", long[:4000], "failed", 200, "sql-error")
	tooLong.InputTruncated = true
	expected := map[string]entry{
		"create": create, "bucket": first, "denied": denied, "job": asJob, "run of job": run, "insert": insertion, "repeat": repeat, "long": tooLong,
		"bucket-again":   by("buckets.Create", "POST", "/projects/7/buckets", bucket, "failed", 409, "bucket-exists"),
		"table":          by("tables.Create", "POST", "/projects/7/tables", `{"bucket":"in.c-ž","columns":["id","name"],"name":"t"}`, "ok", 201, ""),
		"files.Prepare":  by("files.Prepare", "POST", "/projects/7/files/prepare", `{"name":"a.csv"}`, "ok", 201, ""),
		"files.Upload":   by("files.Upload", "PUT", "/projects/7/files/"+file.ID+"/content", fmt.Sprintf(`{"file":%q}`, file.ID), "ok", 200, ""),
		"files.Register": by("files.Register", "POST", "/projects/7/files", fmt.Sprintf(`{"id":%q}`, file.ID), "ok", 201, ""),
		"import":         by("tables.ImportFile", "POST", at+"/import/file", importInput, "ok", 200, ""),
		"import-fails":   by("tables.ImportFile", "POST", at+"/import/file", `{"fileId":"999","schema":"in.c-ž","table":"t"}`, "failed", 404, "file-not-found"),
		"admins":         by("projects.Drop", "DELETE", "/projects/7", "", "denied", 403, "permission-denied"),
		"sql-fails":      by("query.Execute", "POST", "/projects/7/query", `{"sql":"SELEC 1"}`, "failed", 200, "sql-error"),
		"by-name":        by("tables.Create", "POST", "/commands/tables.Create", `{"bucket":"in.c-ž","columns":["a"],"name":"u"}`, "ok", 201, ""),
		"reload":         {Subject: "admin", Command: "plugins.Reload", Method: "POST", Path: "/admin/reload", Input: "{}", Outcome: "ok", Status: 200},
		"reopen":         {Subject: "admin", Project: "7", Branch: "default", Command: "projects.Reopen", Method: "POST", Path: "/admin/projects/7/reopen", Input: "{}", Outcome: "ok", Status: 204},
		"drop":           by("tables.Drop", "DELETE", at, `{"schema":"in.c-ž","table":"t"}`, "ok", 204, ""),
	}
	if diff := cmp.Diff(expected, byRequest, cmpopts.IgnoreFields(entry{}, "ID", "Time", "RequestID", "DurationMs", "RemoteAddress")); diff != "" {
		t.Errorf("entries by request (-want +got):\n%s", diff)
	}
	for i, e := range got {
		at, err := time.Parse(time.RFC3339, e.Time)
		if err != nil || time.Since(at).Abs() > time.Minute || len(e.Time) != len("2026-01-31T12:00:00.000000Z") || e.DurationMs <= 0 || i > 0 && (got[i-1].ID <= e.ID || got[i-1].Time < e.Time) {
			t.Errorf("entry %d: %+v, %v", i, e, err)
		}
		if (e.Method != "") != strings.HasPrefix(e.RemoteAddress, "127.0.0.1:") {
			t.Errorf("the client of %+v", e)
		}
	}
	before, _ := audited(t, admin, "limit=1000")
	shown, err := json.Marshal(before)
	must(t, err)
	for _, secret := range []string{s.AdminKey, p.Key, other.Key, "dsp_", "Bearer", "apiKey"} {
		if strings.Contains(string(shown), secret) {
			t.Errorf("the audit shows %s", secret)
		}
	}
	samples := quiet(t, admin)
	want(t, samples, map[string]float64{
		`audit_entries_total{outcome="accepted"}`: 1, `audit_entries_total{outcome="denied"}`: 2, `audit_entries_total{outcome="failed"}`: 4, `audit_lost_total{outcome="ok"}`: 0,
	})
	if stored, waited := samples["duckdb_storage_audit_wait_seconds_count"], float64(len(before)-1); stored != waited { // but for the run of the job
		t.Errorf("%v answers waited for the audit, want %v", stored, waited)
	}

	must(t, s.Stop())
	s, _ = startProject(t.Context(), t, dir)
	after, _ := audited(t, s.Admin(), "limit=1000&until="+url.QueryEscape(before[0].Time))
	if diff := cmp.Diff(before[1:], after); diff != "" || len(after) == 0 {
		t.Errorf("after a restart (-before +after):\n%s", diff)
	}
	must(t, s.Stop())
}

// Filters, pages, and who may see them.
func TestAuditList(t *testing.T) {
	t.Parallel()
	s, p := startProject(t.Context(), t, dataDir(t))
	admin := s.Admin()
	for n := range 12 {
		must(t, p.CreateBucket(t.Context(), fmt.Sprintf("b%02d", n)))
	}
	if err := p.CreateBucket(t.Context(), "b00"); !service.IsProblem(err, "bucket-exists") {
		t.Fatal(err)
	}
	whole, _ := audited(t, admin, "")
	if len(whole) != 14 || whole[13].Command != "projects.Create" {
		t.Fatalf("%d entries: %+v", len(whole), whole)
	}
	ids := func(entries []entry) (out []string) {
		for _, e := range entries {
			out = append(out, e.ID)
		}
		return out
	}
	middle := url.QueryEscape(whole[7].Time)
	for filter, from := range map[string][]entry{
		"project=1": whole, "project=2": nil, "subject=admin": whole[13:], "subject=" + url.QueryEscape(whole[0].Subject): whole[:13],
		"command=buckets.Create": whole[:13], "outcome=failed": whole[:1], "outcome=aborted": nil,
		"requestId=" + whole[3].RequestID: whole[3:4], "since=" + middle: whole[:8], "until=" + middle: whole[8:],
		"since=" + url.QueryEscape(whole[9].Time) + "&until=" + middle: whole[8:10], "outcome=ok&command=buckets.Create&limit=1000": whole[1:13],
	} {
		if got, next := audited(t, admin, filter); next != "" || cmp.Diff(ids(from), ids(got)) != "" {
			t.Errorf("%s: %v, next %q; want %v", filter, ids(got), next, ids(from))
		}
	}
	// Entries that come meanwhile are on no later page.
	page, next := audited(t, admin, "limit=5")
	got := ids(page)
	for next != "" {
		must(t, p.CreateBucket(t.Context(), "meanwhile "+next))
		page, next = audited(t, admin, "limit=5&pageToken="+next)
		got = append(got, ids(page)...)
	}
	if diff := cmp.Diff(ids(whole), got); diff != "" {
		t.Errorf("page by page (-want +got):\n%s", diff)
	}

	contract, err := fetchContract(s)
	must(t, err)
	for path, tc := range map[string]struct {
		client service.Client
		status int
		slug   string
		detail string
	}{
		"":                     {admin, http.StatusOK, "", ""},
		"?limit=1001":          {admin, http.StatusBadRequest, "malformed-request", "limit"},
		"?outcome=good":        {admin, http.StatusBadRequest, "malformed-request", "outcome"},
		"?since=yesterday":     {admin, http.StatusBadRequest, "malformed-request", "RFC 3339"},
		"?until=2026-01-31":    {admin, http.StatusBadRequest, "malformed-request", "RFC 3339"},
		"?pageToken=5":         {admin, http.StatusBadRequest, "malformed-request", "pageToken"},
		"?project=1&project=2": {admin, http.StatusBadRequest, "malformed-request", "more than once"},
		"?project=1":           {p.Client, http.StatusForbidden, "permission-denied", "admin"},
		"?project=3":           {service.Client{URL: s.URL()}, http.StatusUnauthorized, "unauthenticated", "key"},
	} {
		a := sent{method: http.MethodGet, path: "/admin/audit" + path}.must(t, tc.client)
		if a.status != tc.status || tc.slug != "" && !strings.Contains(string(a.body), "/problems/"+tc.slug+`"`) || !strings.Contains(string(a.body), tc.detail) {
			t.Errorf("%s: %d %s", path, a.status, a.body)
		}
		if err := contract.keeps(http.MethodGet, a); err != nil {
			t.Error(err)
		}
	}
	must(t, s.Stop())
}

// Whatever was acknowledged before a kill is in the audit after it. So is a job that the
// kill has interrupted, and a request whose client has left.
func TestAuditAfterAKill(t *testing.T) {
	t.Parallel()
	dir := dataDir(t)
	s, p := startProject(t.Context(), t, dir)
	lost := sqlJob(t.Context(), t, p, endlessOf("lost"))
	awaitLine(t, s.Admin(), func(l line) bool { return l.Holder.HeldSeconds > 0 })
	leaving, leave := context.WithCancel(t.Context())
	left := make(chan error, 1)
	go func() {
		_, err := sent{method: http.MethodPost, path: p.Path("query"), body: `{"sql":"CREATE TABLE main.gone (i INTEGER)"}`}.id("left").to(leaving, p.Client)
		left <- err
	}()
	awaitLine(t, s.Admin(), func(l line) bool { return l.Waiting == 1 }) // behind the job
	leave()
	if err := <-left; err == nil {
		t.Error("the client that leaves has an answer")
	}
	awaitEntry(t, s.Admin(), "requestId=left", entry{Outcome: "aborted", Problem: "cancelled", Status: 504, Command: "query.Execute"})

	// Files take no turn, so these writes run beside the job.
	const writers = 8
	var acknowledged [writers][]string
	var writing sync.WaitGroup
	enough := make(chan bool, 10_000)
	for w := range writers {
		writing.Go(func() {
			for n := 0; ; n++ {
				id := fmt.Sprintf("w%d-%d", w, n)
				r := sent{method: http.MethodPost, path: p.Path("files", "prepare"), body: `{"name":"a.csv"}`}.id(id)
				a, err := r.to(t.Context(), p.Client)
				if err != nil {
					return // killed
				}
				if a.status != http.StatusCreated {
					t.Errorf("%d %s", a.status, a.body)
				}
				acknowledged[w] = append(acknowledged[w], id)
				enough <- true
			}
		})
	}
	for range 200 {
		<-enough
	}
	must(t, s.Kill())
	writing.Wait()

	s, _ = startProject(t.Context(), t, dir)
	known := map[string]bool{}
	for next := "limit=1000"; next != "limit=1000&pageToken="; {
		page, token := audited(t, s.Admin(), next+"&command=files.Prepare&outcome=ok")
		for _, e := range page {
			known[e.RequestID] = true
		}
		next = "limit=1000&pageToken=" + token
	}
	total := 0
	for _, ids := range acknowledged {
		for _, id := range ids {
			if total++; !known[id] {
				t.Errorf("%s was acknowledged and is not in the audit", id)
			}
		}
	}
	t.Logf("%d writes were acknowledged, %d are in the audit", total, len(known))
	if total < 200 || len(known) > total+writers {
		t.Errorf("%d writes were acknowledged, %d are in the audit", total, len(known))
	}
	run := entry{Outcome: "failed", Problem: "unavailable", Status: 503, Command: "query.Execute", JobID: lost.ID, Project: "1", Branch: "default", RunID: "123.456"}
	awaitEntry(t, s.Admin(), "command=query.Execute&outcome=failed", run)
	must(t, s.Stop())
}

// awaitEntry waits for the only entry that a filter lets through, and compares what is
// wanted of it.
func awaitEntry(t *testing.T, admin service.Client, filter string, want entry) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	poll := time.NewTicker(5 * time.Millisecond)
	defer poll.Stop()
	for {
		found, _ := audited(t, admin, filter)
		if len(found) == 1 {
			got := found[0]
			if got.Outcome != want.Outcome || got.Problem != want.Problem || got.Status != want.Status || got.Command != want.Command ||
				want.JobID != "" && (got.JobID != want.JobID || got.RunID != want.RunID || got.Project != want.Project || got.Method != "") {
				t.Errorf("%s: %+v, want %+v", filter, got, want)
			}
			return
		}
		select {
		case <-poll.C:
		case <-ctx.Done():
			t.Fatalf("%s: %+v", filter, found)
		}
	}
}
