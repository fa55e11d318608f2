package e2e_test

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/keboola/duckdb-storage/sdk/sdktest/service"
)

// member is a project that shares or links, as one of its keys sees it. Its methods end
// the test when the service answers otherwise than they say.
type member struct {
	t *testing.T
	service.Project
}

// bucketAnswer is a bucket as a client sees it, with what only its own page has.
type bucketAnswer struct {
	Name           string        `json:"name"`
	Description    string        `json:"description"`
	Created        string        `json:"created"`
	IsReadOnly     bool          `json:"isReadOnly"`
	IsLinked       bool          `json:"isLinked"`
	ReadOnlyAccess bool          `json:"readOnlyAccess"`
	TablesCount    int64         `json:"tablesCount"`
	SizeBytes      int64         `json:"sizeBytes"`
	SourceBucket   *sourceBucket `json:"sourceBucket"`
	Tables         []struct{ Name, Type string }
	Share          *struct {
		ShareHandle string `json:"shareHandle"`
		LinkedBy    []struct {
			ProjectID string `json:"projectId"`
			Bucket    string `json:"bucket"`
		} `json:"linkedBy"`
	} `json:"share"`
}

type sourceBucket struct {
	ProjectID   string `json:"projectId"`
	Name        string `json:"name"`
	IsAvailable bool   `json:"isAvailable"`
}

// tableAnswer is a table as a client sees it.
type tableAnswer struct {
	Name           string       `json:"name"`
	Bucket         string       `json:"bucket"`
	Type           string       `json:"type"`
	Columns        []any        `json:"columns"`
	PrimaryKey     []string     `json:"primaryKey"`
	RowsCount      int64        `json:"rowsCount"`
	SizeBytes      int64        `json:"sizeBytes"`
	Created        *string      `json:"created"`
	LastImportDate *string      `json:"lastImportDate"`
	IsTyped        bool         `json:"isTyped"`
	SourceTable    *sourceTable `json:"sourceTable"`
	ReadError      string       `json:"readError"`
}

type sourceTable struct {
	ProjectID string `json:"projectId"`
	Bucket    string `json:"bucket"`
	Name      string `json:"name"`
}

// listPage is one page of a list.
type listPage[T any] struct {
	Items []T `json:"items"`
}

