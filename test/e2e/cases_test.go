package e2e_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/keboola/duckdb-storage/sdk/sdktest/service"
)

// The cases of Keboola's own tests, by their number. Where we differ is in
// docs/deviations.md.

// exactly makes a request without a body, or with JSON, and keeps the whole answer.
func exactly(t *testing.T, c service.Client, method, path, body string) *answer {
	t.Helper()
	header, content := http.Header{}, io.Reader(nil)
	if body != "" {
		header.Set("Content-Type", "application/json")
		content = strings.NewReader(body)
	}
	resp, err := c.Send(t.Context(), method, path, header, content)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	target, err := url.Parse(path)
	if err != nil {
		t.Fatal(err)
	}
	a := &answer{request: method + " " + path, path: target.EscapedPath(), status: resp.StatusCode, header: resp.Header}
	if a.body, err = io.ReadAll(resp.Body); err != nil {
		t.Fatal(err)
	}
	return a
}

// refused wants a problem.
func refused(t *testing.T, a *answer, status int, slug string, code int, detail string) {
	t.Helper()
	if err := a.problem(status, slug, code, detail); err != nil {
		t.Errorf("%s: %v", a.request, err)
	}
}

// project makes a project in a service of its own.
func project(t *testing.T) (*service.Service, service.Project) {
	t.Helper()
	s := start(t)
	p, err := s.Admin().CreateProject(t.Context(), "1")
	if err != nil {
		t.Fatal(err)
	}
	return s, p
}

func get[T any](t *testing.T, c service.Client, path string) (out T) {
	t.Helper()
	if _, err := c.Do(t.Context(), http.MethodGet, path, nil, &out); err != nil {
		t.Fatal(err)
	}
	return out
}

// table is a table as the API shows it.
type table struct {
	Name      string `json:"name"`
	Type      string `json:"type"`
	RowsCount int64  `json:"rowsCount"`
	SizeBytes int64  `json:"sizeBytes"`
}

// fill makes a bucket, unless it is there, with a table of texts, and imports rows.
func fill(t *testing.T, p service.Project, bucket, name string, rows int) service.Imported {
	t.Helper()
	if err := p.CreateBucket(t.Context(), bucket); err != nil && !service.IsProblem(err, "bucket-exists") {
		t.Fatal(err)
	}
	if err := p.CreateTable(t.Context(), bucket, name, []string{"id", "name"}); err != nil {
		t.Fatal(err)
	}
	var csv bytes.Buffer
	csv.WriteString("id,name\n")
	for i := range rows {
		fmt.Fprintf(&csv, "%d,name of %d\n", i, i)
	}
	file, err := p.Upload(t.Context(), name+".csv", &csv)
	if err != nil {
		t.Fatal(err)
	}
	imported, err := p.Import(t.Context(), bucket, name, file.ID)
	if err != nil {
		t.Fatal(err)
	}
	return imported
}

// A bucket that holds something is dropped with cascade only.
func TestCase094DropOfABucketInUse(t *testing.T) {
	t.Parallel()
	_, p := project(t)
	fill(t, p, "in.c-main", "orders", 3)
	for _, path := range []string{p.Path("buckets", "in.c-main"), p.Path("buckets", "in.c-main") + "?cascade=false"} {
		refused(t, exactly(t, p.Client, "DELETE", path, ""), 409, "bucket-not-empty", 3000, `"in.c-main" is still in use`)
	}
	if got := get[table](t, p.Client, p.Path("tables", "in.c-main", "orders")); got.RowsCount != 3 {
		t.Errorf("the table after a drop that was refused: %+v", got)
	}
	if a := exactly(t, p.Client, "DELETE", p.Path("buckets", "in.c-main")+"?cascade=true", ""); a.status != http.StatusNoContent {
		t.Errorf("%d %s", a.status, a.body)
	}
	refused(t, exactly(t, p.Client, "GET", p.Path("buckets", "in.c-main"), ""), 404, "bucket-not-found", 2003, `"in.c-main"`)
	refused(t, exactly(t, p.Client, "GET", p.Path("tables", "in.c-main", "orders"), ""), 404, "bucket-not-found", 2003, "")
	// A view is something, too; an empty bucket needs no cascade.
	if err := p.CreateBucket(t.Context(), "in.c-main"); err != nil {
		t.Fatal(err)
	}
	if _, err := p.Query(t.Context(), `CREATE VIEW "in.c-main".v AS SELECT 1 AS a`); err != nil {
		t.Fatal(err)
	}
	refused(t, exactly(t, p.Client, "DELETE", p.Path("buckets", "in.c-main"), ""), 409, "bucket-not-empty", 3000, "is still in use")
	if _, err := p.Query(t.Context(), `DROP VIEW "in.c-main".v`); err != nil {
		t.Fatal(err)
	}
	if a := exactly(t, p.Client, "DELETE", p.Path("buckets", "in.c-main"), ""); a.status != http.StatusNoContent {
		t.Errorf("%d %s", a.status, a.body)
	}
}

