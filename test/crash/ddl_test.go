package crash_test

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"

	"github.com/google/go-cmp/cmp"
)

// ddlPrefix starts the names of this work's buckets.
const ddlPrefix = "ddl-"

// ddl creates and drops buckets and tables.
type ddl struct {
	random *rand.Rand
	made   int
	now    tree
	next   tree // with the request that runs
}

// tree holds the tables of each bucket.
type tree map[string]map[string]bool

func (t tree) clone() tree {
	out := maps.Clone(t)
	for bucket, tables := range out {
		out[bucket] = maps.Clone(tables)
	}
	return out
}

func newDDL(r *rand.Rand) *ddl { return &ddl{random: r, now: tree{}, next: tree{}} }

func (*ddl) prepare(context.Context, clients) error { return nil }

func (d *ddl) step(ctx context.Context, c clients) error {
	d.next = d.now.clone()
	d.made++
	name := fmt.Sprintf("%s%d", ddlPrefix, d.made)
	if len(d.now) == 0 || d.random.IntN(4) == 0 {
		d.next[name] = map[string]bool{}
		return d.done(c.main.CreateBucket(ctx, name))
	}
	buckets := slices.Sorted(maps.Keys(d.now))
	bucket := buckets[d.random.IntN(len(buckets))]
	tables := slices.Sorted(maps.Keys(d.now[bucket]))
	switch {
	case d.random.IntN(4) == 0:
		delete(d.next, bucket)
		return d.done(d.drop(ctx, c, c.main.Path("buckets", bucket)+"?cascade=true"))
	case len(tables) > 0 && d.random.IntN(2) == 0:
		delete(d.next[bucket], tables[0])
		return d.done(d.drop(ctx, c, c.main.Path("tables", bucket, tables[0])))
	}
	d.next[bucket][name] = true
	columns := []map[string]string{{"name": "id", "type": "INTEGER"}, {"name": "label", "type": "STRING", "length": "9"}}
	return d.done(c.main.CreateTable(ctx, bucket, name, columns, "id"))
}

func (*ddl) drop(ctx context.Context, c clients, path string) error {
	_, err := c.main.Do(ctx, http.MethodDelete, path, nil, nil)
	return err
}

// done takes what the request made, if it was answered.
func (d *ddl) done(err error) error {
	if err == nil {
		d.now = d.next
	}
	return err
}

func (d *ddl) check(ctx context.Context, c clients) error {
	got, err := d.read(ctx, c)
	if err != nil {
		return err
	}
	before, after := cmp.Diff(d.now, got), cmp.Diff(d.next, got)
	if before != "" && after != "" {
		return fmt.Errorf("buckets and tables before the kill (-want +got):\n%s\nor with the last request (-want +got):\n%s", before, after)
	}
	d.now, d.next = got, got
	return nil
}

// read returns the buckets and tables that there are. What the service keeps of a
// table beside DuckDB must be there, too.
func (d *ddl) read(ctx context.Context, c clients) (tree, error) {
	var buckets struct {
		Items []struct {
			Name    string `json:"name"`
			Created string `json:"created"`
		} `json:"items"`
	}
	if _, err := c.main.Do(ctx, http.MethodGet, c.main.Path("buckets")+"?limit=1000", nil, &buckets); err != nil {
		return nil, err
	}
	got := tree{}
	for _, b := range buckets.Items {
		if !strings.HasPrefix(b.Name, ddlPrefix) {
			continue
		}
		if b.Created == "" {
			return nil, fmt.Errorf("bucket %s has no metadata", b.Name)
		}
		got[b.Name] = map[string]bool{}
	}
	var tables struct {
		Items []struct {
			Name, Bucket string
			PrimaryKey   []string
			Columns      []struct{ Length string }
		} `json:"items"`
	}
	if _, err := c.main.Do(ctx, http.MethodGet, c.main.Path("tables")+"?limit=1000", nil, &tables); err != nil {
		return nil, err
	}
	for _, t := range tables.Items {
		if got[t.Bucket] == nil {
			continue
		}
		if !slices.Equal(t.PrimaryKey, []string{"id"}) || len(t.Columns) != 2 || t.Columns[1].Length != "9" {
			return nil, fmt.Errorf("table %s.%s has lost its metadata: %+v", t.Bucket, t.Name, t)
		}
		got[t.Bucket][t.Name] = true
	}
	return got, nil
}
