package sharing_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/keboola/duckdb-storage/sdk/sdktest/service"
)

// actor draws what to do next, does it, and has the model do it.
type actor struct {
	*system
	*model
	draw *rand.Rand
	next int      // makes names and values that were not there before
	done []string // what was done, for whoever looks for the fault
}

// ids are the projects. One of them comes and goes.
var ids = []string{"a", "b", "c"}

// names are those of buckets; few, so that they meet again.
var names = []string{"in.c-main", "out", "L"}

// TestRandom does whatever projects can do with buckets that are shared and linked, and
// compares after each step.
func TestRandom(t *testing.T) {
	t.Parallel()
	seed := number(t, "SHARING_SEED", uint64(time.Now().UnixNano()))
	t.Logf("SHARING_SEED=%d", seed)
	steps := int(number(t, "SHARING_STEPS", 30))
	for name, env := range map[string][]string{"open": nil, "closing": {"DUCKDB_STORAGE_ENGINE__IDLE=100ms", "DUCKDB_STORAGE_ENGINE__MAX_OPEN=2"}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := &actor{system: start(t, env...), model: newModel(), draw: rand.New(rand.NewPCG(seed, uint64(len(env))))}
			for _, id := range ids {
				a.create(id)
				a.projects[id] = &project{buckets: map[string]*bucket{}}
				a.newBucket(id, "in.c-main")
			}
			kinds := map[string]int{}
			for range steps {
				kind := a.step()
				kinds[kind]++
				if err := a.compare(a.model); err != nil {
					t.Fatalf("after %s\n%v", strings.Join(a.done[max(0, len(a.done)-30):], "\n"), err)
				}
			}
			t.Logf("%v", kinds)
			a.atEnd()
		})
	}
}

// moves are what may be done, each as often as it stands here.
var moves = map[string]struct {
	weight int
	do     func(*actor, string) bool // false if there is nothing to do it to
}{
	"create bucket": {6, (*actor).createBucket}, "drop bucket": {6, (*actor).dropBucket},
	"create table": {15, (*actor).createTable}, "drop table": {6, (*actor).dropTable},
	"add column": {6, (*actor).addColumn}, "drop column": {3, (*actor).dropColumn},
	"insert": {9, (*actor).insert}, "update": {6, (*actor).update}, "delete": {6, (*actor).deleteRows}, "import": {9, (*actor).importFile},
	"share": {12, (*actor).shareBucket}, "unshare": {3, (*actor).unshareBucket},
	"link": {21, (*actor).linkBucket}, "unlink": {6, (*actor).unlinkBucket}, "revoke": {3, (*actor).revoke},
	"view": {6, (*actor).createView}, "write to a link": {12, (*actor).writeLink}, "drop project": {2, (*actor).dropProject},
	"restart": {1, (*actor).restarted}, "kill": {1, (*actor).killed}, "pause": {1, (*actor).pause},
}

// step makes one move and returns which.
func (a *actor) step() string {
	var lots []string
	for _, kind := range sorted(moves) {
		for range moves[kind].weight {
			lots = append(lots, kind)
		}
	}
	for {
		kind := lots[a.draw.IntN(len(lots))]
		if moves[kind].do(a, ids[a.draw.IntN(len(ids))]) {
			return kind
		}
	}
}

func (a *actor) note(format string, args ...any) {
	a.done = append(a.done, fmt.Sprintf(format, args...))
}

// name is one that was never used.
func (a *actor) name(prefix string) string {
	a.next++
	return fmt.Sprintf("%s%d", prefix, a.next)
}

// check fails unless an error is a problem of the kind, or nil for none.
func (a *actor) check(err error, slug string) {
	a.t.Helper()
	if slug == "" && err != nil || slug != "" && !service.IsProblem(err, slug) {
		a.t.Fatalf("after %s\ngot %v, want %q", strings.Join(a.done[max(0, len(a.done)-30):], "\n"), err, slug)
	}
}

// own draws a bucket of a project's own, and linked one that is linked.
func (a *actor) own(id string) (string, *bucket) {
	return a.one(id, func(b *bucket) bool { return b.link == nil })
}
func (a *actor) linkOf(id string) (string, *bucket) {
	return a.one(id, func(b *bucket) bool { return b.link != nil })
}

func (a *actor) one(id string, fit func(*bucket) bool) (string, *bucket) {
	p := a.projects[id]
	all := slices.DeleteFunc(sorted(p.buckets), func(name string) bool { return !fit(p.buckets[name]) })
	if len(all) == 0 {
		return "", nil
	}
	name := all[a.draw.IntN(len(all))]
	return name, p.buckets[name]
}