// A branch has a file of its own, so a bucket in it has the name that it was given. A
// branch that is not there takes nothing, and says so.
func TestCase095BucketInABranch(t *testing.T) {
	t.Parallel()
	_, p := project(t)
	refused(t, exactly(t, p.Client, "POST", p.Path("branches", "123", "buckets"), `{"name":"in.c-main"}`), 404, "branch-not-found", 2000, `"123"`)
	if a := exactly(t, p.Client, "POST", p.Path("branches", "default", "buckets"), `{"name":"in.c-main"}`); a.status != http.StatusCreated {
		t.Errorf("%d %s", a.status, a.body)
	}
	if got := get[infoOfProject](t, p.Client, p.Path("info")); !cmp.Equal(got.Objects, []object{{"in.c-main", "BUCKET"}}) {
		t.Errorf("%+v", got)
	}
}

// Names are kept as they are given, so these are two buckets.
func TestCase096NamesThatAreAlmostTheSame(t *testing.T) {
	t.Parallel()
	_, p := project(t)
	fill(t, p, "in.c-a-b", "t", 1)
	fill(t, p, "in.c-a_b", "t", 2)
	fill(t, p, "in.c.a.b", "t", 3)
	for name, rows := range map[string]int64{"in.c-a-b": 1, "in.c-a_b": 2, "in.c.a.b": 3} {
		if got := get[table](t, p.Client, p.Path("tables", name, "t")); got.RowsCount != rows {
			t.Errorf("%s: %d rows, want %d", name, got.RowsCount, rows)
		}
	}
	if a := exactly(t, p.Client, "DELETE", p.Path("buckets", "in.c-a_b")+"?cascade=true", ""); a.status != http.StatusNoContent {
		t.Errorf("%d %s", a.status, a.body)
	}
	if got := get[table](t, p.Client, p.Path("tables", "in.c-a-b", "t")); got.RowsCount != 1 {
		t.Errorf("the other one: %+v", got)
	}
	refused(t, exactly(t, p.Client, "POST", p.Path("buckets"), `{"name":"IN.c-A-b"}`), 409, "bucket-exists", 2006, "differ only in case")
}

// infoOfProject is what a project says of itself.
type infoOfProject struct {
	BucketsCount int      `json:"bucketsCount"`
	TablesCount  int      `json:"tablesCount"`
	SizeBytes    int64    `json:"sizeBytes"`
	Objects      []object `json:"objects"`
}

type object struct {
	Name string `json:"name"`
	Type string `json:"type"`
}

