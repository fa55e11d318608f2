package e2e_test

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/keboola/duckdb-storage/sdk/sdktest/service"
)

// An id names files, and is a part of SQL.
func TestProjectsWithBadIDs(t *testing.T) {
	t.Parallel()
	s := start(t)
	for _, id := range []string{
		"", ".", "..", "../x", "a/b", "a.b", "a b", "ž", "１", "a\u0000", "a\n", `a\`, `a"`, "a'", "a%2fb", strings.Repeat("x", 65),
	} {
		a := exactly(t, s.Admin(), "POST", "/projects", fmt.Sprintf(`{"id":%s}`, quoted(id)))
		refused(t, a, 400, "malformed-request", 3000, "/id")
	}
	// What only looks reserved is an id like any other: no project's file is called so.
	for _, id := range []string{"main", "default", "temp", "system", "registry", "-", "_", strings.Repeat("x", 64)} {
		if _, err := s.Admin().CreateProject(t.Context(), id); err != nil {
			t.Errorf("%s: %v", id, err)
		}
	}
	for _, body := range []string{`{}`, `{"id":null}`, `{"id":1}`, `[]`, `{"id":"a","colour":"red"}`} {
		if a := exactly(t, s.Admin(), "POST", "/projects", body); a.status != 400 {
			t.Errorf("%s: %d %s", body, a.status, a.body)
		}
	}
	stop(t, s)
}

// quoted is a JSON text.
func quoted(text string) string {
	var out strings.Builder
	out.WriteByte('"')
	for _, r := range text {
		fmt.Fprintf(&out, `\u%04x`, r)
	}
	return out.String() + `"`
}

func stop(t *testing.T, s *service.Service) {
	t.Helper()
	if err := s.Stop(); err != nil {
		t.Error(err)
	}
}

func TestProjectsListHasPages(t *testing.T) {
	t.Parallel()
	s := start(t)
	var want, got []string
	for i := range 7 {
		want = append(want, fmt.Sprintf("p%d", i))
		if _, err := s.Admin().CreateProject(t.Context(), fmt.Sprintf("p%d", 6-i)); err != nil {
			t.Fatal(err)
		}
	}
	for token, pages := "", 0; ; pages++ {
		page := get[struct {
			Items         []struct{ ID string }
			NextPageToken string
		}](t, s.Admin(), "/projects?limit=3&pageToken="+token)
		for _, item := range page.Items {
			got = append(got, item.ID)
		}
		// What comes and goes between two pages does not disturb those that stay.
		if pages == 0 {
			want = append(want[:4], want[5:]...)
			if _, err := s.Admin().Do(t.Context(), http.MethodDelete, "/projects/p4", nil, nil); err != nil {
				t.Fatal(err)
			}
			if _, err := s.Admin().CreateProject(t.Context(), "o"); err != nil {
				t.Fatal(err)
			}
		}
		if token = page.NextPageToken; token == "" {
			break
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	for _, query := range []string{"limit=0", "limit=1001", "limit=x", "colour=red"} {
		if a := exactly(t, s.Admin(), "GET", "/projects?"+query, ""); a.status != 400 {
			t.Errorf("%s: %d %s", query, a.status, a.body)
		}
	}
	stop(t, s)
}

func TestProjectUpdate(t *testing.T) {
	t.Parallel()
	s, p := project(t)
	for _, tc := range []struct {
		body, slug, detail string
		status             int
	}{
		{`{"colour":"red"}`, "malformed-request", "colour", 400},
		{`{"id":"2"}`, "malformed-request", "id", 400},
		{`{"name":1}`, "malformed-request", "/name", 400},
		{`{"timezone":"Middle/Earth"}`, "invalid-request", "Europe/Prague", 422},
		{`{"timezone":""}`, "invalid-request", "Europe/Prague", 422},
		{`{"timezone":"Local"}`, "invalid-request", "Europe/Prague", 422},
		{`{"timezone":"../../etc/passwd"}`, "invalid-request", "Europe/Prague", 422},
		{`{"dataRetentionTimeInDays":-1}`, "invalid-request", "must not be negative", 422},
	} {
		refused(t, exactly(t, p.Client, "PUT", p.Path(), tc.body), tc.status, tc.slug, 3000, tc.detail)
	}
	type view struct {
		Name, Timezone string
		Settings       map[string]any
	}
	for body, want := range map[string]view{
		`{}`: {"", "UTC", map[string]any{}},
	} {
		if a := exactly(t, p.Client, "PUT", p.Path(), body); a.status != 200 {
			t.Errorf("%s: %d %s", body, a.status, a.body)
		}
		if diff := cmp.Diff(want, get[view](t, p.Client, p.Path())); diff != "" {
			t.Errorf("%s: %s", body, diff)
		}
	}
	exactly(t, p.Client, "PUT", p.Path(), `{"name":"N","timezone":"Europe/Prague","settings":{"a":1,"b":{"c":null},"d":null}}`)
	exactly(t, p.Client, "PUT", p.Path(), `{"settings":{"a":null,"e":[]}}`)
	want := view{"N", "Europe/Prague", map[string]any{"b": map[string]any{"c": nil}, "e": []any{}}}
	if diff := cmp.Diff(want, get[view](t, p.Client, p.Path())); diff != "" {
		t.Error(diff)
	}
	stop(t, s)
}

// A dropped project is gone for good: again is 404, its keys are dead, and its id is
// free for one that starts empty.
func TestDropAndCreateAgain(t *testing.T) {
	t.Parallel()
	s, old := project(t)
	fill(t, old, "b", "t", 10)
	refused(t, exactly(t, s.Admin(), "POST", "/projects", `{"id":"1"}`), 409, "project-exists", 2006, `"1"`)
	if a := exactly(t, s.Admin(), "DELETE", "/projects/1", ""); a.status != 204 {
		t.Fatalf("%d %s", a.status, a.body)
	}
	for range 2 {
		refused(t, exactly(t, s.Admin(), "DELETE", "/projects/1", ""), 404, "project-not-found", 2002, `"1"`)
	}
	fresh, err := s.Admin().CreateProject(t.Context(), "1")
	if err != nil {
		t.Fatal(err)
	}
	refused(t, exactly(t, old.Client, "GET", old.Path(), ""), 401, "unauthenticated", 1002, "")
	empty(t, fresh)
	stop(t, s)
}

// empty wants a project that has never held anything.
func empty(t *testing.T, p service.Project) {
	t.Helper()
	if got := get[infoOfProject](t, p.Client, p.Path("info")); got.BucketsCount != 0 || got.TablesCount != 0 || len(got.Objects) != 0 {
		t.Errorf("the new project holds %+v", got)
	}
	next, err := p.Prepare(t.Context(), "next")
	if err != nil {
		t.Fatal(err)
	}
	last, err := strconv.Atoi(next)
	if err != nil || last < 1 {
		t.Fatalf("%q, %v", next, err)
	}
	for id := 1; id < last; id++ { // of every file that there ever was
		if status, err := p.Do(t.Context(), http.MethodGet, p.Path("files", strconv.Itoa(id)), nil, nil); status != http.StatusNotFound {
			t.Errorf("the new project has file %d: %v", id, err)
		}
	}
}
