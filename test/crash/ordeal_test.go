package crash_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/keboola/duckdb-storage/sdk/sdktest/service"
	"github.com/keboola/duckdb-storage/test/faults"
)

const (
	// otherProject is one that nothing happens to.
	otherProject = "other"
	// mostSteps is how often a work is done until it comes to an operation. Works
	// that draw what they do need a few.
	mostSteps = 10
	// longestAway is how long a project may be away after a fault.
	longestAway = time.Second
)

// ordeal is a data directory on which a service does one work and has one mishap
// after the other.
type ordeal struct {
	kind
	dir      string
	work     work
	works    map[string]work
	files    *shelf
	projects *projects
	clients  clients
	other    service.Project

	service *service.Service
	control *control
	since   []mishap // since the last start
}

// kind is a work that has ordeals.
type kind struct {
	name string
	work func(*ordeal, uint64) work
	// steps is how often the work is done to learn what it does to files. Those that
	// draw what they do need several.
	steps int
	// own is what the short form looks at: the operations that this work does and no
	// other one, or that mean something else in it.
	own *regexp.Regexp
}

var kinds = []kind{
	{"upload", func(o *ordeal, seed uint64) work { return newUploads(random(seed, 2), o.files) }, 8, regexp.MustCompile(`files`)},
	{"export", func(o *ordeal, _ uint64) work { return newExports(o.files) }, 3, regexp.MustCompile(`N-out|staging$|^write metadata`)},
	{"import", func(o *ordeal, _ uint64) work { return newImports(o.files, "plain") }, 3, regexp.MustCompile(`^(write|sync) duckdb`)},
	{"keyed", func(o *ordeal, _ uint64) work { return newImports(o.files, "keyed", "id") }, 3, regexp.MustCompile(`^write duckdb`)},
	{"large", func(o *ordeal, _ uint64) work { return newLargeImports(o.files, "large") }, 3, regexp.MustCompile(`^(write|sync) duckdb`)},
	{"ddl", func(_ *ordeal, seed uint64) work { return newDDL(random(seed, 3)) }, 8, regexp.MustCompile(`^(write|sync) .*wal`)},
	{"insert", func(*ordeal, uint64) work { return &inserts{} }, 3, regexp.MustCompile(`duckdb|tmp`)},
	{"projects", func(o *ordeal, _ uint64) work { return o.projects }, 10, regexp.MustCompile(`files|registry|^create|unlink|^sync duckdb$`)},
}

// newOrdeal prepares a work on a new directory and starts the service.
func newOrdeal(t *testing.T, k kind, seed uint64) *ordeal {
	t.Helper()
	o := &ordeal{dir: dataDir(t), kind: k, files: newShelf(), projects: newProjects(random(seed, 1))}
	o.work = k.work(o, seed)
	o.works = map[string]work{"projects": o.projects, k.name: o.work}
	o.start(t)
	var err error
	for project, into := range map[string]*service.Project{mainProject: &o.clients.main, otherProject: &o.other} {
		if *into, err = o.service.Admin().CreateProject(t.Context(), project); err != nil {
			t.Fatal(err)
		}
	}
	o.clients.admin = o.service.Admin()
	makeReady(t, o.clients, o.works)
	return o
}

// start starts the service under control.
func (o *ordeal) start(t *testing.T) {
	t.Helper()
	o.service, o.control = supervised(t, o.dir, letGo...)
	o.clients, o.since = o.clients.at(o.service), nil
	o.other.URL = o.service.URL()
}

// again ends the service, with a kill or in order, and starts it. It checks what is
// there then.
func (o *ordeal) again(t *testing.T, kill bool) error {
	t.Helper()
	since := o.since
	if err := o.end(kill); err != nil {
		return err
	}
	o.start(t)
	if err := o.checkAll(t); err != nil {
		return fmt.Errorf("after a start, which came after %v: %w", since, err)
	}
	return nil
}

func (o *ordeal) end(kill bool) error {
	end := o.service.Stop
	if kill {
		end = o.service.Kill
	}
	return errors.Join(end(), o.control.supervisor.Close())
}

// operations does the work a few times and returns what it does to files, as far as
// it did so more than once, with the most often that one step did.
func (o *ordeal) operations(t *testing.T) map[string]int {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), requestTimeout)
	defer cancel()
	most, steps := map[string]int{}, map[string]int{}
	if err := o.rest(ctx, nil); err != nil {
		t.Fatal(err)
	}
	o.control.take()
	for range o.steps {
		if err := o.work.step(ctx, o.clients); err != nil {
			t.Fatalf("%s without a mishap: %v", o.name, err)
		}
		if err := o.rest(ctx, nil); err != nil {
			t.Fatal(err)
		}
		count := map[string]int{}
		for _, op := range o.control.take() {
			count[op]++
		}
		for op, n := range count {
			most[op] = max(most[op], n)
			steps[op]++
		}
	}
	maps.DeleteFunc(most, func(op string, _ int) bool { return steps[op] == 1 })
	return most
}

