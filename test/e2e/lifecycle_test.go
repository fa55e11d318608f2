package e2e_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/keboola/duckdb-storage/sdk/sdktest/service"
)

// life is a service whose log is kept whole, and whose data directory is looked into.
type life struct {
	*service.Service
	data string
	log  *bytes.Buffer
}

func live(t *testing.T) *life {
	t.Helper()
	l := &life{data: dataDir(t)}
	l.start(t)
	return l
}

func (l *life) start(t *testing.T) {
	t.Helper()
	l.log = &bytes.Buffer{}
	s, err := service.Start(t.Context(), service.Options{Bin: bin, DataDir: l.data, Stderr: l.log})
	if err != nil {
		t.Fatal(err)
	}
	l.Service = s
	t.Cleanup(func() { s.Kill() })
}

// gone wants nothing of a project on disk, and nothing that the next start finds half done.
func (l *life) gone(t *testing.T, id string) {
	t.Helper()
	for _, path := range names(t, l.data) {
		if strings.Contains(filepath.Base(path), "project_"+id) {
			t.Errorf("left on disk: %s", path)
		}
	}
	for range 2 {
		stop(t, l.Service)
		for line := range strings.Lines(l.log.String()) {
			// A stream that has begun can only be broken off, and that is logged.
			bad := strings.Contains(line, `"@level":"error"`) && !strings.Contains(line, "the stream broke off")
			if bad || strings.Contains(line, "swept what") {
				t.Errorf("the log: %s", line)
			}
		}
		l.start(t)
	}
	p, err := l.Admin().CreateProject(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	empty(t, p)
	stop(t, l.Service)
}

// lifetime is how long a drop, and what runs beside it, may take on a busy machine.
const lifetime = 2 * time.Minute

// clean tells what is wrong with an answer to a client whose project is dropped
// meanwhile; the client's own connection may have been broken off in the middle.
func clean(status int, err error) error {
	var p *service.Problem
	switch {
	case err == nil, status >= 200 && status < 300: // a stream that breaks off has had its status
		return nil
	case !errors.As(err, &p):
		return err
	case p.Status == 401, p.Status == 404, p.Status == 409, p.Status == 429 && p.Retryable, p.Status == 503 && p.Retryable:
		return nil
	}
	return err
}

// over says that a project is gone for a client.
func over(err error) bool {
	return service.IsProblem(err, "project-not-found") || service.IsProblem(err, "unauthenticated")
}

// deed is something that clients do all the time.
type deed struct {
	name string
	do   func(ctx context.Context, p service.Project, i int) (int, error)
}

func deeds(fileID string) []deed {
	call := func(method string, path func(p service.Project, i int) string, body func(i int) any) func(context.Context, service.Project, int) (int, error) {
		return func(ctx context.Context, p service.Project, i int) (int, error) {
			return p.Do(ctx, method, path(p, i), body(i), nil)
		}
	}
	none := func(int) any { return nil }
	at := func(parts ...string) func(service.Project, int) string {
		return func(p service.Project, i int) string {
			own := make([]string, len(parts))
			for k, part := range parts {
				own[k] = strings.ReplaceAll(part, "#", fmt.Sprint(i))
			}
			return p.Path(own...)
		}
	}
	sql := func(format string) func(int) any {
		return func(i int) any { return map[string]any{"sql": strings.ReplaceAll(format, "#", fmt.Sprint(i))} }
	}
	return []deed{
		{"preview", call("GET", at("tables", "b", "t", "preview"), none)},
		{"info", call("GET", at("info"), none)},
		{"list buckets", call("GET", at("buckets"), none)},
		{"query", call("POST", at("query"), sql("SELECT count(*) FROM b.t"))},
		{"stream", stream},
		{"make bucket", call("POST", at("buckets"), func(i int) any { return map[string]any{"name": fmt.Sprint("b", i)} })},
		{"drop bucket", call("DELETE", at("buckets", "b#"), none)},
		{"DDL", call("POST", at("query"), sql("CREATE TABLE b.x# AS SELECT range AS i FROM range(100000)"))},
		{"import", call("POST", at("tables", "b", "t", "import", "file"), func(int) any { return map[string]any{"fileId": fileID} })},
		{"export", call("POST", at("tables", "b", "t", "export"), func(int) any { return map[string]any{} })},
		{"prepare", call("POST", at("files", "prepare"), func(i int) any { return map[string]any{"name": fmt.Sprint("f", i)} })},
		{"upload", func(ctx context.Context, p service.Project, _ int) (int, error) {
			_, err := p.Upload(ctx, "u.csv", io.LimitReader(endlessText{}, 3<<20))
			return 0, err
		}},
		{"job", later},
		{"update", call("PUT", at(), func(i int) any { return map[string]any{"name": fmt.Sprint(i)} })},
	}
}

// stream reads a result that takes a while.
func stream(ctx context.Context, p service.Project, _ int) (int, error) {
	header := http.Header{"Content-Type": {"application/json"}, "Accept": {"text/csv"}}
	resp, err := p.Send(ctx, http.MethodPost, p.Path("query"), header, strings.NewReader(`{"sql":"SELECT range AS i FROM range(3000000)"}`))
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, resp.Body)
	if resp.StatusCode >= 300 {
		return p.Do(ctx, http.MethodGet, p.Path(), nil, nil) // that it is gone is told there, too
	}
	return resp.StatusCode, err
}

