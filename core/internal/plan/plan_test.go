package plan_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/keboola/duckdb-storage/core/internal/engine"
	"github.com/keboola/duckdb-storage/core/internal/fixture"
	"github.com/keboola/duckdb-storage/core/internal/plan"
	"github.com/keboola/duckdb-storage/sdk"
	pluginv1 "github.com/keboola/duckdb-storage/sdk/proto/duckdbstorage/plugin/v1"
	"github.com/keboola/duckdb-storage/sdk/sql"
)

var target = &pluginv1.Target{Project: "1", Branch: plan.DefaultBranch}

func open(t *testing.T) *fixture.Host {
	t.Helper()
	h := fixture.Open(t, t.TempDir())
	h.CreateProject("1")
	return h
}

// respond encodes a plan as a plugin's handler does.
func respond[Result any](t *testing.T, result Result) *pluginv1.InvokeResponse {
	t.Helper()
	p := sdk.New("x", "1.0.0")
	sdk.Handle(p, sdk.Command[struct{}, Result]{Name: "x.Do"}, func(*sdk.Context, struct{}) (Result, error) { return result, nil })
	return p.Invoke(t.Context(), nil, &pluginv1.InvokeRequest{Command: "x.Do", Payload: []byte("{}")})
}

func write(t *testing.T, h *fixture.Host, u sdk.Unit) (string, error) {
	t.Helper()
	a, err := h.Executor.Run(t.Context(), target, "application/json", respond(t, u))
	return string(a.JSON), err
}

func query(t *testing.T, h *fixture.Host, text string) string {
	t.Helper()
	a, err := h.Executor.Run(t.Context(), target, "application/json", respond(t, sdk.Rows{Statement: sql.Raw(text)}))
	if err != nil {
		t.Fatal(err)
	}
	defer a.Stream.Body.Close()
	var out struct {
		Rows json.RawMessage `json:"rows"`
	}
	if err := json.NewDecoder(a.Stream.Body).Decode(&out); err != nil {
		t.Fatal(err)
	}
	return string(out.Rows)
}

func TestUnit(t *testing.T) {
	t.Parallel()
	h := open(t)
	create := sql.New("CREATE TABLE t (a INTEGER NOT NULL)")
	fill := sql.New("INSERT INTO t FROM range(3)")
	noT := sdk.Refuse(sql.New("FROM duckdb_tables() WHERE table_name = 't'"), sdk.ErrTableExists.Errorf("t exists"))
	for _, tc := range []struct {
		name string
		unit sdk.Unit
		want string
		err  error
		rows string // of t, afterwards
	}{
		{"precondition fails", sdk.Unit{Require: []sdk.Precondition{sdk.Expect(sql.New("SELECT 1 WHERE false"), sdk.ErrConflict.Errorf("no"))}, Do: []sql.Statement{create}}, "", sdk.ErrConflict, ""},
		{"statement fails", sdk.Unit{Do: []sql.Statement{create, fill, sql.New("INSERT INTO t VALUES (NULL)")}}, "", sdk.ErrConstraint, ""},
		{"answer", sdk.Unit{
			Require: []sdk.Precondition{noT}, Do: []sql.Statement{create, fill, sql.New("DELETE FROM t WHERE a > ?", 1)},
			Answer: sql.New(`SELECT ?::INTEGER AS filled, ?::INTEGER AS deleted, ?::DOUBLE >= 0 AS timed, (SELECT count(*) FROM t) AS "left"`, sql.RowsAffected(1), sql.RowsAffected(2), sql.Elapsed(1)),
		}, `{"filled":3,"deleted":1,"timed":true,"left":2}`, nil, "[[2]]"},
		{"precondition sees the unit before", sdk.Unit{Require: []sdk.Precondition{noT}, Do: []sql.Statement{create}}, "", sdk.ErrTableExists, "[[2]]"},
		{"no answer", sdk.Unit{Do: []sql.Statement{sql.New("DELETE FROM t")}}, "", nil, "[[0]]"},
		{"answer of a step that is not there", sdk.Unit{Answer: sql.New("SELECT ?::BIGINT AS n", sql.RowsAffected(7))}, `{"n":null}`, nil, "[[0]]"},
	} {
		got, err := write(t, h, tc.unit)
		if got != tc.want || !errors.Is(err, tc.err) {
			t.Errorf("%s: got %s, %v; want %s, %v", tc.name, got, err, tc.want, tc.err)
		}
		if tc.rows == "" {
			if has := query(t, h, "SELECT count(*) FROM duckdb_tables() WHERE table_name = 't'"); has != "[[0]]" {
				t.Errorf("%s: it left a table", tc.name)
			}
			continue
		}
		if rows := query(t, h, "SELECT count(*) FROM t"); rows != tc.rows {
			t.Errorf("%s: t has %s rows, want %s", tc.name, rows, tc.rows)
		}
	}
}

