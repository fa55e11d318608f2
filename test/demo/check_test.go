package main

import (
	"bytes"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const testRows = 300

var (
	typed = table{name: "orders", typed: true}
	texts = table{name: "orders_text"}
)

func want(id int64) order { return makeOrder(1, id) }

// compare runs the comparer over text.
func compare(t *testing.T, text string) error {
	t.Helper()
	c := newChecker(typed, testRows, want)
	if err := readRows(strings.NewReader(text), c.row); err != nil {
		return err
	}
	return c.done()
}

func sourceText(t *testing.T) string {
	t.Helper()
	var out bytes.Buffer
	if err := writeOrders(&out, 1, testRows); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func TestCheckerAcceptsTheSource(t *testing.T) {
	t.Parallel()
	if err := compare(t, sourceText(t)); err != nil {
		t.Error(err)
	}
}

func TestCheckerFindsPlantedDifferences(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name  string
		plant func(rows [][]field) [][]field
		want  string
	}{
		{"value", func(r [][]field) [][]field { r[6][3].text += "!"; return r }, "row 7, column customer: got"},
		{"cent", func(r [][]field) [][]field { r[6][2].text = decimal(want(7).cents + 1); return r }, "row 7, column amount: got"},
		{"NULL becomes empty", func(r [][]field) [][]field { r[nullNote(true)][4] = field{}; return r }, `column note: got "", want NULL`},
		{"text becomes NULL", func(r [][]field) [][]field { r[nullNote(false)][4] = field{null: true}; return r }, "column note: got NULL, want"},
		{"microsecond", func(r [][]field) [][]field { r[6][6].text = "2024-01-01 00:00:00.000001"; return r }, "row 7, column ordered_at: got"},
		{"last digit of a double", func(r [][]field) [][]field { r[6][7].text += "1"; return r }, "row 7, column weight: got"},
		{"missing row", func(r [][]field) [][]field { return r[1:] }, "row 1 is missing"},
		{"row twice", func(r [][]field) [][]field { return append(r, r[4]) }, "row 5 came twice"},
		{"row too many", func(r [][]field) [][]field {
			return append(r, makeOrder(1, testRows+1).fields())
		}, "a row has id \"301\", want 1 to 300"},
		{"field too few", func(r [][]field) [][]field { r[0] = r[0][1:]; return r }, "a row has 7 fields, want 8"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			var rows [][]field
			for id := int64(1); id <= testRows; id++ {
				rows = append(rows, want(id).fields())
			}
			c := newChecker(typed, testRows, want)
			for _, row := range tc.plant(rows) {
				c.row(row)
			}
			if err := c.done(); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want %q", err, tc.want)
			}
		})
	}
}

// nullNote finds a row, counted from 0, whose note is NULL or is not.
func nullNote(null bool) int {
	id := int64(1)
	for want(id).note.null != null {
		id++
	}
	return int(id - 1)
}

func TestCheckerCountsWhatItDoesNotList(t *testing.T) {
	t.Parallel()
	err := newChecker(typed, testRows, want).done()
	if err == nil || !strings.HasPrefix(err.Error(), "300 differences:") || !strings.HasSuffix(err.Error(), "and 290 more") {
		t.Errorf("got %v", err)
	}
}

func TestCheckerTakesOtherSpellings(t *testing.T) {
	t.Parallel()
	for i, c := range columns {
		for _, pair := range map[string][][2]string{
			"weight":     {{"1e-05", "0.00001"}, {"-0.5", "-5e-1"}, {"1e20", "100000000000000000000.0"}},
			"ordered_at": {{"2024-02-29 10:00:00.5", "2024-02-29 10:00:00.500000"}, {"2024-02-29 10:00:00", "2024-02-29 10:00:00.000"}},
		}[c.Name] {
			if !typed.same(columns[i], field{text: pair[0]}, field{text: pair[1]}) {
				t.Errorf("%s: %q and %q are one value", c.Name, pair[0], pair[1])
			}
		}
	}
}

func TestReadRowsTellsNullFromEmpty(t *testing.T) {
	t.Parallel()
	header := strings.Join(columnNames(), ",") + "\n"
	var got []field
	err := readRows(strings.NewReader(header+"1,2024-01-01,0.00,\"\",,true,\"a\nb\",1\n\"1\",,,\"x\ny\",\"\",,,\n"), func(row []field) { got = append(got, row...) })
	if err != nil {
		t.Fatal(err)
	}
	null := field{null: true}
	want := []field{
		{text: "1"}, {text: "2024-01-01"}, {text: "0.00"}, {}, null, {text: "true"}, {text: "a\nb"}, {text: "1"},
		{text: "1"}, null, null, {text: "x\ny"}, {}, null, null, {},
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(field{})); diff != "" {
		t.Error(diff)
	}
}

func TestReadRowsRefusesOtherHeaders(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"":         "the file is empty",
		"id,day\n": "the header is",
	} {
		err := readRows(strings.NewReader(text), func([]field) {})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %q", text, err, want)
		}
	}
}

func TestStringTableKeepsTextAsItIs(t *testing.T) {
	t.Parallel()
	o := want(int64(nullNote(true)) + 1)
	if got := texts.fields(o)[4]; got != (field{}) {
		t.Errorf("NULL in the source became %v, want the empty text", got)
	}
	weight := columns[7]
	if texts.same(weight, field{text: "1e-05"}, field{text: "0.00001"}) {
		t.Error("two spellings of a number are two texts")
	}
}
