package links

import (
	"cmp"
	"context"
	"errors"
	"time"

	"github.com/keboola/duckdb-storage/core/internal/plan"
	"github.com/keboola/duckdb-storage/core/internal/queue"
	"github.com/keboola/duckdb-storage/core/internal/registry"
	"github.com/keboola/duckdb-storage/sdk"
	"github.com/keboola/duckdb-storage/sdk/hostapi"
	"github.com/keboola/duckdb-storage/sdk/sql"
)

// mainOnly refuses links of a dev branch.
func mainOnly(ctx *sdk.Context) error {
	if ctx.Branch() != plan.DefaultBranch {
		return sdk.ErrUnsupported.Errorf("buckets are shared and linked in the default branch; branch %q is another one", ctx.Branch())
	}
	return nil
}

// create links a shared bucket into the caller's project.
//
// The registry notes the link first, so that from then on the source is not dropped
// without force. Then the catalogs move together, while nothing is held. Then the
// share is looked at once more in the turn of the source, where whoever drops the
// bucket asks for links. Last the link is committed in the turn of the target. The two
// turns are never held together.
func (l *Links) create(ctx *sdk.Context, in hostapi.CreateLinkRequest) (hostapi.CreateLinkResponse, error) {
	if err := mainOnly(ctx); err != nil {
		return hostapi.CreateLinkResponse{}, err
	}
	if err := in.Bucket.CheckBucket(); err != nil {
		return hostapi.CreateLinkResponse{}, err
	}
	source, ok := hostapi.ShareProject(in.ShareHandle)
	if !ok || !l.active(source) {
		return hostapi.CreateLinkResponse{}, noShare()
	}
	schema, err := l.shared(ctx, source, in.ShareHandle)
	if err == nil {
		err = l.free(ctx, ctx.Project(), string(in.Bucket))
	}
	if err != nil {
		return hostapi.CreateLinkResponse{}, err
	}
	link := registry.Link{
		Target: ctx.Project(), Bucket: string(in.Bucket), Source: source, SourceBucket: schema, Created: time.Now().UTC().Truncate(time.Second),
	}
	if err := l.make(ctx, link, in.ShareHandle); err != nil {
		return hostapi.CreateLinkResponse{}, err
	}
	return hostapi.CreateLinkResponse{SourceProject: source, SourceBucket: schema}, nil
}

// noShare is the one answer to a handle that opens nothing, whatever the reason.
func noShare() error {
	return hostapi.ErrShareNotFound.Errorf("no bucket is shared under this handle: it is mistyped, or was withdrawn; ask the owner for the handle of the share")
}

// shared returns the bucket of a share, which must be there.
func (l *Links) shared(ctx context.Context, source, handle string) (schema string, err error) {
	s, err := l.session(ctx, source)
	if errors.Is(err, sdk.ErrProjectNotFound) {
		return "", noShare()
	}
	if err != nil {
		return "", err
	}
	defer s.Close()
	err = s.Scan(sql.New(`SELECT bucket FROM __storage.shares AS s WHERE handle = ? AND EXISTS (
		FROM duckdb_schemas() WHERE database_name = current_database() AND schema_name = s.bucket)`, handle),
		func(scan func(...any) error) error { return scan(&schema) })
	if err == nil && schema == "" {
		err = noShare()
	}
	return schema, err
}

// free refuses a name that a bucket has.
func (l *Links) free(ctx context.Context, project, bucket string) error {
	s, err := l.session(ctx, project)
	if err != nil {
		return err
	}
	defer s.Close()
	return unused(s.HasRows, bucket)
}

func unused(hasRows func(sql.Statement) (bool, error), bucket string) error {
	taken, err := hasRows(sql.New("FROM duckdb_schemas() WHERE database_name = current_database() AND ?", sql.SameName("schema_name", bucket)))
	if err == nil && taken {
		err = sdk.ErrBucketExists.Errorf("bucket %q already exists (names that differ only in case are the same)", bucket).With("bucket", bucket)
	}
	return err
}

