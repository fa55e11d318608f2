// Package sharing_test shares and links buckets of several projects in the real
// service, and compares what everybody sees with a simple model.
//
// Start with [TestRandom]: it draws what to do, in some rounds with catalogs that close
// after a moment, and with restarts and kills between. The other tests are about
// what happens at the same time: reads while the source is imported into, links of two
// projects to each other, kills in the middle of a link.
//
// SHARING_STEPS=n makes n steps of each round instead of a few, SHARING_SEED=seed draws
// the same ones again. The seed is printed.
package sharing_test

import (
	"context"
	"log"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/keboola/duckdb-storage/sdk/sdktest/service"
)

// requestTimeout ends a request that hangs.
const requestTimeout = time.Minute

// bin is what the tests run.
var bin string

func TestMain(m *testing.M) {
	var err error
	if bin, err = service.Build(context.Background()); err != nil {
		log.Fatal(err)
	}
	os.Exit(m.Run())
}

// number is a setting of the test.
func number(t *testing.T, variable string, otherwise uint64) uint64 {
	t.Helper()
	text := os.Getenv(variable)
	if text == "" {
		return otherwise
	}
	n, err := strconv.ParseUint(text, 10, 63)
	if err != nil || n == 0 {
		t.Fatalf("%s must be a number from 1, not %q", variable, text)
	}
	return n
}

// system is a service that can be started again.
type system struct {
	t    *testing.T
	dir  string
	env  []string
	run  *service.Service
	keys map[string]string // of projects
}

func start(t *testing.T, env ...string) *system {
	t.Helper()
	dir, err := os.MkdirTemp("", "ds") // t.TempDir is too long for sockets
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	s := &system{t: t, dir: dir, env: env, keys: map[string]string{}}
	s.start()
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(s.run.Log())
		}
		s.run.Kill()
	})
	return s
}

func (s *system) start() {
	s.t.Helper()
	run, err := service.Start(s.t.Context(), service.Options{Bin: bin, DataDir: s.dir, Env: s.env})
	if err != nil {
		s.t.Fatal(err)
	}
	s.run = run
}

// restart ends the service in order.
func (s *system) restart() {
	s.t.Helper()
	if err := s.run.Stop(); err != nil {
		s.t.Fatal(err)
	}
	s.start()
}

// kill ends it with SIGKILL.
func (s *system) kill() {
	s.t.Helper()
	if err := s.run.Kill(); err != nil {
		s.t.Fatal(err)
	}
	s.start()
}

func (s *system) create(id string) {
	s.t.Helper()
	p, err := s.run.Admin().CreateProject(s.t.Context(), id)
	if err != nil {
		s.t.Fatal(err)
	}
	s.keys[id] = p.Key
}

func (s *system) project(id string) service.Project {
	return service.Project{Client: service.Client{URL: s.run.URL(), Key: s.keys[id]}, ID: id}
}

// do makes a request of a project. body and out are as for [service.Client.Do].
func (s *system) do(project, method string, path []string, query string, body, out any) error {
	ctx, cancel := context.WithTimeout(s.t.Context(), requestTimeout)
	defer cancel()
	p := s.project(project)
	_, err := p.Do(ctx, method, p.Path(path...)+query, body, out)
	return err
}

// must is do for what cannot fail.
func (s *system) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

func (s *system) share(project, bucket string) (handle string, err error) {
	var out struct {
		ShareHandle string `json:"shareHandle"`
	}
	err = s.do(project, "POST", []string{"buckets", bucket, "share"}, "", struct{}{}, &out)
	return out.ShareHandle, err
}

func (s *system) unshare(project, bucket string) error {
	return s.do(project, "DELETE", []string{"buckets", bucket, "share"}, "", nil, nil)
}

func (s *system) link(project, bucket, handle string) error {
	return s.do(project, "POST", []string{"buckets", bucket, "link"}, "", map[string]string{"shareHandle": handle}, nil)
}

func (s *system) unlink(project, bucket string) error {
	return s.do(project, "DELETE", []string{"buckets", bucket, "link"}, "", nil, nil)
}

func (s *system) query(project, sql string) ([][]any, error) {
	ctx, cancel := context.WithTimeout(s.t.Context(), requestTimeout)
	defer cancel()
	return s.project(project).Query(ctx, sql)
}
