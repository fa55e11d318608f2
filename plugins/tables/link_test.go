package tables_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/keboola/duckdb-storage/plugins/tables/api"
	"github.com/keboola/duckdb-storage/sdk"
	"github.com/keboola/duckdb-storage/sdk/sdktest"
)

const (
	attached = "FROM duckdb_databases()"
	sources  = "SEMI JOIN"
)

// linked is the answer to find: a table of a bucket that shows bucket out.c-a of project 7.
func linked(h *sdktest.Host) {
	h.OnQuery(isView, object{"view": "orders"}, object{"link": ofSeven()})
}

func ofSeven() object {
	return object{"handle": "7.XYZ", "source_project": "7", "source_bucket": "out.c-a", "source_catalog": "project_7_main"}
}

// A linked table is described by its source, and counted as a client reads it.
func TestInfoOfALinkedTable(t *testing.T) {
	t.Parallel()
	h := sdktest.New(t, plugin())
	linked(h)
	h.OnQuery(attached, object{"database_name": "project_7_main"})
	h.OnQuery(sources, object{"i": 0, "type": "TABLE"})
	h.OnQuery(describes, api.Table{
		Name: "ORDERS", Bucket: "in.c-main", Type: "TABLE", Columns: []api.Column{}, PrimaryKey: []string{},
		SourceTable: &api.SourceTable{ProjectID: "7", Bucket: "out.c-a", Name: "orders"},
	})
	sdktest.Golden(t, "info_linked", sdktest.Invoke(h, api.Info, api.TableRequest{Schema: "in.c-main", Table: "ORDERS"}))
}

