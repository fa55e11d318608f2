package links

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/keboola/duckdb-storage/core/internal/engine"
	"github.com/keboola/duckdb-storage/core/internal/registry"
	"github.com/keboola/duckdb-storage/sdk"
	"github.com/keboola/duckdb-storage/sdk/sql"
)

// refresh makes linked buckets show what they should.
type refresh struct {
	*Links
	project string
	target  *target
	session *engine.Session
	epoch   uint64
}

// run compares what may have changed. The caller has the target's turn.
func (r *refresh) run(ctx context.Context, pending stale) error {
	if !pending.all && r.target.known == r.epoch {
		changes, ok, err := r.named(pending)
		if err != nil || ok {
			r.counts.named.Add(1)
			return errors.Join(err, r.apply(changes))
		}
	}
	r.counts.whole.Add(1)
	links, err := r.read(ctx)
	if err != nil {
		return err
	}
	changes, err := r.compare(links)
	if err == nil {
		err = r.apply(changes)
	}
	if err != nil {
		return err
	}
	r.target.setLinks(r.epoch, links)
	return nil
}

// row is a link as it stands in the target's file.
type row struct {
	link
	handle  string
	created time.Time
}

// read returns the links of the catalog with what is known of their sources.
func (r *refresh) read(ctx context.Context) ([]*link, error) {
	noted := slices.DeleteFunc(r.Registry.LinksOf(r.project), r.isBeingMade)
	var rows []*row
	err := r.session.Scan(sql.New("SELECT bucket, handle, source_project, source_bucket, source_catalog, created FROM __storage.links"), func(scan func(...any) error) error {
		k := &row{}
		rows = append(rows, k)
		return scan(&k.bucket, &k.handle, &k.source, &k.schema, &k.catalog, &k.created)
	})
	if err != nil {
		return nil, err
	}
	// Whoever looks at a bucket next must not write to it, whatever becomes of the rest.
	links := make([]*link, len(rows))
	for i, k := range rows {
		links[i] = &k.link
	}
	r.target.setNames(links)
	if err := r.reconcile(context.WithoutCancel(ctx), noted, rows); err != nil || len(rows) == 0 {
		return links, err
	}
	return links, r.judge(rows)
}

// reconcile makes the registry agree with the file, which has the truth: a crash, or a
// registry from a backup, may have left it with a link too many or too few.
func (r *refresh) reconcile(ctx context.Context, noted []registry.Link, rows []*row) error {
	for _, k := range rows {
		if found, ok := r.Registry.Link(r.project, k.bucket); ok && found.Source == k.source || !r.active(k.source) {
			continue
		}
		if err := r.Registry.ForgetLink(ctx, r.project, k.bucket); err != nil {
			return err
		}
		note := registry.Link{Target: r.project, Bucket: k.bucket, Source: k.source, SourceBucket: k.schema, Created: k.created}
		if err := r.Registry.AddLink(ctx, note); err != nil {
			return err
		}
		r.Logger.Info("a link was in the project's file and not in the registry", "project", r.project, "bucket", k.bucket, "source", k.source)
	}
	for _, n := range noted {
		there := slices.ContainsFunc(rows, func(k *row) bool { return sql.Fold(k.bucket) == sql.Fold(n.Bucket) })
		if there || r.isBeingMade(n) {
			continue
		}
		if err := r.forget(ctx, n); err != nil {
			return err
		}
		r.Logger.Info("a link was in the registry and not in the project's file", "project", r.project, "bucket", n.Bucket, "source", n.Source)
	}
	return nil
}

// judge finds out which links live. It returns errApart if a source is not in the cell
// and nothing says that it should be.
func (r *refresh) judge(rows []*row) error {
	attached := map[string]bool{}
	err := r.session.Scan(sql.New("SELECT database_name FROM duckdb_databases()"), func(scan func(...any) error) error {
		var alias string
		err := scan(&alias)
		attached[alias] = true
		return err
	})
	if err != nil {
		return err
	}
	handles := map[string]map[string]bool{} // by catalog
	for _, k := range rows {
		if k.source != r.project && r.active(k.source) && !r.Executor.Engine.Linked(r.catalog(r.project), r.catalog(k.source)) {
			return errApart
		}
		switch {
		case !r.active(k.source):
			continue // what it showed is gone
		case !attached[k.catalog]:
			k.hidden = true
			continue
		}
		if handles[k.catalog] == nil {
			if handles[k.catalog], err = r.shares(k.catalog); err != nil {
				return err
			}
		}
		k.live = handles[k.catalog][k.handle]
	}
	return nil
}

// shares returns the handles of a catalog's shares.
func (r *refresh) shares(catalog string) (map[string]bool, error) {
	out := map[string]bool{}
	err := r.session.Scan(sql.New("SELECT handle FROM ?", sql.Table{Catalog: catalog, Schema: engine.MetadataSchema, Name: "shares"}), func(scan func(...any) error) error {
		var handle string
		err := scan(&handle)
		out[handle] = true
		return err
	})
	return out, err
}

// object is a table or view.
type object struct{ catalog, schema, name string }

