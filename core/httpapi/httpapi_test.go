package httpapi

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/gorilla/mux"

	"github.com/keboola/duckdb-storage/sdk"
	pluginv1 "github.com/keboola/duckdb-storage/sdk/proto/duckdbstorage/plugin/v1"
)

func TestNegotiate(t *testing.T) {
	t.Parallel()
	const (
		rows   = pluginv1.Form_FORM_ROWS
		file   = pluginv1.Form_FORM_FILE
		json   = pluginv1.Form_FORM_JSON
		export = pluginv1.Form_FORM_EXPORT
	)
	for _, tc := range []struct {
		form         pluginv1.Form
		accept, want string // empty: refused
	}{
		{rows, "", "application/json"},
		{rows, "*/*", "application/json"},
		{rows, "text/csv", "text/csv"},
		{rows, "text/*", "text/csv"},
		{rows, "text/html, text/csv;q=0.5, application/x-ndjson;q=0.8", "application/x-ndjson"},
		{rows, "text/html, */*;q=0.1", "application/json"},
		{rows, "application/vnd.apache.parquet", "application/vnd.apache.parquet"},
		{rows, "text/csv;q=0", ""},
		{rows, "image/png", ""},
		{rows, "not a type", ""},
		{json, "application/json; charset=utf-8", "application/json"},
		{json, "text/csv", ""},
		{export, "text/csv", "text/csv"},
		{export, "application/vnd.apache.arrow.stream", "application/vnd.apache.arrow.stream"},
		{export, "*/*", "application/json"},
		{file, "image/png", "application/octet-stream"},
	} {
		got, err := negotiate(tc.form, tc.accept)
		if got != tc.want || (tc.want == "") != errors.Is(err, errAccept) {
			t.Errorf("%v, %q: got %q, %v; want %q", tc.form, tc.accept, got, err, tc.want)
		}
	}
}

func TestAcceptsGzip(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		values []string
		want   bool
	}{
		{nil, false},
		{[]string{""}, false},
		{[]string{"*"}, false}, // asks for nothing
		{[]string{"identity"}, false},
		{[]string{"gzip"}, true},
		{[]string{"GZIP"}, true},
		{[]string{"deflate, gzip;q=0.5, br"}, true},
		{[]string{"br", "gzip"}, true},
		{[]string{"gzip;q=0"}, false},
		{[]string{"x-gzip"}, false},
	} {
		if got := acceptsGzip(tc.values); got != tc.want {
			t.Errorf("%q: got %v", tc.values, got)
		}
	}
}

func TestQueryValue(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		jsonType string
		values   []string
		want     string // empty: refused
	}{
		{"string", []string{`a"b`}, `"a\"b"`},
		{"integer", []string{"9007199254740993"}, "9007199254740993"},
		{"integer", []string{"+5"}, "5"},
		{"integer", []string{"-007"}, "-7"},
		{"integer", []string{"1.5"}, ""},
		{"integer", []string{""}, ""},
		{"integer", []string{"1, 2"}, ""},
		{"boolean", []string{"true"}, "true"},
		{"boolean", []string{"1"}, ""},
		{"array", []string{"a,b", "c"}, `["a","b","c"]`},
		{"string", []string{"a", "b"}, ""},
	} {
		got, err := queryValue(tc.jsonType, tc.values)
		if string(got) != tc.want || (tc.want == "") != (err != nil) {
			t.Errorf("%s %q: got %s, %v; want %s", tc.jsonType, tc.values, got, err, tc.want)
		}
	}
}

