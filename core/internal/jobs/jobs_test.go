package jobs_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/go-hclog"

	"github.com/keboola/duckdb-storage/core/internal/auth"
	"github.com/keboola/duckdb-storage/core/internal/fixture"
	"github.com/keboola/duckdb-storage/core/internal/jobs"
	"github.com/keboola/duckdb-storage/core/internal/plan"
	"github.com/keboola/duckdb-storage/core/internal/pluginhost"
	"github.com/keboola/duckdb-storage/core/internal/registry"
	"github.com/keboola/duckdb-storage/sdk"
	pluginv1 "github.com/keboola/duckdb-storage/sdk/proto/duckdbstorage/plugin/v1"
	"github.com/keboola/duckdb-storage/sdk/sql"
)

// long is how long a test waits for what should come at once.
const long = 30 * time.Second

var (
	admin = auth.Principal{Subject: "admin", Admin: true}
	own   = auth.Principal{Subject: "project-1", Project: "1", Level: sdk.LevelAdmin}
	other = auth.Principal{Subject: "project-2", Project: "2", Level: sdk.LevelAdmin}
)

// house is a host with jobs and a plugin in its process.
type house struct {
	*fixture.Host
	*jobs.Jobs
	plugins *pluginhost.Host
}

// open opens the parts in a directory, which may be one that was used before. The end
// of the test closes them.
func open(t *testing.T, root string, cfg jobs.Config, plugin *sdk.Plugin) house {
	t.Helper()
	h := house{Host: fixture.Open(t, root)}
	cfg.Problem = func(err error, instance, requestID string) json.RawMessage {
		out, _ := json.Marshal(map[string]string{"detail": err.Error(), "instance": instance, "requestId": requestID})
		return out
	}
	var err error
	if h.Jobs, err = jobs.Open(t.Context(), h.Registry, cfg); err != nil {
		t.Fatal(err)
	}
	if h.plugins, err = pluginhost.Open(t.Context(), pluginhost.Config{
		Dir: t.TempDir(), RuntimeDir: h.Layout.Runtime, Logger: hclog.NewNullLogger(), Executor: h.Executor, Jobs: h.Jobs,
	}, h.Plugin("1.0.0"), plugin); err != nil {
		t.Fatal(err)
	}
	h.Serve(h.plugins)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), long)
		defer cancel()
		h.stop(ctx, t)
	})
	return h
}

// stop closes jobs and plugins.
func (h house) stop(ctx context.Context, t *testing.T) {
	t.Helper()
	if err := errors.Join(h.Jobs.Close(ctx), h.plugins.Close(context.Background())); err != nil {
		t.Error(err)
	}
}

func call(command, payload string) pluginhost.Call {
	return pluginhost.Call{
		Command: command, Payload: []byte(payload), Principal: own, Target: &pluginv1.Target{Project: "1", Branch: plan.DefaultBranch},
		Accept: "application/json", RequestID: "request", RunID: "run",
	}
}

