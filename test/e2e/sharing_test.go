package e2e_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// What changes in the source shows through the link with the next request.
func TestCase097LinkedBucketIsLive(t *testing.T) {
	t.Parallel()
	for _, where := range []string{"another project", "the same project"} {
		t.Run(where, func(t *testing.T) {
			t.Parallel()
			s := start(t)
			source := newMember(t, s, "1")
			target := source
			if where == "another project" {
				target = newMember(t, s, "2")
			}
			source.bucket("in.c-main")
			source.table("in.c-main", "orders", 3)
			handle := source.share("in.c-main")
			if again := source.share("in.c-main"); again != handle || !strings.HasPrefix(handle, "1.") || len(handle) != 28 {
				t.Errorf("the handles are %s and %s", handle, again)
			}
			made := target.link("in.c-linked", handle)
			want := &sourceBucket{ProjectID: "1", Name: "in.c-main", IsAvailable: true}
			if diff := cmp.Diff(want, made.SourceBucket); diff != "" || !made.IsLinked || !made.IsReadOnly || made.TablesCount != 1 || made.Created == "" {
				t.Errorf("the linked bucket is %+v\n%s", made, diff)
			}
			if share := source.detail("in.c-main").Share; share == nil || share.ShareHandle != handle || len(share.LinkedBy) != 1 || share.LinkedBy[0].ProjectID != target.ID || share.LinkedBy[0].Bucket != "in.c-linked" {
				t.Errorf("the share is %+v", share)
			}
			target.shows("in.c-linked", source)

			source.table("in.c-main", "more", 2)
			target.shows("in.c-linked", source)
			source.sql(`ALTER TABLE "in.c-main".orders ADD COLUMN w INTEGER DEFAULT 7`)
			target.shows("in.c-linked", source)
			source.load("in.c-main", "orders", 5)
			target.shows("in.c-linked", source)
			source.sql(`DELETE FROM "in.c-main".orders WHERE id > 1`)
			target.shows("in.c-linked", source)
			source.sql(`ALTER TABLE "in.c-main".orders DROP COLUMN v`)
			target.shows("in.c-linked", source)
			source.sql(`CREATE VIEW "in.c-main".recent AS SELECT id FROM "in.c-main".orders`)
			target.shows("in.c-linked", source)
			source.do("DELETE", source.Path("tables", "in.c-main", "more"), nil, nil)
			target.shows("in.c-linked", source)
			target.refused(404, "table-not-found", "GET", target.Path("tables", "in.c-linked", "more", "preview"), nil, "in.c-main", "linked")
			if got := target.sql(`SELECT count(*) FROM "in.c-linked".orders`); fmt.Sprint(got) != "[[1]]" {
				t.Errorf("a query counts %v", got)
			}
			source.do("DELETE", source.Path("tables", "in.c-main", "recent"), nil, nil)
			source.do("DELETE", source.Path("tables", "in.c-main", "orders"), nil, nil)
			target.shows("in.c-linked", source)
		})
	}
}

// A share may be linked twice, a bucket of another name beside it.
func TestCase097LinkTwice(t *testing.T) {
	t.Parallel()
	_, source, target := linkedPair(t)
	handle := source.share("in.c-main")
	target.link("second", handle)
	target.shows("second", source)
	target.shows("in.c-linked", source)
	target.refused(409, "bucket-exists", "POST", target.Path("buckets", "second", "link"), map[string]string{"shareHandle": handle})
	target.refused(409, "bucket-exists", "POST", target.Path("buckets", "SECOND", "link"), map[string]string{"shareHandle": handle})
	target.refused(409, "bucket-exists", "POST", target.Path("buckets"), map[string]string{"name": "Second"})
	target.refused(422, "reserved-name", "POST", target.Path("buckets", "main", "link"), map[string]string{"shareHandle": handle})
	for _, bad := range []string{"", "1", "1.", "x.ABCDEFGHIJKLMNOPQRSTUVWXYZ", "1.ABCDEFGHIJKLMNOPQRSTUVWXYZ", handle + "A", strings.ToLower(handle), "'; DROP SCHEMA x; --"} {
		target.refused(404, "share-not-found", "POST", target.Path("buckets", "third", "link"), map[string]string{"shareHandle": bad})
	}
}