// compare lists what the sources have and what the linked buckets show, and returns
// the difference. That takes time for every table of every catalog in the cell.
func (r *refresh) compare(links []*link) ([]*change, error) {
	if len(links) == 0 {
		return nil, nil
	}
	own := r.session.Alias()
	var wanted []sql.Statement
	for _, k := range links {
		wanted = append(wanted, sql.New("database_name = ? AND schema_name = ?", own, k.bucket))
		if k.live {
			wanted = append(wanted, sql.New("database_name = ? AND schema_name = ?", k.catalog, k.schema))
		}
	}
	found := map[[2]string]map[string]string{} // by catalog and schema: names by folded name
	err := r.session.Scan(sql.New(`SELECT database_name, schema_name, name FROM (
			SELECT database_name, schema_name, table_name AS name FROM duckdb_tables() WHERE NOT temporary
			UNION ALL SELECT database_name, schema_name, view_name FROM duckdb_views() WHERE NOT temporary)
		WHERE ?`, sql.Join(" OR ", wanted)), func(scan func(...any) error) error {
		var o object
		err := scan(&o.catalog, &o.schema, &o.name)
		in := [2]string{o.catalog, o.schema}
		if found[in] == nil {
			found[in] = map[string]string{}
		}
		found[in][sql.Fold(o.name)] = o.name
		return err
	})
	if err != nil {
		return nil, err
	}
	var changes []*change
	for _, k := range links {
		k.shown = found[[2]string{own, k.bucket}]
		if k.hidden {
			continue
		}
		var source map[string]string
		if k.live {
			source = found[[2]string{k.catalog, k.schema}]
		}
		if c := k.difference(source); c != nil {
			changes = append(changes, c)
		}
	}
	return changes, nil
}

// change is what a linked bucket has to lose and to get, by names of views.
type change struct {
	*link
	drop, add []string
}

// difference compares what a link shows with what its source has.
func (k *link) difference(source map[string]string) *change {
	c := &change{link: k}
	for folded, name := range k.shown {
		if source[folded] != name {
			c.drop = append(c.drop, name)
		}
	}
	for folded, name := range source {
		if k.shown[folded] != name {
			c.add = append(c.add, name)
		}
	}
	if len(c.drop)+len(c.add) == 0 {
		return nil
	}
	return c
}

// named looks up the names that statements of the sources had. ok is false if that does
// not tell what is so.
func (r *refresh) named(pending stale) (changes []*change, ok bool, err error) {
	for _, k := range r.target.links {
		names := pending.names[k.source]
		if !k.live || len(names)+len(k.broken) == 0 {
			continue
		}
		c := &change{link: k}
		for folded, spellings := range names {
			what, err := r.session.Lookup(k.catalog, k.schema, folded)
			if err != nil {
				return nil, false, err
			}
			shown, shows := k.shown[folded]
			switch {
			case what == engine.Nothing && shows:
				c.drop = append(c.drop, shown)
			case what == engine.Nothing:
			case len(spellings) > 1 || shows && spellings[0] != shown:
				// It may be spelled in another way now, which only a list tells.
				return nil, false, nil
			case !shows:
				c.add = append(c.add, spellings[0])
			}
		}
		// What could not be read before may be whole again.
		for folded, name := range k.broken {
			if _, again := names[folded]; !again {
				c.add = append(c.add, name)
			}
		}
		if len(c.drop)+len(c.add) > 0 {
			changes = append(changes, c)
		}
	}
	return changes, true, nil
}

// apply writes the changes in a transaction of their own.
func (r *refresh) apply(changes []*change) error {
	if len(changes) == 0 {
		return nil
	}
	for attempt := 1; ; attempt++ {
		err := r.session.Transaction(func() error { return r.write(changes) })
		if err == nil {
			break
		}
		if !errors.Is(err, sdk.ErrConflict) || attempt == attempts {
			return err
		}
	}
	for _, c := range changes {
		c.remember()
		r.counts.made.Add(uint64(len(c.add)))
		r.counts.gone.Add(uint64(len(c.drop)))
	}
	return nil
}

func (r *refresh) write(changes []*change) error {
	for _, c := range changes {
		c.broken = map[string]string{}
		if _, err := r.session.Exec(sql.New("CREATE SCHEMA IF NOT EXISTS ?", sql.Name(c.bucket))); err != nil {
			return err
		}
		for _, name := range c.drop {
			if _, err := r.session.Exec(sql.New("DROP VIEW IF EXISTS ?", sql.Table{Schema: c.bucket, Name: name})); err != nil {
				return err
			}
		}
		for _, name := range c.add {
			_, err := r.session.Exec(sql.New("CREATE OR REPLACE VIEW ? AS SELECT * FROM ?", sql.Table{Schema: c.bucket, Name: name}, c.of(r.session.Alias(), name)))
			if unreadable(err) {
				c.broken[sql.Fold(name)] = name
				continue
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// unreadable reports whether a view of the source cannot be read: what it names is gone.
// The transaction goes on after that (measured, 1.5.6).
func unreadable(err error) bool {
	var e *sdk.Error
	return errors.As(err, &e) && (e.Kind == sdk.NotFound || e.Kind == sdk.Invalid)
}

// of is what a view shows. A name in the link's own catalog has two parts: it keeps its meaning
// when the file is copied.
func (k *link) of(own, name string) sql.Table {
	if k.catalog == own {
		return sql.Table{Schema: k.schema, Name: name}
	}
	return sql.Table{Catalog: k.catalog, Schema: k.schema, Name: name}
}

// remember notes what a link shows after a change.
func (c *change) remember() {
	if c.shown == nil {
		c.shown = map[string]string{}
	}
	for _, name := range c.drop {
		delete(c.shown, sql.Fold(name))
	}
	for _, name := range c.add {
		if folded := sql.Fold(name); c.broken[folded] == "" {
			c.shown[folded] = name
		}
	}
}
