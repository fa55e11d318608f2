package service_test

import (
	"context"
	"errors"
	"log"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/keboola/duckdb-storage/sdk/sdktest/service"
)

// bin is what the tests run.
var bin string

func TestMain(m *testing.M) {
	var err error
	if bin, err = service.Build(context.Background()); err != nil {
		log.Fatal(err)
	}
	os.Exit(m.Run())
}

// options are those of a service of the test's own.
func options(t *testing.T) service.Options {
	t.Helper()
	dir, err := os.MkdirTemp("", "ds") // t.TempDir is too long for sockets
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return service.Options{Bin: bin, DataDir: dir}
}

func start(t *testing.T, o service.Options) *service.Service {
	t.Helper()
	s, err := service.Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Kill() })
	return s
}

func TestMainJob(t *testing.T) {
	t.Parallel()
	s := start(t, options(t))
	p, err := s.Admin().CreateProject(t.Context(), "1")
	if err != nil {
		t.Fatal(err)
	}
	if err := p.CreateBucket(t.Context(), "in.c/main"); !service.IsProblem(err, "malformed-request") {
		t.Errorf("a bucket with a slash in its name: %v, want a problem", err)
	}
	if err := p.CreateBucket(t.Context(), "in.c-main"); err != nil {
		t.Fatal(err)
	}
	if err := p.CreateTable(t.Context(), "in.c-main", "orders", []string{"id", "name"}, "id"); err != nil {
		t.Fatal(err)
	}
	f, err := p.Upload(t.Context(), "orders.csv", strings.NewReader("id,name\n1,Ada\n2,Bob\n"))
	if err != nil {
		t.Fatal(err)
	}
	if f.State != "registered" || f.SizeBytes != 20 {
		t.Errorf("the file is %+v", f)
	}
	in, err := p.Import(t.Context(), "in.c-main", "orders", f.ID)
	if err != nil {
		t.Fatal(err)
	}
	if in.ImportedRowsCount != 2 || in.TableRowsCount != 2 {
		t.Errorf("the import is %+v", in)
	}
	rows, err := p.Query(t.Context(), `SELECT name, id::INTEGER FROM "in.c-main".orders WHERE name > ? ORDER BY 1`, "Aa")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([][]any{{"Ada", 1.0}, {"Bob", 2.0}}, rows); diff != "" {
		t.Errorf("rows (-want +got):\n%s", diff)
	}
	if _, err := p.Query(t.Context(), "SELECT 1 / 'x'"); err == nil {
		t.Error("a wrong statement is no error")
	}
	if err := s.Stop(); err != nil {
		t.Error(err)
	}
	if err := s.Stop(); err != nil {
		t.Errorf("the second Stop: %v", err)
	}
}

func TestStartFails(t *testing.T) {
	t.Parallel()
	o := options(t)
	o.Args = []string{"--log-level", "info", "--config", "/does/not/exist"}
	_, err := service.Start(t.Context(), o)
	if err == nil || !strings.Contains(err.Error(), "/does/not/exist") {
		t.Errorf("the error does not say what the service said: %v", err)
	}
	o.Bin = "/does/not/exist"
	if _, err := service.Start(t.Context(), o); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no binary: %v", err)
	}
}

func TestStopFindsCrash(t *testing.T) {
	t.Parallel()
	s := start(t, options(t))
	p, err := os.FindProcess(s.PID())
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Kill(); err != nil {
		t.Fatal(err)
	}
	<-s.Exited()
	if err := s.Stop(); err == nil {
		t.Error("Stop found nothing wrong with a service that had died")
	}
}

func TestKillEndsPlugins(t *testing.T) {
	t.Parallel()
	s := start(t, options(t))
	pid, err := s.PluginPID("tables")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.PluginPID("none"); !errors.Is(err, service.ErrNoProcess) {
		t.Errorf("a plugin that does not exist: %v", err)
	}
	if err := s.Kill(); err != nil {
		t.Fatal(err)
	}
	deadline := time.NewTimer(10 * time.Second)
	defer deadline.Stop()
	poll := time.NewTicker(time.Millisecond)
	defer poll.Stop()
	for service.Alive(pid) {
		select {
		case <-poll.C:
		case <-deadline.C:
			t.Fatalf("plugin %d outlives the host", pid)
		}
	}
	if err := s.Stop(); err != nil {
		t.Errorf("Stop after Kill: %v", err)
	}
}

// The settings of whoever runs the tests must not reach the service.
func TestEnvironment(t *testing.T) {
	t.Setenv("DUCKDB_STORAGE_NO_SUCH_SETTING", "1")
	o := options(t)
	o.Env = []string{"DUCKDB_STORAGE_ADMIN_KEY="}
	s := start(t, o)
	if !strings.HasPrefix(s.AdminKey, "dsa_") {
		t.Errorf("the admin key is %q, not the one that the service made", s.AdminKey)
	}
	if _, err := s.Admin().CreateProject(t.Context(), "1"); err != nil {
		t.Error(err)
	}
	if err := s.Stop(); err != nil {
		t.Error(err)
	}
}