// A linked bucket is read-only for every way to write.
func TestCase098WritesToALinkedBucketAreRefused(t *testing.T) {
	t.Parallel()
	_, source, target := linkedPair(t)
	file, err := target.Upload(t.Context(), "rows.csv", strings.NewReader("id,v\n9,v9\n"))
	must(t, err)
	target.refused(403, "permission-denied", "POST", target.Path("tables"), map[string]any{"bucket": "in.c-linked", "name": "mine", "columns": []string{"a"}}, "linked")
	target.refused(403, "permission-denied", "POST", target.Path("tables"), map[string]any{"bucket": "IN.C-LINKED", "name": "mine", "columns": []string{"a"}}, "linked")
	target.refused(403, "permission-denied", "POST", target.Path("tables", "in.c-linked", "orders", "import", "file"), map[string]string{"fileId": file.ID}, "linked")
	target.refused(403, "permission-denied", "DELETE", target.Path("tables", "in.c-linked", "orders"), nil, "linked")
	target.refused(403, "permission-denied", "DELETE", target.Path("tables", "in.c-linked", "none"), nil, "linked")
	target.refused(403, "permission-denied", "DELETE", target.Path("buckets", "in.c-linked"), nil, "/link")
	target.refused(403, "permission-denied", "DELETE", target.Path("buckets", "in.c-linked")+"?cascade=true&force=true", nil, "/link")
	for _, statement := range []string{
		`INSERT INTO "in.c-linked".orders VALUES (9, 'x')`,
		`UPDATE "in.c-linked".orders SET v = 'x'`,
		`DELETE FROM "in.c-linked".orders`,
		`TRUNCATE "in.c-linked".orders`,
		`CREATE TABLE "in.c-linked".mine (a INTEGER)`,
		`CREATE TABLE "in.c-linked".mine AS SELECT 1 AS a`,
		`CREATE OR REPLACE VIEW "in.c-linked".orders AS SELECT 1 AS a`,
		`CREATE VIEW "in.c-linked".mine AS SELECT 1 AS a`,
		`DROP VIEW "in.c-linked".orders`,
		`ALTER VIEW "in.c-linked".orders RENAME TO mine`,
		`DROP SCHEMA "in.c-linked"`,
		`DROP SCHEMA "in.c-linked" CASCADE`,
		`INSERT INTO project_1_main."in.c-main".orders VALUES (9, 'x')`,
		`DELETE FROM project_1_main."in.c-main".orders`,
		`CREATE TABLE project_1_main."in.c-main".mine (a INTEGER)`,
		`DROP TABLE project_1_main."in.c-main".orders`,
	} {
		target.sqlRefused(statement)
	}
	if rows := source.rows("in.c-main", "orders"); len(rows) != 3 {
		t.Errorf("the source has %v", rows)
	}
	target.shows("in.c-linked", source)
}

// After unshare nobody reads through the link; the source and its project notice nothing.
func TestCase099UnshareAndUnlink(t *testing.T) {
	t.Parallel()
	_, source, target := linkedPair(t)
	target.bucket("mine")
	target.sql(`CREATE VIEW mine.over AS SELECT id FROM "in.c-linked".orders`)
	target.table("mine", "own", 1)
	first := source.share("in.c-main")
	source.do("DELETE", source.Path("buckets", "in.c-main", "share"), nil, nil)
	source.do("DELETE", source.Path("buckets", "in.c-main", "share"), nil, nil)
	unreadable := func() {
		t.Helper()
		target.refused(404, "table-not-found", "GET", target.Path("tables", "in.c-linked", "orders", "preview"), nil, "no longer shared")
		target.refused(404, "table-not-found", "GET", target.Path("tables", "in.c-linked", "orders"), nil, "no longer shared")
		target.refused(404, "table-not-found", "POST", target.Path("tables", "in.c-linked", "orders", "export"), map[string]any{}, "no longer shared")
		target.refused(404, "table-not-found", "GET", target.Path("tables", "mine", "over", "preview"), nil)
		target.sqlRefused(`SELECT * FROM "in.c-linked".orders`)
		target.sqlRefused(`SELECT * FROM mine.over`)
		target.sqlRefused(`SELECT * FROM project_1_main."in.c-main".orders`)
		if dead := target.detail("in.c-linked"); !dead.IsLinked || dead.SourceBucket.IsAvailable || len(dead.Tables) != 0 || dead.TablesCount != 0 || dead.SizeBytes != 0 {
			t.Errorf("the link is %+v", dead)
		}
		// The rest of the project is as it was, and a view that reads nothing any more says so.
		var list listPage[tableAnswer]
		target.do("GET", target.Path("tables"), nil, &list)
		if len(list.Items) != 2 || list.Items[0].Name != "over" || list.Items[0].ReadError == "" || list.Items[1].RowsCount != 1 {
			t.Errorf("the tables are %+v", list.Items)
		}
		if rows := source.rows("in.c-main", "orders"); len(rows) != 3 {
			t.Errorf("the source has %v", rows)
		}
	}
	unreadable()
	target.refused(404, "share-not-found", "POST", target.Path("buckets", "other", "link"), map[string]string{"shareHandle": first})
	// A new share is another one.
	second := source.share("in.c-main")
	if second == first {
		t.Error("a share that was taken back has its handle again")
	}
	unreadable()
	target.do("DELETE", target.Path("buckets", "in.c-linked", "link"), nil, nil)
	target.refused(404, "bucket-not-found", "DELETE", target.Path("buckets", "in.c-linked", "link"), nil)
	target.refused(404, "bucket-not-found", "GET", target.Path("buckets", "in.c-linked"), nil)
	target.link("in.c-linked", second)
	target.shows("in.c-linked", source)
	if rows := target.rows("mine", "over"); len(rows) != 3 {
		t.Errorf("a view over the link reads %v", rows)
	}
	target.do("DELETE", target.Path("buckets", "in.c-linked", "link"), nil, nil)
	if share := source.detail("in.c-main").Share; share == nil || len(share.LinkedBy) != 0 {
		t.Errorf("the share is %+v", share)
	}
	if rows := source.rows("in.c-main", "orders"); len(rows) != 3 {
		t.Errorf("the source has %v", rows)
	}
	target.refused(404, "link-not-found", "DELETE", target.Path("buckets", "mine", "link"), nil)
}

