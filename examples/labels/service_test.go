package main

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	tables "github.com/keboola/duckdb-storage/plugins/tables/api"
	"github.com/keboola/duckdb-storage/sdk/sdktest"
	"github.com/keboola/duckdb-storage/sdk/sdktest/service"
)

// The second level: the real service with the real DuckDB, and the plugin in the
// process of this test, where a debugger stops at its breakpoints.
func TestServe(t *testing.T) {
	journey(t, sdktest.Serve(t, plugin(), sdktest.Options{Settings: Settings{Protected: "keep"}}))
}

// The third: the plugin's binary in a process of its own, as in production.
func TestRun(t *testing.T) {
	journey(t, sdktest.Run(t, sdktest.Build(t, "."), sdktest.Options{Settings: Settings{Protected: "keep"}}))
}

// journey is what a person does with labels.
func journey(t *testing.T, s *sdktest.Service) {
	t.Helper()
	p := s.Project
	if err := p.CreateBucket(t.Context(), "in.c-main"); err != nil {
		t.Fatal(err)
	}
	for _, table := range []string{"orders", "old"} {
		if err := p.CreateTable(t.Context(), "in.c-main", table, []string{"id"}); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Do(http.MethodPut, "/x/labels/in.c-main/none/keep", nil, nil); !service.IsProblem(err, "table-not-found") {
		t.Errorf("a label on no table: %v", err)
	}
	for _, path := range []string{"orders/keep", "orders/green", "orders/green", "old/green"} {
		if err := s.Do(http.MethodPut, "/x/labels/in.c-main/"+path, nil, nil); err != nil {
			t.Fatal(err)
		}
	}
	expect(t, s, "?label=green", [][]any{{"in.c-main", "old", "green"}, {"in.c-main", "orders", "green"}})

	if err := s.Do(http.MethodDelete, "/tables/in.c-main/orders", nil, nil); !service.IsProblem(err, "labels-protected") {
		t.Errorf("a protected table is dropped: %v", err)
	}
	if err := s.Do(http.MethodDelete, "/buckets/in.c-main?cascade=true", nil, nil); !service.IsProblem(err, "labels-protected") {
		t.Errorf("the bucket of a protected table is dropped: %v", err)
	}
	// The type of a problem is an address at which it is explained.
	if status, err := s.Admin().Do(t.Context(), http.MethodGet, "/problems/labels-protected", nil, nil); err != nil || status != http.StatusOK {
		t.Errorf("the problem of the hook: %d, %v", status, err)
	}
	found, err := sdktest.Call(s, Of, tables.TableRequest{Schema: "in.c-main", Table: "orders"})
	if diff := cmp.Diff([]string{"green", "keep"}, found.Labels); err != nil || diff != "" {
		t.Errorf("labels.Of: %v %s", err, diff)
	}
	if err := s.Do(http.MethodDelete, "/x/labels/in.c-main/orders/keep", nil, nil); err != nil {
		t.Error(err)
	}
	if err := s.Do(http.MethodDelete, "/tables/in.c-main/orders", nil, nil); err != nil {
		t.Errorf("a table without protection is not dropped: %v", err)
	}
	// The event is delivered after the commit, and so perhaps after the answer.
	eventually(t, func() bool {
		return cmp.Equal([][]any{{"in.c-main", "old", "green"}}, rows(t, s, ""))
	})
	var api strings.Builder
	if _, err := s.Admin().Do(t.Context(), http.MethodGet, "/openapi.json", nil, &api); err != nil || !strings.Contains(api.String(), "/x/labels/{schema}/{table}/{label}") {
		t.Errorf("the API document has no route of this plugin: %v", err)
	}
}

func expect(t *testing.T, s *sdktest.Service, query string, want [][]any) {
	t.Helper()
	if diff := cmp.Diff(want, rows(t, s, query)); diff != "" {
		t.Errorf("labels%s (-want +got):\n%s", query, diff)
	}
}

func rows(t *testing.T, s *sdktest.Service, query string) [][]any {
	t.Helper()
	var out ListResponse
	if err := s.Do(http.MethodGet, "/x/labels"+query, nil, &out); err != nil {
		t.Fatal(err)
	}
	return out.Rows
}

func eventually(t *testing.T, done func() bool) {
	t.Helper()
	deadline := time.NewTimer(10 * time.Second)
	defer deadline.Stop()
	poll := time.NewTicker(10 * time.Millisecond)
	defer poll.Stop()
	for !done() {
		select {
		case <-poll.C:
		case <-deadline.C:
			t.Fatal("the labels of a table that was dropped are still there")
		}
	}
}
