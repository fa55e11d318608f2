package links

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/keboola/duckdb-storage/core/internal/registry"
	"github.com/keboola/duckdb-storage/sdk"
	"github.com/keboola/duckdb-storage/sdk/hostapi"
	"github.com/keboola/duckdb-storage/sdk/sql"
)

// Plugin declares the commands.
func (l *Links) Plugin() *sdk.Plugin {
	p := sdk.New("links", l.Version)
	sdk.Handle(p, hostapi.CreateLink, l.create, sdk.Permission("links:write"), sdk.Writes(), sdk.Fails(hostapi.ErrShareNotFound))
	sdk.Handle(p, hostapi.RemoveLink, l.remove, sdk.Permission("links:write"), sdk.Writes(), sdk.Fails(hostapi.ErrLinkNotFound))
	sdk.Handle(p, hostapi.RevokeLinks, l.revoke, sdk.Permission("links:write"), sdk.Writes())
	sdk.Handle(p, hostapi.ListLinks, l.list, sdk.Permission("links:read"))
	return p
}

// remove unlinks a bucket of the caller's project.
func (l *Links) remove(ctx *sdk.Context, in hostapi.RemoveLinkRequest) (sdk.None, error) {
	if err := mainOnly(ctx); err != nil {
		return sdk.None{}, err
	}
	bucket := string(in.Bucket)
	project, t := ctx.Project(), l.target(place(ctx.Project()))
	tx, err := l.Executor.Transact(ctx, place(project))
	if err != nil {
		return sdk.None{}, err
	}
	defer tx.Close()
	defer t.lock()()
	linked, err := tx.HasRows(linkOf(bucket))
	if err != nil {
		return sdk.None{}, err
	}
	if !linked {
		return sdk.None{}, notLinked(tx.HasRows, bucket)
	}
	if err := tx.Do(removal(bucket)...); err != nil {
		return sdk.None{}, err
	}
	if err := tx.Commit(); err != nil {
		return sdk.None{}, err
	}
	t.outdate()
	l.removed(ctx, project, bucket)
	return sdk.None{}, nil
}

func linkOf(bucket string) sql.Statement {
	return sql.New("FROM __storage.links WHERE ?", sql.SameName("bucket", bucket))
}

// notLinked says why there is no link of that name.
func notLinked(hasRows func(sql.Statement) (bool, error), bucket string) error {
	there, err := hasRows(sql.New("FROM duckdb_schemas() WHERE database_name = current_database() AND ?", sql.SameName("schema_name", bucket)))
	switch {
	case err != nil:
		return err
	case there:
		return hostapi.ErrLinkNotFound.Errorf("bucket %q is not linked: it is the project's own", bucket).With("bucket", bucket)
	}
	return sdk.ErrBucketNotFound.Errorf("bucket %q does not exist", bucket).With("bucket", bucket)
}

// removal takes a linked bucket away, with all that the project knows of it.
func removal(bucket string) []sql.Statement {
	return append([]sql.Statement{
		sql.New("DROP SCHEMA IF EXISTS ? CASCADE", sql.Name(bucket)),
		sql.New("DELETE FROM __storage.links WHERE ?", sql.SameName("bucket", bucket)),
	}, leftovers(bucket)...)
}

// leftovers removes what is known of a bucket that is not there any more.
func leftovers(bucket string) []sql.Statement {
	return []sql.Statement{
		sql.New("DELETE FROM __storage.buckets WHERE ?", sql.SameName("name", bucket)),
		sql.New("DELETE FROM __storage.shares WHERE ?", sql.SameName("bucket", bucket)),
		sql.New("DELETE FROM __storage.revoked WHERE ?", sql.SameName("bucket", bucket)),
		sql.New("DELETE FROM __storage.tables WHERE ?", sql.SameName("bucket", bucket)),
		sql.New("DELETE FROM __storage.column_lengths WHERE ?", sql.SameName("bucket", bucket)),
	}
}

// removed notes that a link is gone. What fails here is made good when the target is
// looked after next.
func (l *Links) removed(ctx context.Context, project, bucket string) {
	link, ok := l.Registry.Link(project, bucket)
	if !ok {
		return
	}
	if err := l.forget(context.WithoutCancel(ctx), link); err != nil {
		l.Logger.Warn("a link that is removed is still in the registry", "project", project, "bucket", bucket, "error", err)
	}
}

// forget removes a link from the registry, and lets the two projects part.
func (l *Links) forget(ctx context.Context, link registry.Link) error {
	if err := l.Registry.ForgetLink(ctx, link.Target, link.Bucket); err != nil {
		return err
	}
	l.part(link)
	return nil
}

