package registry_test

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/keboola/duckdb-storage/core/internal/engine"
	"github.com/keboola/duckdb-storage/core/internal/fixture"
	"github.com/keboola/duckdb-storage/core/internal/registry"
	"github.com/keboola/duckdb-storage/sdk"
	"github.com/keboola/duckdb-storage/sdk/sql"
)

func project(id string) registry.Project {
	return registry.Project{
		ID: id, Name: `Na"me`, DataRetentionDays: 7, Timezone: "UTC", Settings: []byte(`{"a":{"b":1}}`),
		Created: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
	}
}

func anyDisk() error { return nil }

func activate(t *testing.T, r *registry.Registry, id string) registry.Key {
	t.Helper()
	k := registry.Key{ID: "id-" + id, Hash: "hash-" + id, Subject: "project-" + id, Project: id, Level: sdk.LevelAdmin, Created: project(id).Created}
	if err := r.Reserve(t.Context(), project(id), anyDisk); err != nil {
		t.Fatal(err)
	}
	if err := r.Activate(t.Context(), project(id), k); err != nil {
		t.Fatal(err)
	}
	return k
}

func TestRegistrySurvivesARestart(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	before := fixture.Open(t, root)
	r := before.Registry
	kept, gone := activate(t, r, "kept"), activate(t, r, "gone")
	if err := r.Reserve(t.Context(), project("half"), anyDisk); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Change(t.Context(), "kept", func(p *registry.Project) error { p.Name = "New"; return nil }); err != nil {
		t.Fatal(err)
	}
	if err := r.SetAdminKey(t.Context(), "first"); err != nil {
		t.Fatal(err)
	}
	if err := r.SetAdminKey(t.Context(), "second"); err != nil {
		t.Fatal(err)
	}
	if err := r.Forget(t.Context(), "gone"); err != nil {
		t.Fatal(err)
	}
	before.Close()

	for name, r := range map[string]*registry.Registry{"before": r, "after": fixture.Open(t, root).Registry} {
		want := project("kept")
		want.Name, want.State = "New", registry.Active
		got, err := r.Project("kept")
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("%s: %v %s", name, err, diff)
		}
		for _, id := range []string{"gone", "half", "never", ""} {
			if _, err := r.Project(id); !errors.Is(err, sdk.ErrProjectNotFound) {
				t.Errorf("%s: project %q: %v", name, id, err)
			}
		}
		if half := r.Projects(registry.Creating); len(half) != 1 || half[0].ID != "half" {
			t.Errorf("%s: creating: %v", name, half)
		}
		if got, ok := r.Key(kept.Hash); !ok || got != kept {
			t.Errorf("%s: key %v, %v", name, got, ok)
		}
		for _, hash := range []string{gone.Hash, "first", ""} {
			if _, ok := r.Key(hash); ok {
				t.Errorf("%s: key %q opens something", name, hash)
			}
		}
		if _, ok := r.Key("second"); !ok || !r.HasAdminKey() {
			t.Errorf("%s: the admin key is lost", name)
		}
	}
}

func TestReserveRefusesWhatIsTaken(t *testing.T) {
	t.Parallel()
	r := fixture.Open(t, t.TempDir()).Registry
	activate(t, r, "1")
	if err := r.Reserve(t.Context(), project("1"), anyDisk); !errors.Is(err, sdk.ErrProjectExists) {
		t.Errorf("a taken id: %v", err)
	}
	files := errors.New("files are there")
	if err := r.Reserve(t.Context(), project("2"), func() error { return files }); !errors.Is(err, files) {
		t.Errorf("an id with files: %v", err)
	}
	if half := r.Projects(registry.Creating); len(half) > 0 {
		t.Errorf("a refused reservation stayed: %v", half)
	}
}

func TestReserveAtOnceHasOneWinner(t *testing.T) {
	t.Parallel()
	r := fixture.Open(t, t.TempDir()).Registry
	errs := make([]error, 8)
	var wg sync.WaitGroup
	for i := range errs {
		wg.Go(func() { errs[i] = r.Reserve(t.Context(), project("1"), anyDisk) })
	}
	wg.Wait()
	won := 0
	for _, err := range errs {
		if err == nil {
			won++
		} else if !errors.Is(err, sdk.ErrProjectExists) {
			t.Errorf("got %v", err)
		}
	}
	if won != 1 {
		t.Errorf("%d reservations of one id", won)
	}
}

