package engine

import (
	"cmp"
	"context"
	"maps"
	"slices"

	"github.com/keboola/duckdb-storage/sdk"
)

// groups holds the links between catalogs. Those that are linked, directly or
// through others, are a group and live in one cell. The cell may have others, too,
// which were of the group when it opened.
type groups struct {
	catalogs map[string]Catalog         // that have a link, by alias
	links    map[string]map[string]bool // both ways
}

func newGroups() groups {
	return groups{catalogs: map[string]Catalog{}, links: map[string]map[string]bool{}}
}

// of returns the group of a catalog with the catalog itself, by alias.
func (g groups) of(cat Catalog) []Catalog {
	found := map[string]Catalog{cat.Alias: cat}
	for next := []string{cat.Alias}; len(next) > 0; next = next[1:] {
		for alias := range g.links[next[0]] {
			if _, ok := found[alias]; !ok {
				found[alias] = g.catalogs[alias]
				next = append(next, alias)
			}
		}
	}
	return slices.SortedFunc(maps.Values(found), func(a, b Catalog) int { return cmp.Compare(a.Alias, b.Alias) })
}

func (g groups) together(a, b Catalog) bool {
	return slices.ContainsFunc(g.of(a), func(c Catalog) bool { return c.Alias == b.Alias })
}

func (g groups) add(a, b Catalog) {
	for _, end := range [][2]Catalog{{a, b}, {b, a}} {
		from, to := end[0], end[1]
		if g.links[from.Alias] == nil {
			g.links[from.Alias] = map[string]bool{}
		}
		g.links[from.Alias][to.Alias] = true
		g.catalogs[from.Alias] = from
	}
}

func (g groups) cut(a, b string) {
	for _, end := range [][2]string{{a, b}, {b, a}} {
		delete(g.links[end[0]], end[1])
		if len(g.links[end[0]]) == 0 {
			delete(g.links, end[0])
			delete(g.catalogs, end[0])
		}
	}
}

func (g groups) remove(alias string) {
	for other := range maps.Clone(g.links[alias]) {
		g.cut(alias, other)
	}
}

// Link makes two catalogs live in one cell from now on, with all that either is
// linked with, so that a view of one may read the other. It is remembered until
// Unlink, Drop or the end of the engine.
//
// What is open moves: running sessions may go on for 10 seconds or until ctx ends,
// and then end with an error that can be retried; new ones wait meanwhile. So the
// caller must have no session open. If nothing is open, or both are in one cell
// already, it costs microseconds. It returns Cancelled if ctx ended before there
// was anything to undo; after any other error the link holds.
func (e *Engine) Link(ctx context.Context, a, b Catalog) error {
	if a.Small || b.Small || a.Alias == b.Alias {
		return sdk.ErrInvalid.Errorf("catalogs %q and %q cannot be linked", a.Alias, b.Alias)
	}
	for {
		cells, wait := e.tryLink(a, b)
		if wait == nil {
			return e.empty(ctx, cells, errMoved, func() error { return nil })
		}
		select {
		case <-wait:
		case <-ctx.Done():
			return classify(ctx, ctx.Err())
		}
	}
}

// tryLink adds a link unless a cell that it concerns is going away: what that waits for
// may depend on the groups as they are. It returns the open cells that must close
// because none of them has the whole group, marked as going away.
func (e *Engine) tryLink(a, b Catalog) ([]*cell, <-chan struct{}) {
	e.mu.Lock()
	defer e.mu.Unlock()
	var open []*cell
	for _, m := range append(e.groups.of(a), e.groups.of(b)...) {
		c := e.homes[m.Alias]
		if c == nil || slices.Contains(open, c) {
			continue
		}
		if c.gone != nil {
			return nil, c.gone
		}
		open = append(open, c)
	}
	e.groups.add(a, b)
	if len(open) == 0 || len(open) == 1 && open[0].holds(e.groups.of(a)) {
		return nil, nil
	}
	for _, c := range open {
		c.gone = make(chan struct{})
	}
	return open, nil
}

// holds reports whether all of the catalogs are members of the cell.
func (c *cell) holds(catalogs []Catalog) bool {
	return !slices.ContainsFunc(catalogs, func(cat Catalog) bool {
		return !slices.ContainsFunc(c.members, func(m Catalog) bool { return m.Alias == cat.Alias })
	})
}

// Linked reports whether two catalogs live in one cell because of links, or will.
func (e *Engine) Linked(a, b Catalog) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.groups.together(a, b)
}

// Unlink undoes Link. It disturbs nobody: catalogs that share an open cell part when
// that closes by itself, because nobody uses it, to move or to be opened anew. Until
// then each can still be read from the other. Without a link nothing happens.
func (e *Engine) Unlink(a, b Catalog) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.groups.cut(a.Alias, b.Alias)
}
