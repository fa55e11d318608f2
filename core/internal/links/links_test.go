package links_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/go-hclog"

	"github.com/keboola/duckdb-storage/core/internal/auth"
	"github.com/keboola/duckdb-storage/core/internal/engine"
	"github.com/keboola/duckdb-storage/core/internal/fixture"
	"github.com/keboola/duckdb-storage/core/internal/plan"
	"github.com/keboola/duckdb-storage/core/internal/pluginhost"
	"github.com/keboola/duckdb-storage/sdk"
	"github.com/keboola/duckdb-storage/sdk/hostapi"
	pluginv1 "github.com/keboola/duckdb-storage/sdk/proto/duckdbstorage/plugin/v1"
	"github.com/keboola/duckdb-storage/sdk/sql"
)

func exec(s *engine.Session, statement string) error {
	_, err := s.Exec(sql.Raw(statement))
	return err
}

func retryable(err error) bool {
	var e *sdk.Error
	return errors.As(err, &e) && e.Retryable
}

func waitFor(t *testing.T, what string, reached func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(20 * time.Second); !reached(); <-tick.C {
		if time.Now().After(deadline) {
			t.Fatalf("waited too long until %s", what)
		}
	}
}

// world is projects with the commands of links.
type world struct {
	*fixture.Host
	t    *testing.T
	root string
	host *pluginhost.Host
	ctx  context.Context // of the commands
}

func open(t *testing.T, root string) *world {
	t.Helper()
	h := fixture.Open(t, root)
	host, err := pluginhost.Open(t.Context(), pluginhost.Config{Dir: t.TempDir(), Logger: hclog.NewNullLogger(), Executor: h.Executor}, h.Links.Plugin())
	if err != nil {
		t.Fatal(err)
	}
	return &world{Host: h, t: t, root: root, host: host, ctx: t.Context()}
}

// newWorld makes projects that have a bucket in.c-main with a table t and a row each.
func newWorld(t *testing.T, projects ...string) *world {
	t.Helper()
	w := open(t, t.TempDir())
	for _, id := range projects {
		w.CreateProject(id)
		w.do(id, `CREATE SCHEMA "in.c-main"`, `CREATE TABLE "in.c-main".t (a INTEGER)`, `INSERT INTO "in.c-main".t VALUES (1)`)
	}
	return w
}

// again closes everything and opens it as a new process would.
func (w *world) again() *world {
	w.t.Helper()
	if err := w.host.Close(context.Background()); err != nil {
		w.t.Fatal(err)
	}
	w.Close()
	return open(w.t, w.root)
}

func at(project string) *pluginv1.Target {
	return &pluginv1.Target{Project: project, Branch: plan.DefaultBranch}
}

func (w *world) catalog(project string) engine.Catalog {
	return engine.Project(w.Layout, project, plan.DefaultBranch)
}

// write runs statements as one Unit of a plugin.
func (w *world) write(project string, statements ...string) error {
	u := &pluginv1.Unit{}
	for _, st := range statements {
		u.Statements = append(u.Statements, &pluginv1.Statement{Sql: st})
	}
	_, err := w.Executor.Write(w.t.Context(), at(project), u)
	return err
}

func (w *world) do(project string, statements ...string) {
	w.t.Helper()
	if err := w.write(project, statements...); err != nil {
		w.t.Fatalf("%s: %v: %v", project, statements, err)
	}
}

// read returns the rows of a query as JSON.
func (w *world) read(project, query string) (string, error) {
	rows, err := w.Executor.Query(w.t.Context(), at(project), &pluginv1.Statement{Sql: query})
	return string(rows), err
}

func (w *world) want(project, query, want string) {
	w.t.Helper()
	if got, err := w.read(project, query); err != nil || got != want {
		w.t.Errorf("%s: %s: got %s, %v, want %s", project, query, got, err, want)
	}
}

// gone wants a query to be answered with an error.
func (w *world) gone(project, query string, want error) {
	w.t.Helper()
	if got, err := w.read(project, query); !errors.Is(err, want) {
		w.t.Errorf("%s: %s: got %s, %v, want %v", project, query, got, err, want)
	}
}

