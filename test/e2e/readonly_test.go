package e2e_test

import (
	"fmt"
	"net/http"
	"testing"
)

// Both directions of a read-only grant may be repeated.
func TestCase100GrantReadOnlyTwice(t *testing.T) {
	t.Parallel()
	m := newMember(t, start(t), "1")
	m.bucket("in.c-main")
	m.table("in.c-main", "orders", 3)
	path := m.Path("buckets", "in.c-main", "grant-readonly")
	for _, step := range []struct {
		method string
		want   bool
	}{{"POST", true}, {"POST", true}, {"DELETE", false}, {"DELETE", false}, {"POST", true}, {"POST", true}} {
		if step.method == "DELETE" {
			m.do("DELETE", path, nil, nil)
		} else {
			var granted bucketAnswer
			m.do("POST", path, map[string]any{}, &granted)
			if !granted.ReadOnlyAccess || granted.SizeBytes == 0 {
				t.Errorf("granted: %+v", granted)
			}
		}
		if got := m.detail("in.c-main").ReadOnlyAccess; got != step.want {
			t.Errorf("%s: access %v", step.method, got)
		}
	}
	m.refused(404, "bucket-not-found", "POST", m.Path("buckets", "none", "grant-readonly"), map[string]any{})
	m.refused(404, "bucket-not-found", "DELETE", m.Path("buckets", "none", "grant-readonly"), nil)
	// A bucket that is made again starts as every new one.
	m.do("DELETE", path, nil, nil)
	handle := m.share("in.c-main")
	m.do("DELETE", m.Path("buckets", "in.c-main")+"?cascade=true", nil, nil)
	m.bucket("in.c-main")
	if b := m.detail("in.c-main"); !b.ReadOnlyAccess || b.Share != nil {
		t.Errorf("made again: %+v", b)
	}
	m.refused(404, "share-not-found", "POST", m.Path("buckets", "l", "link"), map[string]string{"shareHandle": handle})
}

// A key that may only read reads through a link, and learns no handle.
func TestKeysAndSharing(t *testing.T) {
	t.Parallel()
	_, source, target := linkedPair(t)
	reader, writer := target.with("read"), target.with("write")
	reader.shows("in.c-linked", source)
	if got := fmt.Sprint(reader.sql(`SELECT count(*) FROM "in.c-linked".orders`)); got != "[[3]]" {
		t.Errorf("a reader counts %s", got)
	}
	handle := source.share("in.c-main")
	for _, deed := range []struct{ method, path string }{
		{"POST", "link"}, {"DELETE", "link"}, {"POST", "share"}, {"DELETE", "share"}, {"POST", "grant-readonly"}, {"DELETE", "grant-readonly"}, {"DELETE", "links/1"},
	} {
		var body any
		if deed.method == "POST" {
			body = map[string]any{}
			if deed.path == "link" {
				body = map[string]string{"shareHandle": handle}
			}
		}
		reader.refused(403, "permission-denied", deed.method, reader.Path("buckets", "in.c-linked")+"/"+deed.path, body)
	}
	sourceReader := source.with("read")
	if share := sourceReader.detail("in.c-main").Share; share == nil || share.ShareHandle != "" || len(share.LinkedBy) != 1 {
		t.Errorf("a reader sees the share %+v", share)
	}
	writer.link("second", handle)
	writer.do("DELETE", writer.Path("buckets", "second", "link"), nil, nil)
	// The key of another project opens nothing, its handle or not.
	foreign := target
	foreign.ID = "1"
	foreign.refused(404, "project-not-found", "POST", foreign.Path("buckets", "in.c-main", "share"), map[string]any{})
	foreign.refused(404, "project-not-found", "DELETE", foreign.Path("buckets", "in.c-main", "links", "2"), nil)
}

