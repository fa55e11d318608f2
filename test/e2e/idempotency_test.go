package e2e_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/keboola/duckdb-storage/sdk/sdktest/service"
)

// sent is a request with headers. body is a text that is sent as it is.
type sent struct {
	method, path, body string
	header             map[string]string
}

// under is the request with an Idempotency-Key.
func (r sent) under(key string) sent { return r.with("Idempotency-Key", key) }

func (r sent) with(name, value string) sent {
	header := map[string]string{name: value}
	for n, v := range r.header {
		header[n] = v
	}
	r.header = header
	return r
}

// to sends the request and returns the whole answer.
func (r sent) to(ctx context.Context, c service.Client) (*answer, error) {
	header := http.Header{}
	for name, value := range r.header {
		header.Set(name, value)
	}
	resp, err := c.Send(ctx, r.method, r.path, header, strings.NewReader(r.body))
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	a := &answer{request: r.method + " " + r.path, path: strings.Split(r.path, "?")[0], status: resp.StatusCode, header: resp.Header}
	a.body, err = io.ReadAll(resp.Body)
	return a, err
}

func (r sent) must(t *testing.T, c service.Client) *answer {
	t.Helper()
	a, err := r.to(t.Context(), c)
	if err != nil {
		t.Fatalf("%s %s: %v", r.method, r.path, err)
	}
	return a
}

// sameAnswer compares a repeat with the first answer.
func sameAnswer(first, repeat *answer) error {
	if first.status != repeat.status || !bytes.Equal(first.body, repeat.body) ||
		first.header.Get("Content-Type") != repeat.header.Get("Content-Type") || first.header.Get("Location") != repeat.header.Get("Location") {
		return fmt.Errorf("%s was answered %d %s and then %d %s", first.request, first.status, first.body, repeat.status, repeat.body)
	}
	if first.header.Get("Idempotency-Replayed") != "" || repeat.header.Get("Idempotency-Replayed") != "true" {
		return fmt.Errorf("%s: Idempotency-Replayed is %q and then %q", first.request, first.header.Get("Idempotency-Replayed"), repeat.header.Get("Idempotency-Replayed"))
	}
	return nil
}

// keyProject is a project with a bucket and a table of numbers, and a service that
// can be started again.
type keyProject struct {
	service.Project
	service *service.Service
	dir     string
}

func newKeyProject(t *testing.T, settings ...string) *keyProject {
	t.Helper()
	k := &keyProject{dir: dataDir(t)}
	k.start(t, settings...)
	var err error
	if k.Project, err = k.service.Admin().CreateProject(t.Context(), "1"); err != nil {
		t.Fatal(err)
	}
	if err := k.CreateBucket(t.Context(), "b"); err != nil {
		t.Fatal(err)
	}
	if _, err := k.Query(t.Context(), "CREATE TABLE b.numbers (n BIGINT)"); err != nil {
		t.Fatal(err)
	}
	return k
}

func (k *keyProject) start(t *testing.T, settings ...string) {
	t.Helper()
	var err error
	if k.service, err = service.Start(t.Context(), service.Options{Bin: bin, DataDir: k.dir, Env: settings}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { k.service.Kill() })
	k.URL = k.service.URL()
}

// insert adds a number to the table.
func (k *keyProject) insert(n int) sent {
	return sent{method: http.MethodPost, path: k.Path("query"), body: fmt.Sprintf(`{"sql":"INSERT INTO b.numbers VALUES (%d)"}`, n)}
}

func (k *keyProject) bucket(name string) sent {
	return sent{method: http.MethodPost, path: k.Path("buckets"), body: fmt.Sprintf(`{"name":%q}`, name)}
}

// count tells how often a number is in the table.
func (k *keyProject) count(t *testing.T, n int) int {
	t.Helper()
	rows, err := k.Query(t.Context(), "SELECT count(*) FROM b.numbers WHERE n = ?", n)
	if err != nil {
		t.Fatal(err)
	}
	return int(rows[0][0].(float64))
}

// columns are the names of n columns, as JSON.
func columns(n int) string {
	names := make([]string, n)
	for i := range names {
		names[i] = fmt.Sprintf(`"column_%d"`, i)
	}
	return strings.Join(names, ",")
}

