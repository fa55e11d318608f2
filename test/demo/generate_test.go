package main

import (
	"bytes"
	"encoding/csv"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestWriteOrdersIsDeterministic(t *testing.T) {
	t.Parallel()
	var a, b, other bytes.Buffer
	for seed, w := range map[uint64][]*bytes.Buffer{1: {&a, &b}, 2: {&other}} {
		for _, out := range w {
			if err := writeOrders(out, seed, 500); err != nil {
				t.Fatal(err)
			}
		}
	}
	if !bytes.Equal(a.Bytes(), b.Bytes()) {
		t.Error("one seed made two files")
	}
	if bytes.Equal(a.Bytes(), other.Bytes()) {
		t.Error("two seeds made one file")
	}
}

func TestWriteOrdersHasWhatIsHard(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	if err := writeOrders(&out, 1, 2000); err != nil {
		t.Fatal(err)
	}
	if !utf8.Valid(out.Bytes()) {
		t.Error("the file is not UTF-8")
	}
	records, err := csv.NewReader(bytes.NewReader(out.Bytes())).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	if len(records) != 2001 {
		t.Fatalf("got %d records, want a header and 2000 rows", len(records))
	}
	columnText := func(name string) string {
		var b strings.Builder
		for i, c := range columns {
			for _, r := range records[1:] {
				if c.Name == name {
					b.WriteString(r[i] + "\x00")
				}
			}
		}
		return b.String()
	}
	for _, tc := range []struct{ column, contains string }{
		{"customer", `"`}, {"customer", ","}, {"customer", "\n"}, {"customer", "🧺"}, {"customer", "مكتبة"}, {"customer", "שלום"},
		{"customer", "NULL"}, {"note", "\x00\x00"}, {"note", "fragile"}, {"amount", "-"}, {"paid", "true"}, {"paid", "false"}, {"weight", "e-"},
	} {
		if !strings.Contains(columnText(tc.column), tc.contains) {
			t.Errorf("column %s never contains %q", tc.column, tc.contains)
		}
	}
}

func TestDecimal(t *testing.T) {
	t.Parallel()
	for cents, want := range map[int64]string{0: "0.00", 5: "0.05", -5: "-0.05", 1234: "12.34", -100000: "-1000.00"} {
		if got := decimal(cents); got != want {
			t.Errorf("decimal(%d) = %s, want %s", cents, got, want)
		}
	}
}
