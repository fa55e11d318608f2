package projects_test

import (
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/keboola/duckdb-storage/core/internal/auth"
	"github.com/keboola/duckdb-storage/core/internal/plan"
	"github.com/keboola/duckdb-storage/core/internal/registry"
	"github.com/keboola/duckdb-storage/sdk"
	pluginv1 "github.com/keboola/duckdb-storage/sdk/proto/duckdbstorage/plugin/v1"
)

// A request that is older than a project does not reach it: its project was another one
// of the same id.
func TestALateRequestDoesNotReachTheNextProject(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir())
	s.Files.Registry.Guard(s.Registry)
	s.must(t, "projects.Create", "", `{"id":"1"}`)
	target := &pluginv1.Target{Project: "1", Branch: plan.DefaultBranch}
	old := s.Registry.Within(t.Context(), "1")
	session, err := s.Executor.Session(old, target)
	if err != nil {
		t.Fatal(err)
	}
	session.Close()
	s.must(t, "projects.Drop", "1", "{}")
	s.must(t, "projects.Create", "", `{"id":"1"}`)
	if _, err := s.Executor.Session(old, target); !errors.Is(err, sdk.ErrProjectNotFound) {
		t.Errorf("a session: %v", err)
	}
	if _, err := s.Files.Create(old, "1", sdk.FileSpec{Name: "late"}); !errors.Is(err, sdk.ErrProjectNotFound) {
		t.Errorf("a file: %v", err)
	}
	_, key := auth.NewKey(registry.Key{Project: "1", Level: sdk.LevelAdmin})
	always := func([]registry.Key) error { return nil }
	if err := s.Registry.AddKey(old, key, always); !errors.Is(err, sdk.ErrProjectNotFound) {
		t.Errorf("a key: %v", err)
	}
	if err := s.Registry.BeginDrop(old, "1"); !errors.Is(err, sdk.ErrProjectNotFound) {
		t.Errorf("a drop: %v", err)
	}
	s.must(t, "projects.Create", "", `{"id":"2"}`)
	if session, err = s.Executor.Session(old, &pluginv1.Target{Project: "2", Branch: plan.DefaultBranch}); err != nil {
		t.Errorf("a session of a project that it is not within: %v", err)
	} else {
		session.Close()
	}
	again := s.Registry.Within(s.Registry.Within(t.Context(), "1"), "1")
	if session, err = s.Executor.Session(again, target); err != nil {
		t.Fatal(err)
	}
	session.Close()
	if _, err := s.Files.Create(again, "1", sdk.FileSpec{Name: "new"}); err != nil {
		t.Error(err)
	}
	if err := s.Registry.AddKey(again, key, always); err != nil {
		t.Error(err)
	}
}

// Drops of a project beside each other and beside creations leave nothing half.
func TestDropsBesideCreations(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir())
	try := func(command, project, payload string, known error) {
		_, err := s.invoke(t, command, project, payload)
		if err != nil && !errors.Is(err, known) || err != nil && strings.Contains(err.Error(), "is not registered") {
			t.Errorf("%s: %v", command, err)
		}
	}
	var all sync.WaitGroup
	for range 6 {
		all.Go(func() {
			for range 15 {
				try("projects.Create", "", `{"id":"1"}`, sdk.ErrProjectExists)
				try("projects.Drop", "1", "{}", sdk.ErrProjectNotFound)
			}
		})
	}
	all.Wait()
	s.must(t, "projects.Create", "", `{"id":"1"}`)
	if _, err := s.invoke(t, "query.Execute", "1", `{"sql":"SELECT 1"}`); err != nil {
		t.Error(err)
	}
}
