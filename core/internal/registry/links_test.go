package registry_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/keboola/duckdb-storage/core/internal/fixture"
	"github.com/keboola/duckdb-storage/core/internal/registry"
	"github.com/keboola/duckdb-storage/sdk"
	"github.com/keboola/duckdb-storage/sdk/hostapi"
)

// Links are found by both of their ends, keep a project from being dropped, go with
// their target, and survive a restart.
func TestLinks(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	h := fixture.Open(t, root)
	for _, id := range []string{"1", "2", "3"} {
		h.CreateProject(id)
	}
	r := h.Registry
	if got := r.Links(); len(got) != 0 {
		t.Errorf("a new registry has %v", got)
	}
	link := func(target, bucket, source string) registry.Link {
		return registry.Link{Target: target, Bucket: bucket, Source: source, SourceBucket: `in.c-"main"`, Created: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}
	}
	a, b, own := link("2", "Ž b", "1"), link("3", "in.c-x", "1"), link("1", "own", "1")
	for _, l := range []registry.Link{b, a, own} {
		if err := r.AddLink(t.Context(), l); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.AddLink(t.Context(), link("3", "IN.C-X", "2")); !errors.Is(err, sdk.ErrBucketExists) {
		t.Errorf("the same name: %v", err)
	}
	for _, l := range []registry.Link{link("9", "x", "1"), link("1", "x", "9")} {
		if err := r.AddLink(t.Context(), l); !errors.Is(err, sdk.ErrProjectNotFound) {
			t.Errorf("%v: %v", l, err)
		}
	}
	var refused *sdk.Error
	if err := r.BeginDrop(t.Context(), "1"); !errors.Is(err, hostapi.ErrBucketLinked) || !errors.As(err, &refused) || refused.Meta["links"] != "2/Ž b, 3/in.c-x" {
		t.Errorf("a drop of a project that others link to: %v", err)
	}
	h.Close()

	r = fixture.Open(t, root).Registry
	check := func(got []registry.Link, want ...registry.Link) {
		t.Helper()
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("links (-want +got):\n%s", diff)
		}
	}
	check(r.Links(), own, a, b)
	check(r.LinksTo("1"), own, a, b)
	check(r.LinksOf("2"), a)
	check(r.LinksFromOthers("1"), a, b)
	if got, ok := r.Link("3", "In.C-x"); !ok || got != b {
		t.Errorf("found %v, %v", got, ok)
	}
	for range 2 {
		if err := r.ForgetLink(t.Context(), "2", a.Bucket); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.BeginDrop(t.Context(), "3"); err != nil {
		t.Fatal(err)
	}
	if err := r.Forget(t.Context(), "3"); err != nil {
		t.Fatal(err)
	}
	check(r.Links(), own)
	if err := r.BeginDrop(t.Context(), "1"); err != nil {
		t.Errorf("a link to itself keeps a project: %v", err)
	}
}

// The refusal names many links, and bounds how many.
func TestLinkedIsBounded(t *testing.T) {
	t.Parallel()
	var many []registry.Link
	for i := range 5000 {
		many = append(many, registry.Link{Target: fmt.Sprint(i), Bucket: strings.Repeat("b", 255)})
	}
	err := registry.Linked(many)
	if len(err.Detail) > 8000 || !strings.HasSuffix(err.Meta["links"], "and 4980 more") {
		t.Errorf("%d bytes: %s", len(err.Detail), err.Meta["links"])
	}
}
