package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/keboola/duckdb-storage/sdk/sdktest/service"
)

// linkedBucket shows bucket in a second project.
const linkedBucket = "in.c-linked"

var againstSource = labels{"linked", "source"}

// linked compares reads through a link with the same reads in the source project, of
// the same service: an aggregate of a whole table, a preview, and a streamed export.
func linked(ctx context.Context, b *bench) (err error) {
	target, err := b.linkProject(ctx)
	if err != nil {
		return err
	}
	defer func() { // its cell is the source's
		_, gone := b.service.Admin().Do(ctx, http.MethodDelete, "/projects/"+target.ID, nil, nil)
		err = errors.Join(err, gone)
	}()
	link := &site{service: b.service, project: target}
	aggregate := fmt.Sprintf(`SELECT count(*), sum(amount), avg(price), min(created), max(day), count(DISTINCT country) FROM "%%s".%s`, typed.name)
	if err := b.compareLinked(ctx, "linked-aggregate", func(s *site, bucket string) run {
		return func(ctx context.Context) (time.Duration, error) {
			return timed(ctx, func(ctx context.Context) error {
				rows, err := s.project.Query(ctx, fmt.Sprintf(aggregate, bucket))
				if err == nil && fmt.Sprint(rows[0][0]) != fmt.Sprint(float64(b.rows)) {
					err = fmt.Errorf("the aggregate counts %v rows, want %d", rows[0][0], b.rows)
				}
				return err
			})
		}
	}, link); err != nil {
		return err
	}
	if err := b.compareLinked(ctx, "linked-export", func(s *site, bucket string) run {
		return func(ctx context.Context) (time.Duration, error) {
			counted := &tally{}
			took, err := timed(ctx, func(ctx context.Context) error {
				return s.plain(ctx, http.MethodPost, s.project.Path("tables", bucket, typed.name, "export"), "text/csv", strings.NewReader("{}"), counted)
			})
			return took, errors.Join(err, wantRows("the export", counted.lines-1, b.rows))
		}
	}, link); err != nil {
		return err
	}
	return b.previewLinked(ctx, link)
}

// linkProject makes a project with a linked bucket.
func (b *bench) linkProject(ctx context.Context) (service.Project, error) {
	target, err := b.service.Admin().CreateProject(ctx, "linked")
	if err != nil {
		return target, err
	}
	var share map[string]string
	if _, err := b.project.Do(ctx, http.MethodPost, b.project.Path("buckets", bucket, "share"), map[string]any{}, &share); err != nil {
		return target, err
	}
	_, err = target.Do(ctx, http.MethodPost, target.Path("buckets", linkedBucket, "link"), share, nil)
	return target, err
}

// compareLinked measures the same read of both projects.
func (b *bench) compareLinked(ctx context.Context, name string, read func(s *site, bucket string) run, link *site) error {
	pid := b.service.PID()
	return b.measure(ctx, name, againstSource, &pair{
		service: side{pid: pid, run: read(link, linkedBucket)}, raw: side{pid: pid, run: read(b.site, bucket)},
	})
}

// previewLinked asks both projects for the largest preview.
func (b *bench) previewLinked(ctx context.Context, link *site) error {
	preview := func(name string, s *site, bucket string) *way {
		path := fmt.Sprintf("%s?limit=%d", s.project.Path("tables", bucket, typed.name, "preview"), mostRows)
		return &way{name: name, ask: func(ctx context.Context) error {
			return s.plain(ctx, http.MethodGet, path, "application/json", nil, io.Discard)
		}}
	}
	through, source := preview("preview-1000 through a link", link, linkedBucket), preview("preview-1000 in the source", b.site, bucket)
	if err := b.latencies(ctx, []*way{through, source}); err != nil {
		return err
	}
	ratio := through.times.median().Seconds() / source.times.median().Seconds()
	_, err := fmt.Fprintf(b.out, "%-40s %7.2f   %s\n", "linked-preview", ratio, verdict(ratio, targets["linked-preview"]))
	return err
}
