package tables

import (
	"bytes"
	"encoding/csv"
	"slices"
	"strings"
	"testing"
	"unicode"

	"github.com/google/go-cmp/cmp"
)

func TestFirstRecord(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		text   string
		fields []string
		ok     bool
	}{
		{"", []string{""}, true},
		{"\n", []string{""}, true},
		{"a", []string{"a"}, true},
		{"a\r\nb", []string{"a"}, true},
		{"a,b\n1,2", []string{"a", "b"}, true},
		{",\n", []string{"", ""}, true},
		{`"a","b"`, []string{"a", "b"}, true},
		{`"a,b"`, []string{"a,b"}, true},
		{"\"a\nb\",c\n", []string{"a\nb", "c"}, true},
		{`"a""b"`, []string{`a"b`}, true},
		{`"",""`, []string{"", ""}, true},
		{`a"b`, []string{`a"b`}, true}, // a quote inside of a field is a text
		{"a\rb", []string{"a\rb"}, true},
		{"\"a\"\r\nb", []string{"a"}, true},
		{`a "b`, []string{`a "b`}, true},
		{` "a"`, []string{` "a"`}, false}, // DuckDB takes it for a quoted field
		{"a,\t\"b", []string{"a", "\t\"b"}, false},
		{`"a" ,b`, []string{"a"}, false},
		{`"a"b,c`, []string{"a"}, false},
		{`"`, []string{""}, false},
		{`a,"b`, []string{"a", "b"}, false},
		{`"a""`, []string{`a"`}, false},
		{"č,字", []string{"č", "字"}, true},
	} {
		fields, ok := firstRecord(tt.text, ',', `"`)
		if diff := cmp.Diff(tt.fields, fields); diff != "" || ok != tt.ok {
			t.Errorf("%q: closed %v, fields (-want +got):\n%s", tt.text, ok, diff)
		}
	}
	if fields, ok := firstRecord(`"a;b"`, ';', ""); !ok || !slices.Equal(fields, []string{`"a`, `b"`}) {
		t.Errorf("without quotes: %q, %v", fields, ok)
	}
}

// FuzzHeader writes names as RFC 4180 says and reads them back, and compares with
// Go's reader wherever that finds the text correct.
func FuzzHeader(f *testing.F) {
	for _, seed := range []string{"id\x00name", "", "\x00", `a"b`, ",", " a ", "\"\x00\"\"", "č\x00字", "a,\"b\"\n1,2\n", "\"a\nb\"", "a\r\n", "\xff", "\ufeffa"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		checkRoundTrip(t, strings.Split(text, "\x00"))
		want, err := csv.NewReader(strings.NewReader(text)).Read()
		// Go's reader skips empty lines and reads CR LF inside quotes as LF.
		if err != nil || strings.Contains(text, "\r") || strings.HasPrefix(text, "\n") {
			return
		}
		got, ok := firstRecord(text, ',', `"`)
		if diff := cmp.Diff(want, got); !ok || diff != "" {
			t.Errorf("%q: closed %v, fields (-want +got):\n%s", text, ok, diff)
		}
	})
}

// checkRoundTrip holds for all names that a column may have.
func checkRoundTrip(t *testing.T, names []string) {
	t.Helper()
	if slices.ContainsFunc(names, func(n string) bool { return strings.ContainsFunc(n, unicode.IsControl) }) {
		return
	}
	var text bytes.Buffer
	w := csv.NewWriter(&text)
	if err := w.WriteAll([][]string{names, {"1", "2"}}); err != nil {
		t.Fatal(err)
	}
	got, ok := firstRecord(text.String(), ',', `"`)
	if diff := cmp.Diff(names, got); !ok || diff != "" {
		t.Errorf("%q: closed %v, names (-want +got):\n%s", text.String(), ok, diff)
	}
}