// Of what is not in the source, or no longer shared, there is nothing to show.
func TestInfoOfADeadLink(t *testing.T) {
	t.Parallel()
	for name, prepare := range map[string]func(h *sdktest.Host){
		"no view":     func(h *sdktest.Host) { h.OnQuery(isView, object{"link": ofSeven()}) },
		"source gone": func(h *sdktest.Host) { linked(h); h.OnQuery(attached) },
		"no such share": func(h *sdktest.Host) {
			linked(h)
			h.OnQuery(attached, object{"database_name": "project_7_main"})
			h.OnQuery(sources)
		},
	} {
		h := sdktest.New(t, plugin())
		prepare(h)
		err := sdktest.Invoke(h, api.Info, ofOrders).Err()
		if !errors.Is(err, sdk.ErrTableNotFound) || !strings.Contains(err.Error(), `bucket "out.c-a" of project "7"`) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A source that goes between two callbacks is a reason to repeat the request.
func TestInfoWhileTheSourceGoes(t *testing.T) {
	t.Parallel()
	h := sdktest.New(t, plugin())
	linked(h)
	h.OnQuery(attached, object{"database_name": "project_7_main"})
	h.Fail("Query", sources, sdk.ErrSQL.Errorf("Catalog \"project_7_main\" does not exist!"))
	err := sdktest.Invoke(h, api.Info, ofOrders).Err()
	var e *sdk.Error
	if !errors.As(err, &e) || !errors.Is(err, sdk.ErrConflict) || !e.Retryable {
		t.Errorf("%v, want a conflict that may be repeated", err)
	}
}

func TestWritesToALinkedBucket(t *testing.T) {
	t.Parallel()
	h := sdktest.New(t, plugin())
	linked(h)
	linked(h)
	for _, x := range []*sdktest.Exchange{
		sdktest.Invoke(h, api.Drop, ofOrders),
		sdktest.Invoke(h, api.Import, api.ImportRequest{TableRequest: ofOrders, FileID: "7"}),
	} {
		var e *sdk.Error
		if err := x.Err(); !errors.Is(err, sdk.ErrDenied) || !errors.As(err, &e) || e.Driver != 2007 || e.Meta["sourceProject"] != "7" {
			t.Errorf("%s: %v", x.Command, err)
		}
	}
}

// Whoever links a bucket between the look of a handler and its Unit is found out there.
func TestEveryUnitAsksForALink(t *testing.T) {
	t.Parallel()
	h := sdktest.New(t, plugin())
	create := sdktest.Invoke(h, api.Create, api.CreateRequest{Bucket: "in.c-main", Name: "orders", Columns: bare("id")})
	h.OnQuery(isView, object{"view": "orders"})
	drop := sdktest.Invoke(h, api.Drop, ofOrders)
	for _, x := range []*sdktest.Exchange{create, drop} {
		require := x.Result.GetUnit().GetRequire()
		if len(require) == 0 || !strings.Contains(require[0].GetStatement().GetSql(), "__storage.links") || require[0].GetOtherwise().GetDriverCode() != 2007 {
			t.Errorf("%s requires %v", x.Command, require)
		}
	}
}

// A page shows its own tables and linked ones in their order, and none that its source
// has lost.
func TestListWithLinks(t *testing.T) {
	t.Parallel()
	h := sdktest.New(t, plugin())
	h.OnQuery(objects,
		object{"bucket": "a", "name": "t", "type": "TABLE"},
		object{"bucket": "l", "name": "lost", "type": "VIEW", "link": ofSeven()},
		object{"bucket": "l", "name": "t", "type": "VIEW", "link": ofSeven()},
		object{"bucket": "z", "name": "t", "type": "TABLE"})
	h.OnQuery(attached, object{"database_name": "project_7_main"})
	h.OnQuery(sources, object{"i": 1, "type": "TABLE"})
	h.OnQuery(describes, api.Table{Name: "t", Bucket: "a"}, api.Table{Name: "t", Bucket: "l"}, api.Table{Name: "t", Bucket: "z"})
	sdktest.Golden(t, "list_links", sdktest.Invoke(h, api.List, api.ListRequest{}))
}

// A view that cannot be read is shown as such, and hides no other table.
func TestListWithABrokenView(t *testing.T) {
	t.Parallel()
	h := sdktest.New(t, plugin())
	h.OnQuery(objects, object{"bucket": "a", "name": "t", "type": "TABLE"}, object{"bucket": "a", "name": "v", "type": "VIEW"}, object{"bucket": "a", "name": "x", "type": "TABLE"})
	gone := sdk.ErrTableNotFound.Errorf("Table with name y does not exist!")
	h.Fail("Query", describes, gone)                        // all
	h.OnQuery(describes, api.Table{Name: "t", Bucket: "a"}) // the first half
	h.Fail("Query", describes, gone)                        // the second
	h.Fail("Query", describes, gone)                        // the view
	h.Fail("Query", describes, gone)                        // the table, dropped meanwhile
	got := sdktest.Answer[api.ListResponse](t, sdktest.Invoke(h, api.List, api.ListRequest{}))
	if len(got.Items) != 2 || got.Items[1].Name != "v" || !strings.Contains(got.Items[1].ReadError, "name y") {
		t.Errorf("%+v", got.Items)
	}
}

func TestInfoOfABrokenView(t *testing.T) {
	t.Parallel()
	h := sdktest.New(t, plugin())
	h.OnQuery(isView, object{"view": "orders"})
	h.Fail("Query", describes, sdk.ErrBucketNotFound.Errorf("schema y does not exist"))
	got := sdktest.Answer[api.Table](t, sdktest.Invoke(h, api.Info, ofOrders))
	if got.Type != "VIEW" || got.ReadError != "schema y does not exist" {
		t.Errorf("%+v", got)
	}
	h.OnQuery(isView, object{"view": "orders"})
	h.Fail("Query", describes, sdk.ErrDenied.Errorf("not with this key"))
	if err := sdktest.Invoke(h, api.Info, ofOrders).Err(); !errors.Is(err, sdk.ErrDenied) {
		t.Errorf("%v, want denied", err)
	}
}