// newMember makes a project.
func newMember(t *testing.T, s *service.Service, id string) member {
	t.Helper()
	p, err := s.Admin().CreateProject(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return member{t, p}
}

// with is the same project with a new key.
func (m member) with(permission string) member {
	m.t.Helper()
	var key struct {
		APIKey string `json:"apiKey"`
	}
	m.do("POST", m.Path("keys"), map[string]any{"permissions": []string{permission}}, &key)
	m.Key = key.APIKey
	return m
}

func (m member) do(method, path string, body, out any) {
	m.t.Helper()
	if _, err := m.Do(m.t.Context(), method, path, body, out); err != nil {
		m.t.Fatal(err)
	}
}

// refused wants a problem with all that is given in its detail.
func (m member) refused(status int, slug, method, path string, body any, details ...string) {
	m.t.Helper()
	got, err := m.Do(m.t.Context(), method, path, body, nil)
	var p *service.Problem
	if !errors.As(err, &p) || got != status || p.Type != "/problems/"+slug {
		m.t.Errorf("%s %s: %d %v, want %d %s", method, path, got, err, status, slug)
		return
	}
	if status == http.StatusForbidden && p.Code != 2007 {
		m.t.Errorf("%s %s: driver code %d, want 2007", method, path, p.Code)
	}
	for _, d := range details {
		if !strings.Contains(p.Detail, d) {
			m.t.Errorf("%s %s: %q has no %q", method, path, p.Detail, d)
		}
	}
}

func (m member) bucket(name string) {
	m.t.Helper()
	must(m.t, m.CreateBucket(m.t.Context(), name))
}

// table makes a table of numbers with a key and rows 1 to n.
func (m member) table(bucket, name string, n int) {
	m.t.Helper()
	must(m.t, m.CreateTable(m.t.Context(), bucket, name, []map[string]any{
		{"name": "id", "type": "BIGINT", "nullable": false}, {"name": "v", "type": "VARCHAR", "length": "20", "default": "x"},
	}, "id"))
	m.load(bucket, name, n)
}

// load replaces the rows.
func (m member) load(bucket, name string, n int) {
	m.t.Helper()
	var csv bytes.Buffer
	csv.WriteString("id,v\n")
	for i := range n {
		fmt.Fprintf(&csv, "%d,v%d\n", i+1, i+1)
	}
	f, err := m.Upload(m.t.Context(), "rows.csv", &csv)
	must(m.t, err)
	_, err = m.Import(m.t.Context(), bucket, name, f.ID)
	must(m.t, err)
}

func (m member) sql(statement string) [][]any {
	m.t.Helper()
	rows, err := m.Query(m.t.Context(), statement)
	if err != nil {
		m.t.Fatalf("%s: %v", statement, err)
	}
	return rows
}

// sqlRefused wants an error of the statement.
func (m member) sqlRefused(statement string) {
	m.t.Helper()
	if rows, err := m.Query(m.t.Context(), statement); err == nil {
		m.t.Errorf("%s: %v, want it refused", statement, rows)
	}
}

func (m member) share(bucket string) string {
	m.t.Helper()
	var out struct {
		ShareHandle string `json:"shareHandle"`
	}
	m.do("POST", m.Path("buckets", bucket, "share"), map[string]any{}, &out)
	return out.ShareHandle
}

func (m member) link(bucket, handle string) (out bucketAnswer) {
	m.t.Helper()
	m.do("POST", m.Path("buckets", bucket, "link"), map[string]string{"shareHandle": handle}, &out)
	return out
}

func (m member) detail(bucket string) (out bucketAnswer) {
	m.t.Helper()
	m.do("GET", m.Path("buckets", bucket), nil, &out)
	return out
}

func (m member) info(bucket, table string) (out tableAnswer) {
	m.t.Helper()
	m.do("GET", m.Path("tables", bucket, table), nil, &out)
	return out
}

// rows are those of a preview, sorted, its columns joined.
func (m member) rows(bucket, table string) []string {
	m.t.Helper()
	var out struct {
		Rows [][]struct {
			Value *string `json:"value"`
		} `json:"rows"`
	}
	m.do("GET", m.Path("tables", bucket, table, "preview")+"?limit=1000", nil, &out)
	rows := []string{}
	for _, r := range out.Rows {
		var values []string
		for _, v := range r {
			if v.Value == nil {
				values = append(values, "NULL")
			} else {
				values = append(values, *v.Value)
			}
		}
		rows = append(rows, strings.Join(values, " "))
	}
	slices.Sort(rows)
	return rows
}

// export is the CSV of a table, without its header and sorted.
func (m member) export(bucket, table string) []string {
	m.t.Helper()
	rows, status := m.stream(bucket, table)
	if status != http.StatusOK {
		m.t.Fatalf("export of %s.%s: status %d, %v", bucket, table, status, rows)
	}
	return rows
}

// stream asks for a CSV and returns its rows, sorted, and the status.
func (m member) stream(bucket, table string) (rows []string, status int) {
	m.t.Helper()
	resp, err := m.Send(m.t.Context(), "POST", m.Path("tables", bucket, table, "export"), http.Header{"Accept": {"text/csv"}, "Content-Type": {"application/json"}}, strings.NewReader("{}"))
	must(m.t, err)
	defer resp.Body.Close()
	var body bytes.Buffer
	_, err = body.ReadFrom(resp.Body)
	must(m.t, err)
	rows = strings.Split(strings.TrimSuffix(body.String(), "\n"), "\n")[1:]
	slices.Sort(rows)
	return rows, resp.StatusCode
}

// shows wants a linked bucket to hold what bucket in.c-main of the source holds: the same
// tables, with the same columns, keys, sizes and rows.
func (m member) shows(bucket string, source member) {
	m.t.Helper()
	const sourceBucket = "in.c-main"
	got, want := m.detail(bucket), source.detail(sourceBucket)
	if diff := cmp.Diff(want.Tables, got.Tables); diff != "" {
		m.t.Errorf("tables of %s (-source +linked):\n%s", bucket, diff)
		return
	}
	if got.SizeBytes != want.SizeBytes || got.TablesCount != want.TablesCount {
		m.t.Errorf("%s has %d tables of %d bytes, the source %d of %d", bucket, got.TablesCount, got.SizeBytes, want.TablesCount, want.SizeBytes)
	}
	var list listPage[tableAnswer]
	m.do("GET", m.Path("tables")+"?limit=1000&bucket="+url.QueryEscape(bucket), nil, &list)
	for i, o := range want.Tables {
		linked, original := m.info(bucket, o.Name), source.info(sourceBucket, o.Name)
		if diff := cmp.Diff(list.Items[i], linked); diff != "" {
			m.t.Errorf("%s in the list (-list +info):\n%s", o.Name, diff)
		}
		if diff := cmp.Diff(&sourceTable{ProjectID: source.ID, Bucket: sourceBucket, Name: o.Name}, linked.SourceTable); diff != "" {
			m.t.Errorf("source of %s (-want +got):\n%s", o.Name, diff)
		}
		linked.Bucket, linked.SourceTable = original.Bucket, original.SourceTable
		if diff := cmp.Diff(original, linked); diff != "" {
			m.t.Errorf("%s (-source +linked):\n%s", o.Name, diff)
		}
		if diff := cmp.Diff(source.rows(sourceBucket, o.Name), m.rows(bucket, o.Name)); diff != "" {
			m.t.Errorf("preview of %s (-source +linked):\n%s", o.Name, diff)
		}
		if diff := cmp.Diff(source.export(sourceBucket, o.Name), m.export(bucket, o.Name)); diff != "" {
			m.t.Errorf("export of %s (-source +linked):\n%s", o.Name, diff)
		}
	}
}

// linkedPair is a bucket with a table, shared and linked.
func linkedPair(t *testing.T, settings ...string) (s *service.Service, source, target member) {
	t.Helper()
	s = start(t, settings...)
	source, target = newMember(t, s, "1"), newMember(t, s, "2")
	source.bucket("in.c-main")
	source.table("in.c-main", "orders", 3)
	target.link("in.c-linked", source.share("in.c-main"))
	return s, source, target
}
