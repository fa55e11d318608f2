package tables_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/keboola/duckdb-storage/plugins/tables/api"
	"github.com/keboola/duckdb-storage/sdk"
	"github.com/keboola/duckdb-storage/sdk/sdktest"
)

func registered(name string) sdk.FileInfo {
	return sdk.FileInfo{ID: "7", Name: name, State: sdk.FileRegistered, HostPath: "/data/files/project_demo/2026/01/02/7-" + name}
}

// importing is a host that answers what an import looks at first.
func importing(t *testing.T, table object, f sdk.FileInfo) *sdktest.Host {
	h := sdktest.New(t, plugin())
	h.OnQuery(isView)
	h.OnQuery(columns, table)
	h.OnGetFile("7", f)
	return h
}

// header answers with the first lines of a file.
func header(h *sdktest.Host, text ...string) {
	var rows []any
	for _, line := range text {
		rows = append(rows, object{"text": line})
	}
	h.OnQuery(lines, rows...)
}

func TestImport(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		table  object
		file   string
		in     api.ImportRequest
		header string // empty when the request has columns
	}{
		"header":        {orders(), "orders.csv", api.ImportRequest{}, "id,name,price"},
		"columns":       {orders(), "orders.csv", api.ImportRequest{Columns: []string{"price", "id"}}, ""},
		"ignored_lines": {orders(), "orders.csv", api.ImportRequest{Columns: []string{"price", "id"}, CSV: api.CSVOptions{IgnoredLines: 1}}, "Price,ID"},
		"key":           {keyed(), "orders.csv", api.ImportRequest{}, "id,name"},
		"string_table":  {stringTable(), "orders.csv", api.ImportRequest{}, `id,"odd""name"`},
		"own_timestamp": {stringTable(), "orders.csv", api.ImportRequest{Columns: []string{"id", "_timestamp"}}, ""},
		"dialect": {orders(), "it's;.csv.gz", api.ImportRequest{
			Format: "csv", CSV: api.CSVOptions{Delimiter: "\t", Enclosure: ptr("'"), Compression: "gzip"}, Options: api.ImportOptions{ImportType: api.Full},
		}, "id\t'name'"},
		"no_enclosure": {orders(), "orders.csv", api.ImportRequest{CSV: api.CSVOptions{Delimiter: ";", Enclosure: ptr(""), Compression: "none"}}, "id;name"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := importing(t, tt.table, registered(tt.file))
			if tt.header != "" {
				header(h, tt.header, "1,x")
			}
			tt.in.TableRequest, tt.in.FileID = ofOrders, "7"
			sdktest.Golden(t, "import_"+name, sdktest.Invoke(h, api.Import, tt.in))
		})
	}
}

// A large file is loaded into a table that takes the place of the old one, unless
// the old one is more than its columns.
func TestImportLarge(t *testing.T) {
	t.Parallel()
	large := registered("orders.csv")
	large.SizeBytes = 4 << 20
	odd := orders()
	odd["columns"] = []object{{"name": "id", "type": "BIGINT", "dflt_value": "nextval('ids')"}}
	for name, tt := range map[string]struct {
		table    object
		asked    bool // whether the table is plain
		plain    []any
		replaced bool
	}{
		"plain":       {stringTable(), true, []any{object{"schema_name": "in.c-main", "table_name": "Orders"}}, true},
		"key":         {keyed(), true, []any{object{"schema_name": "in.c-main", "table_name": "Orders"}}, true},
		"not_plain":   {stringTable(), true, nil, false},
		"odd default": {odd, false, nil, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := importing(t, tt.table, large)
			if tt.asked {
				h.OnQuery(isPlain, tt.plain...)
			}
			x := sdktest.Invoke(h, api.Import, api.ImportRequest{TableRequest: ofOrders, FileID: "7", Columns: []string{"id"}})
			if got := len(x.Result.GetUnit().GetStage()) > 0; x.Err() != nil || got != tt.replaced {
				t.Fatalf("replaced: %v, %v", got, x.Err())
			}
			if tt.replaced {
				sdktest.Golden(t, "import_large_"+name, x)
			}
		})
	}
}

