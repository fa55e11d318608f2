package files

import (
	"bytes"
	"context"
	"crypto/md5"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"os"

	"github.com/keboola/duckdb-storage/core/internal/disk"
	"github.com/keboola/duckdb-storage/core/internal/registry"
	"github.com/keboola/duckdb-storage/sdk"
)

// uploadPrefix marks bytes that are still arriving. What is left of them after
// a crash belongs to nobody.
const uploadPrefix = ".upload-"

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
