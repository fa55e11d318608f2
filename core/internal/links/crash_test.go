package links_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/keboola/duckdb-storage/core/internal/disk"
	"github.com/keboola/duckdb-storage/core/internal/registry"
	"github.com/keboola/duckdb-storage/sdk"
	"github.com/keboola/duckdb-storage/sdk/hostapi"
	pluginv1 "github.com/keboola/duckdb-storage/sdk/proto/duckdbstorage/plugin/v1"
)

// Links work after a restart, and after a cell was closed.
func TestLinksSurviveARestart(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "1", "2", "3")
	w.mustLink("2", "l", w.share("1", "in.c-main"))
	w.mustLink("3", "l", w.share("2", "in.c-main"))
	w = w.again()
	w.want("2", "FROM l.t", `[{"a":1}]`)
	w.want("3", "FROM l.t", `[{"a":1}]`)
	if s := w.Engine.Stats(); s.Catalogs != 5 || s.Cells != 3 {
		t.Errorf("open are %+v", s)
	}
	w.do("1", `CREATE TABLE "in.c-main".n AS SELECT 5 AS b`)
	if err := w.Engine.Reopen(t.Context(), w.catalog("3")); err != nil {
		t.Fatal(err)
	}
	w.want("2", "FROM l.n", `[{"b":5}]`)
	w.wantShown("2", "n", "t")
}

// A crash after the registry noted a link, and before it was made, leaves nothing that
// lasts: neither for the target nor for who would drop the source.
func TestNotedAndNeverMade(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "1", "2")
	note := func(w *world, bucket string) {
		t.Helper()
		if err := w.Registry.AddLink(t.Context(), registry.Link{Target: "2", Bucket: bucket, Source: "1", SourceBucket: "in.c-main", Created: time.Now().UTC().Truncate(time.Second)}); err != nil {
			t.Fatal(err)
		}
	}
	note(w, "a")
	w = w.again()
	if err := w.Registry.BeginDrop(t.Context(), "1"); !errors.Is(err, hostapi.ErrBucketLinked) {
		t.Errorf("before anybody looked: %v", err)
	}
	w.wantLinkers("1", "in.c-main") // this looks
	note(w, "b")
	w = w.again()
	w.mustLink("2", "b", w.share("1", "in.c-main"))
	note(w, "c")
	w = w.again()
	w.want("2", "FROM b.t", `[{"a":1}]`)
	w.wantLinkers("1", "in.c-main", "2/b")
	if err := w.Links.Release(t.Context(), "1", true); err != nil {
		t.Fatal(err)
	}
	if err := w.Registry.BeginDrop(t.Context(), "1"); err != nil {
		t.Error(err)
	}
	if w.Engine.Linked(w.catalog("1"), w.catalog("2")) {
		t.Error("the projects are together for nothing")
	}
}

// A link that the registry does not know of, because a backup of it was put back, is
// found when its project is opened.
func TestRegistryFromABackup(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "1", "2", "3")
	w.mustLink("2", "old", w.share("1", "in.c-main"))
	if err := w.unlink("2", "old"); err != nil {
		t.Fatal(err)
	}
	w.mustLink("2", "l", w.share("1", "in.c-main"))
	w.mustLink("2", "own", w.share("2", "in.c-main"))
	ctx := t.Context()
	for _, bucket := range []string{"l", "own"} {
		if err := w.Registry.ForgetLink(ctx, "2", bucket); err != nil {
			t.Fatal(err)
		}
	}
	for _, l := range []registry.Link{{Target: "2", Bucket: "old", Source: "3", SourceBucket: "in.c-main"}, {Target: "2", Bucket: "L", Source: "3", SourceBucket: "x"}} {
		if err := w.Registry.AddLink(ctx, l); err != nil {
			t.Fatal(err)
		}
	}
	w = w.again()
	w.do("1", `CREATE TABLE "in.c-main".n AS SELECT 5 AS b`)
	w.want("2", "FROM l.n", `[{"b":5}]`)
	w.wantLinkers("1", "in.c-main", "2/l")
	w.wantLinkers("2", "in.c-main", "2/own")
	w.wantLinkers("3", "x")
	w.do("1", `DROP TABLE "in.c-main".n`) // is noticed again
	w.wantShown("2", "t")
}

// A source whose file cannot be opened keeps nothing else of the target from being
// served, and is shown again once it can be.
func TestBrokenSource(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "1", "2")
	w.mustLink("2", "l", w.share("1", "in.c-main"))
	w.do("1", `CREATE TABLE "in.c-main".n AS SELECT 5 AS b`)
	w.want("2", "FROM l.n", `[{"b":5}]`)
	w.do("1", `CREATE TABLE "in.c-main".late AS SELECT 6 AS b`)
	if err := w.Engine.Reopen(t.Context(), w.catalog("1")); err != nil {
		t.Fatal(err)
	}
	path := w.catalog("1").Path
	hidden := filepath.Join(t.TempDir(), "hidden")
	if err := os.Rename(path, hidden); err != nil {
		t.Fatal(err)
	}
	w.wantShown("2", "n", "t")
	w.gone("2", "FROM l.t", sdk.ErrUnavailable)
	w.want("2", `FROM "in.c-main".t`, `[{"a":1}]`)
	w.do("2", `INSERT INTO "in.c-main".t VALUES (2)`)
	w.wantLinkers("2", "in.c-main")
	if err := os.Rename(hidden, path); err != nil {
		t.Fatal(err)
	}
	w.wantShown("2", "late", "n", "t")
	w.want("2", "FROM l.late", `[{"b":6}]`)
}

