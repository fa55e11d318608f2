package tables_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/keboola/duckdb-storage/plugins/tables/api"
	"github.com/keboola/duckdb-storage/sdk"
	"github.com/keboola/duckdb-storage/sdk/sdktest"
)

func bare(names ...string) (out []api.ColumnSpec) {
	for _, n := range names {
		out = append(out, api.ColumnSpec{Bare: true, Name: sdk.Name(n)})
	}
	return out
}

func TestCreate(t *testing.T) {
	t.Parallel()
	h := sdktest.New(t, plugin())
	for name, in := range map[string]api.CreateRequest{
		"string": {Bucket: "in.c-main", Name: `odd"name`, Columns: bare("id", "it's"), PrimaryKey: []string{"id"}},
		"typed": {Bucket: "in.c-main", Name: "orders", PrimaryKey: []string{"id", "name"}, Columns: []api.ColumnSpec{
			{Name: "id", Type: "INTEGER"},
			{Name: "name", Type: "string", Length: "20", Nullable: ptr(false), Default: ptr("it's")},
			{Name: "price", Type: "NUMERIC", Length: "12,2", Default: ptr("0")},
			{Name: "day", Type: "DATE", Default: ptr("2026-01-02")},
			{Name: "at", Type: "TIMESTAMP", Default: ptr("CURRENT_TIMESTAMP")},
		}},
	} {
		sdktest.Golden(t, "create_"+name, sdktest.Invoke(h, api.Create, in))
	}
}

func TestCreateRefuses(t *testing.T) {
	t.Parallel()
	id := api.ColumnSpec{Name: "id", Type: "INTEGER"}
	for name, tt := range map[string]struct {
		in      api.CreateRequest
		code    sdk.Code
		pointer string
	}{
		"no columns":              {api.CreateRequest{Columns: []api.ColumnSpec{}}, api.ErrNoColumns, "/columns"},
		"null columns":            {api.CreateRequest{}, api.ErrNoColumns, "/columns"},
		"reserved bucket":         {api.CreateRequest{Bucket: "__storage", Columns: bare("id")}, sdk.ErrBucketNotFound, ""},
		"bare and typed":          {api.CreateRequest{Columns: append(bare("a"), id)}, sdk.ErrInvalid, "/columns/1"},
		"typed and bare":          {api.CreateRequest{Columns: append([]api.ColumnSpec{id}, bare("a")...)}, sdk.ErrInvalid, "/columns/1"},
		"same name":               {api.CreateRequest{Columns: bare("a", "b", "a")}, api.ErrDuplicateName, "/columns/2"},
		"same name in other case": {api.CreateRequest{Columns: bare("a", "A")}, api.ErrDuplicateName, "/columns/1"},
		"key is no column":        {api.CreateRequest{Columns: bare("a"), PrimaryKey: []string{"b"}}, sdk.ErrInvalid, "/primaryKey/0"},
		"key in other case":       {api.CreateRequest{Columns: bare("a"), PrimaryKey: []string{"A"}}, sdk.ErrInvalid, "/primaryKey/0"},
		"key twice":               {api.CreateRequest{Columns: bare("a"), PrimaryKey: []string{"a", "a"}}, sdk.ErrInvalid, "/primaryKey/1"},
		"key is nullable": {api.CreateRequest{PrimaryKey: []string{"id"}, Columns: []api.ColumnSpec{{Name: "id", Type: "INTEGER", Nullable: ptr(true)}}},
			sdk.ErrInvalid, "/primaryKey/0"},
		"key is a float":  {api.CreateRequest{PrimaryKey: []string{"f"}, Columns: []api.ColumnSpec{{Name: "f", Type: "FLOAT"}}}, sdk.ErrInvalid, "/primaryKey/0"},
		"key is the time": {api.CreateRequest{PrimaryKey: []string{"_timestamp"}, Columns: bare("a")}, sdk.ErrInvalid, "/primaryKey/0"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if tt.in.Bucket == "" {
				tt.in.Bucket = "in.c-main"
			}
			tt.in.Name = "t"
			err := sdktest.Invoke(sdktest.New(t, plugin()), api.Create, tt.in).Err()
			var e *sdk.Error
			if !errors.Is(err, tt.code) || !errors.As(err, &e) || e.Pointer != tt.pointer {
				t.Errorf("%#v, want %s at %q", err, tt.code.Slug, tt.pointer)
			}
		})
	}
}

