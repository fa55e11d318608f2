package tables_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/keboola/duckdb-storage/plugins/tables"
	"github.com/keboola/duckdb-storage/plugins/tables/api"
	"github.com/keboola/duckdb-storage/sdk"
	"github.com/keboola/duckdb-storage/sdk/sdktest"
)

func plugin() *sdk.Plugin { return tables.Plugin("1.0.0") }

func TestConform(t *testing.T) {
	t.Parallel()
	sdktest.Conform(t, plugin)
}

func TestConformBinary(t *testing.T) {
	t.Parallel()
	sdktest.ConformBinary(t, sdktest.Build(t, "../../cmd/plugin-tables"))
}

// What the callbacks of the handlers ask for: a part of their SQL.
const (
	isView    = "FROM duckdb_views()"
	columns   = `LEFT JOIN "__storage"."column_lengths"`
	names     = "SELECT name, type FROM"
	lines     = "FROM read_csv("
	isPlain   = "FROM duckdb_tables() AS t"
	objects   = "FROM duckdb_tables()"
	describes = `"__storage"."tables" AS m`
)

// object is a row of a callback.
type object map[string]any

// orders is a typed table without a key, as the host describes it.
func orders() object {
	return object{
		"columns": []object{
			{"name": "id", "type": "BIGINT", "notnull": true},
			{"name": "name", "type": "VARCHAR", "length": 20},
			{"name": "price", "type": "DECIMAL(12,2)", "dflt_value": "'0'"},
		},
		"primary_key": []string{}, "is_typed": true,
	}
}

// keyed is the same with a key.
func keyed() object {
	o := orders()
	o["primary_key"] = []string{"id"}
	return o
}

// stringTable is a string table, as the service makes it.
func stringTable() object {
	return object{
		"columns": []object{
			{"name": "id", "type": "VARCHAR", "notnull": false, "dflt_value": "''"},
			{"name": `odd"name`, "type": "VARCHAR", "dflt_value": "''"},
			{"name": "_timestamp", "type": "TIMESTAMP"},
		},
		"primary_key": []string{}, "is_typed": false,
	}
}

// namesOf are the columns of a table, as look asks for them.
func namesOf(table object) []any {
	var out []any
	for _, c := range table["columns"].([]object) {
		out = append(out, object{"name": c["name"], "type": c["type"]})
	}
	return out
}

var ofOrders = api.TableRequest{Schema: "in.c-main", Table: "orders"}

func ptr[T any](v T) *T { return &v }

func TestDrop(t *testing.T) {
	t.Parallel()
	h := sdktest.New(t, plugin())
	h.OnQuery(isView)
	h.OnQuery(names, namesOf(orders())...)
	table := sdktest.Invoke(h, api.Drop, ofOrders)
	h.OnQuery(isView, object{"view": "orders"})
	view := sdktest.Invoke(h, api.Drop, ofOrders)
	sdktest.Golden(t, "drop", table, view)
}

func TestInfo(t *testing.T) {
	t.Parallel()
	described := api.Table{Name: "orders", Bucket: "in.c-main", Type: "TABLE", Columns: []api.Column{{Name: "id", Type: "BIGINT"}}, PrimaryKey: []string{}}
	h := sdktest.New(t, plugin())
	h.OnQuery(isView)
	h.OnQuery(describes, described)
	table := sdktest.Invoke(h, api.Info, ofOrders)
	h.OnQuery(isView, object{"view": "orders"})
	described.Type = "VIEW"
	h.OnQuery(describes, described)
	view := sdktest.Invoke(h, api.Info, ofOrders)
	sdktest.Golden(t, "info", table, view)
}

func TestExport(t *testing.T) {
	t.Parallel()
	h := sdktest.New(t, plugin())
	for range 4 {
		h.OnQuery(names, namesOf(orders())...)
	}
	sdktest.Golden(t, "export",
		sdktest.Invoke(h, api.Export, api.ExportRequest{TableRequest: ofOrders}),
		sdktest.Invoke(h, api.Export, api.ExportRequest{
			TableRequest: ofOrders, Format: "csv", Columns: []string{"price", "id"}, Limit: 10,
			File: api.ExportFile{Name: "mine.csv", Tags: []string{"a", "b"}},
		}),
		sdktest.Invoke(h, api.Export, api.ExportRequest{TableRequest: ofOrders, Compression: api.Gzip}),
		sdktest.Invoke(h, api.Export, api.ExportRequest{TableRequest: ofOrders, Compression: api.Gzip, File: api.ExportFile{Name: "mine.csv.gz"}}),
		sdktest.Invoke(h, api.Export, api.ExportRequest{TableRequest: ofOrders, Limit: -1}))
}

