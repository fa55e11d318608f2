package e2e_test

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/keboola/duckdb-storage/sdk/sdktest/service"
)

// The owner of a bucket removes links to it.
func TestForcedUnlink(t *testing.T) {
	t.Parallel()
	s, source, target := linkedPair(t)
	third := newMember(t, s, "3")
	handle := source.share("in.c-main")
	target.link("second", handle)
	third.link("theirs", handle)
	source.do("DELETE", source.Path("buckets", "in.c-main", "links", "2")+"?targetBucket=second", nil, nil)
	target.refused(404, "bucket-not-found", "GET", target.Path("buckets", "second"), nil)
	target.shows("in.c-linked", source)
	source.refused(404, "link-not-found", "DELETE", source.Path("buckets", "in.c-main", "links", "2")+"?targetBucket=second", nil)
	target.link("second", handle)
	source.do("DELETE", source.Path("buckets", "in.c-main", "links", "2"), nil, nil)
	for _, gone := range []string{"second", "in.c-linked"} {
		target.refused(404, "bucket-not-found", "GET", target.Path("tables", gone, "orders", "preview"), nil)
	}
	third.shows("theirs", source)
	// Only the owner can: for another project there is no such bucket.
	target.refused(404, "bucket-not-found", "DELETE", target.Path("buckets", "in.c-main", "links", "3"), nil)
	third.shows("theirs", source)
}

// A bucket or a project that others link goes only with force.
func TestDropOfALinkedSource(t *testing.T) {
	t.Parallel()
	s, source, target := linkedPair(t)
	admin := member{t, service.Project{Client: s.Admin(), ID: "1"}}
	source.refused(409, "bucket-linked", "DELETE", source.Path("buckets", "in.c-main")+"?cascade=true", nil, "in.c-linked", "2", "force=true")
	source.refused(409, "bucket-not-empty", "DELETE", source.Path("buckets", "in.c-main")+"?force=true", nil, "still in use")
	target.shows("in.c-linked", source)
	source.do("DELETE", source.Path("buckets", "in.c-main")+"?cascade=true&force=true", nil, nil)
	source.refused(404, "bucket-not-found", "GET", source.Path("buckets", "in.c-main"), nil)
	target.refused(404, "bucket-not-found", "GET", target.Path("buckets", "in.c-linked"), nil)

	// A share that nobody links does not stand in the way.
	source.bucket("in.c-main")
	source.share("in.c-main")
	source.do("DELETE", source.Path("buckets", "in.c-main"), nil, nil)

	source.bucket("in.c-main")
	source.table("in.c-main", "orders", 3)
	target.link("in.c-linked", source.share("in.c-main"))
	admin.refused(409, "bucket-linked", "DELETE", "/projects/1", nil, "in.c-linked", "force=true")
	target.shows("in.c-linked", source)
	admin.do("DELETE", "/projects/1?force=true", nil, nil)
	target.refused(404, "bucket-not-found", "GET", target.Path("tables", "in.c-linked", "orders", "preview"), nil)
	target.table(mineIn(target), "own", 1)

	// A project that links is dropped as any other.
	source = newMember(t, s, "1")
	source.bucket("in.c-main")
	source.table("in.c-main", "orders", 3)
	target.link("in.c-linked", source.share("in.c-main"))
	admin.do("DELETE", "/projects/2", nil, nil)
	if share := source.detail("in.c-main").Share; share == nil || len(share.LinkedBy) != 0 {
		t.Errorf("the share is %+v", share)
	}
	source.do("DELETE", source.Path("buckets", "in.c-main")+"?cascade=true", nil, nil)
}

// mineIn makes a bucket of the member's own.
func mineIn(m member) string {
	m.t.Helper()
	m.bucket("mine")
	return "mine"
}

