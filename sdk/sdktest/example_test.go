package sdktest_test

import (
	"errors"
	"testing"

	"github.com/keboola/duckdb-storage/sdk"
	"github.com/keboola/duckdb-storage/sdk/sdktest"
	"github.com/keboola/duckdb-storage/sdk/sql"
)

// A plugin as its author writes it: one command that keeps some rows of a table.

var Keep = sdk.Command[KeepRequest, KeepResponse]{Name: "sample.Keep", Summary: "Keep some rows of a table and drop the rest."}

type KeepRequest struct {
	Schema sdk.Name `json:"schema" in:"path"`
	Table  sdk.Name `json:"table" in:"path"`
	Rows   int64    `json:"rows"`
}

type KeepResponse struct {
	Deleted int64 `json:"deleted"`
}

var ErrTooSmall = sdk.Code{Slug: "sample-too-small", Title: "Table too small", Kind: sdk.Invalid, Driver: 3000}

func Plugin() *sdk.Plugin {
	p := sdk.New("sample", "0.1.0")
	p.Needs(sdk.ReadSQL, sdk.WriteSQL)
	sdk.Handle(p, Keep, keep, sdk.POST(sdk.Catalog+"/x/sample/{schema}/{table}/keep"), sdk.Permission("tables:write"), sdk.Writes())
	return p
}

func keep(c *sdk.Context, in KeepRequest) (sdk.Unit, error) {
	t := sql.Table{Schema: string(in.Schema), Name: string(in.Table)}
	found, err := sdk.Query[struct{ Count int64 }](c, sql.New("SELECT count(*) AS count FROM ?", t))
	if err != nil {
		return sdk.Unit{}, err
	}
	if found[0].Count < in.Rows {
		return sdk.Unit{}, ErrTooSmall.Errorf("table %q has %d rows, fewer than %d", in.Table, found[0].Count, in.Rows).At("/rows")
	}
	return sdk.Unit{
		Require: []sdk.Precondition{sdk.Expect(sql.New("SELECT 1 WHERE (SELECT count(*) FROM ?) = ?", t, found[0].Count),
			sdk.ErrConflict.Errorf("table %q changed meanwhile; repeat the request", in.Table).Retry())},
		Do:     []sql.Statement{sql.New("DELETE FROM ? WHERE rowid NOT IN (SELECT rowid FROM ? LIMIT ?)", t, t, in.Rows)},
		Answer: sql.New("SELECT ?::BIGINT AS deleted", sql.RowsAffected(0)),
	}, nil
}

// Its tests. The first one's golden is testdata/keep.golden.

func TestKeep(t *testing.T) {
	h := sdktest.New(t, Plugin())
	h.OnQuery("count(*)", map[string]int64{"count": 10})
	x := sdktest.Invoke(h, Keep, KeepRequest{Schema: "in.c-main", Table: "orders", Rows: 4})
	sdktest.Golden(t, "keep", x)
}

func TestKeepTooMany(t *testing.T) {
	h := sdktest.New(t, Plugin())
	h.OnQuery("count(*)", map[string]int64{"count": 3})
	x := sdktest.Invoke(h, Keep, KeepRequest{Schema: "in.c-main", Table: "orders", Rows: 4})
	if err := x.Err(); !errors.Is(err, ErrTooSmall) {
		t.Errorf("the error is %v", err)
	}
}

func TestKeepWithoutTable(t *testing.T) {
	h := sdktest.New(t, Plugin())
	h.Fail("Query", "count(*)", sdk.ErrTableNotFound.Errorf("no such table"))
	x := sdktest.Invoke(h, Keep, KeepRequest{Schema: "in.c-main", Table: "none"})
	if err := x.Err(); !errors.Is(err, sdk.ErrTableNotFound) {
		t.Errorf("the error is %v", err)
	}
}

func TestConform(t *testing.T) { sdktest.Conform(t, Plugin) }
