package buckets_test

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/keboola/duckdb-storage/plugins/buckets"
	"github.com/keboola/duckdb-storage/plugins/buckets/api"
	"github.com/keboola/duckdb-storage/sdk"
	"github.com/keboola/duckdb-storage/sdk/hostapi"
	"github.com/keboola/duckdb-storage/sdk/sdktest"
)

func plugin() *sdk.Plugin { return buckets.Plugin("1.0.0") }

func TestConform(t *testing.T) {
	t.Parallel()
	sdktest.Conform(t, plugin)
}

func TestConformBinary(t *testing.T) {
	t.Parallel()
	sdktest.ConformBinary(t, sdktest.Build(t, "../../cmd/plugin-buckets"))
}

func TestCreate(t *testing.T) {
	t.Parallel()
	h := sdktest.New(t, plugin())
	sdktest.Golden(t, "create", sdktest.Invoke(h, api.Create, api.CreateRequest{Name: `in.c-"main"`, Description: "What's new?"}))
}

func TestCreateRefusesReservedNames(t *testing.T) {
	t.Parallel()
	for _, name := range []sdk.Name{"__storage", "__mine", "main", "MAIN", "information_schema", "pg_catalog", "temp", "system", "memory", "project_1_main"} {
		h := sdktest.New(t, plugin())
		if err := sdktest.Invoke(h, api.Create, api.CreateRequest{Name: name}).Err(); !errors.Is(err, sdk.ErrReservedName) {
			t.Errorf("%q: %v, want reserved", name, err)
		}
	}
}

func TestNamesThatTheSchemaRefuses(t *testing.T) {
	t.Parallel()
	for _, input := range []string{
		`{}`, `{"name":null}`, `{"name":""}`, `{"name":"a/b"}`, `{"name":"a\u0000"}`, `{"name":"a\n"}`, `{"name":"a","more":"b"}`,
		fmt.Sprintf(`{"name":%q}`, strings.Repeat("x", 256)),
	} {
		h := sdktest.New(t, plugin())
		if err := h.InvokeJSON("buckets.Create", input).Err(); !errors.Is(err, sdk.ErrMalformed) {
			t.Errorf("%s: %v, want malformed", input, err)
		}
	}
}

// Parts of the SQL of the callbacks.
const (
	found    = "AS share_handle"
	attached = "FROM duckdb_databases()"
	shares   = "SELECT handle FROM"
	tables   = "JOIN duckdb_tables()"
	sizes    = "sum(bytes)"
	objects  = "SELECT name, type"
)

// row is a row of a callback.
type row map[string]any

// own is a bucket of the project; more are further columns.
func own(name string, more row) row {
	r := row{"name": name, "catalog": "project_demo_main", "schema": name, "readOnlyAccess": true}
	maps.Copy(r, more)
	return r
}

// linked is a bucket that shows bucket out.c-a of project 7.
func linked(name string) row {
	return row{
		"name": name, "isLinked": true, "isReadOnly": true, "readOnlyAccess": true, "catalog": "project_7_main", "schema": "out.c-a",
		"link_handle": "7.XYZ", "sourceBucket": row{"projectId": "7", "name": "out.c-a"},
	}
}

func TestUpdate(t *testing.T) {
	t.Parallel()
	h := sdktest.New(t, plugin())
	h.OnWrite("UPDATE __storage.buckets", nil)
	h.OnQuery(found, own("b", row{"description": "new"}))
	h.OnQuery(tables)
	sdktest.Golden(t, "update", sdktest.Invoke(h, api.Update, api.UpdateRequest{Bucket: "b", Description: "new"}))
}

func TestDrop(t *testing.T) {
	t.Parallel()
	h := sdktest.New(t, plugin())
	for range 2 {
		h.OnQuery(found, own("in.c-main", nil))
	}
	h.OnQuery(found, linked("in.c-linked"))
	sdktest.Golden(t, "drop",
		sdktest.Invoke(h, api.Drop, api.DropRequest{Bucket: "in.c-main"}),
		sdktest.Invoke(h, api.Drop, api.DropRequest{Bucket: "in.c-main", Cascade: true, Force: true}),
		sdktest.Invoke(h, api.Drop, api.DropRequest{Bucket: "in.c-linked"}))
}