// The names of the header are what the plan imports.
func TestImportHeader(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		options api.CSVOptions
		lines   []string
		want    []string
	}{
		"plain":            {api.CSVOptions{}, []string{"id,name", "1,2"}, []string{"id", "name"}},
		"order":            {api.CSVOptions{}, []string{"price,id"}, []string{"price", "id"}},
		"carriage return":  {api.CSVOptions{}, []string{"id,name\r", "1,2\r"}, []string{"id", "name"}},
		"byte order mark":  {api.CSVOptions{}, []string{"\ufeffid,name"}, []string{"id", "name"}},
		"quoted":           {api.CSVOptions{}, []string{`"id","name"`}, []string{"id", "name"}},
		"mark and quotes":  {api.CSVOptions{}, []string{"\ufeff\"id\",\"name\""}, []string{"id", "name"}},
		"other quotes":     {api.CSVOptions{Enclosure: ptr("'")}, []string{"'id',name"}, []string{"id", "name"}},
		"other delimiter":  {api.CSVOptions{Delimiter: "|"}, []string{"id|name"}, []string{"id", "name"}},
		"ignored lines":    {api.CSVOptions{IgnoredLines: 2}, []string{"\ufeff\"made\",by", "", "id,name", "1,2"}, []string{"id", "name"}},
		"quotes are texts": {api.CSVOptions{Enclosure: ptr(""), Delimiter: ";"}, []string{"id;name"}, []string{"id", "name"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := importing(t, orders(), registered("orders.csv"))
			header(h, tt.lines...)
			x := sdktest.Invoke(h, api.Import, api.ImportRequest{TableRequest: ofOrders, FileID: "7", CSV: tt.options})
			if x.Err() != nil {
				t.Fatal(x.Err())
			}
			answer := x.Result.GetUnit().GetAnswer().GetArgs()
			var got []string
			for _, a := range answer[len(answer)-1-len(tt.want) : len(answer)-1] { // before the timer
				got = append(got, a.GetText())
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("imported columns (-want +got):\n%s", diff)
			}
		})
	}
}

// Only a header with a line break in a name needs more than its first line.
func TestImportHeaderOfTwoLines(t *testing.T) {
	t.Parallel()
	table := object{"columns": []object{{"name": "a\nb", "type": "VARCHAR"}}, "primary_key": []string{}, "is_typed": true}
	h := importing(t, table, registered("orders.csv"))
	header(h, `"a`)
	header(h, `"a`, `b"`, "1")
	x := sdktest.Invoke(h, api.Import, api.ImportRequest{TableRequest: ofOrders, FileID: "7"})
	if x.Err() != nil {
		t.Fatal(x.Err())
	}
	if limits := fmt.Sprint(x.Callbacks); !strings.Contains(limits, "integer:1") || !strings.Contains(limits, "integer:20") {
		t.Errorf("it asks for %s", limits)
	}
}

func TestImportRefusesHeader(t *testing.T) {
	t.Parallel()
	open := make([]string, 20)
	for i := range open {
		open[i] = "x"
	}
	open[0] = `id,"name`
	for name, tt := range map[string]struct {
		table object
		lines []string
		code  sdk.Code
	}{
		"empty file":     {orders(), nil, api.ErrNoColumns},
		"open quote":     {orders(), open, sdk.ErrCSV},
		"unknown column": {orders(), []string{"id,none"}, api.ErrColumns},
		"other case":     {orders(), []string{"ID"}, api.ErrColumns},
		"twice":          {orders(), []string{"id,id"}, api.ErrDuplicateName},
		"empty name":     {orders(), []string{"id,"}, api.ErrColumns},
		"empty line":     {orders(), []string{"", "id"}, api.ErrColumns},
		"spaces":         {orders(), []string{"id, name"}, api.ErrColumns},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := importing(t, tt.table, registered("orders.csv"))
			header(h, tt.lines...)
			if tt.code == sdk.ErrCSV { // it looks whether the quote is closed in a later line
				header(h, tt.lines...)
			}
			x := sdktest.Invoke(h, api.Import, api.ImportRequest{TableRequest: ofOrders, FileID: "7"})
			if !errors.Is(x.Err(), tt.code) {
				t.Errorf("%v, want %s", x.Err(), tt.code.Slug)
			}
		})
	}
}

// An ignored line must not hide the rows after it.
func TestImportRefusesIgnoredLines(t *testing.T) {
	t.Parallel()
	for _, line := range []string{`"made`, `made, "by`, `"made"by"`, `"made" by`} {
		for _, columns := range [][]string{nil, {"id"}} {
			h := importing(t, orders(), registered("orders.csv"))
			header(h, "plain", line, "id", "1")
			x := sdktest.Invoke(h, api.Import, api.ImportRequest{TableRequest: ofOrders, FileID: "7", Columns: columns, CSV: api.CSVOptions{IgnoredLines: 2}})
			var e *sdk.Error
			if !errors.Is(x.Err(), sdk.ErrCSV) || !errors.As(x.Err(), &e) || e.Meta["row"] != "2" {
				t.Errorf("%s: %v, want row 2 refused", line, x.Err())
			}
		}
	}
}