// Whoever hears of a failed answer must know that the write is there.
func TestFailedAnswerIsNoFailedWrite(t *testing.T) {
	t.Parallel()
	for _, answer := range []sql.Statement{sql.New("SELECT * FROM missing"), sql.New("FROM range(2)"), sql.New("SELECT 1 WHERE false")} {
		h := open(t)
		_, err := write(t, h, sdk.Unit{Do: []sql.Statement{sql.New("CREATE TABLE t AS SELECT 1")}, Answer: answer})
		var e *sdk.Error
		if !errors.As(err, &e) || e.Slug != "answer-failed" || !strings.Contains(err.Error(), "the write is committed") {
			t.Errorf("%s: got %v", answer.SQL(), err)
		}
		if rows := query(t, h, "SELECT count(*) FROM t"); rows != "[[1]]" {
			t.Errorf("%s: the write is gone: %s", answer.SQL(), rows)
		}
	}
}

func TestRowsInEveryFormat(t *testing.T) {
	t.Parallel()
	h := open(t)
	for accept, want := range map[string]string{
		"application/json":     `{"columns":["a"],"rows":[[1]]}` + "\n",
		"text/csv":             "a\n1\n",
		"application/x-ndjson": `{"a":1}` + "\n",
	} {
		a, err := h.Executor.Run(t.Context(), target, accept, respond(t, sdk.Rows{Statement: sql.New("SELECT unnest([1, 2]) AS a"), MaxRows: 1}))
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(a.Stream.Body)
		a.Stream.Body.Close()
		if string(got) != want || err != nil || a.Stream.ContentType != accept {
			t.Errorf("%s: got %q as %s, %v", accept, got, a.Stream.ContentType, err)
		}
	}
}

func TestErrorsOfAStatementCanBeAnswers(t *testing.T) {
	t.Parallel()
	h := open(t)
	for answers, rows := range map[bool]sdk.Rows{
		true: {Statement: sql.Raw("SELECT 'x'::INTEGER"), ErrorsAreAnswers: true}, false: {Statement: sql.Raw("SELECT 'x'::INTEGER")},
	} {
		_, err := h.Executor.Run(t.Context(), target, "application/json", respond(t, rows))
		var statement *plan.StatementError
		if errors.As(err, &statement) != answers || !errors.Is(err, sdk.ErrSQL) {
			t.Errorf("answers %v: got %v", answers, err)
		}
		if answers {
			var out map[string]string
			if err := json.Unmarshal(statement.JSON(), &out); err != nil || out["status"] != "error" || out["message"] == "" {
				t.Errorf("got %s, %v", statement.JSON(), err)
			}
		}
	}
}