// A shared bucket is dropped in a lease, so that nobody links it meanwhile, or with
// force, after its links.
func TestDropShared(t *testing.T) {
	t.Parallel()
	shared := own("b", row{"share_handle": "demo.ABC"})
	h := sdktest.New(t, plugin())
	h.OnQuery(found, shared)
	h.OnLease()
	h.OnCall("links.List", hostapi.ListLinksResponse{})
	free := sdktest.Invoke(h, api.Drop, api.DropRequest{Bucket: "b"})
	h.OnQuery(found, shared)
	h.OnLease()
	h.OnCall("links.List", hostapi.ListLinksResponse{Items: []hostapi.Link{{ProjectID: "7", Bucket: "l"}, {ProjectID: "demo", Bucket: "m"}}})
	used := sdktest.Invoke(h, api.Drop, api.DropRequest{Bucket: "b"})
	h.OnQuery(found, shared)
	h.OnWrite("DELETE FROM __storage.shares", nil)
	h.OnCall("links.Revoke", hostapi.RevokeLinksResponse{})
	forced := sdktest.Invoke(h, api.Drop, api.DropRequest{Bucket: "b", Cascade: true, Force: true})
	sdktest.Golden(t, "drop_shared", free, used, forced)
}

// Nothing is taken from others by a drop that is refused or fails.
func TestDropSharedFails(t *testing.T) {
	t.Parallel()
	shared := own("b", row{"share_handle": "demo.ABC"})
	for name, fail := range map[string]func(h *sdktest.Host){
		"lease": func(h *sdktest.Host) { h.Fail("Lease", "", sdk.ErrQueueWait.Errorf("x")) },
		"list":  func(h *sdktest.Host) { h.OnLease(); h.Fail("Call", "links.List", sdk.ErrQueueWait.Errorf("x")) },
		"write": func(h *sdktest.Host) { h.Fail("Write", "", sdk.ErrQueueWait.Errorf("x")) },
		"revoke": func(h *sdktest.Host) {
			h.OnWrite("", nil)
			h.Fail("Call", "links.Revoke", sdk.ErrQueueWait.Errorf("x"))
		},
	} {
		h := sdktest.New(t, plugin())
		h.OnQuery(found, shared)
		fail(h)
		x := sdktest.Invoke(h, api.Drop, api.DropRequest{Bucket: "b", Force: name == "write" || name == "revoke"})
		if !errors.Is(x.Err(), sdk.ErrQueueWait) {
			t.Errorf("%s: %v", name, x.Err())
		}
	}
}

func TestShare(t *testing.T) {
	t.Parallel()
	h := sdktest.New(t, plugin())
	x := sdktest.Invoke(h, api.Share, api.BucketRequest{Bucket: "in.c-main"})
	handle := regexp.MustCompile(`demo\.[A-Z2-7]{26}`)
	if found := handle.FindAllString(x.String(), -1); len(found) != 1 {
		t.Fatalf("the handles are %q", found)
	}
	again := sdktest.Invoke(h, api.Share, api.BucketRequest{Bucket: "in.c-main"})
	if x.String() == again.String() {
		t.Error("two shares propose one handle")
	}
	sdktest.Golden(t, "share", text(handle.ReplaceAllString(x.String(), "demo.<26 random characters>")),
		sdktest.Invoke(h, api.Unshare, api.BucketRequest{Bucket: "in.c-main"}))
}

type text string

func (t text) String() string { return string(t) }

func TestLink(t *testing.T) {
	t.Parallel()
	h := sdktest.New(t, plugin())
	h.OnCall("links.Create", hostapi.CreateLinkResponse{SourceProject: "7", SourceBucket: "out.c-a"})
	h.OnQuery(found, linked("l"))
	h.OnQuery(attached, row{"database_name": "project_7_main"})
	h.OnQuery(shares, row{"handle": "7.XYZ"})
	h.OnQuery(tables, row{"i": 0, "name": "orders"})
	h.OnQuery(sizes, row{"i": 0, "bytes": 65536})
	made := sdktest.Invoke(h, api.Link, api.LinkRequest{Bucket: "l", ShareHandle: "7.XYZ"})
	h.OnCall("links.Remove", nil)
	sdktest.Golden(t, "link", made, sdktest.Invoke(h, api.Unlink, api.BucketRequest{Bucket: "l"}))
	want := api.Bucket{
		Name: "l", IsLinked: true, IsReadOnly: true, ReadOnlyAccess: true, SizeBytes: 65536,
		SourceBucket: &api.SourceBucket{ProjectID: "7", Name: "out.c-a", IsAvailable: true},
	}
	if diff := cmp.Diff(want, sdktest.Answer[api.Bucket](t, made)); diff != "" {
		t.Errorf("the bucket (-want +got):\n%s", diff)
	}
}

func TestRevokeLinks(t *testing.T) {
	t.Parallel()
	h := sdktest.New(t, plugin())
	h.OnQuery(found, own("b", nil))
	h.OnCall("links.Revoke", hostapi.RevokeLinksResponse{Items: []hostapi.Link{{ProjectID: "7", Bucket: "l"}}})
	gone := sdktest.Invoke(h, api.RevokeLinks, api.RevokeLinksRequest{Bucket: "b", TargetProject: "7", TargetBucket: "l"})
	h.OnQuery(found, own("b", nil))
	h.OnCall("links.Revoke", hostapi.RevokeLinksResponse{Items: []hostapi.Link{}})
	none := sdktest.Invoke(h, api.RevokeLinks, api.RevokeLinksRequest{Bucket: "b", TargetProject: "7"})
	sdktest.Golden(t, "revoke_links", gone, none)
}

