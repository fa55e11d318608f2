// Package files keeps the bytes of storage files and moves them through their
// life: prepared, uploaded, registered. Start with [Store].
//
// Bytes arrive under a temporary name in the project's staging folder, are
// synced and renamed; a registered file lies at YYYY/MM/DD/<id>-<name>. The row
// and the bytes cannot change together, so each step writes the row so that
// [Store.Sweep] can finish or undo it after a crash. A registered file whose
// row is durable has its bytes durable too.
package files

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/keboola/duckdb-storage/core/internal/disk"
	"github.com/keboola/duckdb-storage/core/internal/queue"
	"github.com/keboola/duckdb-storage/core/internal/registry"
	"github.com/keboola/duckdb-storage/sdk"
)

// defaultMaxAgeDays is how long a file that is not permanent is kept, as in Keboola.
const defaultMaxAgeDays = 15

// Store holds the files of every project.
type Store struct {
	Registry *registry.Files
	Layout   disk.Layout
	// Turns lets one request at a time change the state of a file.
	Turns *queue.Queue
	Now   func() time.Time
}

// turn waits until no other request changes the file and returns it as it is then.
func (s *Store) turn(ctx context.Context, project, id string) (registry.File, func(), error) {
	release, err := s.Turns.Acquire(ctx, "file "+id)
	if err != nil {
		return registry.File{}, nil, err
	}
	f, err := s.Get(ctx, project, id)
	if err == nil && f.State == registry.FileReplacing {
		f, err = s.measure(ctx, f) // a request before this one failed half-way
	}
	if err != nil {
		release()
		return registry.File{}, nil, err
	}
	return f, release, nil
}

// Create reserves a file in state prepared.
func (s *Store) Create(ctx context.Context, project string, spec sdk.FileSpec) (_ registry.File, err error) {
	defer explain(&err)
	return s.create(ctx, project, spec, sdk.FilePrepared)
}

func (s *Store) create(ctx context.Context, project string, spec sdk.FileSpec, state string) (registry.File, error) {
	if spec.MaxAgeDays < 0 || spec.MaxAgeDays > sdk.MaxFileAgeDays || spec.SizeBytes < 0 {
		return registry.File{}, sdk.ErrInvalid.Errorf("a file is kept 0 to %d days and has no negative size", sdk.MaxFileAgeDays)
	}
	id, err := s.Registry.NextID(ctx)
	if err != nil {
		return registry.File{}, err
	}
	f := registry.File{
		ID: id, Project: project, Name: spec.Name, ContentType: spec.ContentType, Tags: spec.Tags, Permanent: spec.Permanent,
		Created: s.Now().UTC().Truncate(time.Second), SizeBytes: spec.SizeBytes, State: state,
		Path: filepath.Join("staging", id+"-"+safeName(spec.Name)),
	}
	if f.Tags == nil {
		f.Tags = []string{}
	}
	if !spec.Permanent {
		days := spec.MaxAgeDays
		if days == 0 {
			days = defaultMaxAgeDays
		}
		f.Expires = f.Created.AddDate(0, 0, days)
	}
	return f, s.Registry.Put(ctx, f)
}

// CreateProject makes the folders of a new project. No other method makes them,
// so that a request that is late does not bring back what DropProject removed.
func (s *Store) CreateProject(project string) error {
	err := os.MkdirAll(s.Layout.Staging(project), 0o700)
	if err == nil {
		err = disk.SyncDir(s.Layout.Files(project))
	}
	if err == nil {
		err = s.Layout.SyncFiles()
	}
	return disk.Explain(err)
}

// Get returns a file that clients can see.
func (s *Store) Get(ctx context.Context, project, id string) (registry.File, error) {
	f, err := s.Registry.Get(ctx, project, id)
	if err != nil {
		return f, err
	}
	if f.State == registry.FileWriting || f.State == registry.FileDeleting {
		return registry.File{}, sdk.ErrFileNotFound.Errorf("file %q does not exist in project %q", id, project)
	}
	return f, nil
}

// HostPath is where the bytes of a file are or will be.
func (s *Store) HostPath(f registry.File) string {
	return filepath.Join(s.Layout.Files(f.Project), f.Path)
}

// Open opens the bytes of an uploaded or registered file.
func (s *Store) Open(ctx context.Context, project, id string) (_ registry.File, _ *os.File, err error) {
	defer explain(&err)
	f, err := s.Get(ctx, project, id)
	if err != nil {
		return f, nil, err
	}
	if f.State == sdk.FilePrepared {
		return f, nil, sdk.ErrConflict.Errorf("file %q has no content; upload it first (storage.fileNotUploaded)", id)
	}
	body, err := os.Open(s.HostPath(f))
	if errors.Is(err, fs.ErrNotExist) {
		return f, nil, sdk.ErrFileNotFound.Errorf("the bytes of file %q are no longer on disk", id)
	}
	return f, body, err
}

// Delete removes a file and its bytes.
func (s *Store) Delete(ctx context.Context, project, id string) (err error) {
	defer explain(&err)
	f, release, err := s.turn(ctx, project, id)
	if err != nil {
		return err
	}
	defer release()
	return s.remove(ctx, f)
}

func (s *Store) remove(ctx context.Context, f registry.File) error {
	f.State = registry.FileDeleting
	if err := s.Registry.Put(ctx, f); err != nil {
		return err
	}
	if err := disk.Remove(s.HostPath(f)); err != nil {
		return err
	}
	return s.Registry.Forget(context.WithoutCancel(ctx), f.ID)
}

// discard removes a file whose bytes may be in staging or in their final place.
func (s *Store) discard(ctx context.Context, f registry.File) error {
	f.State = registry.FileDeleting
	if err := s.Registry.Put(ctx, f); err != nil {
		return err
	}
	if err := disk.Remove(s.staged(f)); err != nil {
		return err
	}
	return s.remove(ctx, f)
}

// staged is where the bytes of a file are before it is registered.
func (s *Store) staged(f registry.File) string {
	return filepath.Join(s.Layout.Staging(f.Project), filepath.Base(f.Path))
}

// DropProject removes every file of a project.
func (s *Store) DropProject(ctx context.Context, project string) error {
	if err := os.RemoveAll(s.Layout.Files(project)); err != nil {
		return err
	}
	if err := s.Layout.SyncFiles(); err != nil {
		return err
	}
	return s.Registry.ForgetProject(ctx, project)
}

// explain says what an error of the file system means here: a folder that is
// gone went with its project.
func explain(err *error) {
	if errors.Is(*err, fs.ErrNotExist) {
		*err = sdk.ErrProjectNotFound.Errorf("the project was dropped while the request ran")
	}
	*err = disk.Explain(*err)
}

// safeName keeps of a client's file name what every file system takes.
func safeName(name string) string {
	safe := strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '.', r == '-', r == '_':
			return r
		}
		return '_'
	}, name)
	return safe[max(len(safe)-100, 0):] // the end tells the compression
}
