package e2e_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/keboola/duckdb-storage/sdk/sdktest/service"
)

// async asks for a job.
var async = http.Header{"Prefer": {"respond-async"}, "X-Kbc-Runid": {"123.456"}}

// job is a job as the API shows it.
type job struct {
	ID, Command, State, Project, Message, RunID string
	Progress                                    *float64
	StartedAt, EndedAt                          *string
	Result                                      json.RawMessage
	Error                                       *service.Problem
}

func (j job) done() bool { return j.State != "waiting" && j.State != "processing" }

// sendJSON sends a JSON body and returns the answer.
func sendJSON(ctx context.Context, t *testing.T, c service.Client, method, path string, header http.Header, body any) *answer {
	t.Helper()
	raw, err := json.Marshal(body)
	must(t, err)
	resp, err := c.Send(ctx, method, path, header, bytes.NewReader(raw))
	must(t, err)
	defer resp.Body.Close()
	a := &answer{request: method + " " + path, path: path, status: resp.StatusCode, header: resp.Header}
	a.body, err = io.ReadAll(resp.Body)
	must(t, err)
	return a
}

// startJob sends a request that becomes a job.
func startJob(ctx context.Context, t *testing.T, c service.Client, path string, body any) job {
	t.Helper()
	a := sendJSON(ctx, t, c, http.MethodPost, path, async, body)
	var j job
	if a.status != http.StatusAccepted || json.Unmarshal(a.body, &j) != nil || j.ID == "" {
		t.Fatalf("%s: %d %s", a.request, a.status, a.body)
	}
	if a.header.Get("Location") != "/jobs/"+j.ID || a.header.Get("Preference-Applied") != "respond-async" || j.RunID != "123.456" {
		t.Errorf("%s: head %v, body %s", a.request, a.header, a.body)
	}
	return j
}

func sqlJob(ctx context.Context, t *testing.T, p service.Project, sql string) job {
	t.Helper()
	return startJob(ctx, t, p.Client, p.Path("query"), map[string]string{"sql": sql})
}

func getJob(ctx context.Context, t *testing.T, c service.Client, id string) job {
	t.Helper()
	var j job
	_, err := c.Do(ctx, http.MethodGet, "/jobs/"+id, nil, &j)
	must(t, err)
	return j
}

// awaitJob looks at a job until it is as it should be.
func awaitJob(ctx context.Context, t *testing.T, c service.Client, id string, want func(job) bool) job {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		j := getJob(ctx, t, c, id)
		if want(j) {
			return j
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("job %s stays %+v", id, j)
		}
	}
}

// jobRows make an import that takes a second or more: DuckDB has to find the last of
// each key.
const jobRows = 2_500_000

func keyed() *bytes.Buffer {
	out := bytes.NewBufferString("id,name\n")
	for i := range jobRows {
		out.WriteString(strconv.Itoa(i))
		out.WriteString(",name of ")
		out.WriteString(strconv.Itoa(i))
		out.WriteByte('\n')
	}
	return out
}

// An import as a job has a progress that grows, and the same answer as one that is
// waited for.
func TestJobOfAnImport(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	s, p := startProject(ctx, t, dataDir(t))
	must(t, p.CreateBucket(ctx, "b"))
	must(t, p.CreateTable(ctx, "b", "orders", []map[string]any{{"name": "id", "type": "INTEGER", "nullable": false}, {"name": "name", "type": "STRING"}}, "id"))
	file := uploaded(ctx, t, p, keyed())
	path := p.Path("tables", "b", "orders", "import", "file")
	started := startJob(ctx, t, p.Client, path, map[string]string{"fileId": file.ID})

	var seen []float64
	done := awaitJob(ctx, t, p.Client, started.ID, func(j job) bool {
		if j.State == "processing" && j.Progress != nil && (len(seen) == 0 || seen[len(seen)-1] != *j.Progress) {
			seen = append(seen, *j.Progress)
		}
		return j.done()
	})
	if done.State != "success" || *done.Progress != 1 || done.Command != "tables.ImportFile" || done.Project != "1" || done.EndedAt == nil {
		t.Errorf("the job ended as %+v", done)
	}

	if len(seen) < 2 || !slices.IsSorted(seen) || seen[len(seen)-1] > 1 {
		t.Errorf("its progress was %v", seen)
	}
	again, err := p.Import(ctx, "b", "orders", file.ID)
	must(t, err)
	var result service.Imported
	must(t, json.Unmarshal(done.Result, &result))
	result.TableSizeBytes, again.TableSizeBytes = 0, 0 // depends on how the threads shared the rows
	if diff := cmp.Diff(again, result); diff != "" || result.ImportedRowsCount != jobRows {
		t.Errorf("the job's result (-answer +result):\n%s", diff)
	}
	must(t, s.Stop())
}

