package httpapi

import (
	"net/http"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestPreferred(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		headers []string
		want    preferences
	}{
		{nil, preferences{}},
		{[]string{""}, preferences{}},
		{[]string{"return=minimal"}, preferences{}},
		{[]string{"return=representation, handling=strict"}, preferences{}},
		{[]string{"return=plan"}, preferences{plan: true}},
		{[]string{`Return = "plan"`}, preferences{plan: true}},
		{[]string{"return=Plan"}, preferences{}}, // values have a case
		{[]string{"respond-async"}, preferences{async: true}},
		{[]string{"Respond-Async, wait=10"}, preferences{async: true, wait: 10 * time.Second}},
		{[]string{"respond-async", "wait=0"}, preferences{async: true}},
		{[]string{"respond-async; foo=bar", "wait=3; x"}, preferences{async: true, wait: 3 * time.Second}},
		{[]string{"wait=-1"}, preferences{}},
		{[]string{"wait=1.5"}, preferences{}},
		{[]string{"wait=99999999999999999999"}, preferences{}},
		{[]string{"wait=4294967295"}, preferences{wait: 4294967295 * time.Second}},
		{[]string{"wait=5, wait=7"}, preferences{wait: 5 * time.Second}},
		{[]string{"return=minimal, return=plan"}, preferences{}}, // the first counts
		{[]string{`foo="a, respond-async, return=plan", wait="2"`}, preferences{wait: 2 * time.Second}},
		{[]string{`foo="a\", respond-async"`}, preferences{}},
		{[]string{`foo="never ends, respond-async`}, preferences{}},
		{[]string{`,;=,"`}, preferences{}},
	} {
		got := preferred(http.Header{"Prefer": tc.headers})
		if diff := cmp.Diff(tc.want, got, cmp.AllowUnexported(preferences{})); diff != "" {
			t.Errorf("%q: %s", tc.headers, diff)
		}
	}
}

// What a client sends must not panic, and says nothing that it does not say.
func FuzzPreferred(f *testing.F) {
	for _, seed := range []string{"", "return=plan", `a="b\"", wait=3`, `\"\`, "respond-async;x=\"", `wait="`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, header string) {
		if got := preferred(http.Header{"Prefer": {header}}); got.wait < 0 || got.wait > (1<<32)*time.Second {
			t.Errorf("%q: %v", header, got.wait)
		}
	})
}
