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
	"bytes"
	"context"
	"crypto/md5"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
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

// uploadPrefix marks bytes that are still arriving. What is left of them after
// a crash belongs to nobody.
const uploadPrefix = ".upload-"

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

// Checksums is what a client says about the bytes it sends; nil is unsaid.
type Checksums struct{ MD5, SHA256 []byte }

// Receive takes the bytes of a prepared or uploaded file from body. They are
// durable when it returns. A body that breaks off or does not have the checksums
// leaves the file as it was. Memory stays constant for any size.
func (s *Store) Receive(ctx context.Context, project, id string, body io.Reader, sums Checksums) (_ registry.File, err error) {
	defer explain(&err)
	f, err := s.Get(ctx, project, id)
	if err != nil {
		return f, err
	}
	if err := open(f); err != nil {
		return f, err
	}
	upload, err := s.write(f, body, sums)
	if err != nil {
		return f, err
	}
	defer os.Remove(upload.path) // after the rename there is nothing to remove
	f, release, err := s.turn(ctx, project, id)
	if err != nil {
		return f, err
	}
	defer release()
	if err := open(f); err != nil {
		return f, err // registered while the bytes came in
	}
	if err := s.replace(ctx, f, upload); err != nil {
		return f, err
	}
	f.SizeBytes, f.SHA256, f.State = upload.size, upload.sha256, sdk.FileUploaded
	if err := s.Registry.Put(context.WithoutCancel(ctx), f); err != nil {
		// The row may still be that of earlier bytes. What failed may have passed.
		return f, errors.Join(err, s.Registry.Put(context.WithoutCancel(ctx), f))
	}
	return f, nil
}

// replace gives the bytes of an upload the name of their file. The row of earlier
// bytes says for that time that it may not describe what is there, so that the
// sweep after a crash measures it.
func (s *Store) replace(ctx context.Context, f registry.File, upload upload) error {
	if f.State == sdk.FileUploaded {
		replacing := f
		replacing.State = registry.FileReplacing
		if err := s.Registry.Put(ctx, replacing); err != nil {
			return err
		}
	}
	if err := disk.Rename(upload.path, s.HostPath(f)); err != nil {
		if _, moved := os.Lstat(upload.path); moved != nil && f.State == sdk.FileUploaded {
			// The new bytes are there; only that they last is not certain.
			_, measureErr := s.measure(context.WithoutCancel(ctx), f)
			return errors.Join(err, measureErr)
		}
		return errors.Join(err, s.Registry.Put(context.WithoutCancel(ctx), f))
	}
	return nil
}

// open refuses new content for a file that has its final one.
func open(f registry.File) error {
	if f.State != sdk.FilePrepared && f.State != sdk.FileUploaded {
		return sdk.ErrConflict.Errorf("file %q is %s; its content can no longer change", f.ID, f.State)
	}
	return nil
}

// upload is bytes that arrived, durable under a temporary name.
type upload struct {
	path   string
	size   int64
	sha256 string // hex
}

// write takes the bytes of a file and checks them.
func (s *Store) write(f registry.File, body io.Reader, sums Checksums) (_ upload, err error) {
	tmp, err := os.CreateTemp(s.Layout.Staging(f.Project), uploadPrefix+f.ID+"-*")
	if err != nil {
		return upload{}, err
	}
	defer func() {
		tmp.Close()
		if err != nil {
			os.Remove(tmp.Name())
		}
	}()
	sha, md := sha256.New(), md5.New()
	targets := []io.Writer{tmp, sha}
	if sums.MD5 != nil {
		targets = append(targets, md)
	}
	size, err := io.CopyBuffer(io.MultiWriter(targets...), body, make([]byte, 1<<20))
	if err != nil {
		return upload{}, err
	}
	sum := sha.Sum(nil)
	if sums.MD5 != nil && !bytes.Equal(md.Sum(nil), sums.MD5) || sums.SHA256 != nil && !bytes.Equal(sum, sums.SHA256) {
		return upload{}, sdk.ErrInvalid.Errorf("the bytes received do not have the checksum that was sent; send the file again").Retry()
	}
	return upload{path: tmp.Name(), size: size, sha256: hex.EncodeToString(sum)}, tmp.Sync()
}

// Register gives an uploaded file its final place. Registering it again returns
// it unchanged.
func (s *Store) Register(ctx context.Context, project, id string) (_ registry.File, err error) {
	defer explain(&err)
	f, release, err := s.turn(ctx, project, id)
	if err != nil {
		return f, err
	}
	defer release()
	switch f.State {
	case sdk.FileRegistered:
		return f, nil
	case registry.FileRegistering: // a registration failed half-way
		return s.resume(ctx, f)
	}
	if f.State == sdk.FilePrepared {
		// The bytes may have been put at the staging path by other means.
		if f, err = s.adopt(f); err != nil {
			return f, err
		}
	}
	return s.finish(ctx, f)
}

