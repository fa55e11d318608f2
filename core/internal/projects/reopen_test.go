package projects_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/keboola/duckdb-storage/core/internal/engine"
	"github.com/keboola/duckdb-storage/core/internal/plan"
	"github.com/keboola/duckdb-storage/sdk"
)

// An operator can close a project's file to look at it, and have it tried again. It
// answers with what is wrong with the file still.
func TestReopen(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir())
	s.must(t, "projects.Create", "", `{"id":"1"}`)
	s.must(t, "query.Execute", "1", `{"sql":"CREATE TABLE main.t AS SELECT 42 AS a"}`)
	s.must(t, "projects.Reopen", "1", `{}`)

	project, copied := engine.Project(s.Layout, "1", plan.DefaultBranch), engine.Project(s.Layout, "1", "copy")
	if err := s.Engine.Copy(t.Context(), project, copied); err != nil {
		t.Fatal(err)
	}
	bad := filepath.Join(t.TempDir(), "bad")
	if err := os.WriteFile(bad, []byte("no database"), 0o600); err != nil {
		t.Fatal(err)
	}
	replace := func(with string) {
		t.Helper()
		if err := os.Rename(with, project.Path); err != nil {
			t.Fatal(err)
		}
	}
	replace(bad)
	var e *sdk.Error
	if _, err := s.invoke(t, "projects.Reopen", "1", `{}`); !errors.As(err, &e) || e.Slug != "catalog-broken" {
		t.Errorf("with a broken file: got %v", err)
	}
	replace(copied.Path)
	s.must(t, "projects.Reopen", "1", `{}`)
	got := s.must(t, "query.Execute", "1", `{"sql":"SELECT a FROM main.t"}`)
	if rows, ok := got["rows"].([]any); !ok || len(rows) != 1 {
		t.Errorf("got %v", got)
	}
}
