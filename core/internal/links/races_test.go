package links_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/keboola/duckdb-storage/core/internal/registry"
	"github.com/keboola/duckdb-storage/sdk"
	"github.com/keboola/duckdb-storage/sdk/hostapi"
)

// What only the registry has as a link is not one: to revoke it takes nothing away from
// the project, which may have a bucket of its own under the name.
func TestRevokeOfWhatIsNoLink(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "1", "2")
	w.mustLink("2", "l", w.share("1", "in.c-main"))
	w.want("2", "FROM l.t", `[{"a":1}]`)
	note := registry.Link{Target: "2", Bucket: "in.c-main", Source: "1", SourceBucket: "in.c-main", Created: time.Now().UTC().Truncate(time.Second)}
	if err := w.Registry.AddLink(t.Context(), note); err != nil {
		t.Fatal(err)
	}
	if _, err := call(w, hostapi.RevokeLinks, "1", hostapi.RevokeLinksRequest{Bucket: "in.c-main"}); err != nil {
		t.Fatal(err)
	}
	w.want("2", `FROM "in.c-main".t`, `[{"a":1}]`)
	w.gone("2", "FROM l.t", sdk.ErrBucketNotFound)
	w.wantLinkers("1", "in.c-main")
}

// A link that its source takes away while it is made does not make room for another one
// of its name before its maker is done: that would forget what the other one noted.
func TestRevokeWhileALinkIsMade(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "1", "2")
	handle := w.share("1", "in.c-main")
	release, err := w.Executor.Queue.Acquire(t.Context(), w.catalog("1").Alias)
	if err != nil {
		t.Fatal(err)
	}
	first := make(chan error, 1)
	go func() { first <- w.link("2", "l", handle) }()
	waitFor(t, "the link waits for its source", func() bool {
		for _, line := range w.Executor.Queue.Lines() {
			if line.Waiting > 0 {
				return true
			}
		}
		return false
	})
	w.wantLinkers("1", "in.c-main", "2/l")
	if _, err := call(w, hostapi.RevokeLinks, "1", hostapi.RevokeLinksRequest{Bucket: "in.c-main"}); err != nil {
		t.Fatal(err)
	}
	second := make(chan error, 1)
	go func() { second <- w.link("2", "L", handle) }()
	select {
	case err := <-second:
		if !errors.Is(err, sdk.ErrBucketExists) {
			t.Errorf("beside the first: %v", err)
		}
	case <-time.After(5 * time.Second):
		t.Error("the second waits for the source like the first")
	}
	release()
	if err := <-first; !errors.Is(err, hostapi.ErrShareNotFound) {
		t.Errorf("the first: %v", err)
	}
	w.mustLink("2", "L", handle)
	w.wantLinkers("1", "in.c-main", "2/L")
}

// A view of the source that shows what that is linked to is read again when that is whole
// again, although nothing was defined in the source itself.
func TestBrokenViewOverALink(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "1", "2", "3")
	w.mustLink("2", "l", w.share("1", "in.c-main"))
	w.do("2", "CREATE SCHEMA out", "CREATE VIEW out.far AS FROM l.t")
	w.do("1", `DROP TABLE "in.c-main".t`)
	w.mustLink("3", "l", w.share("2", "out"))
	w.wantShown("3")
	w.do("1", `CREATE TABLE "in.c-main".t AS SELECT 2 AS a`)
	w.want("3", "FROM l.far", `[{"a":2}]`)
}

// A definition in a linked bucket is refused wherever it stands in the text of a plugin.
func TestGuardLooksAtEachStatement(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "1", "2")
	w.mustLink("2", "l", w.share("1", "in.c-main"))
	for _, text := range []string{
		"SELECT 1; CREATE TABLE l.mine (a INTEGER)", "CREATE SCHEMA own; DROP SCHEMA l CASCADE", ";DROP VIEW l.t", "PREPARE p AS CREATE TABLE l.mine AS SELECT 1",
		"EXPLAIN ANALYZE CREATE TABLE l.mine AS SELECT 1",
	} {
		if err := w.write("2", text); !errors.Is(err, sdk.ErrDenied) {
			t.Errorf("%s: %v", text, err)
		}
	}
	w.wantShown("2", "t")
}

// A bucket that goes takes its share along, by whatever statement it goes: one that is
// made under its name later is not shared.
func TestDroppedBucketIsNotShared(t *testing.T) {
	t.Parallel()
	for name, drop := range map[string][]string{
		"one": {`DROP SCHEMA "IN.C-MAIN" CASCADE`}, "many": {`SELECT 1; DROP SCHEMA "in.c-main" CASCADE`},
		"anew": {`DROP SCHEMA "in.c-main" CASCADE`, `CREATE SCHEMA "in.c-main"`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, "1", "2")
			handle := w.share("1", "in.c-main")
			w.mustLink("2", "l", handle)
			w.do("1", drop...)
			w.do("1", `CREATE SCHEMA IF NOT EXISTS "in.c-main"`, `CREATE TABLE "in.c-main".secret AS SELECT 1 AS a`)
			w.wantShown("2")
			if err := w.link("2", "again", handle); !errors.Is(err, hostapi.ErrShareNotFound) {
				t.Errorf("the handle of the dropped one: %v", err)
			}
		})
	}
}

// A link of a project whose drop was interrupted keeps nobody from being dropped.
func TestReleaseFromAProjectThatGoes(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "1", "2")
	w.mustLink("2", "l", w.share("1", "in.c-main"))
	if err := w.Registry.BeginDrop(t.Context(), "2"); err != nil {
		t.Fatal(err)
	}
	if err := w.Engine.Drop(t.Context(), w.catalog("2")); err != nil {
		t.Fatal(err)
	}
	if err := w.Links.Release(t.Context(), "1", true); err != nil {
		t.Fatal(err)
	}
	if err := w.Registry.BeginDrop(t.Context(), "1"); err != nil {
		t.Error(err)
	}
}

// What a project shows of itself through a view of another one comes back as soon as it
// is there again.
func TestViewOverALinkBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "1", "2")
	w.mustLink("2", "l", w.share("1", "in.c-main"))
	w.do("2", "CREATE SCHEMA out", "CREATE VIEW out.far AS FROM l.t")
	w.mustLink("1", "back", w.share("2", "out"))
	w.want("1", "FROM back.far", `[{"a":1}]`)
	w.do("1", `DROP TABLE "in.c-main".t`)
	w.gone("2", "FROM l.t", sdk.ErrTableNotFound)
	w.do("1", `CREATE TABLE "in.c-main".t AS SELECT 2 AS a`)
	w.want("1", "FROM back.far", `[{"a":2}]`)
}

// An upkeep that failed because its cell was closed is not waited for in the next cell.
func TestUpkeepOfASessionThatHasEnded(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "1", "2")
	w.mustLink("2", "l", w.share("1", "in.c-main"))
	w.wantShown("2", "t")
	s, err := w.Engine.Session(t.Context(), w.catalog("2"))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	w.do("1", `CREATE TABLE "in.c-main".n (a INTEGER)`)
	ended, cancel := context.WithCancel(t.Context())
	cancel() // no grace for the session
	if err := w.Engine.Reopen(ended, w.catalog("2")); err != nil {
		t.Fatal(err)
	}
	w.Links.Update(t.Context(), at("2"), s)
	w.wantShown("2", "n", "t")
}