// stored draws a table of a project's own.
func (a *actor) stored(id string) (at place, t *table) {
	name, b := a.one(id, func(b *bucket) bool {
		return b.link == nil && slices.ContainsFunc(sorted(b.tables), func(n string) bool { return b.tables[n].of == nil })
	})
	if b == nil {
		return at, nil
	}
	all := slices.DeleteFunc(sorted(b.tables), func(n string) bool { return b.tables[n].of != nil })
	at = place{name, all[a.draw.IntN(len(all))]}
	return at, b.tables[at.table]
}

func (at place) String() string { return quote(at.bucket) + "." + quote(at.table) }

func (a *actor) sql(id, format string, args ...any) {
	a.t.Helper()
	statement := fmt.Sprintf(format, args...)
	a.note("%s: %s", id, statement)
	_, err := a.query(id, statement)
	a.check(err, "")
}

func (a *actor) newBucket(id, name string) {
	a.t.Helper()
	a.note("%s: create bucket %s", id, name)
	a.check(a.do(id, "POST", []string{"buckets"}, "", map[string]string{"name": name}, nil), "")
	a.projects[id].buckets[name] = &bucket{tables: map[string]*table{}}
}

func (a *actor) createBucket(id string) bool {
	name := names[a.draw.IntN(len(names))]
	if a.projects[id].buckets[name] == nil {
		a.newBucket(id, name)
		return true
	}
	a.note("%s: create bucket %s again", id, name)
	a.check(a.do(id, "POST", []string{"buckets"}, "", map[string]string{"name": strings.ToUpper(name)}, nil), "bucket-exists")
	return true
}

func (a *actor) dropBucket(id string) bool {
	name, b := a.own(id)
	if b == nil {
		return false
	}
	links, force := a.linkers(id, name), a.draw.IntN(2) == 0
	a.note("%s: drop bucket %s, force %v, linked by %v", id, name, force, links)
	err := a.do(id, "DELETE", []string{"buckets", name}, fmt.Sprintf("?cascade=true&force=%v", force), nil, nil)
	if b.handle != "" && len(links) > 0 && !force {
		a.check(err, "bucket-linked")
		return true
	}
	a.check(err, "")
	if b.handle != "" {
		a.model.unlink(links...)
	}
	delete(a.projects[id].buckets, name)
	return true
}

func (a *actor) shareBucket(id string) bool {
	if a.draw.IntN(4) == 0 { // a link of a link is refused
		if name, b := a.linkOf(id); b != nil {
			a.note("%s: share the link %s", id, name)
			_, err := a.share(id, name)
			a.check(err, "conflict")
			return true
		}
	}
	name, b := a.own(id)
	if b == nil || slices.ContainsFunc(sorted(b.tables), func(n string) bool { return b.tables[n].of != nil }) {
		return false
	}
	a.note("%s: share %s", id, name)
	handle, err := a.share(id, name)
	a.check(err, "")
	if handle == "" || b.handle != "" && handle != b.handle {
		a.t.Fatalf("the handle of %s/%s is %q, it was %q", id, name, handle, b.handle)
	}
	b.handle = handle
	return true
}

func (a *actor) unshareBucket(id string) bool {
	name, b := a.one(id, func(b *bucket) bool { return b.handle != "" })
	if b == nil {
		return false
	}
	a.note("%s: unshare %s", id, name)
	a.check(a.unshare(id, name), "")
	b.handle = ""
	return true
}

func (a *actor) linkBucket(id string) bool {
	from := ids[a.draw.IntN(len(ids))]
	bucket, b := a.one(from, func(b *bucket) bool { return b.handle != "" })
	if b == nil {
		return false
	}
	name := a.name("link")
	if a.draw.IntN(4) == 0 {
		name = names[a.draw.IntN(len(names))]
	}
	a.note("%s: link %s/%s as %s", id, from, bucket, name)
	err := a.link(id, name, b.handle)
	if a.projects[id].buckets[name] != nil {
		a.check(err, "bucket-exists")
		return true
	}
	a.check(err, "")
	a.projects[id].buckets[name] = newLink(from, bucket, b.handle)
	return true
}

func newLink(project, name, handle string) *bucket {
	return &bucket{link: &link{project, name, handle}}
}

func (a *actor) unlinkBucket(id string) bool {
	name, b := a.linkOf(id)
	if b == nil {
		return false
	}
	a.note("%s: unlink %s", id, name)
	a.check(a.system.unlink(id, name), "")
	a.model.unlink(place{id, name})
	return true
}

// revoke has the owner of a source remove all links that a project has to a bucket.
func (a *actor) revoke(id string) bool {
	name, b := a.linkOf(id)
	if b == nil || a.source(b.link) == nil {
		return false
	}
	a.note("%s: revoke the links of %s to %s", b.link.project, id, b.link.bucket)
	a.check(a.do(b.link.project, "DELETE", []string{"buckets", b.link.bucket, "links", id}, "", nil, nil), "")
	for _, at := range a.linkers(b.link.project, b.link.bucket) {
		if at.bucket == id {
			a.model.unlink(at)
		}
	}
	if a.projects[id].buckets[name] != nil {
		a.t.Fatal("the model keeps the link")
	}
	return true
}

