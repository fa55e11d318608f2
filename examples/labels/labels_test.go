package main

import (
	"errors"
	"testing"

	buckets "github.com/keboola/duckdb-storage/plugins/buckets/api"
	tables "github.com/keboola/duckdb-storage/plugins/tables/api"
	"github.com/keboola/duckdb-storage/sdk"
	"github.com/keboola/duckdb-storage/sdk/sdktest"
)

// What every plugin owes the host, in this process and as a binary.
func TestConform(t *testing.T)       { sdktest.Conform(t, plugin) }
func TestConformBinary(t *testing.T) { sdktest.ConformBinary(t, sdktest.Build(t, ".")) }

// The first level needs no DuckDB: the test answers what the handlers ask, and
// compares their plans with testdata/*.golden.

var (
	odd     = Label{Schema: "in.c-main", Table: `odd"name`, Label: "green"}
	request = tables.TableRequest{Schema: "in.c-main", Table: "orders"}
)

const (
	storeExists = "duckdb_tables()"
	storeRead   = "FROM \"__labels\""
)

func TestSet(t *testing.T) {
	sdktest.Golden(t, "set", sdktest.Invoke(sdktest.New(t, plugin()), Set, odd))
}

func TestRemove(t *testing.T) {
	h := sdktest.New(t, plugin())
	h.OnQuery(storeExists)
	if err := sdktest.Invoke(h, Remove, odd).Err(); !errors.Is(err, ErrNotLabelled) {
		t.Errorf("without any label: %v", err)
	}
	h.OnQuery(storeExists, map[string]int{"1": 1})
	sdktest.Golden(t, "remove", sdktest.Invoke(h, Remove, odd))
}

func TestList(t *testing.T) {
	h := sdktest.New(t, plugin())
	h.OnQuery(storeExists)
	none := sdktest.Invoke(h, List, ListRequest{})
	h.OnQuery(storeExists, map[string]int{"1": 1})
	sdktest.Golden(t, "list", none, sdktest.Invoke(h, List, ListRequest{Label: "green"}))
}

func TestProtect(t *testing.T) {
	h := sdktest.New(t, plugin())
	if err := h.Configure(Settings{Protected: "keep"}); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		h.OnQuery(storeExists, map[string]int{"1": 1})
	}
	h.OnQuery(storeRead)
	allowed := sdktest.Before(h, tables.Drop, request)
	h.OnQuery(storeRead, Label{Schema: "in.c-main", Table: "orders", Label: "keep"})
	refused := sdktest.Before(h, buckets.Drop, buckets.DropRequest{Bucket: "in.c-main", Cascade: true})
	if err := refused.Err(); !errors.Is(err, ErrProtected) {
		t.Errorf("a bucket with a protected table: %v", err)
	}
	sdktest.Golden(t, "protect", allowed, refused)
}

// A hook that cannot look must not let the command through.
func TestProtectFails(t *testing.T) {
	h := sdktest.New(t, plugin())
	h.Fail("Query", storeExists, sdk.ErrUnavailable.Errorf("not now"))
	if err := sdktest.Before(h, tables.Drop, request).Err(); !errors.Is(err, sdk.ErrUnavailable) {
		t.Errorf("the hook answers %v", err)
	}
}

func TestForget(t *testing.T) {
	h := sdktest.New(t, plugin())
	h.OnQuery(storeExists, map[string]int{"1": 1})
	h.OnQuery(storeRead, Label{Schema: "in.c-main", Table: "orders", Label: "green"})
	h.OnWrite("DELETE", nil, 1)
	sdktest.Golden(t, "forget", sdktest.Notify(h, tables.Dropped, tables.TableEvent{Schema: "in.c-main", Table: "orders"}))
}
