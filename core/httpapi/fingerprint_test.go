package httpapi

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/keboola/duckdb-storage/core/internal/auth"
	"github.com/keboola/duckdb-storage/core/internal/pluginhost"
	"github.com/keboola/duckdb-storage/sdk"
	pluginv1 "github.com/keboola/duckdb-storage/sdk/proto/duckdbstorage/plugin/v1"
)

func TestIdempotencyKey(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		values []string
		want   string
		ok     bool
	}{
		{nil, "", true},
		{[]string{"a"}, "a", true},
		{[]string{`"8e03978e-40d5-43e8-bc93-6894a57f9324"`}, `"8e03978e-40d5-43e8-bc93-6894a57f9324"`, true},
		{[]string{"with space ~!"}, "with space ~!", true},
		{[]string{strings.Repeat("x", 255)}, strings.Repeat("x", 255), true},
		{[]string{""}, "", false},
		{[]string{strings.Repeat("x", 256)}, "", false},
		{[]string{"a", "b"}, "", false},
		{[]string{"tab\t"}, "", false},
		{[]string{"\x00"}, "", false},
		{[]string{"ž"}, "", false},
		{[]string{"\xff"}, "", false},
		{[]string{"del\x7f"}, "", false},
	} {
		got, err := idempotencyKey(http.Header{keyHeader: tc.values})
		if got != tc.want || (err == nil) != tc.ok || err != nil && !errors.Is(err, sdk.ErrMalformed) {
			t.Errorf("%q: got %q, %v", tc.values, got, err)
		}
	}
}

// Keys of two callers, and parts of one key that could run together, are different.
func TestKeysHaveAnOwner(t *testing.T) {
	t.Parallel()
	seen := map[string]string{}
	for name, tc := range map[string]struct {
		p   auth.Principal
		key string
	}{
		"admin": {auth.Principal{Subject: "admin", Admin: true}, "k"}, "project": {auth.Principal{Subject: "project-1", Project: "1"}, "k"},
		"other": {auth.Principal{Subject: "project-2", Project: "2"}, "k"}, "other key": {auth.Principal{Subject: "project-2", Project: "2"}, "K"},
		"shifted": {auth.Principal{Subject: "project-2", Project: "2k"}, ""}, "shifted back": {auth.Principal{Subject: "project-", Project: "22"}, "k"},
	} {
		got := keyOf(pluginhost.Call{Principal: tc.p}, tc.key)
		if other, twice := seen[got]; twice || len(got) != 64 {
			t.Errorf("%s is the same as %q: %s", name, other, got)
		}
		seen[got] = name
	}
}

func TestFingerprint(t *testing.T) {
	t.Parallel()
	const json, upload = pluginv1.Form_FORM_JSON, pluginv1.Form_FORM_UPLOAD
	type request struct {
		method, url, payload, accept, body string
		form                               pluginv1.Form
		header                             http.Header
	}
	of := func(q request) string {
		r := httptest.NewRequest(q.method, q.url, strings.NewReader(q.body))
		for name, values := range q.header {
			r.Header[name] = values
		}
		got, err := fingerprint(r, q.form, pluginhost.Call{Payload: []byte(q.payload), Accept: q.accept})
		if err != nil {
			t.Fatalf("%v: %v", q, err)
		}
		return got
	}
	first := request{"POST", "/projects/1/buckets?a=1&b=2", `{"a":1,"b":{"x":[1,2],"y":null}}`, "application/json", "", json, nil}
	for name, same := range map[string]request{
		"order and space":       {"POST", "/projects/1/buckets?b=2&a=1", ` { "b":{"y":null,"x":[1, 2]}, "a":1} `, "application/json", "", json, nil},
		"encoding of the path":  {"POST", "/projects/%31/buckets?a=1&b=2", first.payload, "application/json", "", json, nil},
		"encoding of the query": {"POST", "/projects/1/buckets?%61=%31&b=2", first.payload, "application/json", "", json, nil},
		"escapes":               {"POST", "/projects/1/buckets?a=1&b=2", `{"\u0061":1,"b":{"x":[1,2],"y":null}}`, "application/json", "", json, nil},
		"other headers":         {"POST", "/projects/1/buckets?a=1&b=2", first.payload, "application/json", "", json, http.Header{"X-Request-Id": {"2"}, "Digest": {"x"}}},
	} {
		if of(first) != of(same) {
			t.Errorf("%s makes a difference", name)
		}
	}
	for name, other := range map[string]request{
		"method":          {"PUT", "/projects/1/buckets?a=1&b=2", first.payload, "application/json", "", json, nil},
		"path":            {"POST", "/projects/2/buckets?a=1&b=2", first.payload, "application/json", "", json, nil},
		"a slash":         {"POST", "/projects/1%2Fbuckets?a=1&b=2", first.payload, "application/json", "", json, nil},
		"query":           {"POST", "/projects/1/buckets?a=1", first.payload, "application/json", "", json, nil},
		"media type":      {"POST", "/projects/1/buckets?a=1&b=2", first.payload, "text/csv", "", json, nil},
		"value":           {"POST", "/projects/1/buckets?a=1&b=2", `{"a":2,"b":{"x":[1,2],"y":null}}`, "application/json", "", json, nil},
		"order in a list": {"POST", "/projects/1/buckets?a=1&b=2", `{"a":1,"b":{"x":[2,1],"y":null}}`, "application/json", "", json, nil},
		"null and absent": {"POST", "/projects/1/buckets?a=1&b=2", `{"a":1,"b":{"x":[1,2]}}`, "application/json", "", json, nil},
		"large integer":   {"POST", "/projects/1/buckets?a=1&b=2", `{"a":9007199254740993,"b":0}`, "application/json", "", json, nil},
		"its neighbour":   {"POST", "/projects/1/buckets?a=1&b=2", `{"a":9007199254740992,"b":0}`, "application/json", "", json, nil},
	} {
		if of(first) == of(other) {
			t.Errorf("%s makes no difference", name)
		}
		first = other // each differs from the one before, too
	}
	bytes := request{"PUT", "/f", `{"id":"1"}`, "", "abc", upload, nil}
	for name, tc := range map[string]struct {
		other request
		same  bool
	}{
		"bytes of the same length": {request{"PUT", "/f", `{"id":"1"}`, "", "xyz", upload, nil}, true},
		"length":                   {request{"PUT", "/f", `{"id":"1"}`, "", "abcd", upload, nil}, false},
		"checksum":                 {request{"PUT", "/f", `{"id":"1"}`, "", "abc", upload, http.Header{"Digest": {"sha-256=x"}}}, false},
	} {
		if (of(bytes) == of(tc.other)) != tc.same {
			t.Errorf("upload, %s: want the same %v", name, tc.same)
		}
	}
}