// A repeat is answered as the first request was, byte for byte, and does nothing:
// success or problem, the same service or one that was started again.
func TestRepeat(t *testing.T) {
	t.Parallel()
	k := newKeyProject(t)
	admin := k.service.Admin()
	requests := map[string]struct {
		sent
		client service.Client
		status int
	}{
		"unit":    {k.bucket("in.c-unit"), k.Client, http.StatusCreated},
		"none":    {sent{method: http.MethodDelete, path: k.Path("buckets", "in.c-gone")}, k.Client, http.StatusNoContent},
		"query":   {k.insert(1), k.Client, http.StatusOK},
		"read":    {sent{method: http.MethodPost, path: k.Path("query"), body: `{"sql":"SELECT random() AS r","limit":1}`}, k.Client, http.StatusOK},
		"problem": {k.bucket("in.c-taken"), k.Client, http.StatusConflict},
		"invalid": {k.bucket("in/c"), k.Client, http.StatusBadRequest},
		"secret":  {sent{method: http.MethodPost, path: "/projects", body: `{"id":"2"}`}, admin, http.StatusCreated},
		"file":    {sent{method: http.MethodPost, path: k.Path("files", "prepare"), body: `{"name":"a.csv"}`}, k.Client, http.StatusCreated},
		"long":    {sent{method: http.MethodPost, path: k.Path("tables"), body: fmt.Sprintf(`{"bucket":"b","name":"wide","columns":[%s]}`, columns(300))}, k.Client, http.StatusCreated},
		"by name": {sent{method: http.MethodPost, path: "/commands/buckets.Create?project=1", body: `{"name":"in.c-named"}`}, k.Client, http.StatusCreated},
	}
	for _, name := range []string{"in.c-gone", "in.c-taken"} {
		if err := k.CreateBucket(t.Context(), name); err != nil {
			t.Fatal(err)
		}
	}
	first := map[string]*answer{}
	for name, r := range requests {
		first[name] = r.under("key "+name).must(t, r.client)
		if first[name].status != r.status {
			t.Errorf("%s: %d %s", name, first[name].status, first[name].body)
		}
	}
	// The state is another one now: to do it again would be answered otherwise.
	if _, err := k.Do(t.Context(), http.MethodDelete, k.Path("buckets", "in.c-taken"), nil, nil); err != nil {
		t.Fatal(err)
	}
	repeats := func() {
		t.Helper()
		for name, r := range requests {
			if err := sameAnswer(first[name], r.under("key "+name).must(t, r.client)); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		if n := k.count(t, 1); n != 1 {
			t.Errorf("the number was inserted %d times", n)
		}
	}
	repeats()
	if err := k.service.Stop(); err != nil {
		t.Fatal(err)
	}
	var project struct{ APIKey string }
	if err := json.Unmarshal(first["secret"].body, &project); err != nil || project.APIKey == "" {
		t.Fatalf("%v: %s", err, first["secret"].body)
	}
	registry, err := os.ReadFile(filepath.Join(k.dir, "metadata", "registry.duckdb"))
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(registry, []byte(project.APIKey)) {
		t.Error("the registry holds the secret of a key")
	}
	k.start(t)
	for name, r := range requests {
		r.client.URL = k.URL
		requests[name] = r
	}
	repeats()
	if err := k.service.Stop(); err != nil {
		t.Error(err)
	}
}

// A key stands for one request of one client.
func TestKeyOfAnotherRequest(t *testing.T) {
	t.Parallel()
	k := newKeyProject(t)
	other, err := k.service.Admin().CreateProject(t.Context(), "2")
	if err != nil {
		t.Fatal(err)
	}
	if a := k.bucket("in.c-a").under("k").must(t, k.Client); a.status != http.StatusCreated {
		t.Fatalf("%d %s", a.status, a.body)
	}
	for name, r := range map[string]sent{
		"body": k.bucket("in.c-b"), "route": k.insert(1), "method": {method: http.MethodDelete, path: k.Path("buckets", "in.c-a")},
		"the same by name": {method: http.MethodPost, path: "/commands/buckets.Create?project=1", body: `{"name":"in.c-a"}`},
	} {
		if err := r.under("k").must(t, k.Client).problem(http.StatusUnprocessableEntity, "idempotency-key-reused", 3000, "key of its own"); err != nil {
			t.Errorf("another %s: %v", name, err)
		}
	}
	same := sent{method: http.MethodPost, path: k.Path("buckets"), body: ` { "name" : "in.c-a" } `}
	if a := same.under("k").must(t, k.Client); a.status != http.StatusCreated {
		t.Errorf("the same with other spaces: %d %s", a.status, a.body)
	}
	there := sent{method: http.MethodPost, path: other.Path("buckets"), body: `{"name":"in.c-a"}`}
	for name, c := range map[string]struct {
		sent
		client service.Client
		status int
	}{
		"of another project": {there, other.Client, http.StatusCreated},
		"of the admin":       {k.bucket("in.c-a"), k.service.Admin(), http.StatusConflict}, // tried, and it is there
		"of a read":          {sent{method: http.MethodGet, path: k.Path("buckets")}, k.Client, http.StatusOK},
	} {
		if a := c.under("k").must(t, c.client); a.status != c.status || a.header.Get("Idempotency-Replayed") != "" {
			t.Errorf("the key %s: %d %s", name, a.status, a.body)
		}
	}
	for name, key := range map[string]string{"too long": strings.Repeat("x", 256), "not ASCII": "ž"} {
		if err := k.bucket("in.c-c").under(key).must(t, k.Client).problem(http.StatusBadRequest, "malformed-request", 3000, "Idempotency-Key"); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := k.service.Stop(); err != nil {
		t.Error(err)
	}
}

// A project whose database is lost can be dropped under a key.
func TestKeyOfALostProject(t *testing.T) {
	t.Parallel()
	k := newKeyProject(t)
	if err := k.service.Stop(); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(k.dir, "duckdb", "project_1_main.duckdb")); err != nil {
		t.Fatal(err)
	}
	k.start(t)
	if a := k.insert(1).under("insert").must(t, k.Client); a.status != http.StatusServiceUnavailable || !strings.Contains(string(a.body), "/problems/catalog-broken") {
		t.Errorf("%d %s", a.status, a.body)
	}
	drop := sent{method: http.MethodDelete, path: "/projects/1"}.under("drop")
	first := drop.must(t, k.service.Admin())
	if first.status != http.StatusNoContent {
		t.Fatalf("%d %s", first.status, first.body)
	}
	if err := sameAnswer(first, drop.must(t, k.service.Admin())); err != nil {
		t.Error(err)
	}
	if err := k.service.Stop(); err != nil {
		t.Error(err)
	}
}

// What streams is not kept; a repeat reads again. So does one of a read.
func TestStreamsAreNotKept(t *testing.T) {
	t.Parallel()
	k := newKeyProject(t)
	for name, r := range map[string]sent{
		"stream": {method: http.MethodPost, path: k.Path("query"), body: `{"sql":"SELECT repeat('x', 1000) AS x, random() AS r FROM range(3000)"}`},
		"export": {method: http.MethodPost, path: k.Path("tables", "b", "numbers", "export"), body: `{}`, header: map[string]string{"Accept": "text/csv"}},
		"read":   {method: http.MethodGet, path: k.Path("tables")},
	} {
		for range 2 {
			if a := r.under("key "+name).must(t, k.Client); a.status != http.StatusOK || a.header.Get("Idempotency-Replayed") != "" {
				t.Errorf("%s: %d %v", name, a.status, a.header)
			}
		}
	}
	if err := k.service.Stop(); err != nil {
		t.Error(err)
	}
}

// The bytes of an upload are not compared, only what is said of them.
func TestRepeatedUpload(t *testing.T) {
	t.Parallel()
	k := newKeyProject(t)
	id, err := k.Prepare(t.Context(), "a.csv")
	if err != nil {
		t.Fatal(err)
	}
	content := strings.Repeat("0123456789abcdef", 1<<16) // 1 MiB, so that it does not fit into the buffers of the connection
	upload := sent{method: http.MethodPut, path: k.Path("files", id, "content"), body: content}
	first := upload.under("k").must(t, k.Client)
	if first.status != http.StatusOK {
		t.Fatalf("%d %s", first.status, first.body)
	}
	for range 3 {
		if err := sameAnswer(first, upload.under("k").must(t, k.Client)); err != nil {
			t.Error(err)
		}
	}
	upload.body = "x" + content
	if err := upload.under("k").must(t, k.Client).problem(http.StatusUnprocessableEntity, "idempotency-key-reused", 3000, ""); err != nil {
		t.Error(err)
	}
	if err := k.service.Stop(); err != nil {
		t.Error(err)
	}
}

// What can be repeated is not kept: the key is free, and the repeat is done.
func TestRetryableIsNotKept(t *testing.T) {
	t.Parallel()
	k := newKeyProject(t, "DUCKDB_STORAGE_QUEUE__WAIT=50ms")
	blocks := begin(t, k.Project, fmt.Sprintf(endless, 0))
	awaitLine(t, k.service.Admin(), func(l line) bool { return l.Holder.HeldSeconds > 0 })
	for range 2 {
		if err := k.insert(1).under("k").must(t, k.Client).problem(http.StatusServiceUnavailable, "queue-timeout", 1000, ""); err != nil {
			t.Error(err)
		}
	}
	blocks.leave(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := writeWhenFree(ctx, k.Project, "INSERT INTO b.numbers VALUES (0)"); err != nil {
		t.Fatal(err)
	}
	a := k.insert(1).under("k").must(t, k.Client)
	if a.status != http.StatusOK || a.header.Get("Idempotency-Replayed") != "" {
		t.Errorf("%d %s", a.status, a.body)
	}
	if err := sameAnswer(a, k.insert(1).under("k").must(t, k.Client)); err != nil {
		t.Error(err)
	}
	if n := k.count(t, 1); n != 1 {
		t.Errorf("the number was inserted %d times", n)
	}
	if err := k.service.Stop(); err != nil {
		t.Error(err)
	}
}

// A job that a kill interrupted is repeated under its key, and one that was done is not.
func TestRepeatedJobAfterAKill(t *testing.T) {
	t.Parallel()
	k := newKeyProject(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	asJob := func(key, statement string) sent {
		raw, err := json.Marshal(map[string]string{"sql": statement})
		if err != nil {
			t.Fatal(err)
		}
		return sent{method: http.MethodPost, path: k.Path("query"), body: string(raw)}.with("Prefer", "respond-async").under(key)
	}
	id := func(a *answer) string { return strings.TrimPrefix(a.header.Get("Location"), "/jobs/") }
	done, lost := asJob("done", "INSERT INTO b.numbers VALUES (7)"), asJob("lost", endlessOf("lost"))
	doneFirst := done.must(t, k.Client)
	awaitJob(ctx, t, k.Client, id(doneFirst), job.done)
	lostFirst := lost.must(t, k.Client)
	awaitJob(ctx, t, k.Client, id(lostFirst), func(j job) bool { return j.State == "processing" })
	if err := k.service.Kill(); err != nil {
		t.Fatal(err)
	}
	k.start(t)
	if err := sameAnswer(doneFirst, done.must(t, k.Client)); err != nil {
		t.Error(err)
	}
	again := lost.must(t, k.Client)
	if again.status != http.StatusAccepted || id(again) == id(lostFirst) || again.header.Get("Idempotency-Replayed") != "" {
		t.Errorf("the job that was interrupted: %d %v %s", again.status, again.header, again.body)
	}
	if _, err := k.Do(ctx, http.MethodDelete, "/jobs/"+id(again), nil, nil); err != nil {
		t.Error(err)
	}
	if n := k.count(t, 7); n != 1 {
		t.Errorf("the number was inserted %d times", n)
	}
	if err := k.service.Stop(); err != nil {
		t.Error(err)
	}
}

// With respond-async the repeat is answered with the same job.
func TestRepeatedJob(t *testing.T) {
	t.Parallel()
	k := newKeyProject(t)
	r := k.insert(1).with("Prefer", "respond-async").under("k")
	first := r.must(t, k.Client)
	if first.status != http.StatusAccepted || !strings.HasPrefix(first.header.Get("Location"), "/jobs/") {
		t.Fatalf("%d %v %s", first.status, first.header, first.body)
	}
	if err := sameAnswer(first, r.must(t, k.Client)); err != nil {
		t.Error(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	poll := time.NewTicker(5 * time.Millisecond)
	defer poll.Stop()
	for {
		var job struct{ State string }
		if _, err := k.Do(ctx, http.MethodGet, first.header.Get("Location"), nil, &job); err != nil {
			t.Fatal(err)
		}
		if job.State == "success" {
			break
		}
		select {
		case <-poll.C:
		case <-ctx.Done():
			t.Fatalf("the job stays %s", job.State)
		}
	}
	if n := k.count(t, 1); n != 1 {
		t.Errorf("the number was inserted %d times", n)
	}
	if err := k.service.Stop(); err != nil {
		t.Error(err)
	}
}