// A job fails with the problem that a request would have been answered.
func TestJobFailsAsItsRequest(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	s, p := startProject(ctx, t, dataDir(t))
	path, body := p.Path("tables", "b", "none", "import", "file"), map[string]string{"fileId": "1"}
	at := sendJSON(ctx, t, p.Client, http.MethodPost, path, nil, body)
	var want service.Problem
	must(t, json.Unmarshal(at.body, &want))
	if at.status != http.StatusNotFound {
		t.Fatalf("the request: %d %s", at.status, at.body)
	}
	j := startJob(ctx, t, p.Client, path, body)
	j = awaitJob(ctx, t, p.Client, j.ID, job.done)
	if j.State != "error" || j.Error == nil {
		t.Fatalf("the job: %+v", j)
	}
	want.RequestID = j.Error.RequestID
	if diff := cmp.Diff(want, *j.Error); diff != "" {
		t.Errorf("the error (-answer +job):\n%s", diff)
	}
	// What the shape of the input forbids is no job.
	wrong := sendJSON(ctx, t, p.Client, http.MethodPost, path, async, map[string]string{"fileID": "1"})
	if err := wrong.problem(http.StatusBadRequest, "malformed-request", 3000, "fileID"); err != nil {
		t.Error(err)
	}
	// An error of the user's statement is an answer, here as there.
	j = sqlJob(ctx, t, p, "SELECT nothing")
	if j = awaitJob(ctx, t, p.Client, j.ID, job.done); j.State != "success" || !strings.Contains(string(j.Result), `"status":"error"`) {
		t.Errorf("a wrong statement: %+v, result %s", j, j.Result)
	}
	must(t, s.Stop())
}

// With wait=N the answer is that of the command if it ends in time.
func TestJobThatIsWaitedFor(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	s, p := startProject(ctx, t, dataDir(t))
	waiting := http.Header{"Prefer": {"respond-async, wait=50"}}
	a := sendJSON(ctx, t, p.Client, http.MethodPost, p.Path("buckets"), waiting, map[string]string{"name": "b"})
	if a.status != http.StatusCreated || !strings.Contains(string(a.body), `"name":"b"`) || a.header.Get("Location") != "" || a.header.Get("Preference-Applied") != "wait=50" {
		t.Errorf("in time: %d %s %v", a.status, a.body, a.header)
	}
	a = sendJSON(ctx, t, p.Client, http.MethodPost, p.Path("buckets"), waiting, map[string]string{"name": "b"})
	if err := a.problem(http.StatusConflict, "bucket-exists", 2006, ""); err != nil {
		t.Error(err)
	}
	a = sendJSON(ctx, t, p.Client, http.MethodDelete, p.Path("buckets", "b"), waiting, nil)
	if a.status != http.StatusNoContent {
		t.Errorf("without an answer: %d %s", a.status, a.body)
	}
	late := http.Header{"Prefer": {"respond-async, wait=1"}}
	a = sendJSON(ctx, t, p.Client, http.MethodPost, p.Path("query"), late, map[string]string{"sql": endlessOf("late")})
	var j job
	must(t, json.Unmarshal(a.body, &j))
	if a.status != http.StatusAccepted || a.header.Get("Location") != "/jobs/"+j.ID {
		t.Errorf("too late: %d %s", a.status, a.body)
	}
	_, err := p.Do(ctx, http.MethodDelete, "/jobs/"+j.ID, nil, nil)
	must(t, err)
	// Reads and streams take no notice; an upload says that it cannot.
	a = sendJSON(ctx, t, p.Client, http.MethodGet, p.Path("buckets"), async, nil)
	if a.status != http.StatusOK || a.header.Get("Preference-Applied") != "" {
		t.Errorf("a read: %d %v", a.status, a.header)
	}
	// So does what answers with a secret: a job would store it.
	a = sendJSON(ctx, t, s.Admin(), http.MethodPost, "/projects", async, map[string]string{"id": "2"})
	if a.status != http.StatusCreated || !strings.Contains(string(a.body), `"apiKey":"dsp_`) || a.header.Get("Preference-Applied") != "" {
		t.Errorf("a new project: %d %v %s", a.status, a.header, a.body)
	}
	id, err := p.Prepare(ctx, "a.csv")
	must(t, err)
	a = sendJSON(ctx, t, p.Client, http.MethodPut, p.Path("files", id, "content"), async, nil)
	if err := a.problem(http.StatusBadRequest, "malformed-request", 3000, "respond-async"); err != nil {
		t.Error(err)
	}
	must(t, s.Stop())
}