// A project lists its buckets, a bucket its tables and views, both by name; what belongs
// to the service or to DuckDB is in neither.
func TestCase113Objects(t *testing.T) {
	t.Parallel()
	_, p := project(t)
	if got := get[infoOfProject](t, p.Client, p.Path("info")); got.BucketsCount != 0 || got.TablesCount != 0 || got.SizeBytes == 0 || len(got.Objects) != 0 {
		t.Errorf("a new project: %+v", got)
	}
	for _, name := range []string{"out.c-z", "in.c-b", "in.c-a", "Ä", "a\"b"} {
		if err := p.CreateBucket(t.Context(), name); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"z", "B", "a"} {
		if err := p.CreateTable(t.Context(), "in.c-a", name, []string{"x"}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := p.Query(t.Context(), `CREATE VIEW "in.c-a".m AS FROM "in.c-a".a`); err != nil {
		t.Fatal(err)
	}
	got := get[infoOfProject](t, p.Client, p.Path("info"))
	want := []object{{"a\"b", "BUCKET"}, {"in.c-a", "BUCKET"}, {"in.c-b", "BUCKET"}, {"out.c-z", "BUCKET"}, {"Ä", "BUCKET"}}
	if diff := cmp.Diff(want, got.Objects); diff != "" || got.BucketsCount != 5 || got.TablesCount != 3 {
		t.Errorf("%d buckets, %d tables, objects (-want +got):\n%s", got.BucketsCount, got.TablesCount, diff)
	}
	bucket := get[struct {
		Tables []object `json:"tables"`
	}](t, p.Client, p.Path("buckets", "in.c-a"))
	if diff := cmp.Diff([]object{{"B", "TABLE"}, {"a", "TABLE"}, {"m", "VIEW"}, {"z", "TABLE"}}, bucket.Tables); diff != "" {
		t.Errorf("the bucket (-want +got):\n%s", diff)
	}
}

// What is not there is named, with the code of its kind.
func TestCase114NotFound(t *testing.T) {
	t.Parallel()
	s, p := project(t)
	fill(t, p, "b", "t", 1)
	admin := s.Admin()
	elsewhere := service.Project{Client: admin, ID: "2"}
	for _, tc := range []struct {
		a      *answer
		slug   string
		code   int
		detail string
	}{
		{exactly(t, admin, "GET", elsewhere.Path(), ""), "project-not-found", 2002, `project "2" does not exist`},
		{exactly(t, admin, "GET", elsewhere.Path("info"), ""), "project-not-found", 2002, `project "2" does not exist`},
		{exactly(t, admin, "GET", elsewhere.Path("buckets", "b"), ""), "project-not-found", 2002, `project "2" does not exist`},
		{exactly(t, p.Client, "GET", p.Path("branches", "9", "buckets"), ""), "branch-not-found", 2000, `"9"`},
		{exactly(t, p.Client, "GET", p.Path("buckets", "none"), ""), "bucket-not-found", 2003, `bucket "none" does not exist`},
		{exactly(t, p.Client, "DELETE", p.Path("buckets", "none"), ""), "bucket-not-found", 2003, `bucket "none" does not exist`},
		{exactly(t, p.Client, "GET", p.Path("tables", "none", "t"), ""), "bucket-not-found", 2003, `bucket "none" does not exist`},
		{exactly(t, p.Client, "GET", p.Path("tables", "b", "none"), ""), "table-not-found", 2004, `table "none" does not exist in bucket "b"`},
		{exactly(t, p.Client, "GET", p.Path("tables", "b", "none", "info"), ""), "table-not-found", 2004, `table "none" does not exist in bucket "b"`},
		{exactly(t, p.Client, "GET", p.Path("tables", "b", "none", "preview"), ""), "table-not-found", 2004, `table "none" does not exist in bucket "b"`},
		{exactly(t, p.Client, "DELETE", p.Path("tables", "b", "none"), ""), "table-not-found", 2004, `table "none" does not exist in bucket "b"`},
		{exactly(t, p.Client, "GET", p.Path("tables", "b", "t", "preview")+"?columns=none", ""), "column-not-found", 2005, `Column "none" not found`},
		{exactly(t, p.Client, "GET", p.Path("files", "999"), ""), "file-not-found", 2000, `file "999" does not exist`},
	} {
		refused(t, tc.a, 404, tc.slug, tc.code, tc.detail)
		if got, err := tc.a.readProblem(); err != nil || got.Retryable {
			t.Errorf("%s: retryable, or %v", tc.a.request, err)
		}
	}
	// Other lengths of a path than those of a route are no object at all.
	refused(t, exactly(t, p.Client, "GET", p.Path("tables", "b"), ""), 404, "not-found", 2000, "")
	refused(t, exactly(t, p.Client, "GET", p.Path("buckets", "b", "t"), ""), 404, "not-found", 2000, "")
}

// The figures of a table are right in the answer of the import, and in the next request.
func TestCase115FiguresOfATableJustFilled(t *testing.T) {
	t.Parallel()
	_, p := project(t)
	for _, rows := range []int64{1, 10, 20_000, 400_000} {
		name := fmt.Sprintf("t%d", rows)
		imported := fill(t, p, "b", name, int(rows))
		if imported.TableRowsCount != rows || imported.TableSizeBytes <= 0 {
			t.Errorf("the import: %+v, want %d rows", imported, rows)
		}
		if got := get[table](t, p.Client, p.Path("tables", "b", name)); got.RowsCount != rows || got.SizeBytes <= 0 {
			t.Errorf("the table: %+v, want %d rows", got, rows)
		}
	}
	if err := p.CreateTable(t.Context(), "b", "empty", []string{"id"}); err != nil {
		t.Fatal(err)
	}
	if got := get[table](t, p.Client, p.Path("tables", "b", "empty")); got.RowsCount != 0 || got.SizeBytes != 0 {
		t.Errorf("an empty table: %+v", got)
	}
	// An import of no rows makes a full table empty again. Its bytes go with the next
	// checkpoint.
	file, err := p.Upload(t.Context(), "none.csv", strings.NewReader("id,name\n"))
	if err != nil {
		t.Fatal(err)
	}
	if imported, err := p.Import(t.Context(), "b", "t10", file.ID); err != nil || imported.TableRowsCount != 0 {
		t.Errorf("emptied: %+v, %v", imported, err)
	}
	if got := get[table](t, p.Client, p.Path("tables", "b", "t10")); got.RowsCount != 0 {
		t.Errorf("emptied: %+v", got)
	}
	if got := get[table](t, p.Client, p.Path("buckets", "b")); got.SizeBytes <= 0 {
		t.Errorf("the bucket: %+v", got)
	}
}