// make makes a link, or leaves nothing of it.
func (l *Links) make(ctx context.Context, link registry.Link, handle string) (err error) {
	end, err := l.begin(link)
	if err != nil {
		return err
	}
	defer end()
	if err := l.Registry.AddLink(ctx, link); err != nil {
		if errors.Is(err, sdk.ErrProjectNotFound) && l.active(link.Target) {
			return noShare()
		}
		return err
	}
	defer func() {
		if err != nil {
			l.removed(ctx, link.Target, link.Bucket)
		}
	}()
	if err := l.join(ctx, link); err != nil {
		return err
	}
	if err := l.confirm(ctx, link, handle); err != nil {
		return err
	}
	if err := l.commit(ctx, link, handle); err != nil {
		return err
	}
	// This fills the bucket. Whoever comes before sees it empty.
	s, openErr := l.session(ctx, link.Target)
	if openErr == nil {
		s.Close()
	}
	return nil
}

// begin notes that a link is being made, until the function that it returns. One link
// of a name is made at a time: what is noted under the name is then the maker's own,
// even after the owner of the source took the note away.
func (l *Links) begin(link registry.Link) (end func(), err error) {
	k := name{link.Target, sql.Fold(link.Bucket)}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.making[k] {
		return nil, sdk.ErrBucketExists.Errorf("bucket %q is being linked by another request", link.Bucket).With("bucket", link.Bucket)
	}
	l.making[k] = true
	return func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.making, k)
	}, nil
}

func (l *Links) isBeingMade(link registry.Link) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.making[name{link.Target, sql.Fold(link.Bucket)}]
}

// leasedWait is how long a command that leases the target waits for the turn of the
// source: whoever leases that may wait for the target in the same way.
const leasedWait = 5 * time.Second

// confirm looks at the share in the turn of its project.
func (l *Links) confirm(ctx context.Context, link registry.Link, handle string) error {
	if link.Source == link.Target {
		return nil // commit looks
	}
	release, err := l.Executor.Queue.Acquire(ctx, l.catalog(link.Source).Alias)
	if errors.Is(err, sdk.ErrConflict) { // inside of a lease of the target
		apart, cancel := context.WithTimeout(context.Background(), leasedWait)
		defer cancel()
		defer context.AfterFunc(ctx, cancel)()
		release, err = l.Executor.Queue.Acquire(queue.As(apart, queue.Writer{Command: hostapi.CreateLink.Name}), l.catalog(link.Source).Alias)
	}
	if err != nil {
		return err
	}
	defer release()
	schema, err := l.shared(ctx, link.Source, handle)
	if err == nil && schema != link.SourceBucket {
		err = noShare()
	}
	return err
}

// commit writes the link into the target's file.
func (l *Links) commit(ctx context.Context, link registry.Link, handle string) error {
	tx, err := l.Executor.Transact(ctx, place(link.Target))
	if err != nil {
		return err
	}
	defer tx.Close()
	t := l.target(place(link.Target))
	defer t.lock()()
	if noted, ok := l.Registry.Link(link.Target, link.Bucket); !ok || noted != link {
		return noShare() // the owner of the source took the link away meanwhile
	}
	if link.Source == link.Target {
		if there, err := tx.HasRows(sql.New("FROM __storage.shares WHERE handle = ?", handle)); err != nil || !there {
			return cmp.Or(err, noShare())
		}
	}
	if err := unused(tx.HasRows, link.Bucket); err != nil {
		return err
	}
	statements := append(leftovers(link.Bucket), sql.New("CREATE SCHEMA ?", sql.Name(link.Bucket)),
		sql.New("INSERT INTO __storage.links VALUES (?, ?, ?, ?, ?, ?::TIMESTAMP)",
			link.Bucket, handle, link.Source, link.SourceBucket, l.catalog(link.Source).Alias, link.Created.Format("2006-01-02 15:04:05")))
	if err := tx.Do(statements...); err != nil {
		return err
	}
	if err := tx.Commit(); err != nil {
		return err
	}
	t.guard(link.Bucket)
	t.outdate()
	return nil
}
