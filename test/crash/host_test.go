package crash_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/keboola/duckdb-storage/sdk/sdktest/service"
)

const (
	shortHostRounds = 12
	// longestLife is the latest moment of a kill. An import takes about a fifth of
	// it.
	longestLife = 800 * time.Millisecond
)

// work is what one client does again and again while the service is killed.
type work interface {
	// prepare makes what the work needs. It is called once.
	prepare(ctx context.Context, c clients) error
	// step does the next few requests, until one is not answered.
	step(ctx context.Context, c clients) error
	// check finds what the last step left: done or not, as far as it was not
	// answered, and everything else as it was. The next step goes on from there.
	check(ctx context.Context, c clients) error
}

// clients are what works make requests with, after each start anew.
type clients struct {
	admin service.Client
	main  service.Project
}

// trial is a data directory on which the service is killed again and again.
type trial struct {
	dir      string
	clients  clients
	works    map[string]work
	files    *shelf
	projects *projects

	hits   map[string]int // kills that cut the work off, by work
	hit    int            // kills that cut any work off
	sweeps int            // starts that had to put something right
}

// The host is killed while one or more clients work, and started again on the same
// directory.
func TestHost(t *testing.T) {
	seed, rounds := seed(t), rounds(t, shortHostRounds)
	files, projects := newShelf(), newProjects(random(seed, 1))
	trial := &trial{dir: dataDir(t), files: files, projects: projects, hits: map[string]int{}, works: map[string]work{
		"projects": projects,
		"upload":   newUploads(random(seed, 2), files),
		"export":   newExports(files),
		"import":   newImports(files, "plain"),
		"keyed":    newImports(files, "keyed", "id"),
		"large":    newLargeImports(files, "large"),
		"ddl":      newDDL(random(seed, 3)),
		"insert":   &inserts{},
	}}
	trial.clients = prepare(t, trial.dir, trial.works)
	moments := random(seed, 0)
	for round := range rounds {
		cut := trial.liveAndDie(t, some(moments, trial.works), between(moments, longestLife))
		for _, name := range cut {
			trial.hits[name]++
		}
		if len(cut) > 0 {
			trial.hit++
		}
		if err := trial.lookAfter(t); err != nil {
			t.Fatalf("after kill %d, which cut off %v (CRASH_SEED=%d): %v", round+1, cut, seed, err)
		}
	}
	t.Logf("survived %d kills of the host; %d of them hit running work: %v; %d starts put right what a kill had left half done",
		rounds, trial.hit, trial.hits, trial.sweeps)
	if trial.hit == 0 {
		t.Error("no kill hit running work: this test has shown nothing")
	}
}

// prepare starts the service on an empty directory, prepares the works and stops
// it.
func prepare(t *testing.T, dir string, works map[string]work) clients {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), requestTimeout)
	defer cancel()
	s := start(t, dir, nil)
	main, err := s.Admin().CreateProject(ctx, mainProject)
	if err != nil {
		t.Fatal(err)
	}
	c := clients{s.Admin(), main}
	makeReady(t, c, works)
	if err := s.Stop(); err != nil {
		t.Fatal(err)
	}
	return c
}

// makeReady prepares works on a service that runs.
func makeReady(t *testing.T, c clients, works map[string]work) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), requestTimeout)
	defer cancel()
	for _, name := range slices.Sorted(maps.Keys(works)) {
		if err := works[name].prepare(ctx, c); err != nil {
			t.Fatalf("prepare %s: %v", name, err)
		}
	}
}

// some draws a few of the works, so that no one is always held up by another.
func some(r *rand.Rand, works map[string]work) map[string]work {
	names := slices.Sorted(maps.Keys(works))
	r.Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
	out := map[string]work{}
	for _, name := range names[:1+r.IntN(len(names))] {
		out[name] = works[name]
	}
	return out
}

// at are the same clients of a service that was started anew.
func (c clients) at(s *service.Service) clients {
	c.admin.URL, c.main.URL = s.URL(), s.URL()
	return c
}

