package registry

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/keboola/duckdb-storage/core/internal/engine"
	"github.com/keboola/duckdb-storage/sdk"
	"github.com/keboola/duckdb-storage/sdk/hostapi"
	"github.com/keboola/duckdb-storage/sdk/sql"
)

// Link says that a project has, or may have, a bucket that shows one of another
// project or of its own. What is true stands in the project's own file; a row here is
// made before that and removed after it.
type Link struct {
	Target       string // project that has the linked bucket
	Bucket       string // its name there
	Source       string // project
	SourceBucket string
	Created      time.Time // UTC, whole seconds
}

// linkKey finds a link: names of buckets are compared without regard to case.
type linkKey struct{ target, bucket string }

func (l Link) key() linkKey { return linkKey{l.Target, sql.Fold(l.Bucket)} }

// Links returns all links, by target and bucket.
func (r *Registry) Links() []Link { return r.linksThat(func(Link) bool { return true }) }

// LinksOf returns the links that a project has, by bucket.
func (r *Registry) LinksOf(target string) []Link {
	return r.linksThat(func(l Link) bool { return l.Target == target })
}

// LinksTo returns the links to buckets of a project, by target and bucket. It costs
// next to nothing for a project that nobody links to.
func (r *Registry) LinksTo(source string) []Link {
	r.mu.RLock()
	linked := r.linkedTo[source] > 0
	r.mu.RUnlock()
	if !linked {
		return nil
	}
	return r.linksThat(func(l Link) bool { return l.Source == source })
}

// LinksFromOthers returns the links that other projects have to buckets of this one.
func (r *Registry) LinksFromOthers(source string) []Link {
	return r.linksThat(func(l Link) bool { return l.Source == source && l.Target != source })
}

func (r *Registry) linksThat(fit func(Link) bool) []Link {
	r.mu.RLock()
	defer r.mu.RUnlock()
	var out []Link
	for _, l := range r.links {
		if fit(l) {
			out = append(out, l)
		}
	}
	slices.SortFunc(out, func(a, b Link) int {
		return cmp.Or(cmp.Compare(a.Target, b.Target), cmp.Compare(a.Bucket, b.Bucket))
	})
	return out
}

// Link finds the link that a bucket of a project has, in any case of its name.
func (r *Registry) Link(target, bucket string) (Link, bool) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	l, ok := r.links[linkKey{target, sql.Fold(bucket)}]
	return l, ok
}

// AddLink notes a link before it is made. It returns ErrProjectNotFound unless both
// projects are active, and ErrBucketExists if the target has a link of that name in
// any case. From then on the source is not dropped.
func (r *Registry) AddLink(ctx context.Context, l Link) error {
	return r.write(ctx, func(s *engine.Session) error {
		for _, id := range []string{l.Target, l.Source} {
			if _, err := r.Project(id); err != nil {
				return err
			}
		}
		if other, ok := r.Link(l.Target, l.Bucket); ok {
			return sdk.ErrBucketExists.Errorf("bucket %q already exists (names that differ only in case are the same)", other.Bucket).With("bucket", other.Bucket)
		}
		_, err := s.Exec(sql.New("INSERT INTO links VALUES (?, ?, ?, ?, ?::TIMESTAMP)", l.Target, l.Bucket, l.Source, l.SourceBucket, timestamp(l.Created)))
		return err
	}, func() { r.keepLink(l) })
}

// keepLink and loseLinks change what is held in memory. The caller holds r.mu.
func (r *Registry) keepLink(l Link) {
	r.links[l.key()] = l
	r.linkedTo[l.Source]++
}

func (r *Registry) loseLinks(gone func(Link) bool) {
	for k, l := range r.links {
		if gone(l) {
			delete(r.links, k)
			r.linkedTo[l.Source]--
		}
	}
}

// ForgetLink removes what is known of a link. One that is not known is fine.
func (r *Registry) ForgetLink(ctx context.Context, target, bucket string) error {
	l, ok := r.Link(target, bucket)
	if !ok {
		return nil
	}
	return r.write(ctx, func(s *engine.Session) error {
		_, err := s.Exec(sql.New("DELETE FROM links WHERE target_project = ? AND bucket = ?", target, l.Bucket))
		return err
	}, func() { r.loseLinks(func(one Link) bool { return one.key() == l.key() }) })
}

// Linked refuses to remove what the links show, and names them.
func Linked(links []Link) *sdk.Error {
	const named = 20
	var names []string
	for _, l := range links[:min(len(links), named)] {
		names = append(names, fmt.Sprintf("%s/%s", l.Target, l.Bucket))
	}
	if more := len(links) - named; more > 0 {
		names = append(names, fmt.Sprintf("and %d more", more))
	}
	list := strings.Join(names, ", ")
	return hostapi.ErrBucketLinked.Errorf("other projects have buckets that are linked to this: %s; unlink them first, or pass force=true, which removes those links", list).
		With("links", list)
}

func (r *Registry) loadLinks(ctx context.Context) error {
	return r.read(ctx, func(s *engine.Session) error {
		return s.Scan(sql.New("SELECT target_project, bucket, source_project, source_bucket, created FROM links"), func(scan func(...any) error) error {
			var l Link
			err := scan(&l.Target, &l.Bucket, &l.Source, &l.SourceBucket, &l.Created)
			r.keepLink(l)
			return err
		})
	})
}
