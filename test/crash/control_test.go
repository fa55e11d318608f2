package crash_test

import (
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/keboola/duckdb-storage/sdk/sdktest/service"
	"github.com/keboola/duckdb-storage/test/faults"
)

// control is the judge of a service's operations on its files. It keeps a list of
// them and lets them go on, until it is told otherwise.
type control struct {
	dir        string
	supervisor *faults.Supervisor

	mu   sync.Mutex
	list []string
	rule func(op faults.Op, text string) faults.Verdict // nil lets everything go on
	// pipes sees the operations on pipes, which are not in the list; nil does not.
	pipes func(op faults.Op)
}

// supervised starts a service under control. Other settings than the defaults are
// NAME=value. The test has called faults.Need.
func supervised(t *testing.T, dir string, settings ...string) (*service.Service, *control) {
	t.Helper()
	c := newControl(t, dir)
	s, err := service.Start(t.Context(), c.options(settings))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Kill() })
	return s, c
}

func newControl(t *testing.T, dir string) *control {
	t.Helper()
	c := &control{dir: dir}
	var err error
	if c.supervisor, err = faults.Supervise(dir, c.judge); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.supervisor.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

func (c *control) options(settings []string) service.Options {
	// The supervisor reads the paths of calls out of the service's memory.
	settings = append([]string{"DUCKDB_STORAGE_CORE_DUMPS=true"}, settings...)
	return service.Options{Bin: bin, DataDir: c.dir, Env: settings, Wrap: c.supervisor.Command()}
}

// judge gets every operation before it happens.
func (c *control) judge(op faults.Op) faults.Verdict {
	c.mu.Lock()
	defer c.mu.Unlock()
	if strings.HasPrefix(op.Path, "run/") || op.Path == "run" {
		if c.pipes != nil && strings.HasPrefix(op.Path, "run/pipes/") {
			c.pipes(op)
		}
		return faults.GoOn // sockets and pipes, which survive nothing
	}
	text := normal(op.String())
	c.list = append(c.list, text)
	if c.rule == nil {
		return faults.GoOn
	}
	return c.rule(op, text)
}

// mark puts a line between the operations before and after it.
func (c *control) mark(text string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.list = append(c.list, "-- "+text)
}

// take returns the list and begins a new one.
func (c *control) take() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := c.list
	c.list = nil
	return out
}

// follow sets the rule for the operations from now on.
func (c *control) follow(rule func(op faults.Op, text string) faults.Verdict) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.rule = rule
}

// watchPipes calls a function before each operation on a pipe, which waits for it.
func (c *control) watchPipes(watch func(op faults.Op)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.pipes = watch
}

// What differs between two runs, and is replaced in the order of this list.
var normals = []struct {
	pattern *regexp.Regexp
	with    string
}{
	{regexp.MustCompile(`project_[A-Za-z0-9-]+?_main\.duckdb`), "project_P_main.duckdb"},
	{regexp.MustCompile(`files/project_[A-Za-z0-9-]+`), "files/project_P"},
	{regexp.MustCompile(`^(\w+) tmp/.*`), "$1 tmp/…"},
	{regexp.MustCompile(`/\.upload-\d+-\d+`), "/.upload-N-random"},
	{regexp.MustCompile(`(staging|\d\d/\d\d)/\d+-`), "$1/N-"},
	{regexp.MustCompile(`/\d{4}/\d\d/\d\d\b`), "/YYYY/MM/DD"},
	{regexp.MustCompile(`/\d{4}/\d\d\b`), "/YYYY/MM"},
	{regexp.MustCompile(`/\d{4}\b`), "/YYYY"},
}

// normal is an operation without what differs between two runs.
func normal(op string) string {
	for _, n := range normals {
		op = n.pattern.ReplaceAllString(op, n.with)
	}
	return op
}
