package projects_test

import (
	"context"
	"errors"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/keboola/duckdb-storage/core/internal/doctor"
	"github.com/keboola/duckdb-storage/sdk"
)

func TestBackend(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir())
	checks := []doctor.Check{{Name: "a", Status: doctor.OK, Detail: "fine"}, {Name: "b", Status: doctor.Warning, Detail: "soon"}}
	s.commands.Examine = func(context.Context) []doctor.Check { return checks }
	out := s.must(t, "backend.Init", "", "{}")
	if out["status"] != "ok" || out["version"] != "1.0.0" || out["duckdbVersion"] != "v1.5.6" {
		t.Errorf("%v", out)
	}
	if diff := cmp.Diff([]any{
		map[string]any{"name": "a", "status": "ok", "detail": "fine"}, map[string]any{"name": "b", "status": "warning", "detail": "soon"},
	}, out["checks"]); diff != "" {
		t.Error(diff)
	}

	// Every problem at once, in Keboola's words, and for programs by name.
	checks = append(checks, doctor.Check{Name: "c", Status: doctor.Failed, Detail: "gone"}, doctor.Check{Name: "d", Status: doctor.Failed, Detail: "full"})
	_, err := s.invoke(t, "backend.Init", "", "{}")
	var e *sdk.Error
	if !errors.As(err, &e) || !errors.Is(err, sdk.ErrInvalid) || e.Detail != "Cannot initialize backend. Following errors were encountered:\nc: gone\nd: full" {
		t.Fatalf("got %v", err)
	}
	if diff := cmp.Diff(map[string]string{"c": "gone", "d": "full"}, e.Meta); diff != "" {
		t.Error(diff)
	}
}

// To take leave of the backend takes nothing away.
func TestRemoveBackend(t *testing.T) {
	t.Parallel()
	s := open(t, t.TempDir())
	s.must(t, "projects.Create", "", `{"id":"1"}`)
	for range 2 {
		s.must(t, "backend.Remove", "", "{}")
	}
	s.must(t, "projects.Info", "1", "{}")
	if _, err := os.Stat(s.Layout.Catalog("1", "default")); err != nil {
		t.Error(err)
	}
}