// Links outlive the service, in order and killed.
func TestLinksAfterARestart(t *testing.T) {
	t.Parallel()
	dir := dataDir(t)
	begin := func() *service.Service {
		s, err := service.Start(t.Context(), service.Options{Bin: bin, DataDir: dir})
		must(t, err)
		t.Cleanup(func() { s.Kill() })
		return s
	}
	s := begin()
	source, target := newMember(t, s, "1"), newMember(t, s, "2")
	source.bucket("in.c-main")
	source.table("in.c-main", "orders", 3)
	source.bucket("in.c-other")
	source.table("in.c-other", "orders", 1)
	target.link("in.c-linked", source.share("in.c-main"))
	source.link("same", source.share("in.c-main"))
	for round, end := range []func() error{s.Stop, nil} {
		if end == nil {
			end = s.Kill
		}
		must(t, end())
		s = begin()
		source.URL, target.URL = s.URL(), s.URL()
		// The target is asked first: nothing of the source is open yet.
		if rows := target.rows("in.c-linked", "orders"); len(rows) != 3+round {
			t.Errorf("round %d: %v", round, rows)
		}
		target.shows("in.c-linked", source)
		source.shows("same", source)
		source.load("in.c-main", "orders", 4+round)
		source.table("in.c-main", fmt.Sprintf("more%d", round), 1)
		target.shows("in.c-linked", source)
		source.shows("same", source)
	}
	source.do("DELETE", source.Path("buckets", "in.c-main", "share"), nil, nil)
	must(t, s.Stop())
	s = begin()
	source.URL, target.URL = s.URL(), s.URL()
	target.refused(404, "table-not-found", "GET", target.Path("tables", "in.c-linked", "orders", "preview"), nil)
	must(t, s.Stop())
}

// Links outlive that their databases are closed because nobody uses them.
func TestLinksAfterIdleDetach(t *testing.T) {
	t.Parallel()
	s, source, target := linkedPair(t, "DUCKDB_STORAGE_ENGINE__IDLE=1s")
	for round := range 2 {
		awaitIdle(t, s)
		if rows := target.rows("in.c-linked", "orders"); len(rows) != 3+round {
			t.Errorf("round %d: %v", round, rows)
		}
		source.load("in.c-main", "orders", 4+round)
		source.table("in.c-main", fmt.Sprintf("more%d", round), 1)
		target.shows("in.c-linked", source)
	}
	// The source alone is used, and changes, before the target is opened again.
	awaitIdle(t, s)
	source.table("in.c-main", "last", 1)
	target.shows("in.c-linked", source)
}

// awaitIdle waits until no catalog is open but the two of the service itself.
func awaitIdle(t *testing.T, s *service.Service) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		var metrics bytes.Buffer
		if _, err := s.Admin().Do(ctx, "GET", "/metrics", nil, &metrics); err != nil {
			t.Fatal(err)
		}
		if strings.Contains(metrics.String(), "\nduckdb_storage_engine_open_catalogs 2\n") {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatal("catalogs stay open that nobody uses")
		}
	}
}

// While rows come into the source, the link shows all of them or none.
func TestReadALinkDuringImports(t *testing.T) {
	t.Parallel()
	_, source, target := linkedPair(t)
	big, err := source.Upload(t.Context(), "big.csv", strings.NewReader("id,v\n"+strings.Repeat("1,abcdefghijklmnopqrst\n", 300_000)))
	must(t, err)
	source.sql(`CREATE TABLE "in.c-main".wide (id BIGINT, v VARCHAR)`)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var importing sync.WaitGroup
	importing.Go(func() {
		defer cancel()
		for range 3 {
			if _, err := source.Import(t.Context(), "in.c-main", "wide", big.ID); err != nil {
				t.Errorf("import: %v", err)
			}
			if _, err := source.Query(t.Context(), `DELETE FROM "in.c-main".wide`); err != nil {
				t.Errorf("delete: %v", err)
			}
		}
	})
	seen := map[string]int{}
	for ctx.Err() == nil {
		rows, err := target.Query(t.Context(), `SELECT count(*) FROM "in.c-linked".wide`)
		if err != nil {
			t.Fatalf("a read during imports: %v", err)
		}
		seen[fmt.Sprint(rows)]++
	}
	importing.Wait()
	for count := range seen {
		if count != "[[0]]" && count != "[[300000]]" {
			t.Errorf("%s rows were seen", count)
		}
	}
	if seen["[[0]]"] == 0 || len(seen) < 2 {
		t.Errorf("the reads saw %v", seen)
	}
}