func filesOnDisk(t *testing.T, h *fixture.Host) (found []string) {
	t.Helper()
	err := filepath.WalkDir(h.Layout.Files("1"), func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			found = append(found, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func TestExport(t *testing.T) {
	t.Parallel()
	h := open(t)
	want := strings.Repeat("1,\n", 100_000)
	for _, compression := range []string{"", "none", "gzip"} {
		a, err := h.Executor.Run(t.Context(), target, "application/json", respond(t, sdk.Export{
			Statement: sql.New("SELECT 1 AS a, NULL AS b FROM range(100000)"), Format: "csv", Compression: compression, File: sdk.FileSpec{Name: "out.csv"},
		}))
		if err != nil {
			t.Fatal(err)
		}
		var out sdk.ExportResponse
		if err := json.Unmarshal(a.JSON, &out); err != nil || out.RowsCount != 100_000 || out.File.State != sdk.FileRegistered {
			t.Errorf("%q: %s, %v", compression, a.JSON, err)
		}
		if strings.Contains(string(a.JSON), h.Layout.Root) {
			t.Errorf("%q: the answer shows a path of the host: %s", compression, a.JSON)
		}
		got := bytesOf(t, h, out)
		if compression == "gzip" {
			got = gunzip(t, got)
		}
		if string(got) != "a,b\n"+want {
			t.Errorf("%q: the file has %d bytes: %.20q…", compression, len(got), got)
		}
	}
}

// bytesOf returns the bytes of an exported file, if they are as the answer says.
func bytesOf(t *testing.T, h *fixture.Host, out sdk.ExportResponse) []byte {
	t.Helper()
	_, body, err := h.Files.Open(t.Context(), "1", out.File.ID)
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	got, err := io.ReadAll(body)
	if err != nil {
		t.Fatal(err)
	}
	if sum := sha256.Sum256(got); hex.EncodeToString(sum[:]) != out.File.SHA256 || int64(len(got)) != out.SizeBytes {
		t.Errorf("the answer %+v does not describe the %d bytes", out, len(got))
	}
	return got
}

func gunzip(t *testing.T, b []byte) []byte {
	t.Helper()
	r, err := gzip.NewReader(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	out, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestFailedExportLeavesNothing(t *testing.T) {
	t.Parallel()
	h := open(t)
	for _, export := range []sdk.Export{
		{Statement: sql.New("SELECT CASE WHEN range < 2000000 THEN 1 ELSE error('late') END FROM range(2000001)"), Format: "csv"},
		{Statement: sql.New("SELECT CASE WHEN range < 2000000 THEN 1 ELSE error('late') END FROM range(2000001)"), Format: "csv", Compression: "gzip"},
		{Statement: sql.New("SELECT * FROM missing"), Format: "csv"},
		{Statement: sql.New("SELECT * FROM missing"), Format: "csv", Compression: "gzip"},
		{Statement: sql.New("SELECT 1"), Format: "xml"},
		{Statement: sql.New("SELECT 1"), Format: "csv", Compression: "zip"},
	} {
		if _, err := h.Executor.Run(t.Context(), target, "application/json", respond(t, export)); err == nil {
			t.Errorf("%s as %s works", export.Statement.SQL(), export.Format)
		}
	}
	if left := filesOnDisk(t, h); len(left) > 0 {
		t.Errorf("left on disk: %v", left)
	}
	if all, err := h.Files.Registry.All(t.Context()); err != nil || len(all) > 0 {
		t.Errorf("rows are left: %v, %v", all, err)
	}
}

func TestQueryCallbackIsBounded(t *testing.T) {
	t.Parallel()
	h := open(t)
	for text, want := range map[string]error{
		"FROM range(1000)":                         nil,
		"FROM range(1001)":                         sdk.ErrTooLarge,
		"SELECT repeat('x', 2 << 20)":              sdk.ErrTooLarge,
		"SELECT repeat('x', 2000) FROM range(900)": sdk.ErrTooLarge,
	} {
		if _, err := h.Executor.Query(t.Context(), target, &pluginv1.Statement{Sql: text}); !errors.Is(err, want) {
			t.Errorf("%s: got %v, want %v", text, err, want)
		}
	}
}

func TestTargets(t *testing.T) {
	t.Parallel()
	h := open(t)
	one := &pluginv1.Statement{Sql: "SELECT 1"}
	for _, tc := range []struct {
		target *pluginv1.Target
		want   error
	}{
		{target, nil},
		{nil, sdk.ErrInvalid},
		{&pluginv1.Target{Project: "2", Branch: plan.DefaultBranch}, sdk.ErrProjectNotFound},
		{&pluginv1.Target{Project: "1", Branch: "none"}, sdk.ErrBranchNotFound},
	} {
		if _, err := h.Executor.Query(t.Context(), tc.target, one); !errors.Is(err, tc.want) {
			t.Errorf("%v: got %v, want %v", tc.target, err, tc.want)
		}
	}
}

// A project whose file is gone is not one that never was: a client that hears 404
// takes it for dropped.
func TestLostFile(t *testing.T) {
	t.Parallel()
	h := open(t)
	path := h.Layout.Catalog("1", plan.DefaultBranch)
	h.Close()
	lost := fixture.Open(t, h.Layout.Root)
	if err := os.Rename(path, path+".away"); err != nil {
		t.Fatal(err)
	}
	one := &pluginv1.Statement{Sql: "SELECT 1"}
	var e *sdk.Error
	if _, err := lost.Executor.Query(t.Context(), target, one); !errors.As(err, &e) || !errors.Is(err, engine.ErrBroken) || e.Retryable {
		t.Errorf("got %v", err)
	}
	if err := os.Rename(path+".away", path); err != nil {
		t.Fatal(err)
	}
	if _, err := lost.Executor.Query(t.Context(), target, one); err != nil {
		t.Errorf("after it was put back: %v", err)
	}
}

// A unit that waits for its turn leaves nothing when its request ends.
func TestWriteCancelledInTheQueue(t *testing.T) {
	t.Parallel()
	h := open(t)
	release, err := h.Executor.Queue.Acquire(t.Context(), "project_1_main")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := h.Executor.Write(ctx, target, &pluginv1.Unit{Statements: []*pluginv1.Statement{{Sql: "CREATE TABLE t (a INTEGER)"}}}); !errors.Is(err, sdk.ErrCancelled) {
		t.Errorf("got %v", err)
	}
	release()
	if has := query(t, h, "SELECT count(*) FROM duckdb_tables() WHERE NOT internal AND table_name = 't'"); has != "[[0]]" {
		t.Error("the write happened")
	}
	if _, err := write(t, h, sdk.Unit{Do: []sql.Statement{sql.New("SELECT 1")}}); err != nil {
		t.Errorf("the slot is not free: %v", err)
	}
}