// meet does the work until the mishap has happened. hit says whether it did; err is
// how the last step ended.
func (o *ordeal) meet(t *testing.T, m mishap) (hit bool, err error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), requestTimeout)
	defer cancel()
	o.since = append(o.since, m)
	defer o.control.follow(nil)
	happened := o.control.await(m)
	for range mostSteps {
		err = o.work.step(ctx, o.clients)
		if ctx.Err() != nil {
			return false, fmt.Errorf("%s hangs: %w", o.name, err)
		}
		if err == nil {
			if err := o.rest(ctx, happened); err != nil {
				return false, err
			}
		}
		select {
		case <-happened:
			return true, err
		default:
		}
		if err != nil {
			return false, fmt.Errorf("%s failed without a mishap: %w", o.name, err)
		}
	}
	return false, nil
}

// rest waits until the service has let go of every project, or has died, or happened
// is closed.
func (o *ordeal) rest(ctx context.Context, happened <-chan struct{}) error {
	poll := time.NewTicker(5 * time.Millisecond)
	defer poll.Stop()
	for o.holdsProject() {
		select {
		case <-poll.C:
		case <-happened:
			return nil
		case <-ctx.Done():
			return errors.New("the service does not let go of a project that nobody uses")
		}
	}
	return nil
}

// holdsProject reports whether the database of a project is open.
func (o *ordeal) holdsProject() bool {
	open, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", o.service.PID()))
	if err != nil {
		return false
	}
	for _, fd := range open {
		path, err := os.Readlink(fd)
		if err == nil && strings.HasPrefix(path, filepath.Join(o.dir, "duckdb")+"/") {
			return true
		}
	}
	return false
}

// serves waits until both projects are served, and returns how long the one with
// the mishap was not.
func (o *ordeal) serves(ctx context.Context) (time.Duration, error) {
	if _, err := o.other.Query(ctx, "SELECT 1"); err != nil {
		return 0, fmt.Errorf("another project: %w", err)
	}
	return recovery(ctx, func() error {
		_, err := o.clients.main.Query(ctx, "SELECT 1")
		return err
	})
}

// recovery repeats a request until it succeeds, and returns how long that took.
func recovery(ctx context.Context, request func() error) (time.Duration, error) {
	began := time.Now()
	poll := time.NewTicker(5 * time.Millisecond)
	defer poll.Stop()
	for {
		err := request()
		away := time.Since(began)
		switch {
		case err == nil:
			return away, nil
		case away > longestAway:
			return away, fmt.Errorf("still after %s: %w", longestAway, err)
		}
		select {
		case <-poll.C:
		case <-ctx.Done():
			return away, ctx.Err()
		}
	}
}

// check checks all works. started says that it is the first time since a start.
func (o *ordeal) check(ctx context.Context, started bool) error {
	o.files.unsettled = !started
	for _, name := range slices.Sorted(maps.Keys(o.works)) {
		if err := o.works[name].check(ctx, o.clients); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	if err := o.files.check(ctx, o.clients.main); err != nil {
		return fmt.Errorf("files: %w", err)
	}
	return nil
}

// checkAll checks the works and what is on disk after a start.
func (o *ordeal) checkAll(t *testing.T) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), requestTimeout)
	defer cancel()
	if err := o.check(ctx, true); err != nil {
		return err
	}
	if err := settle(ctx, o.clients.admin, o.want()); err != nil {
		return err
	}
	if err := o.rest(ctx, nil); err != nil {
		return err
	}
	return checkRunning(o.dir, o.want())
}

// want are the files of every project.
func (o *ordeal) want() map[string]map[string]file {
	want := map[string]map[string]file{mainProject: o.files.rows(), otherProject: nil}
	for id := range o.projects.now {
		want[id] = nil
	}
	return want
}

// await lets the mishap happen to the next operation of its kind that is not the
// other project's. The channel is closed then.
func (c *control) await(m mishap) (happened <-chan struct{}) {
	ch, seen := make(chan struct{}), 0
	c.follow(func(op faults.Op, text string) faults.Verdict {
		if text != m.op || otherPath.MatchString(op.Path) {
			return faults.GoOn
		}
		if seen++; seen != m.nth {
			return faults.GoOn
		}
		close(ch)
		return m.verdict
	})
	return ch
}