// end is how the requests of a work ended.
type end struct {
	name string
	err  error
}

// liveAndDie lets works run for a while, kills the host, and returns those that
// had a request running then.
func (r *trial) liveAndDie(t *testing.T, works map[string]work, life time.Duration) (cut []string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), requestTimeout)
	defer cancel()
	s := start(t, r.dir, nil)
	plugins, err := s.PluginPIDs()
	if err != nil {
		t.Fatal(err)
	}
	c, ends := r.clients.at(s), make(chan end, len(works))
	for name, w := range works {
		go func() {
			for {
				if err := w.step(ctx, c); err != nil {
					ends <- end{name, err}
					return
				}
			}
		}()
	}
	timer := time.NewTimer(life)
	defer timer.Stop()
	select {
	case <-timer.C:
	case e := <-ends:
		t.Fatalf("%s before the kill: %v\n%s", e.name, e.err, events(s))
	}
	if err := s.Kill(); err != nil {
		t.Fatal(err)
	}
	waitGone(t, plugins)
	for range works {
		e := <-ends
		var p *service.Problem
		var wrong *wrongAnswer
		switch {
		case errors.As(e.err, &p), errors.As(e.err, &wrong), ctx.Err() != nil:
			t.Fatalf("%s: %v, want the right answer or none\n%s", e.name, e.err, events(s))
		case !errors.Is(e.err, syscall.ECONNREFUSED): // that one came too late
			cut = append(cut, e.name)
		}
	}
	slices.Sort(cut)
	return cut
}

// lookAfter starts the service after a kill and checks everything, then stops it
// and checks what is on disk.
func (r *trial) lookAfter(t *testing.T) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), requestTimeout)
	defer cancel()
	s := start(t, r.dir, nil)
	if strings.Contains(s.Log(), "swept what an earlier run left half done") {
		r.sweeps++
	}
	c := r.clients.at(s)
	for _, name := range slices.Sorted(maps.Keys(r.works)) {
		if err := r.works[name].check(ctx, c); err != nil {
			return fmt.Errorf("%s: %w\n%s", name, err, events(s))
		}
	}
	if err := r.files.check(ctx, c.main); err != nil {
		return fmt.Errorf("files: %w\n%s", err, events(s))
	}
	if err := settle(ctx, c.admin, r.want()); err != nil {
		return err
	}
	if log := events(s); strings.Contains(log, `"@level":"error"`) {
		return fmt.Errorf("the service logged an error:\n%s", log)
	}
	if err := s.Stop(); err != nil {
		return err
	}
	return checkDisk(r.dir, r.want())
}

// want are the files of every project.
func (r *trial) want() map[string]map[string]file {
	want := map[string]map[string]file{mainProject: r.files.rows()}
	for id := range r.projects.now {
		want[id] = nil
	}
	return want
}

// settle writes into each of the projects and into the registry. A log that a kill
// cut off and in which nothing is committed stays until the next write (DuckDB 1.5.6).
func settle(ctx context.Context, admin service.Client, projects map[string]map[string]file) error {
	for id := range projects {
		p := service.Project{Client: admin, ID: id}
		if err := p.CreateBucket(ctx, "settled"); err != nil {
			return err
		}
		if _, err := p.Do(ctx, http.MethodDelete, p.Path("buckets", "settled"), nil, nil); err != nil {
			return err
		}
		if _, err := p.Do(ctx, http.MethodPut, p.Path(), map[string]string{"name": "settled"}, nil); err != nil {
			return err
		}
	}
	return nil
}

// events is the end of the log without the lines of requests.
func events(s *service.Service) string {
	var out strings.Builder
	for line := range strings.Lines(s.Log()) {
		if !strings.Contains(line, `"@message":"request"`) {
			out.WriteString(line)
		}
	}
	return out.String()
}

// wrongAnswer is a success that does not say what it should.
type wrongAnswer struct{ detail string }

func (w *wrongAnswer) Error() string { return w.detail }

func wrong(format string, args ...any) error { return &wrongAnswer{fmt.Sprintf(format, args...)} }
