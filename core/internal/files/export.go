package files

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"os"

	"github.com/keboola/duckdb-storage/core/internal/registry"
	"github.com/keboola/duckdb-storage/sdk"
)

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