// RegisterPath registers bytes that somebody put below staging/.
func (s *Store) RegisterPath(ctx context.Context, project, path string, spec sdk.FileSpec) (_ registry.File, err error) {
	defer explain(&err)
	source, err := s.stagingFile(project, path)
	if err != nil {
		return registry.File{}, err
	}
	// State prepared: the bytes are the client's, and a sweep must not take them.
	f, err := s.create(ctx, project, spec, sdk.FilePrepared)
	if err != nil {
		return f, err
	}
	if err := disk.Rename(source, s.HostPath(f)); err != nil {
		return f, errors.Join(err, s.Registry.Forget(context.WithoutCancel(ctx), f.ID))
	}
	if f, err = s.adopt(f); err != nil {
		return f, err
	}
	return s.finish(ctx, f)
}

// Export registers a file whose bytes write puts at the path it is given.
func (s *Store) Export(ctx context.Context, project string, spec sdk.FileSpec, write func(path string) error) (registry.File, error) {
	return s.export(ctx, project, spec, func(f registry.File) (registry.File, error) {
		if err := write(s.HostPath(f)); err != nil {
			return f, err
		}
		return s.adopt(f)
	})
}

// ExportBytes registers a file whose bytes write writes.
func (s *Store) ExportBytes(ctx context.Context, project string, spec sdk.FileSpec, write func(io.Writer) error) (registry.File, error) {
	return s.export(ctx, project, spec, func(f registry.File) (_ registry.File, err error) {
		file, err := os.OpenFile(s.HostPath(f), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if err != nil {
			return f, err
		}
		defer file.Close()
		hash := sha256.New()
		if err := write(io.MultiWriter(file, hash)); err != nil {
			return f, err
		}
		f.SHA256 = hex.EncodeToString(hash.Sum(nil))
		if f.SizeBytes, err = file.Seek(0, io.SeekCurrent); err != nil {
			return f, err
		}
		return f, file.Sync()
	})
}

// export registers a new file that write makes and describes.
func (s *Store) export(ctx context.Context, project string, spec sdk.FileSpec, write func(registry.File) (registry.File, error)) (_ registry.File, err error) {
	defer explain(&err)
	f, err := s.create(ctx, project, spec, registry.FileWriting)
	if err != nil {
		return f, err
	}
	// A client that leaves now must not leave the bytes behind.
	ctx = context.WithoutCancel(ctx)
	if f, err = write(f); err == nil {
		f, err = s.finish(ctx, f)
	}
	if err != nil {
		return f, errors.Join(err, s.discard(ctx, f))
	}
	return f, nil
}

// adopt measures bytes that are at the path of a file and makes them durable, both
// at once: one keeps a core busy, the other the disk.
func (s *Store) adopt(f registry.File) (registry.File, error) {
	file, err := os.Open(s.HostPath(f))
	if errors.Is(err, fs.ErrNotExist) {
		return f, sdk.ErrConflict.Errorf("file %q has no content; upload it first (storage.fileNotUploaded)", f.ID)
	}
	if err != nil {
		return f, err
	}
	defer file.Close()
	synced := make(chan error, 1)
	go func() { synced <- file.Sync() }()
	hash := sha256.New()
	f.SizeBytes, err = io.Copy(hash, file)
	if err := errors.Join(err, <-synced); err != nil {
		return f, err
	}
	f.SHA256 = hex.EncodeToString(hash.Sum(nil))
	return f, nil
}

// finish moves the bytes from staging to their final place.
func (s *Store) finish(ctx context.Context, f registry.File) (registry.File, error) {
	before, from := f, s.HostPath(f)
	before.State = sdk.FileUploaded
	f.Path = filepath.Join(f.Created.Format("2006/01/02"), filepath.Base(f.Path))
	f.State = registry.FileRegistering
	if err := disk.MkdirBelow(s.Layout.Files(f.Project), filepath.Dir(f.Path)); err != nil {
		return f, err
	}
	if err := s.Registry.Put(ctx, f); err != nil {
		return f, err
	}
	// From here on the sweep would finish what a crash interrupts.
	if err := disk.Rename(from, s.HostPath(f)); err != nil {
		if _, moved := os.Lstat(from); moved != nil {
			// The bytes have moved; only that this lasts is not certain. Registering the
			// file again, or the sweep, goes on from here.
			return f, err
		}
		return f, errors.Join(err, s.Registry.Put(context.WithoutCancel(ctx), before))
	}
	f.State = sdk.FileRegistered
	return f, s.Registry.Put(context.WithoutCancel(ctx), f)
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

// stagingFile resolves a client's path to a plain file below the project's
// staging folder. os.Root refuses absolute names, .. and links that lead out.
func (s *Store) stagingFile(project, path string) (string, error) {
	invalid := sdk.ErrInvalid.Errorf("path %q must name a file below staging/", path).At("/path")
	name, ok := strings.CutPrefix(path, "staging/")
	if !ok || strings.ContainsRune(name, 0) || strings.HasPrefix(filepath.Base(name), uploadPrefix) {
		return "", invalid
	}
	root, err := os.OpenRoot(s.Layout.Staging(project))
	if errors.Is(err, fs.ErrNotExist) {
		return "", sdk.ErrFileNotFound.Errorf("there is no file at %q", path).At("/path")
	}
	if err != nil {
		return "", err
	}
	defer root.Close()
	info, err := root.Lstat(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "", sdk.ErrFileNotFound.Errorf("there is no file at %q", path).At("/path")
	case err != nil, !info.Mode().IsRegular():
		return "", invalid
	}
	return filepath.Join(s.Layout.Staging(project), filepath.Clean(name)), nil
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