// createView makes a view of a linked table in a bucket that is not shared.
func (a *actor) createView(id string) bool {
	from, b := a.one(id, func(b *bucket) bool { return b.link != nil && len(a.shown(b)) > 0 })
	in, own := a.one(id, func(b *bucket) bool { return b.link == nil && b.handle == "" })
	if b == nil || own == nil {
		return false
	}
	shown := sorted(a.shown(b))
	at, of := place{in, a.name("view")}, place{from, shown[a.draw.IntN(len(shown))]}
	a.sql(id, "CREATE VIEW %s AS SELECT * FROM %s", at, of)
	own.tables[at.table] = &table{of: &of}
	return true
}

// writeLink tries what nobody may do to a linked bucket.
func (a *actor) writeLink(id string) bool {
	name, b := a.linkOf(id)
	if b == nil {
		return false
	}
	shown := sorted(a.shown(b))
	if a.draw.IntN(2) == 0 || len(shown) == 0 {
		a.note("%s: create a table in the link %s", id, name)
		if a.draw.IntN(2) == 0 {
			a.denied(id, "CREATE TABLE "+quote(name)+".n (a INTEGER)")
			a.denied(id, "DROP SCHEMA "+quote(name)+" CASCADE")
			return true
		}
		a.check(a.do(id, "POST", []string{"tables"}, "", map[string]any{"bucket": name, "name": "n", "columns": []string{"a"}, "primaryKey": []string{}}, nil), "permission-denied")
		a.check(a.do(id, "DELETE", []string{"buckets", name}, "?cascade=true&force=true", nil, nil), "permission-denied")
		return true
	}
	at := place{name, shown[a.draw.IntN(len(shown))]}
	a.note("%s: write to the link %s", id, at)
	switch a.draw.IntN(4) {
	case 0:
		a.check(a.imported(id, at, strings.Join(a.find(a.projects[id], at).columns, ",")+"\n"), "permission-denied")
	case 1:
		a.check(a.do(id, "DELETE", []string{"tables", at.bucket, at.table}, "", nil, nil), "permission-denied")
	default:
		for _, format := range []string{"INSERT INTO %s SELECT * FROM %[1]s", "UPDATE %s SET x = '1'", "DELETE FROM %s", "ALTER VIEW %s RENAME TO other", "DROP VIEW %s", "CREATE OR REPLACE VIEW %s AS SELECT 1"} {
			a.denied(id, fmt.Sprintf(format, at))
		}
	}
	return true
}

// denied runs a statement that must be refused because it would write to a link.
func (a *actor) denied(id, statement string) {
	a.t.Helper()
	_, err := a.query(id, statement)
	var p *service.Problem
	if err == nil || !strings.Contains(err.Error(), "linked") || errors.As(err, &p) && p.Status != 403 {
		a.t.Fatalf("%s: %s: got %v", id, statement, err)
	}
}

func (a *actor) dropProject(id string) bool {
	linked, force := a.fromOthers(id), a.draw.IntN(3) > 0
	a.note("drop project %s, force %v, linked %v", id, force, linked)
	_, err := a.run.Admin().Do(a.t.Context(), "DELETE", fmt.Sprintf("/projects/%s?force=%v", id, force), nil, nil)
	if linked && !force {
		a.check(err, "bucket-linked")
		return true
	}
	a.check(err, "")
	for at := range a.linked() {
		if a.projects[at.bucket].buckets[at.table].link.project == id {
			a.model.unlink(at)
		}
	}
	a.create(id)
	a.projects[id] = &project{buckets: map[string]*bucket{}}
	return true
}

func (a *actor) restarted(string) bool {
	a.note("restart")
	a.restart()
	return true
}

func (a *actor) killed(string) bool {
	a.note("kill")
	a.kill()
	return true
}

// pause lets catalogs close that nobody uses, where the service does that soon.
func (a *actor) pause(string) bool {
	if len(a.env) == 0 {
		return false
	}
	a.note("pause")
	a.waitFor("all catalogs of projects are closed", func() bool { return a.gauge("engine_open_catalogs") <= 2 })
	return true
}

// atEnd removes every link and project: nothing must be in the way.
func (a *actor) atEnd() {
	a.t.Helper()
	for _, id := range ids {
		_, err := a.run.Admin().Do(a.t.Context(), "DELETE", "/projects/"+id+"?force=true", nil, nil)
		a.check(err, "")
	}
	if n := a.gauge("links_buckets"); n != 0 {
		a.t.Errorf("%v links are left", n)
	}
}