// Every command that looks at a table says in the API's words what is missing.
func TestMissing(t *testing.T) {
	t.Parallel()
	none := api.TableRequest{Schema: "in.c-main", Table: "none"}
	for name, invoke := range map[string]func(h *sdktest.Host) *sdktest.Exchange{
		"drop": func(h *sdktest.Host) *sdktest.Exchange { h.OnQuery(isView); return sdktest.Invoke(h, api.Drop, none) },
		"preview": func(h *sdktest.Host) *sdktest.Exchange {
			return sdktest.Invoke(h, api.Preview, api.PreviewRequest{TableRequest: none})
		},
		"export": func(h *sdktest.Host) *sdktest.Exchange {
			return sdktest.Invoke(h, api.Export, api.ExportRequest{TableRequest: none})
		},
		"info": func(h *sdktest.Host) *sdktest.Exchange { h.OnQuery(isView); return sdktest.Invoke(h, api.Info, none) },
		"import": func(h *sdktest.Host) *sdktest.Exchange {
			h.OnQuery(isView)
			return sdktest.Invoke(h, api.Import, api.ImportRequest{TableRequest: none, FileID: "7"})
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, tt := range []struct {
				code   sdk.Code
				detail string
			}{
				{sdk.ErrTableNotFound, `table "none" does not exist in bucket "in.c-main"`},
				{sdk.ErrBucketNotFound, `bucket "in.c-main" does not exist`},
				{sdk.ErrUnavailable, "as DuckDB says it"},
			} {
				h := sdktest.New(t, plugin())
				h.Fail("Query", "pragma_table_info", tt.code.Errorf("as DuckDB says it"))
				if tt.code.Kind == sdk.NotFound {
					h.OnQuery(isView) // a view, perhaps, or linked?
				}
				if err := invoke(h).Err(); !errors.Is(err, tt.code) || err.Error() != tt.detail {
					t.Errorf("%s: %v", tt.code.Slug, err)
				}
			}
		})
	}
}

// A column that the table lacks is the client's mistake, and the answer says
// which columns there are. Case counts.
func TestUnknownColumns(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		columns []string
		code    sdk.Code
	}{
		{[]string{"none"}, sdk.ErrColumnNotFound},
		{[]string{"ID"}, sdk.ErrColumnNotFound},
		{[]string{""}, sdk.ErrColumnNotFound},
		{[]string{"id", "id"}, sdk.ErrInvalid},
	} {
		h := sdktest.New(t, plugin())
		h.OnQuery(names, namesOf(orders())...)
		h.OnQuery(names, namesOf(orders())...)
		preview := sdktest.Invoke(h, api.Preview, api.PreviewRequest{TableRequest: ofOrders, Columns: tt.columns})
		export := sdktest.Invoke(h, api.Export, api.ExportRequest{TableRequest: ofOrders, Columns: tt.columns})
		for _, err := range []error{preview.Err(), export.Err()} {
			var e *sdk.Error
			if !errors.Is(err, tt.code) || !errors.As(err, &e) || e.Pointer != "/columns" {
				t.Errorf("%q: %#v, want %s at /columns", tt.columns, err, tt.code.Slug)
			}
		}
	}
}

func TestList(t *testing.T) {
	t.Parallel()
	h := sdktest.New(t, plugin())
	h.OnQuery(objects, object{"bucket": "a", "name": "t", "type": "TABLE"}, object{"bucket": "a", "name": "v", "type": "VIEW"}, object{"bucket": "b", "name": "t", "type": "TABLE"})
	h.OnQuery(describes, api.Table{Name: "t", Bucket: "a"}, api.Table{Name: "v", Bucket: "a"})
	first := sdktest.Invoke(h, api.List, api.ListRequest{Bucket: "a", Limit: 2})
	token := sdktest.Answer[api.ListResponse](t, first).NextPageToken
	if token == "" {
		t.Fatal("the first page has no token")
	}
	h.OnQuery(objects)
	sdktest.Golden(t, "list", first, sdktest.Invoke(h, api.List, api.ListRequest{PageToken: token}))
}

// A callback returns at most 1 MiB, so a long list is described in parts.
func TestListInParts(t *testing.T) {
	t.Parallel()
	h := sdktest.New(t, plugin())
	var found, first, second []any
	for i := range 70 {
		name := fmt.Sprintf("t%02d", i)
		found = append(found, object{"bucket": "a", "name": name, "type": "TABLE"})
		if described := (api.Table{Name: name, Bucket: "a"}); i < 50 {
			first = append(first, described)
		} else {
			second = append(second, described)
		}
	}
	h.OnQuery(objects, found...)
	h.OnQuery(`"a"."t00"`, first...)
	h.OnQuery(`"a"."t50"`, second...)
	got := sdktest.Answer[api.ListResponse](t, sdktest.Invoke(h, api.List, api.ListRequest{}))
	if len(got.Items) != 70 || got.Items[69].Name != "t69" || got.NextPageToken != "" {
		t.Errorf("%d items, the last is %+v, token %q", len(got.Items), got.Items[len(got.Items)-1], got.NextPageToken)
	}
}

func TestWrongPageToken(t *testing.T) {
	t.Parallel()
	for _, token := range []string{"x", "!!", "eyJhIjoxfQ", "WzEsMl0", "WyJhIg", "bnVsbA", "W10", "WyJhIl0"} {
		h := sdktest.New(t, plugin())
		err := sdktest.Invoke(h, api.List, api.ListRequest{PageToken: token}).Err()
		var e *sdk.Error
		if !errors.Is(err, sdk.ErrMalformed) || !errors.As(err, &e) || e.Pointer != "/pageToken" {
			t.Errorf("%q: %v, want malformed at /pageToken", token, err)
		}
	}
}