// What is wrong with the request itself is found before anything is looked at.
func TestImportRefusesOptions(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		options api.CSVOptions
		pointer string
	}{
		{api.CSVOptions{Delimiter: "ab"}, "/csv/delimiter"},
		{api.CSVOptions{Delimiter: "\n"}, "/csv/delimiter"},
		{api.CSVOptions{Delimiter: "\r"}, "/csv/delimiter"},
		{api.CSVOptions{Delimiter: "§"}, "/csv/delimiter"},
		{api.CSVOptions{Enclosure: ptr("''")}, "/csv/enclosure"},
		{api.CSVOptions{Enclosure: ptr("§")}, "/csv/enclosure"},
		{api.CSVOptions{Enclosure: ptr(",")}, "/csv/enclosure"},
		{api.CSVOptions{Delimiter: `"`}, "/csv/enclosure"},
		{api.CSVOptions{IgnoredLines: -1}, "/csv/ignoredLines"},
		{api.CSVOptions{IgnoredLines: 981}, "/csv/ignoredLines"},
	} {
		x := sdktest.Invoke(sdktest.New(t, plugin()), api.Import, api.ImportRequest{TableRequest: ofOrders, FileID: "7", CSV: tt.options})
		var e *sdk.Error
		if !errors.Is(x.Err(), api.ErrCSVParams) || !errors.As(x.Err(), &e) || e.Pointer != tt.pointer {
			t.Errorf("%+v: %#v, want one at %s", tt.options, x.Err(), tt.pointer)
		}
	}
	incremental := api.ImportRequest{TableRequest: ofOrders, FileID: "7", Options: api.ImportOptions{ImportType: api.Incremental}}
	if err := sdktest.Invoke(sdktest.New(t, plugin()), api.Import, incremental).Err(); !errors.Is(err, sdk.ErrUnsupported) {
		t.Errorf("incremental: %v", err)
	}
	for _, part := range []string{`"format":"parquet"`, `"csv":{"compression":"zip"}`, `"csv":{"quote":"x"}`, `"options":{"importType":"partial"}`, `"columns":"id"`} {
		input := fmt.Sprintf(`{"schema":"b","table":"t","fileId":"7",%s}`, part)
		if err := sdktest.New(t, plugin()).InvokeJSON("tables.ImportFile", input).Err(); !errors.Is(err, sdk.ErrMalformed) {
			t.Errorf("%s: %v, want malformed", part, err)
		}
	}
}

func TestImportRefusesColumns(t *testing.T) {
	t.Parallel()
	for columns, code := range map[string]sdk.Code{
		`[]`: api.ErrNoColumns, `["none"]`: api.ErrColumns, `["ID"]`: api.ErrColumns, `["id","id"]`: api.ErrDuplicateName,
	} {
		h := importing(t, orders(), registered("orders.csv"))
		x := h.InvokeJSON("tables.ImportFile", `{"schema":"in.c-main","table":"orders","fileId":"7","columns":`+columns+`}`)
		if !errors.Is(x.Err(), code) {
			t.Errorf("%s: %v, want %s", columns, x.Err(), code.Slug)
		}
	}
}

func TestImportRefusesFile(t *testing.T) {
	t.Parallel()
	for _, state := range []string{sdk.FilePrepared, sdk.FileUploaded} {
		f := registered("orders.csv")
		f.State = state
		x := sdktest.Invoke(importing(t, orders(), f), api.Import, api.ImportRequest{TableRequest: ofOrders, FileID: "7"})
		if !errors.Is(x.Err(), api.ErrNoContent) {
			t.Errorf("%s: %v, want no content", state, x.Err())
		}
	}
	h := sdktest.New(t, plugin())
	h.OnQuery(isView)
	h.OnQuery(columns, orders())
	h.Fail("GetFile", "7", sdk.ErrFileNotFound.Errorf("file %q does not exist", "7"))
	if err := sdktest.Invoke(h, api.Import, api.ImportRequest{TableRequest: ofOrders, FileID: "7"}).Err(); !errors.Is(err, sdk.ErrFileNotFound) {
		t.Errorf("no file: %v", err)
	}
}

func TestImportRefusesViews(t *testing.T) {
	t.Parallel()
	h := sdktest.New(t, plugin())
	h.OnQuery(isView, object{"view": "orders"})
	if err := sdktest.Invoke(h, api.Import, api.ImportRequest{TableRequest: ofOrders, FileID: "7"}).Err(); !errors.Is(err, sdk.ErrInvalid) {
		t.Errorf("a view: %v", err)
	}
}