// share shares a bucket as the buckets area does.
func (w *world) share(project, bucket string) (handle string) {
	w.t.Helper()
	handle = hostapi.NewShareHandle(project)
	w.do(project, fmt.Sprintf("INSERT INTO __storage.shares VALUES ('%s', '%s', now())", bucket, handle))
	return handle
}

func (w *world) unshare(project, handle string) {
	w.t.Helper()
	w.do(project, "DELETE FROM __storage.shares WHERE handle = '"+handle+"'")
}

func call[Request, Response any](w *world, cmd sdk.Command[Request, Response], project string, in Request) (out Response, err error) {
	payload, err := json.Marshal(in)
	if err != nil {
		return out, err
	}
	answer, err := w.host.Invoke(w.ctx, pluginhost.Call{
		Command: cmd.Name, Payload: payload, Principal: auth.Principal{Subject: "admin", Admin: true}, Target: at(project), Accept: "application/json", RequestID: "r",
	})
	if err == nil && len(answer.JSON) > 0 {
		err = json.Unmarshal(answer.JSON, &out)
	}
	return out, err
}

func (w *world) link(project, bucket, handle string) error {
	_, err := call(w, hostapi.CreateLink, project, hostapi.CreateLinkRequest{Bucket: sdk.Name(bucket), ShareHandle: handle})
	return err
}

func (w *world) mustLink(project, bucket, handle string) {
	w.t.Helper()
	if err := w.link(project, bucket, handle); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) unlink(project, bucket string) error {
	_, err := call(w, hostapi.RemoveLink, project, hostapi.RemoveLinkRequest{Bucket: sdk.Name(bucket)})
	return err
}

// linkers are who links to a bucket.
func (w *world) linkers(project, bucket string) []string {
	w.t.Helper()
	out, err := call(w, hostapi.ListLinks, project, hostapi.ListLinksRequest{Bucket: sdk.Name(bucket)})
	if err != nil {
		w.t.Fatal(err)
	}
	names := []string{}
	for _, l := range out.Items {
		names = append(names, l.ProjectID+"/"+l.Bucket)
	}
	return names
}

func (w *world) wantLinkers(project, bucket string, want ...string) {
	w.t.Helper()
	if diff := cmp.Diff(append([]string{}, want...), w.linkers(project, bucket)); diff != "" {
		w.t.Errorf("who links to %s of %s (-want +got):\n%s", bucket, project, diff)
	}
}

// shown are the names in the linked bucket l, as everybody lists them.
func (w *world) shown(project string) []string {
	w.t.Helper()
	raw, err := w.read(project, "SELECT view_name AS n FROM duckdb_views() WHERE database_name = current_database() AND schema_name = 'l' ORDER BY ALL")
	if err != nil {
		w.t.Fatal(err)
	}
	var rows []struct{ N string }
	if err := json.Unmarshal([]byte(raw), &rows); err != nil {
		w.t.Fatal(err)
	}
	out := []string{}
	for _, r := range rows {
		out = append(out, r.N)
	}
	return out
}

func (w *world) wantShown(project string, want ...string) {
	w.t.Helper()
	if diff := cmp.Diff(append([]string{}, want...), w.shown(project)); diff != "" {
		w.t.Errorf("tables of l in %s (-want +got):\n%s", project, diff)
	}
}