func TestChangesAreNotLost(t *testing.T) {
	t.Parallel()
	r := fixture.Open(t, t.TempDir()).Registry
	activate(t, r, "1")
	var wg sync.WaitGroup
	for range 10 {
		wg.Go(func() {
			if _, err := r.Change(t.Context(), "1", func(p *registry.Project) error { p.DataRetentionDays++; return nil }); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if p, err := r.Project("1"); err != nil || p.DataRetentionDays != 17 {
		t.Errorf("%+v, %v", p, err)
	}
	refused := errors.New("refused")
	if _, err := r.Change(t.Context(), "1", func(p *registry.Project) error { p.Name = "x"; return refused }); !errors.Is(err, refused) {
		t.Errorf("got %v", err)
	}
	if p, _ := r.Project("1"); p.Name == "x" {
		t.Error("a refused change stayed")
	}
}

func TestFilesSurviveARestart(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	h := fixture.Open(t, root)
	first, err := h.Files.Registry.NextID(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := registry.File{
		ID: first, Project: "1", Name: `ž" '`, ContentType: "text/csv", Tags: []string{"a,b", `"`}, Created: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
		Expires: time.Date(2026, 1, 17, 3, 4, 5, 0, time.UTC), SizeBytes: 1 << 40, SHA256: "ab", State: sdk.FileRegistered, Path: "2026/01/02/1-x",
	}
	permanent := want
	permanent.ID, permanent.Permanent, permanent.Expires, permanent.Tags = "1000", true, time.Time{}, []string{}
	for _, f := range []registry.File{want, permanent, want} { // put again replaces
		if err := h.Files.Registry.Put(t.Context(), f); err != nil {
			t.Fatal(err)
		}
	}
	h.Close()
	files := fixture.Open(t, root).Files.Registry
	got, err := files.All(t.Context())
	if diff := cmp.Diff([]registry.File{want, permanent}, got); err != nil || diff != "" {
		t.Errorf("%v %s", err, diff)
	}
	if next, err := files.NextID(t.Context()); err != nil || next == first {
		t.Errorf("the id %s is given again: %v", next, err)
	}
}

// A file that a newer release wrote is refused before anything in it changes.
// A project's file of an earlier release is brought up to date with its rows.
func TestOlderCatalogIsMigrated(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	h := fixture.Open(t, root)
	h.CreateProject("1")
	catalog := engine.Project(h.Layout, "1", "default")
	run := func(s *engine.Session, statements ...string) {
		t.Helper()
		for _, st := range statements {
			if _, err := s.Exec(sql.Raw(st)); err != nil {
				t.Fatalf("%s: %v", st, err)
			}
		}
	}
	s, err := h.Engine.Session(t.Context(), catalog)
	if err != nil {
		t.Fatal(err)
	}
	row := "INSERT INTO __storage.tables VALUES ('b', '%s', [], true, %s, NULL)"
	run(s, "DROP TABLE __storage.outbox", "DROP SEQUENCE __storage.outbox_order", "DROP TABLE __storage.committed",
		"DROP TABLE __storage.shares", "DROP TABLE __storage.links", "DROP TABLE __storage.revoked")
	run(s, "ALTER TABLE __storage.tables ALTER COLUMN created SET NOT NULL", "UPDATE __storage.schema_migrations SET version = 1", fmt.Sprintf(row, "old", "now()"))
	s.Close()
	h.Close()
	h = fixture.Open(t, root)
	if s, err = h.Engine.Session(t.Context(), catalog); err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	run(s, fmt.Sprintf(row, "new", "NULL"))
	for _, st := range []string{"FROM __storage.tables WHERE name = 'old' AND created IS NOT NULL", "FROM __storage.schema_migrations WHERE version = 5"} {
		if found, err := s.HasRows(sql.Raw(st)); err != nil || !found {
			t.Errorf("%s: %v, %v", st, found, err)
		}
	}
}

func TestNewerCatalogIsRefused(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	h := fixture.Open(t, root)
	h.CreateProject("1")
	catalog := engine.Project(h.Layout, "1", "default")
	s, err := h.Engine.Session(t.Context(), catalog)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Exec(sql.New("UPDATE __storage.schema_migrations SET version = 99")); err != nil {
		t.Fatal(err)
	}
	s.Close()
	h.Close()
	h = fixture.Open(t, root)
	for range 2 { // refused again, and not because of the first refusal
		_, err = h.Engine.Session(t.Context(), catalog)
		if want := "catalog project_1_main has version 99, this program knows versions up to 5: run a newer release"; !errors.Is(err, sdk.ErrUnavailable) || err.Error() != want {
			t.Errorf("got %v", err)
		}
	}
}