func (h house) submit(t *testing.T, command, payload string) *jobs.Running {
	t.Helper()
	r, err := h.Submit(t.Context(), call(command, payload), "/somewhere")
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// wait waits for the end of a job and returns what is stored of it.
func (h house) wait(t *testing.T, r *jobs.Running) registry.Job {
	t.Helper()
	within(t, r.Done(), "the end of the job")
	row, running, err := h.Find(t.Context(), admin, r.ID())
	if err != nil {
		t.Fatal(err)
	}
	if running != nil {
		t.Error("a job that is done is still held in memory")
	}
	return row
}

func within[T any](t *testing.T, c <-chan T, what string) {
	t.Helper()
	select {
	case <-c:
	case <-time.After(long):
		t.Fatalf("no %s in %s", what, long)
	}
}

type input struct {
	Name string `json:"name,omitempty"`
}

type output struct {
	Text string `json:"text"`
}

func command[Response any](name string) sdk.Command[input, Response] {
	return sdk.Command[input, Response]{Name: name, Summary: "Does it."}
}

// gate is a command that runs until it is let go or cancelled.
type gate struct {
	begun chan string   // the names of those that have begun
	open  chan struct{} // close it
}

func newGate() gate { return gate{make(chan string, 1000), make(chan struct{})} }

func (g gate) pass(c *sdk.Context, in input) (output, error) {
	g.begun <- in.Name
	select {
	case <-g.open:
		return output{in.Name}, nil
	case <-c.Done():
		return output{}, c.Err()
	}
}

func gated(g gate) *sdk.Plugin {
	p := sdk.New("x", "1.0.0")
	sdk.Handle(p, command[output]("x.Gate"), g.pass, sdk.Writes())
	return p
}

func TestJobEndsAsItsCommand(t *testing.T) {
	t.Parallel()
	p := sdk.New("x", "1.0.0")
	sdk.Handle(p, command[output]("x.Do"), func(c *sdk.Context, in input) (output, error) {
		return output{fmt.Sprint(in.Name, c.Project(), c.Subject(), c.RequestID(), c.RunID())}, nil
	}, sdk.Writes())
	sdk.Handle(p, command[output]("x.Refuse"), func(*sdk.Context, input) (output, error) {
		return output{}, sdk.ErrTableNotFound.Errorf("no such table")
	}, sdk.Writes())
	sdk.Handle(p, command[sdk.None]("x.Write"), func(*sdk.Context, input) (sdk.Unit, error) {
		return sdk.Unit{Do: []sql.Statement{sql.New("CREATE TABLE main.t (i INTEGER)")}}, nil
	}, sdk.Writes())
	sdk.Handle(p, command[output]("x.Rows"), func(*sdk.Context, input) (sdk.Plan, error) {
		return sdk.Rows{Statement: sql.New("SELECT 1 AS one")}, nil
	}, sdk.Writes())
	sdk.Handle(p, command[output]("x.ManyRows"), func(*sdk.Context, input) (sdk.Plan, error) {
		return sdk.Rows{Statement: sql.New("SELECT * FROM range(1_000_000)")}, nil
	}, sdk.Writes())
	h := open(t, t.TempDir(), jobs.Config{}, p)
	h.CreateProject("1")
	for _, tc := range []struct {
		command, result, problem string
		state                    registry.JobState
	}{
		{"x.Do", `{"text":"a1project-1requestrun"}`, "", registry.JobSuccess},
		{"x.Refuse", "", `{"detail":"no such table","instance":"/somewhere","requestId":"request"}`, registry.JobError},
		{"x.Write", "", "", registry.JobSuccess},
		{"x.Write", "", "already exists", registry.JobError},
		{"x.Rows", `{"columns":["one"],"rows":[[1]]}`, "", registry.JobSuccess},
		{"x.ManyRows", "", "over 1048576 bytes", registry.JobError},
	} {
		r := h.submit(t, tc.command, `{"name":"a"}`)
		row := h.wait(t, r)
		if row.State != tc.state || strings.TrimSpace(string(row.Result)) != tc.result || !strings.Contains(string(row.Error), tc.problem) || (row.Error == nil) != (tc.problem == "") {
			t.Errorf("%s: %s, result %s, error %s", tc.command, row.State, row.Result, row.Error)
		}
		result, err := r.Outcome()
		if string(result) != string(row.Result) || (err == nil) != (tc.problem == "") {
			t.Errorf("%s: the outcome is %s, %v", tc.command, result, err)
		}
		if row.Queued.IsZero() || row.Started.Before(row.Queued) || row.Ended.Before(row.Started) {
			t.Errorf("%s: times %v, %v, %v", tc.command, row.Queued, row.Started, row.Ended)
		}
		row.Queued, row.Started, row.Ended, row.Result, row.Error, row.Progress = time.Time{}, time.Time{}, time.Time{}, nil, nil, nil
		want := registry.Job{ID: r.ID(), Project: "1", Branch: "default", Command: tc.command, Subject: "project-1", RequestID: "request", RunID: "run", State: tc.state}
		if diff := cmp.Diff(want, row); diff != "" {
			t.Errorf("%s: %s", tc.command, diff)
		}
	}
}

// What would be refused at once is refused and never a job.
func TestRefusedCallsAreNoJobs(t *testing.T) {
	t.Parallel()
	p := gated(newGate())
	sdk.Handle(p, command[output]("x.Secret"), func(*sdk.Context, input) (output, error) { return output{}, nil }, sdk.Permission(sdk.AdminOnly))
	h := open(t, t.TempDir(), jobs.Config{}, p)
	for command, want := range map[string]error{"x.None": sdk.ErrUnsupported, "x.Secret": sdk.ErrDenied} {
		if _, err := h.Submit(t.Context(), call(command, `{}`), ""); !errors.Is(err, want) {
			t.Errorf("%s: %v", command, err)
		}
	}
	var invalid *pluginhost.InputError
	if _, err := h.Submit(t.Context(), call("x.Gate", `{"nick":1}`), ""); !errors.As(err, &invalid) {
		t.Errorf("a wrong input: %v", err)
	}
	if rows, err := h.List(t.Context(), registry.JobFilter{}); err != nil || len(rows) > 0 {
		t.Errorf("there are jobs: %v, %v", rows, err)
	}
}

func TestJobsRunInOrderAndWithinBounds(t *testing.T) {
	t.Parallel()
	g := newGate()
	h := open(t, t.TempDir(), jobs.Config{Workers: 2, Waiting: 3}, gated(g))
	var all []*jobs.Running
	for i := range 5 {
		all = append(all, h.submit(t, "x.Gate", fmt.Sprintf(`{"name":"%d"}`, i)))
	}
	if _, err := h.Submit(t.Context(), call("x.Gate", `{}`), ""); !errors.Is(err, sdk.ErrJobsFull) {
		t.Errorf("the sixth job: %v", err)
	}
	first := map[string]bool{<-g.begun: true, <-g.begun: true}
	if !first["0"] || !first["1"] {
		t.Errorf("the first two are %v", first)
	}
	for i, want := range []registry.JobState{registry.JobProcessing, registry.JobProcessing, registry.JobWaiting, registry.JobWaiting, registry.JobWaiting} {
		if row, _ := all[i].Look(); row.State != want {
			t.Errorf("job %d is %s, want %s", i, row.State, want)
		}
	}
	select {
	case name := <-g.begun:
		t.Errorf("job %s runs as the third", name)
	default:
	}
	if _, err := h.Cancel(t.Context(), own, all[0].ID()); err != nil {
		t.Fatal(err)
	}
	if name := <-g.begun; name != "2" {
		t.Errorf("job %s took the free place", name)
	}
	h.submit(t, "x.Gate", `{"name":"5"}`) // there is room again
	close(g.open)
	for _, r := range all[1:] {
		if row := h.wait(t, r); row.State != registry.JobSuccess {
			t.Errorf("%s: %s", row.State, row.Error)
		}
	}
}

// What waits is held in memory, so its size is bounded as well as its number.
func TestInputsOfJobsAreBounded(t *testing.T) {
	t.Parallel()
	g := newGate()
	h := open(t, t.TempDir(), jobs.Config{Workers: 1, Inputs: 12 << 20}, gated(g))
	large := fmt.Sprintf(`{"name":"%s"}`, strings.Repeat("x", 5<<20))
	first, second := h.submit(t, "x.Gate", large), h.submit(t, "x.Gate", large)
	if _, err := h.Submit(t.Context(), call("x.Gate", large), ""); !errors.Is(err, sdk.ErrJobsFull) {
		t.Errorf("the third: %v", err)
	}
	for _, r := range []*jobs.Running{first, second} {
		if _, err := h.Cancel(t.Context(), own, r.ID()); err != nil {
			t.Fatal(err)
		}
		h.wait(t, r)
	}
	last := h.submit(t, "x.Gate", large)
	close(g.open)
	// A large result is for who waits for it, and not kept.
	row := h.wait(t, last)
	if row.State != registry.JobSuccess || row.Result != nil || !strings.Contains(row.Message, "is not kept") {
		t.Errorf("%s: %d bytes, %q, %s", row.State, len(row.Result), row.Message, row.Error)
	}
	if result, err := last.Outcome(); err != nil || len(result) < 5<<20 {
		t.Errorf("the outcome has %d bytes, %v", len(result), err)
	}
}

func TestCancel(t *testing.T) {
	t.Parallel()
	g := newGate()
	h := open(t, t.TempDir(), jobs.Config{Workers: 1}, gated(g))
	running, waiting := h.submit(t, "x.Gate", `{"name":"running"}`), h.submit(t, "x.Gate", `{"name":"waiting"}`)
	<-g.begun
	for _, who := range []auth.Principal{other, {}} {
		if who.Project == "" {
			who.Project = "none"
		}
		if _, err := h.Cancel(t.Context(), who, waiting.ID()); !errors.Is(err, jobs.ErrJobNotFound) {
			t.Errorf("the key of another project: %v", err)
		}
	}
	for _, r := range []*jobs.Running{waiting, running} {
		row, err := h.Cancel(t.Context(), own, r.ID())
		if err != nil || row.State != registry.JobCancelled {
			t.Fatalf("%v, %v", row.State, err)
		}
		row = h.wait(t, r)
		if row.State != registry.JobCancelled || row.Result != nil || !strings.Contains(string(row.Error), "the job was cancelled") || row.Started.IsZero() != (r == waiting) {
			t.Errorf("stored: %+v, error %s", row, row.Error)
		}
		if _, err := h.Cancel(t.Context(), own, r.ID()); !errors.Is(err, sdk.ErrConflict) || !strings.Contains(err.Error(), "cancelled") {
			t.Errorf("again: %v", err)
		}
	}
	if len(g.begun) > 0 {
		t.Error("the waiting job began")
	}
	if _, err := h.Cancel(t.Context(), admin, "01ARZ3NDEKTSV4RRFFQ69G5FAV"); !errors.Is(err, jobs.ErrJobNotFound) {
		t.Errorf("an unknown job: %v", err)
	}
}

// A cancel that comes when the commit has begun is too late.
func TestCancelAfterTheCommitIsASuccess(t *testing.T) {
	t.Parallel()
	p := sdk.New("x", "1.0.0")
	sdk.Handle(p, command[output]("x.Slow"), func(*sdk.Context, input) (sdk.Unit, error) {
		// The answer takes long: the cancel meets it.
		return sdk.Unit{
			Do:     []sql.Statement{sql.New("CREATE TABLE main.t (i INTEGER)")},
			Answer: sql.New("SELECT 'committed' AS text WHERE (SELECT count(DISTINCT md5(range::VARCHAR)) FROM range(3_000_000)) > 0"),
		}, nil
	}, sdk.Writes())
	h := open(t, t.TempDir(), jobs.Config{}, p)
	h.CreateProject("1")
	r := h.submit(t, "x.Slow", `{}`)
	target := call("", "").Target
	eventually(t, "the commit", func() bool {
		s, err := h.Executor.Session(t.Context(), target)
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		found, err := s.HasRows(sql.New("FROM duckdb_tables() WHERE schema_name = 'main' AND table_name = 't'"))
		return err == nil && found
	})
	if _, err := h.Cancel(t.Context(), own, r.ID()); err != nil {
		t.Fatal(err)
	}
	if row := h.wait(t, r); row.State != registry.JobSuccess || string(row.Result) != `{"text":"committed"}` {
		t.Errorf("%s, %s, %s", row.State, row.Result, row.Error)
	}
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(long); !ok(); <-tick.C {
		if time.Now().After(deadline) {
			t.Fatalf("no %s in %s", what, long)
		}
	}
}

func TestKeysSeeTheirOwnJobs(t *testing.T) {
	t.Parallel()
	h := open(t, t.TempDir(), jobs.Config{}, gated(newGate()))
	r := h.submit(t, "x.Gate", `{}`)
	for range 2 { // as one that runs, as one that is done
		for name, tc := range map[string]struct {
			who  auth.Principal
			sees bool
		}{
			"admin": {admin, true}, "own": {own, true}, "other": {other, false}, "nobody": {auth.Principal{}, false},
			"another key that writes": {auth.Principal{Subject: "project-1/2", Project: "1", Level: sdk.LevelWrite}, true},
			"another key that reads":  {auth.Principal{Subject: "project-1/3", Project: "1", Level: sdk.LevelRead}, false},
			"one that started it":     {auth.Principal{Subject: own.Subject, Project: "1", Level: sdk.LevelRead, Branch: "7"}, true},
			"one of its branch":       {auth.Principal{Subject: "project-1/4", Project: "1", Level: sdk.LevelWrite, Branch: plan.DefaultBranch}, true},
			"one of another branch":   {auth.Principal{Subject: "project-1/5", Project: "1", Level: sdk.LevelWrite, Branch: "7"}, false},
		} {
			_, _, err := h.Find(t.Context(), tc.who, r.ID())
			if tc.sees != (err == nil) || err != nil && !errors.Is(err, jobs.ErrJobNotFound) {
				t.Errorf("%s: %v", name, err)
			}
			listed, err := h.plugins.Invoke(t.Context(), pluginhost.Call{Command: "jobs.List", Payload: []byte("{}"), Principal: tc.who, Target: &pluginv1.Target{}, Accept: "application/json"})
			if sees := strings.Contains(string(listed.JSON), r.ID()); err != nil || sees != tc.sees {
				t.Errorf("%s: listed %v, %v", name, sees, err)
			}
			if tc.sees {
				continue
			}
			if _, err := h.Cancel(t.Context(), tc.who, r.ID()); !errors.Is(err, jobs.ErrJobNotFound) {
				t.Errorf("%s cancelled it: %v", name, err)
			}
		}
		if _, err := h.Cancel(t.Context(), admin, r.ID()); err != nil && !errors.Is(err, sdk.ErrConflict) {
			t.Fatal(err)
		}
	}
	if _, _, err := h.Find(t.Context(), admin, ""); !errors.Is(err, jobs.ErrJobNotFound) {
		t.Errorf("no id: %v", err)
	}
}

func TestManyJobsAtOnce(t *testing.T) {
	t.Parallel()
	p := sdk.New("x", "1.0.0")
	sdk.Handle(p, command[sdk.None]("x.Add"), func(*sdk.Context, input) (sdk.Unit, error) {
		return sdk.Unit{Do: []sql.Statement{sql.New("CREATE TABLE IF NOT EXISTS main.t (i INTEGER)"), sql.New("INSERT INTO main.t VALUES (1)")}}, nil
	}, sdk.Writes())
	h := open(t, t.TempDir(), jobs.Config{}, p)
	h.CreateProject("1")
	const n = 200
	all := make([]*jobs.Running, n)
	var wg sync.WaitGroup
	for i := range all {
		wg.Go(func() {
			r, err := h.Submit(t.Context(), call("x.Add", `{}`), "")
			if err != nil {
				t.Error(err)
				return
			}
			all[i] = r
			<-r.Done()
		})
	}
	wg.Wait()
	rows, err := h.List(t.Context(), registry.JobFilter{State: registry.JobSuccess})
	if err != nil || len(rows) != n {
		t.Errorf("%d of %d jobs succeeded: %v", len(rows), n, err)
	}
	s, err := h.Executor.Session(t.Context(), call("", "").Target)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if got, err := s.Objects(sql.New("SELECT count(*) AS n FROM main.t"), 1, 100); err != nil || string(got[0]) != fmt.Sprintf(`{"n":%d}`, n) {
		t.Errorf("%s, %v", got, err)
	}
}
