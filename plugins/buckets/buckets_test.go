package buckets_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/keboola/duckdb-storage/plugins/buckets"
	"github.com/keboola/duckdb-storage/plugins/buckets/api"
	"github.com/keboola/duckdb-storage/sdk"
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

func TestDrop(t *testing.T) {
	t.Parallel()
	h := sdktest.New(t, plugin())
	sdktest.Golden(t, "drop",
		sdktest.Invoke(h, api.Drop, api.DropRequest{Bucket: "in.c-main"}),
		sdktest.Invoke(h, api.Drop, api.DropRequest{Bucket: "in.c-main", Cascade: true}))
}

func TestInfo(t *testing.T) {
	t.Parallel()
	h := sdktest.New(t, plugin())
	h.OnQuery("__storage.buckets", api.Bucket{Name: "in.c-main", Description: "d", Created: "2026-01-02T03:04:05Z", TablesCount: 2})
	h.OnQuery("ORDER BY table_name", map[string]string{"name": "orders"}, map[string]string{"name": `odd"name`})
	h.OnQuery("AS bytes", map[string]int64{"bytes": 131072})
	h.OnQuery("SELECT name, type", api.Object{Name: `odd"name`, Type: "TABLE"}, api.Object{Name: "orders", Type: "TABLE"})
	sdktest.Golden(t, "info", sdktest.Invoke(h, api.Info, api.InfoRequest{Bucket: "in.c-main"}))
}

func TestInfoNotFound(t *testing.T) {
	t.Parallel()
	h := sdktest.New(t, plugin())
	h.OnQuery("__storage.buckets")
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
	h.OnQuery("__storage.buckets", api.Bucket{Name: "b", TablesCount: 501})
	h.OnQuery("ORDER BY table_name", page(0, 500)...)
	h.OnQuery("AS bytes", map[string]int64{"bytes": 5})
	h.OnQuery("ORDER BY table_name", page(500, 501)...)
	h.OnQuery("AS bytes", map[string]int64{"bytes": 7})
	h.OnQuery("SELECT name, type", page(0, 500)...)
	h.OnQuery("SELECT name, type", page(500, 501)...)
	x := sdktest.Invoke(h, api.Info, api.InfoRequest{Bucket: "b"})
	if got := sdktest.Answer[api.Detail](t, x); got.SizeBytes != 12 || len(got.Tables) != 501 || got.Tables[500].Name != "t0500" {
		t.Errorf("%d bytes, %d tables", got.SizeBytes, len(got.Tables))
	}
}

func TestList(t *testing.T) {
	t.Parallel()
	h := sdktest.New(t, plugin())
	h.OnQuery("__storage.buckets", api.Bucket{Name: "a"}, api.Bucket{Name: "b"}, api.Bucket{Name: "c"})
	h.OnQuery("ORDER BY table_name")
	h.OnQuery("ORDER BY table_name", map[string]string{"name": "orders"})
	h.OnQuery("AS bytes", map[string]int64{"bytes": 65536})
	page := sdktest.Invoke(h, api.List, api.ListRequest{Limit: 2})
	h.OnQuery("__storage.buckets")
	last := sdktest.Invoke(h, api.List, api.ListRequest{PageToken: "b"})
	sdktest.Golden(t, "list", page, last)
	want := api.ListResponse{Items: []api.Bucket{{Name: "a"}, {Name: "b", SizeBytes: 65536}}, NextPageToken: "b"}
	if diff := cmp.Diff(want, sdktest.Answer[api.ListResponse](t, page)); diff != "" {
		t.Errorf("the page (-want +got):\n%s", diff)
	}
}

// A callback that fails is the answer, with its code.
func TestCallbackFails(t *testing.T) {
	t.Parallel()
	h := sdktest.New(t, plugin())
	full := sdk.ErrUnavailable.Errorf("the project's database is being reopened")
	h.Fail("Query", "", full)
	if err := sdktest.Invoke(h, api.List, api.ListRequest{}).Err(); !errors.Is(err, sdk.ErrUnavailable) {
		t.Errorf("List: %v", err)
	}
	h.OnQuery("__storage.buckets", api.Bucket{Name: "a"})
	h.Fail("Query", "ORDER BY table_name", full)
	if err := sdktest.Invoke(h, api.List, api.ListRequest{}).Err(); !errors.Is(err, sdk.ErrUnavailable) {
		t.Errorf("List: %v", err)
	}
	h.OnQuery("__storage.buckets", api.Bucket{Name: "a"})
	h.Fail("Query", "ORDER BY table_name", full)
	if err := sdktest.Invoke(h, api.Info, api.InfoRequest{Bucket: "a"}).Err(); !errors.Is(err, sdk.ErrUnavailable) {
		t.Errorf("Info: %v", err)
	}
}
