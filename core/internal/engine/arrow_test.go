package engine_test

import (
	"encoding/csv"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/ipc"
	"github.com/google/go-cmp/cmp"

	"github.com/keboola/duckdb-storage/core/internal/engine"
	"github.com/keboola/duckdb-storage/sdk/sql"
)

// values are one of each type: as CSV has it, as Arrow has it (empty: the same
// text) and the type in Arrow.
var values = []struct{ value, csv, arrow, arrowType string }{
	{"true", "true", "", "bool"},
	{"(-128)::TINYINT", "-128", "", "int8"},
	{"(-32768)::SMALLINT", "-32768", "", "int16"},
	{"(-2147483648)::INTEGER", "-2147483648", "", "int32"},
	{"(-9223372036854775808)::BIGINT", "-9223372036854775808", "", "int64"},
	{"255::UTINYINT", "255", "", "uint8"},
	{"65535::USMALLINT", "65535", "", "uint16"},
	{"4294967295::UINTEGER", "4294967295", "", "uint32"},
	{"18446744073709551615::UBIGINT", "18446744073709551615", "", "uint64"},
	{"170141183460469231731687303715884105727::HUGEINT", "170141183460469231731687303715884105727", "", "utf8"},
	{"(-170141183460469231731687303715884105727)::HUGEINT", "-170141183460469231731687303715884105727", "", "utf8"},
	{"340282366920938463463374607431768211455::UHUGEINT", "340282366920938463463374607431768211455", "", "utf8"},
	{"'123456789012345678901234567890123456789012'::BIGNUM", "123456789012345678901234567890123456789012", "", "utf8"},
	{"(-12.3)::DECIMAL(4,1)", "-12.3", "", "decimal(4, 1)"},
	{"1234567.89::DECIMAL(9,2)", "1234567.89", "", "decimal(9, 2)"},
	{"12345678901.234567::DECIMAL(18,6)", "12345678901.234567", "", "decimal(18, 6)"},
	{"99999999999999999999999999999999999.999::DECIMAL(38,3)", "99999999999999999999999999999999999.999", "", "decimal(38, 3)"},
	{"0.5::FLOAT", "0.5", "", "float32"},
	{"0.1::DOUBLE", "0.1", "", "float64"},
	{"'nan'::DOUBLE", "nan", "NaN", "float64"},
	{"'-inf'::DOUBLE", "-inf", "-Inf", "float64"},
	{"DATE '1969-12-31'", "1969-12-31", "", "date32"},
	{"TIME '23:59:59.000001'", "23:59:59.000001", "", "time64[us]"},
	{"TIMETZ '01:02:03+02'", "01:02:03+02", "", "utf8"},
	{"TIMESTAMP '2026-01-02 03:04:05.000006'", "2026-01-02 03:04:05.000006", "2026-01-02T03:04:05.000006Z", "timestamp[us]"},
	{"TIMESTAMPTZ '2026-01-02 03:04:05+02'", "2026-01-02 01:04:05+00", "2026-01-02T01:04:05Z", "timestamp[us, tz=UTC]"},
	{"TIMESTAMP_S '2026-01-02 03:04:05'", "2026-01-02 03:04:05", "2026-01-02T03:04:05Z", "timestamp[s]"},
	{"TIMESTAMP_MS '2026-01-02 03:04:05.006'", "2026-01-02 03:04:05.006", "2026-01-02T03:04:05.006Z", "timestamp[ms]"},
	{"TIMESTAMP_NS '2026-01-02 03:04:05.123456789'", "2026-01-02 03:04:05.123456789", "2026-01-02T03:04:05.123456789Z", "timestamp[ns]"},
	{"INTERVAL '1 month 2 days 3.000001 seconds'", "1 month 2 days 00:00:03.000001", `{"months":1,"days":2,"nanoseconds":3000001000}`, "month_day_nano_interval"},
	{"'6ccd780c-baba-1026-9564-5b8c656024db'::UUID", "6ccd780c-baba-1026-9564-5b8c656024db", "", "utf8"},
	{"'101'::BIT", "101", "", "utf8"},
	{`'\x00\xFFa'::BLOB`, `\x00\xFFa`, "AP9h", "binary"},
	{"''", "", "", "utf8"},
	{"'é,\"' || chr(10) || '\U0001F986' || chr(0) || 'x'", "é,\"\n\U0001F986\x00x", "", "utf8"},
	{"repeat('long ', 100)", strings.Repeat("long ", 100), "", "utf8"},
	{"'b'::mood", "b", "", "utf8"},
	{"'{\"j\": 1}'::JSON", `{"j": 1}`, "", "utf8"},
	{"[1, NULL, 3]", "[1, NULL, 3]", "[1,null,3]", "list<l: int32, nullable>"},
	{"[[1], []]", "[[1], []]", "[[1],[]]", "list<l: list<l: int32, nullable>, nullable>"},
	{"[1, 2]::INTEGER[2]", "[1, 2]", "[1,2]", "fixed_size_list<: int32, nullable>[2]"},
	{"{'a': 1, 'b': 'x'}", "{'a': 1, 'b': x}", `{"a":1,"b":"x"}`, "struct<a: int32, b: utf8>"},
	{"MAP {'k': 1}", "{k=1}", `[{"key":"k","value":1}]`, "map<utf8, int32, items_nullable>"},
	{"[170141183460469231731687303715884105727::HUGEINT]", "[170141183460469231731687303715884105727]", "", "utf8"},
	{"{'m': 'a'::mood}", "{'m': a}", "", "utf8"},
	{"union_value(n := 1)", "1", "", "utf8"},
}

