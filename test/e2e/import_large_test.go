package e2e_test

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/keboola/duckdb-storage/sdk/sdktest/service"
)

// largeRows make a CSV file over 4 MiB: an import of it leaves the project's turn
// to others until its last moment.
const largeRows = 400_000

// largeFile has rows "n,name n", and a last one if wanted.
func largeFile(header, last string) *bytes.Buffer {
	out := bytes.NewBufferString(header + "\n")
	for i := range largeRows {
		fmt.Fprintf(out, "%d,name %d\n", i, i)
	}
	out.WriteString(last)
	return out
}

// everyColumn is a column of each type with what else a column can have.
var everyColumn = []map[string]any{
	{"name": "Id", "type": "INTEGER", "nullable": false}, {"name": "name", "type": "STRING", "length": "20", "default": "it's"},
	{"name": "number", "type": "NUMERIC", "length": "12,2", "default": "-1.5"}, {"name": "wide", "type": "NUMERIC"},
	{"name": "float", "type": "FLOAT"}, {"name": "real", "type": "REAL"}, {"name": "int4", "type": "INT4", "default": "7"}, {"name": "huge", "type": "HUGEINT"},
	{"name": "yes", "type": "BOOLEAN", "default": "true"}, {"name": "no", "type": "BOOLEAN", "default": "0"},
	{"name": "day", "type": "DATE", "default": "2020-02-29"}, {"name": "made", "type": "TIMESTAMP", "default": "CURRENT_TIMESTAMP"},
	{"name": "zoned", "type": "TIMESTAMPTZ"}, {"name": "time", "type": "TIME"}, {"name": "span", "type": "INTERVAL", "default": "1 day"},
	{"name": "id of it", "type": "UUID"}, {"name": "doc", "type": "JSON", "default": `{"a": 1}`}, {"name": "bytes", "type": "BLOB"},
}