// What becomes of the source shows through the link at once: new and dropped tables,
// names, columns, rows, views and what they are made of, also in the same project.
func TestLinkIsLive(t *testing.T) {
	t.Parallel()
	for _, target := range []string{"2", "1"} {
		t.Run("of "+target, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, "1", "2")
			w.mustLink(target, "l", w.share("1", "in.c-main"))
			w.want(target, "FROM l.t", `[{"a":1}]`)
			w.do("1", `CREATE TABLE "in.c-main"."N" (b VARCHAR)`, `INSERT INTO "in.c-main"."N" VALUES ('x')`)
			w.want(target, "FROM l.n", `[{"b":"x"}]`)
			w.do("1", `ALTER TABLE "in.c-main".t ADD COLUMN c INTEGER DEFAULT 3`, `ALTER TABLE "in.c-main".t ALTER a TYPE VARCHAR`)
			w.want(target, "FROM l.t", `[{"a":"1","c":3}]`)
			w.do("1", `DELETE FROM "in.c-main".t`)
			w.want(target, "FROM l.t", `[]`)
			w.do("1", `ALTER TABLE "in.c-main"."N" RENAME TO m`)
			w.wantShown(target, "m", "t")
			w.do("1", `ALTER TABLE "in.c-main".m RENAME TO "M"`) // which only a list tells
			w.wantShown(target, "M", "t")
			w.do("1", `DROP TABLE "in.c-main".m`, `CREATE OR REPLACE TABLE "in.c-main".t AS SELECT 7 AS z`)
			w.wantShown(target, "t")
			w.want(target, "FROM l.t", `[{"z":7}]`)
			w.do("1", `CREATE SCHEMA "other"`, `CREATE TABLE other.base AS SELECT 1 AS q`, `CREATE MACRO other.twice(x) AS 2 * x`, `CREATE VIEW "in.c-main".v AS SELECT other.twice(q) AS q FROM other.base`,
				`CREATE VIEW "in.c-main".vv AS FROM "in.c-main".v`)
			w.want(target, "FROM l.vv", `[{"q":2}]`)
			w.do("1", "DROP TABLE other.base")
			w.gone(target, "FROM l.vv", sdk.ErrTableNotFound)
			w.do("1", "CREATE TABLE other.base AS SELECT 2 AS q")
			w.want(target, "FROM l.vv", `[{"q":4}]`)
			w.do("1", `DROP VIEW "in.c-main".vv`)
			w.gone(target, "FROM l.vv", sdk.ErrTableNotFound)
			w.do("1", `DROP TABLE "in.c-main".t`, `CREATE VIEW "in.c-main".t AS SELECT 'view' AS z`)
			w.want(target, "FROM l.t", `[{"z":"view"}]`)
			w.do("1", `DROP SCHEMA "in.c-main" CASCADE`)
			w.wantShown(target)
			w.gone(target, "FROM l.t", sdk.ErrTableNotFound)
		})
	}
}

// A view of the source that cannot be read is not shown, keeps no other table from being
// shown, and appears when it can be read.
func TestBrokenViewOfTheSource(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "1", "2")
	w.do("1", "CREATE SCHEMA o", "CREATE TABLE o.base (q INTEGER)", `CREATE VIEW "in.c-main".v AS FROM o.base`, "DROP TABLE o.base")
	w.mustLink("2", "l", w.share("1", "in.c-main"))
	w.wantShown("2", "t")
	w.do("1", `CREATE TABLE "in.c-main".n (a INTEGER)`)
	w.wantShown("2", "n", "t")
	w.do("1", "CREATE TABLE o.base (q INTEGER)")
	w.wantShown("2", "n", "t", "v")
}

// A view of the source that shows what that is linked to ends with that link's share,
// although nobody opens the source meanwhile; also where projects link each other.
func TestUnshareReachesThroughViews(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "1", "2", "3", "4")
	handle := w.share("1", "in.c-main")
	w.mustLink("2", "l", handle)
	w.do("2", "CREATE SCHEMA out", "CREATE VIEW out.far AS FROM l.t")
	w.mustLink("3", "l", w.share("2", "out"))
	w.mustLink("1", "back", w.share("3", "in.c-main"))
	w.do("3", "CREATE SCHEMA out", "CREATE VIEW out.farther AS FROM l.far")
	w.mustLink("4", "l", w.share("3", "out"))
	w.want("3", "FROM l.far", `[{"a":1}]`)
	w.want("4", "FROM l.farther", `[{"a":1}]`)
	w.unshare("1", handle)
	w.gone("4", "FROM l.farther", sdk.ErrTableNotFound)
	w.gone("3", "FROM l.far", sdk.ErrTableNotFound)
	w.want("1", "FROM back.t", `[{"a":1}]`)
}