func TestArrowHasTheValuesOfCSV(t *testing.T) {
	t.Parallel()
	s := open(t).session(t)
	exec(t, s, "CREATE TYPE mood AS ENUM ('a', 'b')")
	for _, v := range values {
		// The value, then no value of its type.
		query := sql.Raw("SELECT " + v.value + " AS x UNION ALL SELECT NULL")
		text := stream(t, s, engine.Result{Statement: query, Format: engine.CSV})
		if rows, err := csv.NewReader(strings.NewReader(text)).ReadAll(); err != nil || rows[1][0] != v.csv {
			t.Errorf("%s: CSV has %q, %v; want %q", v.value, text, err, v.csv)
		}
		if v.arrow == "" {
			v.arrow = v.csv
		}
		r, err := ipc.NewReader(strings.NewReader(stream(t, s, engine.Result{Statement: query, Format: engine.Arrow})))
		if err != nil {
			t.Fatal(err)
		}
		if f := r.Schema().Field(0); f.Name != "x" || f.Type.String() != v.arrowType {
			t.Errorf("%s: the column in Arrow is %s, want x of type %s", v.value, f, v.arrowType)
		}
		if got, want := arrowTexts(t, r), []string{v.arrow, array.NullValueStr}; !cmp.Equal(got, want) {
			t.Errorf("%s: Arrow has %q, want %q", v.value, got, want)
		}
		r.Release()
	}
}

// arrowTexts returns the first column.
func arrowTexts(t *testing.T, r *ipc.Reader) (out []string) {
	t.Helper()
	for r.Next() {
		column := r.RecordBatch().Column(0)
		for i := range column.Len() {
			out = append(out, column.ValueStr(i))
		}
	}
	if err := r.Err(); err != nil {
		t.Fatal(err)
	}
	return out
}

// Parquet must not make doubles of large integers, nor lose parts of times.
func TestParquetLosesNoValue(t *testing.T) {
	t.Parallel()
	f := open(t)
	s := f.session(t)
	exec(t, s, "CREATE TYPE mood AS ENUM ('a', 'b')")
	for i, v := range values {
		path := filepath.Join(f.layout.Files("1"), fmt.Sprint(i, ".parquet")) // DuckDB keeps what it knows of a path
		body := stream(t, s, engine.Result{Statement: sql.Raw("SELECT " + v.value + " AS x UNION ALL SELECT NULL"), Format: engine.Parquet})
		if err := os.WriteFile(path, []byte(body), 0o600); err != nil {
			t.Fatal(err)
		}
		text := stream(t, s, engine.Result{Statement: sql.New("FROM read_parquet(?)", sql.Literal(path)), Format: engine.CSV})
		if rows, err := csv.NewReader(strings.NewReader(text)).ReadAll(); err != nil || rows[1][0] != v.csv {
			t.Errorf("%s: it came back as %q, %v; want %q", v.value, text, err, v.csv)
		}
	}
}

func TestArrowOfManyRowsIsInOrder(t *testing.T) {
	t.Parallel()
	f := open(t)
	const n = 300_000
	for _, tc := range []struct {
		rows, want uint64
	}{{0, n}, {2049, 2049}} {
		s := f.session(t)
		body, err := s.Stream(engine.Result{
			Statement: sql.New("SELECT a, repeat('x', 100) AS b, a FROM range(?) AS r(a)", n), Format: engine.Arrow, MaxRows: tc.rows,
		})
		if err != nil {
			t.Fatal(err)
		}
		r, err := ipc.NewReader(body)
		if err != nil {
			t.Fatal(err)
		}
		next := int64(0)
		for r.Next() {
			for _, a := range r.RecordBatch().Column(0).(*array.Int64).Int64Values() {
				if a != next {
					t.Fatalf("row %d has %d", next, a)
				}
				next++
			}
		}
		if r.Err() != nil || uint64(next) != tc.want {
			t.Errorf("%d rows, %v; want %d", next, r.Err(), tc.want)
		}
		if got := fmt.Sprint(r.Schema().Field(0).Name, r.Schema().Field(1).Name, r.Schema().Field(2).Name); got != "aba_1" {
			t.Errorf("the columns are %s", got)
		}
		r.Release()
		body.Close()
	}
}

func TestArrowWithoutRowsHasColumns(t *testing.T) {
	t.Parallel()
	s := open(t).session(t)
	r, err := ipc.NewReader(strings.NewReader(stream(t, s, engine.Result{Statement: sql.Raw("SELECT 1 AS a, 'x' AS b WHERE false"), Format: engine.Arrow})))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Release()
	if r.Schema().NumFields() != 2 || r.Next() || r.Err() != nil {
		t.Errorf("got %v, %v", r.Schema(), r.Err())
	}
}
