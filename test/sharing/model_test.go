package sharing_test

import (
	"maps"
	"slices"
)

// model is what there should be.
type model struct {
	projects map[string]*project
}

type project struct {
	buckets map[string]*bucket
}

type bucket struct {
	handle string // of its share, or empty
	link   *link  // nil for a bucket of the project's own
	tables map[string]*table
}

// link says what a bucket was linked to, and under which handle.
type link struct{ project, bucket, handle string }

// table is a table, or a view of all of another one.
type table struct {
	columns []string
	rows    [][]string
	of      *place // what a view shows; nil for a table
}

// place is where a table is.
type place struct{ bucket, table string }

func newModel() *model { return &model{projects: map[string]*project{}} }

// shown are the tables that a bucket shows.
func (m *model) shown(b *bucket) map[string]*table {
	if b.link == nil {
		return b.tables
	}
	if source := m.source(b.link); source != nil && source.handle == b.link.handle {
		return source.tables
	}
	return nil
}

// source is the bucket that a link was made to, or nil if it is gone.
func (m *model) source(l *link) *bucket {
	if p := m.projects[l.project]; p != nil {
		return p.buckets[l.bucket]
	}
	return nil
}

// find returns the table behind a name in a project; nil if it cannot be read.
func (m *model) find(p *project, at place) *table {
	b := p.buckets[at.bucket]
	if b == nil {
		return nil
	}
	t := m.shown(b)[at.table]
	if t != nil && t.of != nil {
		return m.find(p, *t.of)
	}
	return t
}

// linkers are the linked buckets that were linked to a bucket, whatever they show now.
func (m *model) linkers(id, name string) (out []place) {
	for p, b := range m.linked() {
		if l := m.projects[p.bucket].buckets[p.table].link; l.project == id && l.bucket == name && b {
			out = append(out, p)
		}
	}
	return out
}

// linked are the linked buckets, as project and bucket.
func (m *model) linked() map[place]bool {
	out := map[place]bool{}
	for id, p := range m.projects {
		for name, b := range p.buckets {
			if b.link != nil {
				out[place{id, name}] = true
			}
		}
	}
	return out
}

// fromOthers reports whether other projects have links to a project.
func (m *model) fromOthers(id string) bool {
	for at := range m.linked() {
		if at.bucket != id && m.projects[at.bucket].buckets[at.table].link.project == id {
			return true
		}
	}
	return false
}

// unlink removes linked buckets.
func (m *model) unlink(all ...place) {
	for _, at := range all {
		delete(m.projects[at.bucket].buckets, at.table)
	}
}

func sorted[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