// endlessOf makes a table in a time that no test has.
func endlessOf(table string) string {
	return "CREATE TABLE main." + table + " AS SELECT count(*) AS n FROM range(1000000000) AS x, range(1000000) AS y"
}

// A job is cancelled wherever it is: it runs, it waits in the write queue of its
// project, it waits for its place. Nothing of it is left, and the next write goes on.
func TestJobsAreCancelled(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	s := start(t, "DUCKDB_STORAGE_JOBS__WORKERS=2", "DUCKDB_STORAGE_JOBS__WAITING=2")
	p, err := s.Admin().CreateProject(ctx, "1")
	must(t, err)
	must(t, p.CreateBucket(ctx, "b"))
	runs := sqlJob(ctx, t, p, endlessOf("runs"))
	awaitLine(t, s.Admin(), func(l line) bool { return l.Holder.Command == "query.Execute" })
	queued := sqlJob(ctx, t, p, endlessOf("queued"))
	awaitLine(t, s.Admin(), func(l line) bool { return l.Waiting == 1 })
	waits, last := sqlJob(ctx, t, p, "CREATE TABLE main.waits (i INTEGER)"), sqlJob(ctx, t, p, "CREATE TABLE main.last (i INTEGER)")
	for id, want := range map[string]string{runs.ID: "processing", queued.ID: "processing", waits.ID: "waiting", last.ID: "waiting"} {
		if j := getJob(ctx, t, p.Client, id); j.State != want || j.Progress != nil && want == "waiting" {
			t.Errorf("%+v, want %s", j, want)
		}
	}
	full := sendJSON(ctx, t, p.Client, http.MethodPost, p.Path("query"), async, map[string]string{"sql": "CREATE TABLE main.full (i INTEGER)"})
	if err := full.problem(http.StatusTooManyRequests, "jobs-full", 2006, ""); err != nil {
		t.Error(err)
	}
	from := time.Now()
	for _, id := range []string{waits.ID, queued.ID, runs.ID} {
		var j job
		_, err := p.Do(ctx, http.MethodDelete, "/jobs/"+id, nil, &j)
		must(t, err)
		if j = awaitJob(ctx, t, p.Client, id, job.done); j.State != "cancelled" || j.Error == nil || j.Error.Type != "/problems/cancelled" {
			t.Errorf("%+v", j)
		}
		if _, err := p.Do(ctx, http.MethodDelete, "/jobs/"+id, nil, nil); !service.IsProblem(err, "conflict") {
			t.Errorf("cancelled again: %v", err)
		}
	}
	if j := awaitJob(ctx, t, p.Client, last.ID, job.done); j.State != "success" {
		t.Errorf("the last job: %+v", j)
	}
	took(t, "cancel three jobs and run the next", from)
	tables := sqlOf(ctx, t, p, "SELECT table_name FROM duckdb_tables() WHERE schema_name = 'main'")
	if diff := cmp.Diff([][]any{{"last"}}, tables); diff != "" {
		t.Errorf("tables (-want +got):\n%s", diff)
	}
	must(t, s.Stop())
}

