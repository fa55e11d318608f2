package engine_test

import (
	"errors"
	"testing"
	"time"

	"github.com/keboola/duckdb-storage/core/internal/engine"
	"github.com/keboola/duckdb-storage/sdk"
	"github.com/keboola/duckdb-storage/sdk/sql"
)

// A name is looked up in any catalog of the cell, a view is one whether it can be read
// or not, and what is looked for changes nothing about the session.
func TestLookup(t *testing.T) {
	t.Parallel()
	p := openProjects(t, time.Hour, 0, "1", "2")
	p.link(t, "1", "2")
	for _, st := range []string{`CREATE SCHEMA "in.c-""x"`, `CREATE TABLE "in.c-""x"."Straße" (a INT)`, `CREATE VIEW "in.c-""x".v AS FROM t`, `CREATE VIEW "in.c-""x".gone AS FROM "in.c-""x"."Straße"`} {
		if err := p.exec(t.Context(), "2", st); err != nil {
			t.Fatal(err)
		}
	}
	s, err := p.Session(t.Context(), p.catalog("1"))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	look := func(catalog, schema, name string, want engine.Lookup) {
		t.Helper()
		if got, err := s.Lookup(catalog, schema, name); err != nil || got != want {
			t.Errorf("%s.%s.%s: got %v, %v, want %v", catalog, schema, name, got, err, want)
		}
	}
	look("project_2_main", `in.c-"x`, "Straße", engine.Table)
	look("project_2_main", `IN.C-"X`, "STRAße", engine.Table)
	look("project_2_main", `in.c-"x`, "v", engine.View)
	look("project_2_main", `in.c-"x`, "none", engine.Nothing)
	look("project_2_main", "none", "v", engine.Nothing)
	look("project_3_main", "main", "t", engine.Nothing)
	look("project_1_main", "main", "t", engine.Table)
	// The snapshot ends with a write; what others did since is seen then.
	if err := p.exec(t.Context(), "2", `DROP TABLE "in.c-""x"."Straße"`); err != nil {
		t.Fatal(err)
	}
	exec(t, s, "CREATE VIEW mine AS FROM t")
	look("project_2_main", `in.c-"x`, "Straße", engine.Nothing)
	look("project_2_main", `in.c-"x`, "gone", engine.View)
	if err := s.Begin(); err != nil {
		t.Fatal(err)
	}
	exec(t, s, "CREATE TABLE n (a INT)")
	look("project_1_main", "main", "mine", engine.View)
	look("project_1_main", "main", "n", engine.Table)
	if err := s.Commit(); err != nil {
		t.Fatal(err)
	}
	if ok, err := s.HasRows(sql.New("FROM mine")); err != nil || !ok {
		t.Errorf("afterwards: %v, %v", ok, err)
	}
}

// A neighbour is a session of another catalog of the cell, and keeps that open.
func TestNeighbour(t *testing.T) {
	t.Parallel()
	p := openProjects(t, time.Hour, 0, "1", "2", "3")
	p.link(t, "1", "2")
	s, err := p.Session(t.Context(), p.catalog("1"))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if _, err := s.Neighbour(p.catalog("3")); !errors.Is(err, sdk.ErrNotFound) {
		t.Errorf("of another cell: %v", err)
	}
	n, err := s.Neighbour(p.catalog("2"))
	if err != nil {
		t.Fatal(err)
	}
	exec(t, n, "INSERT INTO t VALUES (2)")
	n.Close()
	p.wantCount(t, "2", "t", `{"n":2}`)
	if n.Alias() != "project_2_main" {
		t.Errorf("it is of %s", n.Alias())
	}
}

// A session that ended without its holder, and took its cell along, has none.
func TestNeighbourOfASessionThatHasEnded(t *testing.T) {
	t.Parallel()
	p := openProjects(t, time.Hour, 0, "1", "2")
	p.link(t, "1", "2")
	s, err := p.Session(t.Context(), p.catalog("1"))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := p.Drop(t.Context(), p.catalog("1")); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Neighbour(p.catalog("2")); !errors.Is(err, sdk.ErrProjectNotFound) {
		t.Errorf("got %v", err)
	}
}