// What cannot be brought up to date fails nobody, and is made good later.
func TestUpkeepThatFails(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "1", "2")
	w.mustLink("2", "l", w.share("1", "in.c-main"))
	// A transaction that is open changes the same schema, which conflicts.
	s, err := w.Engine.Session(t.Context(), w.catalog("2"))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := s.Begin(); err != nil {
		t.Fatal(err)
	}
	if err := exec(s, "CREATE VIEW l.n AS SELECT 1"); err != nil {
		t.Fatal(err)
	}
	w.do("1", `CREATE TABLE "in.c-main".n AS SELECT 5 AS b`)
	w.want("2", "FROM l.t", `[{"a":1}]`)
	w.gone("2", "FROM l.n", sdk.ErrTableNotFound)
	if failed := w.Links.Stats().Failed; failed == 0 {
		t.Error("no failure is counted")
	}
	s.Close()
	waitFor(t, "the upkeep is made good", func() bool {
		got, err := w.read("2", "FROM l.n")
		return err == nil && got == `[{"b":5}]`
	})
}

// Two projects link each other's buckets at the same time, beside readers and writers
// of both.
func TestLinksAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "1", "2")
	handles := map[string]string{"1": w.share("1", "in.c-main"), "2": w.share("2", "in.c-main")}
	var wg sync.WaitGroup
	for _, pair := range [][2]string{{"1", "2"}, {"2", "1"}, {"1", "1"}} {
		for _, bucket := range []string{"a" + pair[1], "b" + pair[1]} {
			wg.Go(func() {
				if err := w.link(pair[0], bucket, handles[pair[1]]); err != nil {
					t.Errorf("%s into %s: %v", pair[1], pair[0], err)
				}
			})
		}
		wg.Go(func() {
			for range 10 {
				if err := w.write(pair[0], `INSERT INTO "in.c-main".t VALUES (1)`); err != nil && !retryable(err) {
					t.Error(err)
				}
				if _, err := w.read(pair[1], `FROM "in.c-main".t`); err != nil && !retryable(err) {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	for _, q := range [][2]string{{"1", "a2"}, {"1", "b2"}, {"1", "a1"}, {"2", "a1"}, {"2", "b1"}} {
		w.want(q[0], "SELECT DISTINCT a FROM "+q[1]+".t", `[{"a":1}]`)
	}
	w.wantLinkers("1", "in.c-main", "1/a1", "1/b1", "2/a1", "2/b1")
}

// Two links of one name: one is made, the other one is refused and leaves nothing.
func TestOneNameOneLink(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "1", "2", "3")
	handles := []string{w.share("1", "in.c-main"), w.share("3", "in.c-main")}
	errs := make([]error, 8)
	var wg sync.WaitGroup
	for i := range errs {
		wg.Go(func() { errs[i] = w.link("2", "l", handles[i%2]) })
	}
	wg.Wait()
	made := 0
	for _, err := range errs {
		switch {
		case err == nil:
			made++
		case !errors.Is(err, sdk.ErrBucketExists) && !retryable(err):
			t.Error(err)
		}
	}
	if links := w.Registry.LinksOf("2"); made != 1 || len(links) != 1 {
		t.Errorf("%d links were made, %v are there", made, links)
	}
	w.want("2", "FROM l.t", `[{"a":1}]`)
}

// A command whose hooks lease its project links all the same, and two of them that want
// each other's project do not wait for each other for ever.
func TestLinkInsideALease(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "1", "2")
	handle := w.share("1", "in.c-main")
	lease, err := w.Executor.Lease(t.Context(), at("2"))
	if err != nil {
		t.Fatal(err)
	}
	inside := *w
	inside.ctx = lease.Within(t.Context())
	inside.mustLink("2", "l", handle)
	lease.Release()
	w.want("2", "FROM l.t", `[{"a":1}]`)

	// Who leases the source takes the link away.
	lease, err = w.Executor.Lease(t.Context(), at("1"))
	if err != nil {
		t.Fatal(err)
	}
	defer lease.Release()
	inside.ctx = lease.Within(t.Context())
	if _, err := call(&inside, hostapi.RevokeLinks, "1", hostapi.RevokeLinksRequest{Bucket: "in.c-main"}); err != nil {
		t.Error(err)
	}
	w.wantLinkers("1", "in.c-main")
	// The drop of the source has the turn: a link that comes meanwhile waits for it.
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	late := *w
	late.ctx = ctx
	if err := late.link("2", "l", handle); !errors.Is(err, sdk.ErrCancelled) && !errors.Is(err, sdk.ErrTimeout) {
		t.Errorf("got %v", err)
	}
	if left := w.Registry.Links(); len(left) != 0 {
		t.Errorf("left are %v", left)
	}
}

// A share that ends while a link waits for the turn of the source is no share any more.
func TestUnsharedWhileLinking(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "1", "2")
	handle := w.share("1", "in.c-main")
	lease, err := w.Executor.Lease(t.Context(), at("1"))
	if err != nil {
		t.Fatal(err)
	}
	defer lease.Release()
	made := make(chan error, 1)
	go func() { made <- w.link("2", "l", handle) }()
	waitFor(t, "the link waits for the turn of the source", func() bool {
		for _, l := range w.Executor.Queue.Lines() {
			if l.Catalog == "project_1_main" && l.Waiting == 1 {
				return true
			}
		}
		return false
	})
	w.wantLinkers("1", "in.c-main", "2/l") // whoever drops it now knows
	_, err = w.Executor.Write(lease.Within(t.Context()), at("1"), &pluginv1.Unit{Statements: []*pluginv1.Statement{{Sql: "DELETE FROM __storage.shares"}}})
	if err != nil {
		t.Fatal(err)
	}
	lease.Release()
	if err := <-made; !errors.Is(err, hostapi.ErrShareNotFound) {
		t.Errorf("got %v", err)
	}
	w.wantLinkers("1", "in.c-main")
}

// What the source defines while the target is looked after is not lost.
func TestDefinitionsDuringTheUpkeep(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "1", "2")
	w.mustLink("2", "l", w.share("1", "in.c-main"))
	var wg sync.WaitGroup
	want := []string{"t"}
	for writer := range 4 {
		for i := range 40 {
			want = append(want, fmt.Sprintf("n%d_%02d", writer, i))
		}
		wg.Go(func() {
			for i := range 40 {
				name := fmt.Sprintf("n%d_%02d", writer, i)
				if err := w.write("1", `CREATE TABLE "in.c-main".`+name+" (a INTEGER)"); err != nil {
					t.Error(err)
					return
				}
				w.want("2", "FROM l."+name, "[]")
			}
		})
	}
	wg.Wait()
	slices.Sort(want)
	w.wantShown("2", want...)
}