// A bucket that is closed to read-only keys is closed to them in every way, also through
// a view in a bucket that is open, and to nobody else.
func TestReadOnlyGrants(t *testing.T) {
	t.Parallel()
	m := newMember(t, start(t), "1")
	m.bucket("open")
	m.table("open", "t", 2)
	m.bucket("closed")
	m.table("closed", "t", 3)
	m.sql(`CREATE VIEW open.over AS SELECT * FROM closed.t`)
	reader, writer := m.with("read"), m.with("write")
	reads := []string{
		m.Path("tables", "closed", "t", "preview"), m.Path("tables", "closed", "t"), m.Path("tables", "open", "over", "preview"), m.Path("tables", "open", "over"),
	}
	statements := []string{
		`SELECT * FROM closed.t`, `SELECT count(*) FROM closed.t`, `SELECT * FROM open.over`, `SELECT count(*) FROM open.over`, `SELECT (SELECT max(id) FROM "CLOSED".T) AS x`,
		`WITH c AS (SELECT * FROM closed.t) SELECT * FROM c`, `SELECT * FROM open.t WHERE id IN (SELECT id FROM closed.t)`,
	}
	check := func(readable bool) {
		t.Helper()
		for _, path := range reads {
			if readable {
				reader.do("GET", path, nil, nil)
			} else {
				reader.refused(403, "permission-denied", "GET", path, nil, "closed")
			}
			writer.do("GET", path, nil, nil)
		}
		for _, table := range [][2]string{{"closed", "t"}, {"open", "over"}} {
			if rows, status := reader.stream(table[0], table[1]); readable && len(rows) != 3 || !readable && status != http.StatusForbidden {
				t.Errorf("an export of %s: status %d, %v", table, status, rows)
			}
		}
		for _, st := range statements {
			_, err := reader.Query(t.Context(), st)
			if (err == nil) != readable {
				t.Errorf("%s: %v", st, err)
			}
			writer.sql(st)
		}
		if rows := reader.rows("open", "t"); len(rows) != 2 {
			t.Errorf("the open table has %v", rows)
		}
		// What is closed is still listed, and said to be closed.
		if b := reader.detail("closed"); b.ReadOnlyAccess != readable || b.TablesCount != 1 {
			t.Errorf("the closed bucket is %+v", b)
		}
		var list listPage[tableAnswer]
		reader.do("GET", reader.Path("tables"), nil, &list)
		if len(list.Items) != 3 || (list.Items[0].ReadError == "") != readable || list.Items[2].Name != "t" || list.Items[2].RowsCount != 2 {
			t.Errorf("the tables are %+v", list.Items)
		}
	}
	check(true)
	m.do("DELETE", m.Path("buckets", "closed", "grant-readonly"), nil, nil)
	check(false)
	m.do("POST", m.Path("buckets", "closed", "grant-readonly"), map[string]any{}, nil)
	check(true)
}

// Each project says for itself what its read-only keys may read, of linked buckets too.
func TestReadOnlyGrantsAndLinks(t *testing.T) {
	t.Parallel()
	_, source, target := linkedPair(t)
	source.bucket("private")
	source.table("private", "secret", 2)
	source.sql(`CREATE VIEW "in.c-main".over AS SELECT id FROM private.secret`)
	target.bucket("mine")
	target.sql(`CREATE VIEW mine.again AS SELECT count(*) AS n FROM "in.c-linked".over`)
	reader, sourceReader := target.with("read"), source.with("read")
	source.do("DELETE", source.Path("buckets", "in.c-main", "grant-readonly"), nil, nil)
	sourceReader.refused(403, "permission-denied", "GET", source.Path("tables", "in.c-main", "orders", "preview"), nil)
	if rows := reader.rows("in.c-linked", "orders"); len(rows) != 3 {
		t.Errorf("a reader of the target reads %v", rows)
	}
	source.do("POST", source.Path("buckets", "in.c-main", "grant-readonly"), map[string]any{}, nil)
	target.do("DELETE", target.Path("buckets", "in.c-linked", "grant-readonly"), nil, nil)
	reader.refused(403, "permission-denied", "GET", target.Path("tables", "in.c-linked", "orders", "preview"), nil)
	reader.refused(403, "permission-denied", "GET", target.Path("tables", "in.c-linked", "orders"), nil)
	// A view of the source over a table that is not shared is in the closed bucket as well.
	reader.refused(403, "permission-denied", "GET", target.Path("tables", "in.c-linked", "over", "preview"), nil, "in.c-linked")
	reader.refused(403, "permission-denied", "GET", target.Path("tables", "mine", "again", "preview"), nil, "in.c-linked")
	reader.sqlRefused(`SELECT * FROM "in.c-linked".over`)
	if rows := sourceReader.rows("in.c-main", "orders"); len(rows) != 3 {
		t.Errorf("a reader of the source reads %v", rows)
	}
	target.shows("in.c-linked", source)
}