// A handle that opens nothing has one answer, whatever the reason.
func TestShareNotFound(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "1", "2")
	withdrawn := w.share("1", "in.c-main")
	w.unshare("1", withdrawn)
	dropped := w.share("1", "in.c-main")
	w.do("1", `DROP SCHEMA "in.c-main"  CASCADE`)
	var answers []string
	for _, handle := range []string{"", "x", "1.", withdrawn, dropped, hostapi.NewShareHandle("1"), hostapi.NewShareHandle("9"), hostapi.NewShareHandle("2"), "1'." + strings.Repeat("A", 26)} {
		err := w.link("2", "l", handle)
		if !errors.Is(err, hostapi.ErrShareNotFound) {
			t.Errorf("%q: %v", handle, err)
			continue
		}
		answers = append(answers, err.Error())
	}
	if len(slices.Compact(answers)) != 1 {
		t.Errorf("the answers differ: %q", answers)
	}
	if left := w.Registry.Links(); len(left) != 0 {
		t.Errorf("left are %v", left)
	}
	w.wantShown("2")
}

func TestNamesOfLinkedBuckets(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "1", "2")
	handle := w.share("1", "in.c-main")
	for _, name := range []string{`in.c-"q'uoted" Ž`, "select", "l"} {
		w.mustLink("2", name, handle)
		w.want("2", sql.New("FROM ?", sql.Table{Schema: name, Name: "t"}).SQL(), `[{"a":1}]`)
	}
	for name, want := range map[string]error{"in.c-main": sdk.ErrBucketExists, "IN.C-main": sdk.ErrBucketExists, "L": sdk.ErrBucketExists, "__x": sdk.ErrReservedName, "main": sdk.ErrReservedName, "project_1_main": sdk.ErrReservedName} {
		if err := w.link("2", name, handle); !errors.Is(err, want) {
			t.Errorf("%s: got %v, want %v", name, err, want)
		}
	}
	w.wantLinkers("1", "in.c-main", `2/in.c-"q'uoted" Ž`, "2/l", "2/select")
}

// Who shares can stop that, and who links can stop that; neither takes anything away
// from the source.
func TestUnshareAndUnlink(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "1", "2")
	handle := w.share("1", "in.c-main")
	w.mustLink("2", "l", handle)
	w.mustLink("2", "m", handle)
	w.unshare("1", handle)
	w.wantShown("2")
	w.gone("2", "FROM l.t", sdk.ErrTableNotFound)
	w.want("1", `FROM "in.c-main".t`, `[{"a":1}]`)
	w.wantLinkers("1", "in.c-main", "2/l", "2/m")
	again := w.share("1", "in.c-main")
	w.wantShown("2") // another handle
	if err := w.unlink("2", "L"); err != nil {
		t.Fatal(err)
	}
	w.gone("2", "FROM l.t", sdk.ErrBucketNotFound)
	w.mustLink("2", "l", again)
	w.want("2", "FROM l.t", `[{"a":1}]`)
	for name, want := range map[string]error{"in.c-main": hostapi.ErrLinkNotFound, "none": sdk.ErrBucketNotFound} {
		if err := w.unlink("2", name); !errors.Is(err, want) {
			t.Errorf("%s: got %v, want %v", name, err, want)
		}
	}
	w.want("1", `FROM "in.c-main".t`, `[{"a":1}]`)
	w.wantLinkers("1", "in.c-main", "2/l", "2/m")
}