// later starts a job.
func later(ctx context.Context, p service.Project, i int) (int, error) {
	header := http.Header{"Content-Type": {"application/json"}, "Prefer": {"respond-async"}}
	resp, err := p.Send(ctx, http.MethodPost, p.Path("buckets"), header, strings.NewReader(fmt.Sprintf(`{"name":"j%d"}`, i)))
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	if resp.StatusCode >= 300 {
		return p.Do(ctx, http.MethodGet, p.Path(), nil, nil)
	}
	return resp.StatusCode, nil
}

// endlessText is a text without an end.
type endlessText struct{}

func (endlessText) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 'x'
	}
	return len(p), nil
}

// Case 128. Clients of every kind are at work while their project is dropped: each
// answer is clean, nothing hangs, nothing of the project stays or comes back.
func TestCase128DropWhileRequestsRun(t *testing.T) {
	t.Parallel()
	l := live(t)
	for round := range 2 {
		ctx, cancel := context.WithTimeout(t.Context(), lifetime)
		p, err := l.Admin().CreateProject(ctx, "1")
		if err != nil {
			t.Fatal(err)
		}
		fill(t, p, "b", "t", 50_000)
		file, err := p.Upload(ctx, "rows.csv", strings.NewReader("id,name\n"+strings.Repeat("1,one\n", 1<<20)))
		if err != nil {
			t.Fatal(err)
		}
		admin := service.Project{Client: l.Admin(), ID: "1"} // whose key lives on
		var workers, warm sync.WaitGroup
		for _, d := range deeds(file.ID) {
			for k, client := range []service.Project{p, admin} {
				warm.Add(1)
				workers.Go(func() {
					first := sync.OnceFunc(warm.Done)
					defer first()
					for i := k; ; i += 2 {
						status, err := d.do(ctx, client, i)
						if bad := clean(status, err); bad != nil {
							t.Errorf("round %d, %s: %v", round, d.name, bad)
							return
						}
						if over(err) {
							return
						}
						first()
					}
				})
			}
		}
		warm.Wait()
		if status, err := l.Admin().Do(ctx, http.MethodDelete, "/projects/1", nil, nil); status != http.StatusNoContent {
			t.Errorf("the drop: %d, %v", status, err)
		}
		workers.Wait()
		cancel()
		if left, err := os.ReadDir(filepath.Join(l.data, "files")); err != nil || len(left) > 0 {
			t.Errorf("round %d: %v, %v", round, left, err)
		}
	}
	l.gone(t, "1")
}

