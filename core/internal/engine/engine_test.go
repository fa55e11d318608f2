package engine_test

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/go-hclog"

	"github.com/keboola/duckdb-storage/core/internal/disk"
	"github.com/keboola/duckdb-storage/core/internal/engine"
	"github.com/keboola/duckdb-storage/sdk"
	"github.com/keboola/duckdb-storage/sdk/sql"
)

// fixture is an engine with one project catalog.
type fixture struct {
	*engine.Engine
	layout disk.Layout
	main   engine.Catalog
}

func open(t testing.TB) fixture {
	t.Helper()
	layout := disk.Layout{Root: t.TempDir(), Runtime: t.TempDir()}
	if err := layout.Open(); err != nil {
		t.Fatal(err)
	}
	e := engine.Open(engine.Config{Layout: layout, Logger: hclog.NewNullLogger(), Threads: 2, Memory: 1 << 30})
	t.Cleanup(func() {
		if err := e.Close(context.Background()); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	f := fixture{e, layout, engine.Project(layout, "1", "default")}
	if err := e.Create(t.Context(), f.main); err != nil {
		t.Fatal(err)
	}
	return f
}

func (f fixture) session(t testing.TB) *engine.Session {
	t.Helper()
	s, err := f.Session(t.Context(), f.main)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

func exec(t *testing.T, s *engine.Session, statements ...string) {
	t.Helper()
	for _, st := range statements {
		if _, err := s.Exec(sql.Raw(st)); err != nil {
			t.Fatalf("%s: %v", st, err)
		}
	}
}

func TestCatalogLivesInItsFile(t *testing.T) {
	t.Parallel()
	f := open(t)
	first := f.session(t)
	exec(t, first, `CREATE SCHEMA "in.c-main"`, `CREATE TABLE "in.c-main".t AS SELECT 42 AS a`)
	first.Close()
	if err := f.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	again := engine.Open(engine.Config{Layout: f.layout, Logger: hclog.NewNullLogger()})
	defer again.Close(context.Background())
	s, err := again.Session(t.Context(), f.main)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	rows, err := s.Objects(sql.Raw(`SELECT a FROM "in.c-main".t`), 10, 100)
	if err != nil || len(rows) != 1 || string(rows[0]) != `{"a":42}` {
		t.Errorf("got %s, %v", rows, err)
	}
}

func TestSessionOfUnknownCatalogIsNotFound(t *testing.T) {
	t.Parallel()
	f := open(t)
	_, err := f.Session(t.Context(), engine.Project(f.layout, "2", "default"))
	if !errors.Is(err, sdk.ErrNotFound) {
		t.Errorf("got %v", err)
	}
	if _, err := os.Stat(f.layout.Catalog("2", "default")); err == nil {
		t.Error("looking made a file")
	}
}

func TestCreateTwiceIsExists(t *testing.T) {
	t.Parallel()
	f := open(t)
	if err := f.Create(t.Context(), f.main); !errors.Is(err, sdk.ErrObjectExists) {
		t.Errorf("got %v", err)
	}
}

func TestTransactionIsAllOrNothing(t *testing.T) {
	t.Parallel()
	f := open(t)
	s := f.session(t)
	exec(t, s, "CREATE TABLE t (a INTEGER NOT NULL)", "INSERT INTO t VALUES (1)")
	err := s.Transaction(func() error {
		exec(t, s, "CREATE TABLE u (a INTEGER)", "DELETE FROM t")
		_, err := s.Exec(sql.Raw("INSERT INTO t VALUES (NULL)"))
		return err
	})
	if !errors.Is(err, sdk.ErrConstraint) || err.Error() != "Required field a cannot be null" {
		t.Errorf("got %v", err)
	}
	if has, err := s.HasRows(sql.Raw("SELECT * FROM t")); err != nil || !has {
		t.Errorf("t lost its row: %v", err)
	}
	if _, err := s.Exec(sql.Raw("FROM u")); !errors.Is(err, sdk.ErrTableNotFound) {
		t.Errorf("u survived: %v", err)
	}
}

func TestDropEndsSessionsAndRemovesTheFile(t *testing.T) {
	t.Parallel()
	f := open(t)
	s := f.session(t)
	running := make(chan error, 1)
	go func() {
		_, err := s.Exec(sql.Raw("SELECT count(*) FROM range(100000000000) a"))
		s.Close()
		running <- err
	}()
	if err := f.Drop(t.Context(), f.main); err != nil {
		t.Fatal(err)
	}
	if err := <-running; !errors.Is(err, sdk.ErrProjectNotFound) {
		t.Errorf("running statement: got %v", err)
	}
	left, err := filepath.Glob(f.main.Path + "*")
	if err != nil || len(left) > 0 {
		t.Errorf("left on disk: %v, %v", left, err)
	}
	if _, err := f.Session(t.Context(), f.main); !errors.Is(err, sdk.ErrNotFound) {
		t.Errorf("session after drop: %v", err)
	}
	if err := f.Drop(t.Context(), f.main); err != nil {
		t.Errorf("second drop: %v", err)
	}
}

// A session that ended without its holder, and took its cell along, opens no other.
func TestBesideASessionThatHasEnded(t *testing.T) {
	t.Parallel()
	f := open(t)
	s := f.session(t)
	defer s.Close()
	if err := f.Drop(t.Context(), f.main); err != nil {
		t.Fatal(err)
	}
	if beside, err := s.Beside(); !errors.Is(err, sdk.ErrProjectNotFound) {
		t.Errorf("got %v, %v", beside, err)
	}
}

func TestCancelInterruptsAStatement(t *testing.T) {
	t.Parallel()
	f := open(t)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	s, err := f.Session(ctx, f.main)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if _, err := s.Exec(sql.Raw("SELECT sum(a.range * b.range) FROM range(1000000) a, range(1000000) b")); !errors.Is(err, sdk.ErrTimeout) {
		t.Errorf("got %v", err)
	}
}

func TestStatementsReachOnlyTheProjectsFiles(t *testing.T) {
	t.Parallel()
	f := open(t)
	other := engine.Project(f.layout, "2", "default")
	if err := f.Create(t.Context(), other); err != nil {
		t.Fatal(err)
	}
	secret := filepath.Join(f.layout.Files("2"), "secret.csv")
	if err := os.WriteFile(secret, []byte("a\n1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	own := filepath.Join(f.layout.Files("1"), "own.csv")
	if err := os.WriteFile(own, []byte("a\n1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := f.session(t)
	for _, st := range []string{
		"SELECT * FROM read_csv('" + secret + "')",
		"SELECT * FROM read_csv('" + f.layout.Files("1") + "/../project_2/secret.csv')",
		"SELECT * FROM read_blob('" + other.Path + "')",
		"SELECT * FROM read_text('/etc/passwd')",
		"SELECT * FROM glob('" + f.layout.Root + "/**')",
		"ATTACH '" + other.Path + "' AS o",
		"COPY (SELECT 1) TO '" + f.layout.Root + "/out.csv'",
	} {
		if _, err := s.Exec(sql.Raw(st)); !errors.Is(err, sdk.ErrDenied) {
			t.Errorf("%s: got %v", st, err)
		}
	}
	// The memory limit alone may change after the lock; what a user sends has no SET.
	for _, st := range []string{"SET threads = 1", "SET allowed_configs = ['threads']", "SET enable_external_access = true", "RESET temp_directory"} {
		if _, err := s.Exec(sql.Raw(st)); err == nil {
			t.Errorf("%s: the configuration is not locked", st)
		}
	}
	if _, err := s.Exec(sql.Raw("SELECT * FROM read_csv('" + own + "')")); err != nil {
		t.Errorf("own file: %v", err)
	}
}

func stream(t *testing.T, s *engine.Session, r engine.Result) string {
	t.Helper()
	body, err := s.Stream(r)
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	all, err := io.ReadAll(body)
	if err != nil {
		t.Fatal(err)
	}
	return string(all)
}

const everyType = `SELECT 1 AS i, 9223372036854775807 AS b, 170141183460469231731687303715884105727::HUGEINT AS h,
	1.50::DECIMAL(12,2) AS d, 'nan'::DOUBLE AS n, 0.5::FLOAT AS f, true AS t, NULL AS z, DATE '2026-01-02' AS day,
	TIMESTAMP '2026-01-02 03:04:05.000006' AS ts, 'é"' || chr(10) || ',' AS s, [1, 2] AS l, {'a': 'x'} AS st,
	['inf'::DOUBLE] AS nl, '{"j":1}'::JSON AS j, 'ab'::BLOB AS bl, 'dup' AS i`

func TestJSONLosesNoValue(t *testing.T) {
	t.Parallel()
	s := open(t).session(t)
	want := `{"columns":["i","b","h","d","n","f","t","z","day","ts","s","l","st","nl","j","bl","i"],"rows":[` +
		`[1,9223372036854775807,"170141183460469231731687303715884105727","1.50","nan",0.5,true,null,"2026-01-02",` +
		`"2026-01-02 03:04:05.000006","é\"\n,",[1,2],{"a":"x"},"[inf]",{"j":1},"ab","dup"]]}` + "\n"
	for _, maxRows := range []uint64{0, 5} { // piped and fetched
		got := stream(t, s, engine.Result{Statement: sql.Raw(everyType), Format: engine.JSON, MaxRows: maxRows})
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("maxRows %d: %s", maxRows, diff)
		}
	}
}

func TestJSONEnvelope(t *testing.T) {
	t.Parallel()
	s := open(t).session(t)
	for _, tc := range []struct{ name, query, want string }{
		{"empty", "SELECT 1 AS a WHERE false", `{"status":"ok","columns":[{"name":"a","type":"INTEGER"}],"rows":[]}`},
		{"one", "SELECT 1 AS a", `{"status":"ok","columns":[{"name":"a","type":"INTEGER"}],"rows":[[1]]}`},
		{"three", "SELECT range::INTEGER AS a FROM range(3)", `{"status":"ok","columns":[{"name":"a","type":"INTEGER"}],"rows":[[0],` + "\n[1],\n" + `[2]]}`},
	} {
		got := stream(t, s, engine.Result{Statement: sql.Raw(tc.query), Format: engine.JSON, Head: json.RawMessage(`{"status":"ok"}`), TypedColumns: true})
		if diff := cmp.Diff(tc.want+"\n", got); diff != "" {
			t.Errorf("%s: %s", tc.name, diff)
		}
	}
}

func TestJSONOfManyRowsIsValid(t *testing.T) {
	t.Parallel()
	s := open(t).session(t)
	got := stream(t, s, engine.Result{Statement: sql.Raw("SELECT range AS a, repeat('x', 100) AS b FROM range(50000)"), Format: engine.JSON})
	var out struct{ Rows [][]any }
	if err := json.Unmarshal([]byte(got), &out); err != nil {
		t.Fatal(err)
	}
	if len(out.Rows) != 50000 || out.Rows[49999][0] != float64(49999) {
		t.Errorf("%d rows", len(out.Rows))
	}
}

func TestCSVTellsNullFromEmpty(t *testing.T) {
	t.Parallel()
	s := open(t).session(t)
	got := stream(t, s, engine.Result{Statement: sql.Raw(`SELECT NULL AS "a,b", '' AS e, 'q"x' AS q, 'l' || chr(10) || 'm' AS l`), Format: engine.CSV})
	want := "\"a,b\",e,q,l\n,\"\",\"q\"\"x\",\"l\nm\"\n"
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	rows, err := csv.NewReader(strings.NewReader(got)).ReadAll()
	if err != nil || len(rows) != 2 {
		t.Errorf("%v, %v", rows, err)
	}
}

// Times mean the same wherever the service runs.
func TestTimesWithoutZoneAreUTC(t *testing.T) {
	t.Parallel()
	s := open(t).session(t)
	if ok, err := s.HasRows(sql.Raw("SELECT 1 WHERE current_setting('TimeZone') = 'UTC' AND now()::TIMESTAMP = now() AT TIME ZONE 'UTC'")); !ok || err != nil {
		t.Errorf("the time zone is another one: %v", err)
	}
}

func TestCSVErrorsNameRowColumnAndValue(t *testing.T) {
	t.Parallel()
	f := open(t)
	s := f.session(t)
	path := filepath.Join(f.layout.Files("1"), "bad.csv")
	for _, tc := range []struct{ name, content, want string }{
		{"conversion", "a,b\n1,\"x\ny\"\n2,z\nabc,w\n", `row 4, column "a": value "abc" is not a valid INTEGER`},
		{"too many", "a,b\n1,x\n2,z,k\n", `row 3 has 3 values where 2 columns are expected`},
		{"too few", "a,b\n1,x\n2\n", `row 3 has 1 values where 2 columns are expected`},
		{"open quote", "a,b\n1,\"x\n", `row 2 opens a quote that is never closed`},
		{"mixed line ends", "a,b\n1,x\r\n2,z\r3,k\n", "the file mixes line ends (LF, CR LF, CR) outside of quotes, or has a quote where none may stand"},
		{"encoding", "a,b\n1,\xff\xfe\n", `row 2 is not valid UTF-8`},
	} {
		if err := os.WriteFile(path, []byte(tc.content), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := s.Exec(sql.New(`SELECT * FROM read_csv(?, auto_detect = false, header = true, delim = ',', quote = '"', escape = '"',
			columns = {'a': 'INTEGER', 'b': 'VARCHAR'})`, sql.Literal(path)))
		if !errors.Is(err, sdk.ErrCSV) || err.Error() != tc.want {
			t.Errorf("%s: got %v, want %s", tc.name, err, tc.want)
		}
	}
}