func TestChainOfLinksIsRefused(t *testing.T) {
	t.Parallel()
	_, source, target := linkedPair(t)
	target.refused(409, "conflict", "POST", target.Path("buckets", "in.c-linked", "share"), map[string]any{}, "linked", "source")
	// Nor does a view make one: what it reads stays in its project.
	target.bucket("mine")
	target.sql(`CREATE VIEW mine.over AS SELECT * FROM "in.c-linked".orders`)
	source.link("back", target.share("mine"))
	source.bucket("other")
	if rows, err := source.Query(t.Context(), `SELECT count(*) FROM back.over`); err == nil && fmt.Sprint(rows) != "[[3]]" {
		t.Errorf("a view over a link reads %v through a link", rows)
	}
}

// Views of the source read what they read there, also what is not shared, whatever the
// target calls its own.
func TestViewsThroughALink(t *testing.T) {
	t.Parallel()
	_, source, target := linkedPair(t)
	source.bucket("private")
	source.table("private", "secret", 2)
	source.sql(`CREATE VIEW "in.c-main".over AS SELECT id, v FROM private.secret`)
	source.sql(`CREATE VIEW "in.c-main".again AS SELECT id FROM "in.c-main".over WHERE id = 1`)
	target.bucket("private")
	target.table("private", "secret", 9)
	target.shows("in.c-linked", source)
	if rows := target.rows("in.c-linked", "over"); len(rows) != 2 {
		t.Errorf("the view reads %v", rows)
	}
	target.sqlRefused(`SELECT * FROM project_1_main.private.secret`)
	target.refused(404, "table-not-found", "GET", target.Path("tables", "in.c-linked", "secret", "preview"), nil)
	// A view whose table is gone says so on both sides, and hides no other.
	source.do("DELETE", source.Path("tables", "private", "secret"), nil, nil)
	for _, m := range []struct {
		member
		bucket string
	}{{source, "in.c-main"}, {target, "in.c-linked"}} {
		if info := m.info(m.bucket, "over"); info.ReadError == "" || info.Type != "VIEW" {
			t.Errorf("the broken view of %s is %+v", m.bucket, info)
		}
		if rows := m.rows(m.bucket, "orders"); len(rows) != 3 {
			t.Errorf("%s.orders has %v", m.bucket, rows)
		}
	}
}

// What a project makes of a linked bucket is its own.
func TestViewsAndTablesOverALink(t *testing.T) {
	t.Parallel()
	_, source, target := linkedPair(t)
	target.bucket("mine")
	target.sql(`CREATE VIEW mine.over AS SELECT count(*) AS n FROM "in.c-linked".orders`)
	target.sql(`CREATE TABLE mine.copied AS SELECT * FROM "in.c-linked".orders`)
	target.sql(`INSERT INTO mine.copied SELECT id + 100, v FROM "in.c-linked".orders`)
	source.load("in.c-main", "orders", 5)
	if got := fmt.Sprint(target.rows("mine", "over"), len(target.rows("mine", "copied"))); got != "[5] 6" {
		t.Errorf("view and copy: %s", got)
	}
	target.do("DELETE", target.Path("buckets", "in.c-linked", "link"), nil, nil)
	if rows := target.rows("mine", "copied"); len(rows) != 6 {
		t.Errorf("the copy has %v", rows)
	}
}