// Creates and drops of one id in a race: one of each kind wins at a time, and what stays
// in the end is nothing.
func TestCreatesAndDropsRace(t *testing.T) {
	t.Parallel()
	l := live(t)
	ctx, cancel := context.WithTimeout(t.Context(), lifetime)
	defer cancel()
	var workers sync.WaitGroup
	var mu sync.Mutex
	var created, dropped int
	for range 3 {
		workers.Go(func() {
			for range 12 {
				p, err := l.Admin().CreateProject(ctx, "1")
				if bad := clean(0, err); bad != nil {
					t.Errorf("create: %v", bad)
				}
				if err != nil {
					continue
				}
				mu.Lock()
				created++
				mu.Unlock()
				if status, err := p.Do(ctx, http.MethodPost, p.Path("buckets"), map[string]string{"name": "b"}, nil); clean(status, err) != nil {
					t.Errorf("use: %v", err)
				}
			}
		})
		workers.Go(func() {
			for range 20 {
				status, err := l.Admin().Do(ctx, http.MethodDelete, "/projects/1", nil, nil)
				if bad := clean(status, err); bad != nil {
					t.Errorf("drop: %v", bad)
				}
				if status == http.StatusNoContent {
					mu.Lock()
					dropped++
					mu.Unlock()
				}
			}
		})
	}
	workers.Wait()
	if status, _ := l.Admin().Do(ctx, http.MethodDelete, "/projects/1", nil, nil); status == http.StatusNoContent {
		dropped++
	}
	if created == 0 || dropped < created {
		t.Errorf("%d created, %d dropped", created, dropped)
	}
	t.Logf("%d created, %d dropped", created, dropped)
	l.gone(t, "1")
}

// A write that runs for hours, and those that wait behind it, end with their project.
// None of them reaches the next project of the same id.
func TestDropOfABusyProject(t *testing.T) {
	t.Parallel()
	l := live(t)
	ctx, cancel := context.WithTimeout(t.Context(), lifetime)
	defer cancel()
	p, err := l.Admin().CreateProject(ctx, "1")
	if err != nil {
		t.Fatal(err)
	}
	if err := p.CreateBucket(ctx, "b"); err != nil {
		t.Fatal(err)
	}
	type ending struct {
		what   string
		status int
		err    error
	}
	const waiting = 8
	ended := make(chan ending, waiting+1)
	go func() {
		status, err := p.Do(ctx, http.MethodPost, p.Path("query"), map[string]any{"sql": fmt.Sprintf(endless, 0)}, nil)
		ended <- ending{"the write that runs", status, err}
	}()
	awaitLine(t, l.Admin(), func(l line) bool { return l.Holder.Command == "query.Execute" })
	for i := range waiting {
		go func() {
			status, err := p.Do(ctx, http.MethodPost, p.Path("buckets"), map[string]any{"name": fmt.Sprint("late", i)}, nil)
			ended <- ending{"a write that waits", status, err}
		}()
	}
	awaitLine(t, l.Admin(), func(l line) bool { return l.Waiting == waiting })
	from := time.Now()
	if status, err := l.Admin().Do(ctx, http.MethodDelete, "/projects/1", nil, nil); status != http.StatusNoContent {
		t.Fatalf("the drop: %d, %v", status, err)
	}
	fresh, err := l.Admin().CreateProject(ctx, "1")
	if err != nil {
		t.Fatal(err)
	}
	for range waiting + 1 {
		if e := <-ended; !service.IsProblem(e.err, "project-not-found") {
			t.Errorf("%s: %d, %v", e.what, e.status, e.err)
		}
	}
	t.Logf("over after %v", time.Since(from).Round(time.Millisecond))
	empty(t, fresh)
	if status, err := l.Admin().Do(ctx, http.MethodDelete, "/projects/1", nil, nil); status != http.StatusNoContent {
		t.Fatalf("the drop: %d, %v", status, err)
	}
	l.gone(t, "1")
}