// TestTypes shows what becomes of a column: its definition in the golden file, or
// the reason why it is refused.
func TestTypes(t *testing.T) {
	t.Parallel()
	var text strings.Builder
	for _, c := range typeCases() {
		h := sdktest.New(t, plugin())
		x := sdktest.Invoke(h, api.Create, api.CreateRequest{Bucket: "b", Name: "t", Columns: []api.ColumnSpec{c}})
		spec := fmt.Sprintf("%s(%s)", c.Type, c.Length)
		if c.Default != nil {
			spec += fmt.Sprintf(" default %q", *c.Default)
		}
		var e *sdk.Error
		if errors.As(x.Err(), &e) {
			fmt.Fprintf(&text, "%-40s refused at %s: %s\n", spec, e.Pointer, e.Detail)
			continue
		}
		_, definition, _ := strings.Cut(x.Result.GetUnit().GetStatements()[0].GetSql(), "(")
		fmt.Fprintf(&text, "%-40s %s\n", spec, strings.TrimSuffix(definition, ")"))
		for _, r := range x.Result.GetUnit().GetRequire() {
			fmt.Fprintf(&text, "%40s checked with %s\n", "", r.GetStatement().GetSql())
		}
		for _, s := range x.Result.GetUnit().GetStatements() {
			if strings.Contains(s.GetSql(), "INSERT INTO __storage.column_lengths") {
				fmt.Fprintf(&text, "%40s length kept: %d\n", "", s.GetArgs()[3].GetInteger())
			}
		}
	}
	sdktest.Golden(t, "types", &text)
}

func typeCases() (out []api.ColumnSpec) {
	for _, name := range strings.Split("STRING INTEGER NUMERIC FLOAT BOOLEAN DATE TIMESTAMP VARCHAR TEXT TINYINT SMALLINT INT4 BIGINT HUGEINT "+
		"UTINYINT USMALLINT UINTEGER UBIGINT UHUGEINT DECIMAL REAL DOUBLE BLOB TIME TIMESTAMPTZ INTERVAL UUID JSON string STRUCT INTEGER[] NULL", " ") {
		out = append(out, api.ColumnSpec{Name: "c", Type: name})
	}
	out = append(out, api.ColumnSpec{Name: "c", Type: "timestamp with time zone"}, api.ColumnSpec{Name: "c", Type: " integer "},
		api.ColumnSpec{Name: "c", Type: ""}, api.ColumnSpec{Name: "c", Type: "INTEGER; DROP TABLE t"})
	for _, tt := range [][2]string{
		{"STRING", "1"}, {"STRING", "255"}, {"STRING", "0"}, {"STRING", "-1"}, {"STRING", "max"}, {"STRING", "999999999"}, {"STRING", "1000000000"}, {"STRING", " 5"},
		{"NUMERIC", "38"}, {"NUMERIC", "38,9"}, {"NUMERIC", "38, 9"}, {"NUMERIC", "1,1"}, {"NUMERIC", "0"}, {"NUMERIC", "39"}, {"NUMERIC", "5,6"},
		{"NUMERIC", "5,"}, {"NUMERIC", "-5"}, {"NUMERIC", "99999999999999999999,1"}, {"NUMERIC", "5,99999999999999999999"},
		{"INTEGER", "5"}, {"DATE", "1"},
	} {
		out = append(out, api.ColumnSpec{Name: "c", Type: tt[0], Length: tt[1]})
	}
	for _, tt := range [][2]string{
		{"STRING", ""}, {"STRING", "it's"}, {"STRING", "CURRENT_TIMESTAMP"}, {"BOOLEAN", "true"}, {"BOOLEAN", "FALSE"}, {"BOOLEAN", "1"}, {"BOOLEAN", "0"}, {"BOOLEAN", "yes"},
		{"INTEGER", "1"}, {"INTEGER", "-1"}, {"INTEGER", "1.5"}, {"INTEGER", "1e3"}, {"INTEGER", "one"}, {"INTEGER", ""}, {"INTEGER", "1; DROP TABLE t"}, {"INTEGER", "1\n"},
		{"FLOAT", ".5"}, {"FLOAT", "5."}, {"FLOAT", "."}, {"FLOAT", "nan"}, {"NUMERIC", "1.5"},
		{"DATE", "2026-01-02"}, {"DATE", "current_timestamp"}, {"TIME", "CURRENT_TIMESTAMP"}, {"TIMESTAMP", "CURRENT_TIMESTAMP"}, {"TIMESTAMPTZ", "CURRENT_TIMESTAMP"},
		{"JSON", "{}"}, {"UUID", "x"}, {"BLOB", "x"},
	} {
		out = append(out, api.ColumnSpec{Name: "c", Type: tt[0], Default: ptr(tt[1])})
	}
	return out
}

// The schema knows both forms of a column, and refuses others.
func TestColumnForms(t *testing.T) {
	t.Parallel()
	for _, column := range []string{`1`, `null`, `""`, `"a/b"`, `{}`, `{"name":"a"}`, `{"name":"a","type":"STRING","more":1}`, `{"name":"","type":"STRING"}`, `[]`} {
		x := sdktest.New(t, plugin()).InvokeJSON("tables.Create", fmt.Sprintf(`{"bucket":"b","name":"t","columns":[%s]}`, column))
		if err := x.Err(); !errors.Is(err, sdk.ErrMalformed) {
			t.Errorf("%s: %v, want malformed", column, err)
		}
	}
}
