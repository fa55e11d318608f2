package files

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/keboola/duckdb-storage/core/internal/disk"
	"github.com/keboola/duckdb-storage/core/internal/registry"
	"github.com/keboola/duckdb-storage/sdk"
)

// Sweep finishes or undoes what a crash left between a row and its bytes. It
// runs before the first request. It returns how many rows and stray files it
// put right.
func (s *Store) Sweep(ctx context.Context) (int, error) {
	all, err := s.Registry.All(ctx)
	if err != nil {
		return 0, err
	}
	swept := 0
	for _, f := range all {
		done, err := s.sweepRow(ctx, f)
		if err != nil {
			return swept, err
		}
		if done {
			swept++
		}
	}
	stray, err := s.sweepUploads()
	return swept + stray, err
}

func (s *Store) sweepRow(ctx context.Context, f registry.File) (bool, error) {
	switch f.State {
	case registry.FileWriting, registry.FileDeleting:
		return true, s.discard(ctx, f)
	case registry.FileReplacing:
		_, err := s.measure(ctx, f)
		return true, err
	case registry.FileRegistering:
		_, err := s.resume(ctx, f)
		return true, err
	}
	return false, nil
}

// measure makes the row of an uploaded file say what its bytes are.
func (s *Store) measure(ctx context.Context, f registry.File) (registry.File, error) {
	measured, err := s.adopt(f)
	switch {
	case errors.Is(err, sdk.ErrConflict): // somebody removed the bytes
		measured.State, measured.SizeBytes, measured.SHA256 = sdk.FilePrepared, 0, ""
	case err != nil:
		return f, err
	default:
		measured.State = sdk.FileUploaded
	}
	return measured, s.Registry.Put(ctx, measured)
}

// resume finishes a registration: the bytes are in their final place or still
// in staging, because a rename is one step.
func (s *Store) resume(ctx context.Context, f registry.File) (registry.File, error) {
	final := s.HostPath(f)
	_, err := os.Stat(final)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		err = disk.Rename(s.staged(f), final)
		if errors.Is(err, fs.ErrNotExist) {
			return f, nil // in neither place: somebody removed it, and a download says so
		}
	case err == nil: // whoever moved them may not have come to make that durable
		err = errors.Join(disk.SyncDir(filepath.Dir(final)), disk.SyncDir(s.Layout.Staging(f.Project)))
	}
	if err != nil {
		return f, err
	}
	f.State = sdk.FileRegistered
	return f, s.Registry.Put(ctx, f)
}

// sweepUploads removes bytes whose upload never ended.
func (s *Store) sweepUploads() (int, error) {
	projects, err := s.Layout.ProjectsOnDisk()
	if err != nil {
		return 0, err
	}
	removed := 0
	for _, p := range projects {
		entries, err := os.ReadDir(s.Layout.Staging(p))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return removed, err
		}
		for _, e := range entries {
			if !strings.HasPrefix(e.Name(), uploadPrefix) {
				continue
			}
			if err := disk.Remove(filepath.Join(s.Layout.Staging(p), e.Name())); err != nil {
				return removed, err
			}
			removed++
		}
	}
	return removed, nil
}
