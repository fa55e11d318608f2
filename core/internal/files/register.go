package files

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/keboola/duckdb-storage/core/internal/disk"
	"github.com/keboola/duckdb-storage/core/internal/registry"
	"github.com/keboola/duckdb-storage/sdk"
)

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
