package crash_test

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"

	"github.com/google/go-cmp/cmp"

	"github.com/keboola/duckdb-storage/sdk/sdktest/service"
)

// mostProjects is how many projects live before some are dropped.
const mostProjects = 4

// projects creates and drops projects.
type projects struct {
	random *rand.Rand
	made   int
	now    map[string]bool // the ids of those that live
	next   map[string]bool // the same with the request that runs
}

func newProjects(r *rand.Rand) *projects {
	return &projects{random: r, now: map[string]bool{}, next: map[string]bool{}}
}

func (*projects) prepare(context.Context, clients) error { return nil }

func (p *projects) step(ctx context.Context, c clients) error {
	if len(p.now) > 0 && p.random.IntN(mostProjects) < len(p.now) {
		ids := slices.Sorted(maps.Keys(p.now))
		return p.drop(ctx, c.admin, ids[p.random.IntN(len(ids))])
	}
	p.made++
	id := fmt.Sprintf("x%d", p.made)
	p.next = maps.Clone(p.now)
	p.next[id] = true
	made, err := c.admin.CreateProject(ctx, id)
	if err != nil {
		return err
	}
	p.now = p.next
	return made.CreateBucket(ctx, "in.c-main")
}

func (p *projects) drop(ctx context.Context, c service.Client, id string) error {
	p.next = maps.Clone(p.now)
	delete(p.next, id)
	if _, err := c.Do(ctx, http.MethodDelete, "/projects/"+id, nil, nil); err != nil {
		return err
	}
	p.now = p.next
	return nil
}

func (p *projects) check(ctx context.Context, c clients) error {
	var list struct {
		Items []struct {
			ID string `json:"id"`
		} `json:"items"`
	}
	if _, err := c.admin.Do(ctx, http.MethodGet, "/projects?limit=1000", nil, &list); err != nil {
		return err
	}
	got := map[string]bool{}
	for _, item := range list.Items {
		got[item.ID] = true
		// It must be whole: this opens its database.
		if _, err := c.admin.Do(ctx, http.MethodGet, "/projects/"+item.ID+"/info", nil, nil); err != nil {
			return err
		}
	}
	if !got[mainProject] {
		return fmt.Errorf("project %s is gone", mainProject)
	}
	delete(got, mainProject)
	delete(got, otherProject)
	if !maps.Equal(got, p.now) && !maps.Equal(got, p.next) {
		return fmt.Errorf("projects before the kill (-want +got):\n%s\nor with the last request (-want +got):\n%s", cmp.Diff(p.now, got), cmp.Diff(p.next, got))
	}
	p.now, p.next = got, got
	return nil
}