func TestChecksums(t *testing.T) {
	t.Parallel()
	md5, sha := strings.Repeat("A", 22)+"==", strings.Repeat("A", 43)+"="
	for _, tc := range []struct {
		header, value string
		md5, sha256   int // lengths
		ok            bool
	}{
		{"X", "", 0, 0, true},
		{"Content-MD5", md5, 16, 0, true},
		{"Content-MD5", "AAAA", 0, 0, false},
		{"Content-MD5", "?", 0, 0, false},
		{"Digest", "sha-256=" + sha, 0, 32, true},
		{"Digest", "MD5=x, SHA-256=" + sha, 0, 32, true},
		{"Digest", "sha-512=x", 0, 0, true},
		{"Digest", "sha-256=AAAA", 0, 0, false},
	} {
		got, err := checksums(http.Header{http.CanonicalHeaderKey(tc.header): {tc.value}})
		if (err == nil) != tc.ok || err != nil && !errors.Is(err, sdk.ErrMalformed) {
			t.Errorf("%s: %s: %v", tc.header, tc.value, err)
		}
		if err == nil && (len(got.MD5) != tc.md5 || len(got.SHA256) != tc.sha256) {
			t.Errorf("%s: %s: got %v", tc.header, tc.value, got)
		}
	}
}

func TestPathVariables(t *testing.T) {
	t.Parallel()
	got, err := pathVariables(map[string]string{"a": "in.c%2Fmain", "b": "%C5%BE%22", "c": "%00"})
	if diff := cmp.Diff(map[string]string{"a": "in.c/main", "b": `ž"`, "c": "\x00"}, got); err != nil || diff != "" {
		t.Errorf("%v %s", err, diff)
	}
	if _, err := pathVariables(map[string]string{"a": "%zz"}); !errors.Is(err, sdk.ErrMalformed) {
		t.Errorf("got %v", err)
	}
}

// Every kind of error and every problem of HTTP's own has a status.
func TestEveryKindHasAStatus(t *testing.T) {
	t.Parallel()
	for kind := sdk.Malformed; kind <= sdk.Internal; kind++ {
		if statuses[kind] < 400 {
			t.Errorf("kind %v has status %d", kind, statuses[kind])
		}
	}
	if len(statuses) != int(sdk.Internal) {
		t.Errorf("%d kinds have a status", len(statuses))
	}
}

func TestAllowedMethods(t *testing.T) {
	t.Parallel()
	r := mux.NewRouter()
	nothing := func(http.ResponseWriter, *http.Request) {}
	r.HandleFunc("/a/{id}", nothing).Methods(http.MethodGet, http.MethodHead)
	r.HandleFunc("/a/{id}", nothing).Methods(http.MethodDelete)
	r.HandleFunc("/b", nothing).Methods(http.MethodPost)
	got := allowedMethods(r, httptest.NewRequest(http.MethodPatch, "/a/1", nil))
	if !slices.Equal(got, []string{"GET", "HEAD", "DELETE"}) {
		t.Errorf("got %v", got)
	}
}

// What a client says its id is must not write into the log what it likes.
func TestClientIDs(t *testing.T) {
	t.Parallel()
	for id, want := range map[string]bool{
		"01J": true, "run-1.2_3:4/5+6=": true, "": false, "a b": false, "a\nb": false, `a"`: false, strings.Repeat("x", 129): false, "ž": false,
	} {
		if clientID.MatchString(id) != want {
			t.Errorf("%q: want %v", id, want)
		}
	}
}

// The router takes the first match, so a parameter comes after every fixed name.
func TestRoutesAreInOrder(t *testing.T) {
	t.Parallel()
	p := sdk.New("zoo", "1.0.0")
	type named struct {
		Name string `json:"name" in:"path"`
	}
	do := func(*sdk.Context, named) (sdk.None, error) { return sdk.None{}, nil }
	want := []string{"/x/zoo/keeper", "/x/zoo/~me", "/x/zoo/{name}"}
	for n, path := range slices.Backward(want) {
		sdk.Handle(p, sdk.Command[named, sdk.None]{Name: "zoo.Do" + string(rune('A'+n))}, do, sdk.GET(path))
	}
	var got []string
	for _, r := range routes(served(t, p).cfg.Host.Table()) {
		if r.command.Plugin == "zoo" {
			got = append(got, r.path)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