// revoke removes the links that others have to a bucket of the caller's project.
func (l *Links) revoke(ctx *sdk.Context, in hostapi.RevokeLinksRequest) (hostapi.RevokeLinksResponse, error) {
	out := hostapi.RevokeLinksResponse{Items: []hostapi.Link{}}
	if err := mainOnly(ctx); err != nil {
		return out, err
	}
	var errs []error
	for _, link := range l.linksTo(ctx.Project(), string(in.Bucket)) {
		if in.Project != "" && link.Target != in.Project || in.TargetBucket != "" && sql.Fold(link.Bucket) != sql.Fold(string(in.TargetBucket)) {
			continue
		}
		if err := l.withdraw(ctx, link); err != nil {
			errs = append(errs, err)
			continue
		}
		out.Items = append(out.Items, shown(link))
	}
	return out, errors.Join(errs...)
}

// linksTo returns the links to a bucket.
func (l *Links) linksTo(project, bucket string) []registry.Link {
	return slices.DeleteFunc(l.Registry.LinksTo(project), func(link registry.Link) bool { return sql.Fold(link.SourceBucket) != sql.Fold(bucket) })
}

// withdraw removes a link from the project that has it. It takes no turn of that
// project's queue: nobody but this package writes what it removes, and whoever
// withdraws may hold the turn of another project.
func (l *Links) withdraw(ctx context.Context, link registry.Link) error {
	s, err := l.session(ctx, link.Target)
	if errors.Is(err, sdk.ErrProjectNotFound) {
		return l.forget(ctx, link) // it goes with its project
	}
	if err != nil {
		return err
	}
	defer s.Close()
	t := l.target(place(link.Target))
	defer t.lock()()
	for attempt := 1; ; attempt++ {
		err := s.Transaction(func() error {
			// The registry may have a link that is not made yet, or was removed before: a
			// bucket of that name is then the project's own.
			linked, err := s.HasRows(linkOf(link.Bucket))
			if err != nil || !linked {
				return err
			}
			for _, st := range removal(link.Bucket) {
				if _, err := s.Exec(st); err != nil {
					return err
				}
			}
			return nil
		})
		if err == nil {
			break
		}
		if !errors.Is(err, sdk.ErrConflict) || attempt == attempts {
			return err
		}
	}
	t.outdate()
	l.removed(ctx, link.Target, link.Bucket)
	return nil
}

// list tells who links to a bucket of the caller's project.
func (l *Links) list(ctx *sdk.Context, in hostapi.ListLinksRequest) (hostapi.ListLinksResponse, error) {
	out := hostapi.ListLinksResponse{Items: []hostapi.Link{}}
	if err := mainOnly(ctx); err != nil {
		return out, err
	}
	l.verify(ctx, l.linksTo(ctx.Project(), string(in.Bucket)))
	for _, link := range l.linksTo(ctx.Project(), string(in.Bucket)) {
		out.Items = append(out.Items, shown(link))
	}
	return out, nil
}

// verify has the registry forget those of the links that a crash left behind. One whose
// project cannot be opened now counts.
func (l *Links) verify(ctx context.Context, links []registry.Link) {
	seen := map[string]bool{}
	for _, link := range links {
		if seen[link.Target] {
			continue
		}
		seen[link.Target] = true
		if s, err := l.session(ctx, link.Target); err == nil {
			s.Close()
		}
	}
}

// Release lets a project be dropped. It returns hostapi.ErrBucketLinked if others link
// to its buckets; with force it removes their links. Where a project cannot be opened
// now its link is only forgotten: without its source it shows nothing.
func (l *Links) Release(ctx context.Context, project string, force bool) error {
	l.verify(ctx, l.Registry.LinksFromOthers(project))
	links := l.Registry.LinksFromOthers(project)
	if len(links) == 0 {
		return nil
	}
	if !force {
		return registry.Linked(links)
	}
	for _, link := range links {
		err := l.withdraw(ctx, link)
		if err == nil {
			continue
		}
		if ctx.Err() != nil {
			return err
		}
		l.Logger.Warn("a link stays in the file of its project, and shows nothing any more", "project", link.Target, "bucket", link.Bucket, "error", err)
		if err := l.forget(ctx, link); err != nil {
			return err
		}
	}
	return nil
}

func shown(link registry.Link) hostapi.Link {
	return hostapi.Link{ProjectID: link.Target, Bucket: link.Bucket, Created: link.Created.Format(time.RFC3339)}
}