func TestReadOnlyGrant(t *testing.T) {
	t.Parallel()
	h := sdktest.New(t, plugin())
	h.OnWrite("DELETE FROM __storage.revoked", nil)
	h.OnQuery(found, own("b", nil))
	h.OnQuery(tables)
	sdktest.Golden(t, "readonly",
		sdktest.Invoke(h, api.GrantReadOnly, api.BucketRequest{Bucket: "b"}),
		sdktest.Invoke(h, api.RevokeReadOnly, api.BucketRequest{Bucket: "b"}))
}

func TestInfo(t *testing.T) {
	t.Parallel()
	h := sdktest.New(t, plugin())
	h.OnQuery(found, own("in.c-main", row{"description": "d", "created": "2026-01-02T03:04:05Z", "tablesCount": 2}))
	h.OnQuery(tables, row{"name": "orders"}, row{"name": `odd"name`})
	h.OnQuery(sizes, row{"bytes": 131072})
	h.OnQuery(objects, api.Object{Name: `odd"name`, Type: "TABLE"}, api.Object{Name: "orders", Type: "TABLE"})
	sdktest.Golden(t, "info", sdktest.Invoke(h, api.Info, api.InfoRequest{Bucket: "in.c-main"}))
}

// Who could not share the bucket does not learn its handle.
func TestInfoOfASharedBucket(t *testing.T) {
	t.Parallel()
	for level, handle := range map[sdk.Level]string{sdk.LevelRead: "", sdk.LevelWrite: "demo.ABC"} {
		h := sdktest.New(t, plugin())
		h.Level = level
		h.OnQuery(found, own("b", row{"share_handle": "demo.ABC", "share_created": "2026-01-02T03:04:05Z"}))
		h.OnQuery(tables)
		h.OnQuery(objects)
		h.OnCall("links.List", hostapi.ListLinksResponse{Items: []hostapi.Link{{ProjectID: "7", Bucket: "l", Created: "2026-01-02T03:04:06Z"}}})
		got := sdktest.Answer[api.Detail](t, sdktest.Invoke(h, api.Info, api.InfoRequest{Bucket: "b"}))
		want := &api.ShareDetail{ShareHandle: handle, Created: "2026-01-02T03:04:05Z", LinkedBy: []hostapi.Link{{ProjectID: "7", Bucket: "l", Created: "2026-01-02T03:04:06Z"}}}
		if diff := cmp.Diff(want, got.Share); diff != "" {
			t.Errorf("level %d (-want +got):\n%s", level, diff)
		}
	}
}

// The tables of a linked bucket are those of its source, for as long as it is there.
func TestInfoOfALinkedBucket(t *testing.T) {
	t.Parallel()
	h := sdktest.New(t, plugin())
	h.OnQuery(found, linked("l"))
	h.OnQuery(attached, row{"database_name": "project_7_main"})
	h.OnQuery(shares, row{"handle": "7.XYZ"})
	h.OnQuery(tables)
	h.OnQuery(objects, api.Object{Name: "orders", Type: "TABLE"})
	live := sdktest.Invoke(h, api.Info, api.InfoRequest{Bucket: "l"})
	h.OnQuery(found, linked("l"))
	h.OnQuery(attached, row{"database_name": "project_7_main"})
	h.OnQuery(shares)
	unshared := sdktest.Invoke(h, api.Info, api.InfoRequest{Bucket: "l"})
	h.OnQuery(found, linked("l"))
	h.OnQuery(attached, row{"database_name": "project_demo_main"})
	gone := sdktest.Invoke(h, api.Info, api.InfoRequest{Bucket: "l"})
	sdktest.Golden(t, "info_linked", live, unshared, gone)
}

func TestInfoNotFound(t *testing.T) {
	t.Parallel()
	h := sdktest.New(t, plugin())
	h.OnQuery(found)
	x := sdktest.Invoke(h, api.Info, api.InfoRequest{Bucket: "none"})
	sdktest.Golden(t, "info_not_found", x)
	if !errors.Is(x.Err(), sdk.ErrBucketNotFound) {
		t.Errorf("the error is %v", x.Err())
	}
}