// A link that is being made counts for who would drop the source, and is taken away
// with force before it is committed.
func TestRevokedBeforeItIsMade(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "1", "2")
	handle := w.share("1", "in.c-main")
	turn, err := w.Executor.Queue.Acquire(t.Context(), disk.CatalogName("2", "default"))
	if err != nil {
		t.Fatal(err)
	}
	made := make(chan error, 1)
	go func() { made <- w.link("2", "l", handle) }()
	waitFor(t, "the link waits for the turn of the target", func() bool {
		for _, l := range w.Executor.Queue.Lines() {
			if l.Catalog == "project_2_main" && l.Waiting == 1 {
				return true
			}
		}
		return false
	})
	w.wantLinkers("1", "in.c-main", "2/l")
	if err := w.Links.Release(t.Context(), "1", false); !errors.Is(err, hostapi.ErrBucketLinked) {
		t.Errorf("without force: %v", err)
	}
	if err := w.Links.Release(t.Context(), "1", true); err != nil {
		t.Error(err)
	}
	turn()
	if err := <-made; !errors.Is(err, hostapi.ErrShareNotFound) {
		t.Errorf("got %v", err)
	}
	w.wantShown("2")
	w.gone("2", "FROM l.t", sdk.ErrBucketNotFound)
}

// Definitions that are rolled back are nobody's business, those of a transaction of a
// handler are.
func TestTransactionsAreNoticed(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "1", "2")
	w.mustLink("2", "l", w.share("1", "in.c-main"))
	w.wantShown("2", "t")
	before := w.Links.Stats()
	for _, commit := range []bool{false, true} {
		tx, err := w.Executor.Transact(t.Context(), at("1"))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := tx.Exec(&pluginv1.Statement{Sql: `CREATE TABLE "in.c-main".n (a INTEGER)`}); err != nil {
			t.Fatal(err)
		}
		if commit {
			if err := tx.Commit(); err != nil {
				t.Fatal(err)
			}
		}
		tx.Close()
		if !commit {
			w.wantShown("2", "t")
		}
	}
	w.wantShown("2", "n", "t")
	if now := w.Links.Stats(); now.Named != before.Named+1 || now.Whole != before.Whole {
		t.Errorf("before %+v, now %+v", before, now)
	}
	// Rows, columns and what is no table need no upkeep.
	w.do("1", `INSERT INTO "in.c-main".t VALUES (2)`, `CREATE SEQUENCE "in.c-main".s`, "CREATE TEMP TABLE x (a INTEGER)")
	w.wantShown("2", "n", "t")
	after := w.Links.Stats()
	w.do("1", "INSERT INTO \"in.c-main\".t VALUES (3)")
	w.wantShown("2", "n", "t")
	if now := w.Links.Stats(); now != after {
		t.Errorf("rows alone: before %+v, now %+v", after, now)
	}
}