// A kill loses no job: the one that ran is an error that says why, the one that was
// done keeps its result.
func TestJobsAfterAKill(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	dir := dataDir(t)
	s, p := startProject(ctx, t, dir)
	kept := sqlJob(ctx, t, p, "CREATE TABLE main.kept (i INTEGER)")
	kept = awaitJob(ctx, t, p.Client, kept.ID, job.done)
	lost := sqlJob(ctx, t, p, endlessOf("lost"))
	awaitJob(ctx, t, p.Client, lost.ID, func(j job) bool { return j.State == "processing" })
	must(t, s.Kill())

	s, again := startProject(ctx, t, dir)
	p.URL = again.URL
	if diff := cmp.Diff(kept, getJob(ctx, t, p.Client, kept.ID)); diff != "" || kept.State != "success" {
		t.Errorf("the job that was done (-before +after):\n%s", diff)
	}
	j := getJob(ctx, t, p.Client, lost.ID)
	if j.State != "error" || j.Error == nil || !j.Error.Retryable || !strings.Contains(j.Error.Detail, "restarted while the job was processing") || j.EndedAt == nil {
		t.Errorf("the job that ran: %+v", j)
	}
	tables := sqlOf(ctx, t, p, "SELECT table_name FROM duckdb_tables() WHERE schema_name = 'main'")
	if diff := cmp.Diff([][]any{{"kept"}}, tables); diff != "" {
		t.Errorf("tables (-want +got):\n%s", diff)
	}
	must(t, s.Stop())
}

// Two hundred jobs of two projects all end, and are listed page by page, each project's
// for its own key.
func TestManyJobs(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	s := start(t)
	const each = 100
	var projects []service.Project
	for _, id := range []string{"1", "2"} {
		p, err := s.Admin().CreateProject(ctx, id)
		must(t, err)
		projects = append(projects, p)
	}
	var ids sync.Map
	var wg sync.WaitGroup
	for _, p := range projects {
		for i := range each {
			wg.Go(func() {
				j := startJob(ctx, t, p.Client, p.Path("buckets"), map[string]string{"name": fmt.Sprintf("b%d", i)})
				ids.Store(j.ID, p.ID)
			})
		}
	}
	wg.Wait()
	if t.Failed() {
		t.FailNow()
	}
	ids.Range(func(id, _ any) bool {
		if j := awaitJob(ctx, t, s.Admin(), id.(string), job.done); j.State != "success" {
			t.Errorf("%+v", j)
		}
		return true
	})
	p := projects[0]
	for _, tc := range []struct {
		client service.Client
		filter string
		want   int
	}{
		{s.Admin(), "", 2 * each},
		{s.Admin(), "project=2&command=buckets.Create&state=success&runId=123.456", each},
		{s.Admin(), "state=error", 0},
		{s.Admin(), "runId=none", 0},
		{p.Client, "", each},
		{p.Client, "project=1", each},
		{p.Client, "project=2", 0},
		{p.Client, "command=buckets.Drop", 0},
	} {
		got := listJobs(ctx, t, tc.client, tc.filter)
		if len(got) != tc.want {
			t.Errorf("%q: %d jobs, want %d", tc.filter, len(got), tc.want)
		}
		if !slices.IsSortedFunc(got, func(a, b job) int { return strings.Compare(b.ID, a.ID) }) {
			t.Errorf("%q: not the newest first", tc.filter)
		}
		for _, j := range got {
			if owner, ok := ids.Load(j.ID); !ok || owner != j.Project {
				t.Errorf("%q: %+v belongs to %v", tc.filter, j, owner)
			}
		}
	}
	if _, err := p.Do(ctx, http.MethodGet, "/jobs?state=done", nil, nil); !service.IsProblem(err, "malformed-request") {
		t.Errorf("a state that is none: %v", err)
	}
	foreign := listJobs(ctx, t, projects[1].Client, "")[0].ID
	for path, method := range map[string]string{"": http.MethodGet, "?": http.MethodDelete, "/events": http.MethodGet} {
		if _, err := p.Do(ctx, method, "/jobs/"+foreign+path, nil, nil); !service.IsProblem(err, "job-not-found") {
			t.Errorf("%s %s of another project: %v", method, path, err)
		}
	}
	must(t, s.Stop())
}

// listJobs reads a list page by page.
func listJobs(ctx context.Context, t *testing.T, c service.Client, filter string) []job {
	t.Helper()
	var out []job
	for token := ""; ; {
		var page struct {
			Items         []job
			NextPageToken string
		}
		_, err := c.Do(ctx, http.MethodGet, "/jobs?limit=30&pageToken="+token+"&"+filter, nil, &page)
		must(t, err)
		out = append(out, page.Items...)
		if token = page.NextPageToken; token == "" {
			return out
		}
	}
}