// A bucket is read in pages: one callback returns at most 1000 rows.
func TestInfoOfManyTables(t *testing.T) {
	t.Parallel()
	page := func(from, to int) (rows []any) {
		for i := from; i < to; i++ {
			rows = append(rows, api.Object{Name: fmt.Sprintf("t%04d", i), Type: "TABLE"})
		}
		return rows
	}
	h := sdktest.New(t, plugin())
	h.OnQuery(found, own("b", row{"tablesCount": 501}))
	h.OnQuery(tables, page(0, 500)...)
	h.OnQuery(sizes, row{"bytes": 5})
	h.OnQuery(tables, page(500, 501)...)
	h.OnQuery(sizes, row{"bytes": 7})
	h.OnQuery(objects, page(0, 500)...)
	h.OnQuery(objects, page(500, 501)...)
	x := sdktest.Invoke(h, api.Info, api.InfoRequest{Bucket: "b"})
	if got := sdktest.Answer[api.Detail](t, x); got.SizeBytes != 12 || len(got.Tables) != 501 || got.Tables[500].Name != "t0500" {
		t.Errorf("%d bytes, %d tables", got.SizeBytes, len(got.Tables))
	}
}

// However many buckets a page has, their sizes take two callbacks.
func TestList(t *testing.T) {
	t.Parallel()
	h := sdktest.New(t, plugin())
	h.OnQuery(found, own("a", nil), own("b", nil), linked("c"), own("d", nil))
	h.OnQuery(attached, row{"database_name": "project_7_main"})
	h.OnQuery(shares, row{"handle": "7.XYZ"})
	h.OnQuery(tables, row{"i": 1, "name": "orders"}, row{"i": 2, "name": "items"}, row{"i": 2, "name": "orders"})
	h.OnQuery(sizes, row{"i": 1, "bytes": 65536}, row{"i": 2, "bytes": 131072})
	page := sdktest.Invoke(h, api.List, api.ListRequest{Limit: 3})
	h.OnQuery(found)
	last := sdktest.Invoke(h, api.List, api.ListRequest{PageToken: "d"})
	sdktest.Golden(t, "list", page, last)
	want := api.ListResponse{NextPageToken: "c", Items: []api.Bucket{
		{Name: "a", ReadOnlyAccess: true},
		{Name: "b", ReadOnlyAccess: true, SizeBytes: 65536},
		{
			Name: "c", ReadOnlyAccess: true, IsLinked: true, IsReadOnly: true, SizeBytes: 131072,
			SourceBucket: &api.SourceBucket{ProjectID: "7", Name: "out.c-a", IsAvailable: true},
		},
	}}
	if diff := cmp.Diff(want, sdktest.Answer[api.ListResponse](t, page)); diff != "" {
		t.Errorf("the page (-want +got):\n%s", diff)
	}
}

// A callback that fails is the answer, with its code.
func TestCallbackFails(t *testing.T) {
	t.Parallel()
	full := sdk.ErrUnavailable.Errorf("the project's database is being reopened")
	answers := []func(h *sdktest.Host){
		func(h *sdktest.Host) { h.OnQuery(found, linked("a")) },
		func(h *sdktest.Host) { h.OnQuery(attached, row{"database_name": "project_7_main"}) },
		func(h *sdktest.Host) { h.OnQuery(shares, row{"handle": "7.XYZ"}) },
		func(h *sdktest.Host) { h.OnQuery(tables, row{"i": 0, "name": "orders"}) },
		func(h *sdktest.Host) { h.OnQuery(sizes, row{"i": 0, "bytes": 1}) },
	}
	for failing, match := range []string{found, attached, shares, tables, sizes, objects} {
		for _, list := range []bool{true, false} {
			if list && match == objects {
				continue
			}
			h := sdktest.New(t, plugin())
			for _, answer := range answers[:failing] {
				answer(h)
			}
			h.Fail("Query", match, full)
			invoke := func() *sdktest.Exchange { return sdktest.Invoke(h, api.Info, api.InfoRequest{Bucket: "a"}) }
			if list {
				invoke = func() *sdktest.Exchange { return sdktest.Invoke(h, api.List, api.ListRequest{}) }
			}
			x := invoke()
			if err := x.Err(); !errors.Is(err, sdk.ErrUnavailable) {
				t.Errorf("%s, %s: %v", x.Command, match, err)
			}
		}
	}
}

// A source or a table that goes while sizes are added up is a reason to repeat.
func TestSomethingGoesMeanwhile(t *testing.T) {
	t.Parallel()
	for _, code := range []sdk.Code{sdk.ErrSQL, sdk.ErrTableNotFound, sdk.ErrBucketNotFound} {
		h := sdktest.New(t, plugin())
		h.OnQuery(found, own("a", nil))
		h.OnQuery(tables, row{"i": 0, "name": "orders"})
		h.Fail("Query", sizes, code.Errorf("as DuckDB says it"))
		err := sdktest.Invoke(h, api.List, api.ListRequest{}).Err()
		var e *sdk.Error
		if !errors.Is(err, sdk.ErrConflict) || !errors.As(err, &e) || !e.Retryable {
			t.Errorf("%s: %v, want a conflict that may be repeated", code.Slug, err)
		}
	}
}
