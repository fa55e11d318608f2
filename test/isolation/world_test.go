// Package isolation_test tries to get with SQL where SQL may not get: to another
// project, to the service's own tables, to files, to settings, and to the end of the
// machine. A project sends statements through its query route; beside it live a project
// with which it has nothing to do, and one that has shared a bucket with it, so that both
// live in one instance of DuckDB.
package isolation_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/keboola/duckdb-storage/sdk/sdktest/service"
)

var bin string

func TestMain(m *testing.M) {
	var err error
	if bin, err = service.Build(context.Background()); err != nil {
		log.Fatal(err)
	}
	os.Exit(m.Run())
}

// world is a service with three projects.
type world struct {
	*service.Service
	dir string
	// a is the one that tries, b is linked with nobody, c shares one of its buckets with a.
	a, b, c service.Project
}

// The secrets of b and of c's other bucket. Nothing that a is told has them.
var secrets = []string{"secret-of-b", "secret-of-c", "token_of_b", "token_of_c"}

func open(t *testing.T) world {
	t.Helper()
	dir, err := os.MkdirTemp("", "ds") // t.TempDir is too long for sockets
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	s, err := service.Start(t.Context(), service.Options{
		Bin: bin, DataDir: dir,
		Env: []string{"DUCKDB_STORAGE_ENGINE__MEMORY_LIMIT=600MB"},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Kill() })
	w := world{Service: s, dir: dir}
	for _, p := range []struct {
		project *service.Project
		id      string
		buckets []string
		sql     []string
	}{
		{&w.a, "a", []string{"own"}, []string{
			"CREATE TABLE own.t AS SELECT i AS id, 'row ' || i AS name FROM range(5) AS r(i)",
			"CREATE TABLE own.orders AS SELECT i AS id, i % 3 AS customer, i * 1.5 AS total, DATE '2026-01-01' + i::INTEGER AS day FROM range(12) AS r(i)",
			"CREATE SEQUENCE own.q",
		}},
		{&w.b, "b", []string{"private"}, []string{
			"CREATE TABLE private.t AS SELECT 1 AS id, 'secret-of-b' AS token_of_b", "CREATE SEQUENCE private.q", "CREATE MACRO private.m() AS 'secret-of-b'",
		}},
		{&w.c, "c", []string{"shared", "hidden"}, []string{
			"CREATE TABLE shared.orders AS SELECT 1 AS id, 'for all' AS name",
			"CREATE TABLE hidden.t AS SELECT 1 AS id, 'secret-of-c' AS token_of_c",
			"CREATE SEQUENCE hidden.q", "CREATE TYPE main.mood AS ENUM ('secret-of-c')",
			"CREATE VIEW shared.v AS SELECT id, length(token_of_c) AS n FROM hidden.t",
		}},
	} {
		if *p.project, err = s.Admin().CreateProject(t.Context(), p.id); err != nil {
			t.Fatal(err)
		}
		for _, b := range p.buckets {
			if err := p.project.CreateBucket(t.Context(), b); err != nil {
				t.Fatal(err)
			}
		}
		for _, statement := range p.sql {
			if _, err := p.project.Query(t.Context(), statement); err != nil {
				t.Fatalf("%s: %v", statement, err)
			}
		}
		if _, err := p.project.Upload(t.Context(), p.id+".csv", strings.NewReader("token\nsecret-of-"+p.id+"\n")); err != nil {
			t.Fatal(err)
		}
	}
	var shared struct {
		ShareHandle string `json:"shareHandle"`
	}
	if _, err := w.c.Do(t.Context(), "POST", w.c.Path("buckets", "shared", "share"), nil, &shared); err != nil {
		t.Fatal(err)
	}
	if _, err := w.a.Do(t.Context(), "POST", w.a.Path("buckets", "linked", "link"), map[string]string{"shareHandle": shared.ShareHandle}, nil); err != nil {
		t.Fatal(err)
	}
	return w
}

// answer is what a query is answered with.
type answer struct {
	status  int
	message string // of an error
	body    string
	rows    [][]any
	columns []string
}

// ask sends a statement.
func ask(t *testing.T, p service.Project, body map[string]any) answer {
	t.Helper()
	var raw json.RawMessage
	status, err := p.Do(t.Context(), "POST", p.Path("query"), body, &raw)
	var problem *service.Problem
	if errors.As(err, &problem) {
		return answer{status: status, message: problem.Detail, body: problem.Detail}
	}
	if err != nil {
		t.Fatalf("%.200v: %v", body["sql"], err)
	}
	var out struct {
		Status, Message string
		Rows            [][]any
		Columns         []struct{ Name string }
	}
	if err := json.Unmarshal(raw, &out); err != nil {
		t.Fatalf("%.200v: %v in %.500s", body["sql"], err, raw)
	}
	a := answer{status: status, body: string(raw), rows: out.Rows}
	for _, c := range out.Columns {
		a.columns = append(a.columns, c.Name)
	}
	if out.Status != "ok" {
		a.message = out.Message
	}
	return a
}

// tell checks that an answer tells nothing of others that the statement did not say
// itself.
func (a answer) tell(t *testing.T, statement string) {
	t.Helper()
	for _, word := range append([]string{"project_b", "project_c", "private", "hidden", "__storage"}, secrets...) {
		if strings.Contains(strings.ToLower(a.body), word) && !strings.Contains(strings.ToLower(statement), word) {
			t.Errorf("%.300s\n\ttells %s: %.500s", statement, word, a.body)
		}
	}
}

// state is all that a project has.
func state(t *testing.T, p service.Project) string {
	t.Helper()
	var out strings.Builder
	tables, err := p.Query(t.Context(), "SELECT table_schema, table_name, table_type FROM information_schema.tables ORDER BY ALL")
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range tables {
		fmt.Fprintln(&out, row...)
		rows, err := p.Query(t.Context(), fmt.Sprintf("SELECT t::VARCHAR FROM %q.%q AS t ORDER BY 1", row[0], row[1]))
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintln(&out, rows)
	}
	for _, list := range []string{
		"SELECT schema_name FROM duckdb_schemas() ORDER BY ALL", "SELECT schema_name, sequence_name, last_value FROM duckdb_sequences() ORDER BY ALL",
		"SELECT schema_name, function_name FROM duckdb_functions() WHERE NOT internal ORDER BY ALL", "SELECT type_name FROM duckdb_types() WHERE NOT internal ORDER BY ALL",
	} {
		rows, err := p.Query(t.Context(), list)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintln(&out, rows)
	}
	return out.String()
}

// unchanged runs fn, after which no project has changed, and nothing was closed.
func (w world) unchanged(t *testing.T, fn func()) {
	t.Helper()
	before := []string{state(t, w.a), state(t, w.b), state(t, w.c)}
	fn()
	if diff := cmp.Diff(before, []string{state(t, w.a), state(t, w.b), state(t, w.c)}); diff != "" {
		t.Errorf("a project has changed (-before +after):\n%s", diff)
	}
	if l := w.Log(); strings.Contains(l, "INTERNAL") || strings.Contains(l, "fatal error in DuckDB") {
		t.Errorf("an instance was given up: %s", l)
	}
	select {
	case <-w.Exited():
		t.Errorf("the service has ended: %s", w.Log())
	default:
	}
}