// An import of a large file puts a new table in the place of the old one. Nothing
// of the table may show it.
func TestLargeImport(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	dir := dataDir(t)
	s, p := startProject(ctx, t, dir)
	must(t, p.CreateBucket(ctx, "b"))
	must(t, p.CreateTable(ctx, "b", "Orders", everyColumn, "Id"))
	sqlOf(ctx, t, p, "CREATE VIEW b.v AS SELECT count(*) AS n FROM b.Orders")
	before := look(ctx, t, p)

	file := uploaded(ctx, t, p, largeFile("Id,name", ""))
	got, err := p.Import(ctx, "b", "orders", file.ID) // another spelling of its name
	must(t, err)
	if got.ImportedRowsCount != largeRows || got.TableRowsCount != largeRows || got.TableSizeBytes == 0 {
		t.Errorf("the import answered %+v", got)
	}
	after := look(ctx, t, p)
	if diff := cmp.Diff(before, after); diff != "" {
		t.Errorf("what the table is (-before +after):\n%s", diff)
	}
	rows := "SELECT count(*), count(DISTINCT Id), min(name), max(number), (SELECT n FROM b.v) FROM b.Orders"
	want := [][]any{{float64(largeRows), float64(largeRows), "name 0", "-1.50", float64(largeRows)}}
	if diff := cmp.Diff(want, sqlOf(ctx, t, p, rows)); diff != "" {
		t.Errorf("rows (-want +got):\n%s", diff)
	}

	bad := uploaded(ctx, t, p, largeFile("Id,name", "x,y\n"))
	if _, err := p.Import(ctx, "b", "Orders", bad.ID); !service.IsProblem(err, "invalid-csv") {
		t.Errorf("a bad last row: %v", err)
	}
	must(t, s.Kill())
	s, again := startProject(ctx, t, dir)
	p.URL = again.URL
	if diff := cmp.Diff(want, sqlOf(ctx, t, p, rows)); diff != "" {
		t.Errorf("rows after a bad file and a kill (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(after, look(ctx, t, p)); diff != "" {
		t.Errorf("what the table is after a bad file and a kill (-before +after):\n%s", diff)
	}
	must(t, s.Stop())
}

// A table with more than columns stays in its place: nobody else makes such tables.
func TestLargeImportKeepsWhatSQLMade(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	s, p := startProject(ctx, t, dataDir(t))
	must(t, p.CreateBucket(ctx, "b"))
	file := uploaded(ctx, t, p, largeFile("id,name", ""))
	for name, statements := range map[string][]string{
		"indexed":   {"CREATE TABLE b.indexed (id BIGINT, name VARCHAR)", "CREATE INDEX i ON b.indexed (id)"},
		"checked":   {"CREATE TABLE b.checked (id BIGINT CHECK (id >= 0), name VARCHAR UNIQUE)"},
		"generated": {"CREATE TABLE b.generated (id BIGINT, name VARCHAR, twice BIGINT AS (id * 2))"},
		"typed":     {"CREATE TYPE mood AS ENUM ('a')", "CREATE TABLE b.typed (id BIGINT, name VARCHAR, mood main.mood DEFAULT 'a')"},
	} {
		for _, st := range statements {
			sqlOf(ctx, t, p, st)
		}
		extras := "SELECT sql, index_count FROM duckdb_tables() WHERE schema_name = 'b' AND table_name = '" + name + "'"
		before := sqlOf(ctx, t, p, extras)
		if _, err := p.Import(ctx, "b", name, file.ID); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if diff := cmp.Diff(before, sqlOf(ctx, t, p, extras)); diff != "" {
			t.Errorf("%s (-before +after):\n%s", name, diff)
		}
	}
	must(t, s.Stop())
}

// A write that holds the turn does not keep a large import from reading its file,
// nor the other way round.
func TestLargeImportBesideWrites(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	s, p := startProject(ctx, t, dataDir(t))
	must(t, p.CreateBucket(ctx, "b"))
	must(t, p.CreateTable(ctx, "b", "t", []string{"id", "name"}))
	must(t, p.CreateTable(ctx, "b", "u", []string{"id", "name"}))
	file := uploaded(ctx, t, p, largeFile("id,name", ""))

	held, leave := context.WithCancel(ctx)
	ends := make(chan error, 3)
	go func() {
		_, err := p.Query(held, fmt.Sprintf(endless, 0))
		ends <- err
	}()
	waitQueue(ctx, t, s.Admin(), "query.Execute", 0)
	imports := make(chan error, 2)
	for _, table := range []string{"t", "u"} {
		go func() {
			_, err := p.Import(ctx, "b", table, file.ID)
			imports <- err
		}()
	}
	waitQueue(ctx, t, s.Admin(), "query.Execute", 2) // both have read their file
	leave()
	if err := <-ends; err == nil {
		t.Error("the endless write ended")
	}
	for range 2 {
		must(t, <-imports)
	}
	if diff := cmp.Diff([][]any{{float64(largeRows), float64(largeRows)}}, sqlOf(ctx, t, p, "SELECT (SELECT count(*) FROM b.t), (SELECT count(*) FROM b.u)")); diff != "" {
		t.Errorf("rows (-want +got):\n%s", diff)
	}
	must(t, s.Stop())
}

// waitQueue waits until a command holds the turn of project 1 and so many writes
// wait behind it.
func waitQueue(ctx context.Context, t *testing.T, admin service.Client, command string, waiting int) {
	t.Helper()
	poll := time.NewTicker(5 * time.Millisecond)
	defer poll.Stop()
	for {
		var got struct {
			Items []struct {
				Catalog string
				Holder  struct{ Command string }
				Waiting int
			}
		}
		_, err := admin.Do(ctx, http.MethodGet, "/admin/queues", nil, &got)
		must(t, err)
		for _, l := range got.Items {
			if l.Catalog == "project_1_main" && l.Holder.Command == command && l.Waiting == waiting {
				return
			}
		}
		select {
		case <-poll.C:
		case <-ctx.Done():
			t.Fatalf("no %s has the turn with %d writes behind it: %+v", command, waiting, got.Items)
		}
	}
}

// startProject starts a service on a directory and makes project 1 unless it is
// there.
func startProject(ctx context.Context, t *testing.T, dir string) (*service.Service, service.Project) {
	t.Helper()
	s, err := service.Start(ctx, service.Options{Bin: bin, DataDir: dir})
	must(t, err)
	t.Cleanup(func() { s.Kill() })
	p, err := s.Admin().CreateProject(ctx, "1")
	if err != nil && !service.IsProblem(err, "project-exists") {
		t.Fatal(err)
	}
	return s, p
}

// look tells all of table b.orders but its rows and the time of its import.
func look(ctx context.Context, t *testing.T, p service.Project) map[string]any {
	t.Helper()
	var info map[string]any
	_, err := p.Do(ctx, http.MethodGet, p.Path("tables", "b", "orders"), nil, &info)
	must(t, err)
	for _, changing := range []string{"rowsCount", "sizeBytes", "lastImportDate"} {
		delete(info, changing)
	}
	info["stored"] = sqlOf(ctx, t, p, "SELECT table_name, sql FROM duckdb_tables() WHERE schema_name = 'b'")
	return info
}

func sqlOf(ctx context.Context, t *testing.T, p service.Project, statement string) [][]any {
	t.Helper()
	rows, err := p.Query(ctx, statement)
	if err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
	return rows
}

func uploaded(ctx context.Context, t *testing.T, p service.Project, content *bytes.Buffer) service.File {
	t.Helper()
	f, err := p.Upload(ctx, "large.csv", content)
	must(t, err)
	if f.SizeBytes < 4<<20 {
		t.Fatalf("a file of %d bytes is not large", f.SizeBytes)
	}
	return f
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