func TestRevoke(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "1", "2", "3")
	w.do("1", "CREATE SCHEMA other")
	handle, other := w.share("1", "in.c-main"), w.share("1", "other")
	for _, l := range [][2]string{{"2", "a"}, {"2", "b"}, {"3", "a"}, {"1", "self"}} {
		w.mustLink(l[0], l[1], handle)
	}
	w.mustLink("2", "o", other)
	revoke := func(in hostapi.RevokeLinksRequest, want ...string) {
		t.Helper()
		in.Bucket = "in.c-main"
		out, err := call(w, hostapi.RevokeLinks, "1", in)
		got := []string{}
		for _, l := range out.Items {
			got = append(got, l.ProjectID+"/"+l.Bucket)
		}
		if diff := cmp.Diff(append([]string{}, want...), got); err != nil || diff != "" {
			t.Errorf("%v (-want +got):\n%s", err, diff)
		}
	}
	revoke(hostapi.RevokeLinksRequest{Project: "9"})
	revoke(hostapi.RevokeLinksRequest{Project: "2", TargetBucket: "A"}, "2/a")
	w.wantLinkers("1", "in.c-main", "1/self", "2/b", "3/a")
	w.gone("2", "FROM a.t", sdk.ErrBucketNotFound)
	w.want("2", "FROM b.t", `[{"a":1}]`)
	revoke(hostapi.RevokeLinksRequest{Project: "2"}, "2/b")
	revoke(hostapi.RevokeLinksRequest{}, "1/self", "3/a")
	revoke(hostapi.RevokeLinksRequest{})
	w.wantLinkers("1", "in.c-main")
	w.wantLinkers("1", "other", "2/o")
}

// Nobody writes in a linked bucket, and what refuses it says why.
func TestLinkedBucketsAreReadOnly(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "1", "2")
	w.mustLink("2", "l", w.share("1", "in.c-main"))
	w.do("2", `CREATE VIEW "in.c-main".mine AS FROM l.t`)
	for _, st := range []string{
		"INSERT INTO l.t VALUES (2)", `INSERT INTO "L"."T" SELECT 1`, "UPDATE l.t SET a = 2", "DELETE FROM l.t", "TRUNCATE l.t", "TRUNCATE TABLE project_2_main.l.t",
		"WITH x AS (SELECT 1 AS a) INSERT INTO l.t FROM x", "MERGE INTO l.t USING (SELECT 1 AS a) AS s ON (t.a = s.a) WHEN MATCHED THEN DELETE",
		"CREATE TABLE l.n (a INTEGER)", "CREATE TABLE l.n AS SELECT 1", "CREATE OR REPLACE VIEW l.t AS SELECT 1", "DROP VIEW l.t", "DROP VIEW IF EXISTS project_2_main.l.t", "ALTER VIEW l.t RENAME TO u",
		"ALTER TABLE l.t ADD COLUMN b INTEGER", "DROP SCHEMA l CASCADE", "DROP SCHEMA IF EXISTS project_2_main.l", "CREATE OR REPLACE SCHEMA l", "CREATE MACRO l.m() AS 1", "CREATE SEQUENCE l.s", "CREATE TYPE l.e AS ENUM ('a')",
		"/* c */ -- d\n DROP /* e */ VIEW l /**/ . \"t\"",
	} {
		err := w.write("2", st)
		if !errors.Is(err, sdk.ErrDenied) || !strings.Contains(err.Error(), `bucket "l" is linked`) {
			t.Errorf("%s: got %v", st, err)
		}
		tx, err := w.Executor.Transact(t.Context(), at("2"))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := tx.Exec(&pluginv1.Statement{Sql: st}); !errors.Is(err, sdk.ErrDenied) {
			t.Errorf("in a transaction: %s: got %v", st, err)
		}
		tx.Close()
	}
	w.wantShown("2", "t")
	w.want("2", "FROM l.t", `[{"a":1}]`)
	// A name that is taken is that, whoever has it.
	if err := w.write("2", "CREATE SCHEMA L"); !errors.Is(err, sdk.ErrObjectExists) {
		t.Errorf("a schema of that name: %v", err)
	}
	// What only reads from there, or is another thing, is as ever.
	w.do("2", "CREATE TEMP TABLE l AS FROM l.t", `INSERT INTO "in.c-main".t FROM l.t`, "CREATE SCHEMA lx", "CREATE TABLE lx.l AS FROM l.t", "DROP TABLE lx.l")
	for _, st := range []string{`INSERT INTO "in.c-main".mine FROM l.t`, `UPDATE "in.c-main".mine SET a = (SELECT max(a) FROM l.t)`, "INSERT INTO l.none VALUES (1)"} {
		if err := w.write("2", st); err == nil || errors.Is(err, sdk.ErrDenied) {
			t.Errorf("%s: got %v", st, err)
		}
	}
}
