package files_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/keboola/duckdb-storage/core/internal/files"
	"github.com/keboola/duckdb-storage/core/internal/fixture"
	"github.com/keboola/duckdb-storage/core/internal/registry"
	"github.com/keboola/duckdb-storage/sdk"
)

func open(t *testing.T) *fixture.Host {
	t.Helper()
	h := fixture.Open(t, t.TempDir())
	h.CreateProject("1")
	return h
}

func prepare(t *testing.T, s *files.Store, name string) registry.File {
	t.Helper()
	f, err := s.Create(t.Context(), "1", sdk.FileSpec{Name: name})
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func receive(t *testing.T, s *files.Store, id, content string) registry.File {
	t.Helper()
	f, err := s.Receive(t.Context(), "1", id, strings.NewReader(content), files.Checksums{})
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// onDisk lists the plain files below a project's folder.
func onDisk(t *testing.T, h *fixture.Host) []string {
	t.Helper()
	root := h.Layout.Files("1")
	found := []string{}
	err := filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			path, err = filepath.Rel(root, path)
			found = append(found, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func content(t *testing.T, s *files.Store, id string) string {
	t.Helper()
	_, body, err := s.Open(t.Context(), "1", id)
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	b, err := io.ReadAll(body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func hash(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

func TestLifeOfAFile(t *testing.T) {
	t.Parallel()
	h := open(t)
	s := h.Files
	f := prepare(t, s, "a b.csv")
	if _, _, err := s.Open(t.Context(), "1", f.ID); !errors.Is(err, sdk.ErrConflict) {
		t.Errorf("content of a prepared file: %v", err)
	}
	if _, err := s.Register(t.Context(), "1", f.ID); !errors.Is(err, sdk.ErrConflict) {
		t.Errorf("register without content: %v", err)
	}
	receive(t, s, f.ID, "first")
	f = receive(t, s, f.ID, "second") // an uploaded file may be sent again
	if f.State != sdk.FileUploaded || f.SizeBytes != 6 || f.SHA256 != hash("second") {
		t.Errorf("uploaded: %+v", f)
	}
	if diff := cmp.Diff([]string{"staging/" + f.ID + "-a_b.csv"}, onDisk(t, h)); diff != "" {
		t.Error(diff)
	}
	f, err := s.Register(t.Context(), "1", f.ID)
	if err != nil {
		t.Fatal(err)
	}
	again, err := s.Register(t.Context(), "1", f.ID)
	if diff := cmp.Diff(f, again); err != nil || diff != "" {
		t.Errorf("registered again: %v %s", err, diff)
	}
	if diff := cmp.Diff([]string{f.Created.Format("2006/01/02/") + f.ID + "-a_b.csv"}, onDisk(t, h)); diff != "" {
		t.Error(diff)
	}
	if _, err := s.Receive(t.Context(), "1", f.ID, strings.NewReader("third"), files.Checksums{}); !errors.Is(err, sdk.ErrConflict) {
		t.Errorf("new content for a registered file: %v", err)
	}
	if got := content(t, s, f.ID); got != "second" {
		t.Errorf("content %q", got)
	}
	if err := s.Delete(t.Context(), "1", f.ID); err != nil {
		t.Fatal(err)
	}
	if err := s.Delete(t.Context(), "1", f.ID); !errors.Is(err, sdk.ErrFileNotFound) {
		t.Errorf("deleted again: %v", err)
	}
	if left := onDisk(t, h); len(left) > 0 {
		t.Errorf("left on disk: %v", left)
	}
}

// A request that is late does not bring back the rows of a project that was dropped.
func TestADroppedProjectGetsNoFiles(t *testing.T) {
	t.Parallel()
	h := open(t)
	h.Files.Registry.Guard(h.Registry)
	f := prepare(t, h.Files, "a.csv")
	if err := errors.Join(h.Registry.BeginDrop(t.Context(), "1"), h.Files.DropProject(t.Context(), "1")); err != nil {
		t.Fatal(err)
	}
	if _, err := h.Files.Create(t.Context(), "1", sdk.FileSpec{Name: "late"}); !errors.Is(err, sdk.ErrProjectNotFound) {
		t.Errorf("a new file: %v", err)
	}
	if err := h.Files.Registry.Put(t.Context(), f); !errors.Is(err, sdk.ErrProjectNotFound) {
		t.Errorf("an old one: %v", err)
	}
	if rows, err := h.Files.Registry.All(t.Context()); err != nil || len(rows) > 0 {
		t.Errorf("rows: %v, %v", rows, err)
	}
}

func TestFilesOfOtherProjectsDoNotExist(t *testing.T) {
	t.Parallel()
	h := open(t)
	h.CreateProject("2")
	f := prepare(t, h.Files, "x")
	if _, err := h.Files.Get(t.Context(), "2", f.ID); !errors.Is(err, sdk.ErrFileNotFound) {
		t.Errorf("got %v", err)
	}
	for _, id := range []string{"", "x", "0", "-1", "999999999999999999999", "1; DROP TABLE files"} {
		if _, err := h.Files.Get(t.Context(), "1", id); !errors.Is(err, sdk.ErrFileNotFound) {
			t.Errorf("id %q: got %v", id, err)
		}
	}
}

func TestBoundsOfAFile(t *testing.T) {
	t.Parallel()
	h := open(t)
	for _, spec := range []sdk.FileSpec{{MaxAgeDays: -1}, {MaxAgeDays: sdk.MaxFileAgeDays + 1}, {SizeBytes: -1}} {
		if _, err := h.Files.Create(t.Context(), "1", spec); !errors.Is(err, sdk.ErrInvalid) {
			t.Errorf("%+v: got %v", spec, err)
		}
	}
	f, err := h.Files.Create(t.Context(), "1", sdk.FileSpec{MaxAgeDays: sdk.MaxFileAgeDays})
	if err != nil {
		t.Fatal(err)
	}
	if got, err := h.Files.Get(t.Context(), "1", f.ID); err != nil || !got.Expires.Equal(f.Created.AddDate(0, 0, sdk.MaxFileAgeDays)) {
		t.Errorf("%+v, %v", got, err)
	}
}

// brokenBody fails after some bytes, as a client that leaves does.
func brokenBody(text string, err error) io.Reader {
	return io.MultiReader(strings.NewReader(text), errReader{err})
}

type errReader struct{ err error }

func (r errReader) Read([]byte) (int, error) { return 0, r.err }

func TestUploadThatFailsLeavesTheFileAsItWas(t *testing.T) {
	t.Parallel()
	gone := errors.New("client gone")
	wrong := sha256.Sum256([]byte("other"))
	for _, tc := range []struct {
		name string
		body io.Reader
		sums files.Checksums
		want error
	}{
		{"broken off", brokenBody("new", gone), files.Checksums{}, gone},
		{"SHA-256", strings.NewReader("new"), files.Checksums{SHA256: wrong[:]}, sdk.ErrInvalid},
		{"MD5", strings.NewReader("new"), files.Checksums{MD5: wrong[:16]}, sdk.ErrInvalid},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			h := open(t)
			before := receive(t, h.Files, prepare(t, h.Files, "x").ID, "old")
			if _, err := h.Files.Receive(t.Context(), "1", before.ID, tc.body, tc.sums); !errors.Is(err, tc.want) {
				t.Errorf("got %v, want %v", err, tc.want)
			}
			after, err := h.Files.Get(t.Context(), "1", before.ID)
			if diff := cmp.Diff(before, after); err != nil || diff != "" {
				t.Errorf("the row changed: %v %s", err, diff)
			}
			if got := content(t, h.Files, before.ID); got != "old" {
				t.Errorf("content %q", got)
			}
			if left := onDisk(t, h); len(left) != 1 {
				t.Errorf("left on disk: %v", left)
			}
		})
	}
}

// Two uploads and a registration of one file at once: whichever way it goes, the
// row says what the bytes are.
func TestUploadsAndRegistrationAtOnce(t *testing.T) {
	t.Parallel()
	h := open(t)
	for range 20 {
		f := receive(t, h.Files, prepare(t, h.Files, "x").ID, "zero")
		var wg sync.WaitGroup
		for _, text := range []string{"one", "twotwo"} {
			wg.Go(func() {
				_, err := h.Files.Receive(context.Background(), "1", f.ID, strings.NewReader(text), files.Checksums{})
				if err != nil && !errors.Is(err, sdk.ErrConflict) {
					t.Errorf("upload: %v", err)
				}
			})
		}
		wg.Go(func() {
			if _, err := h.Files.Register(context.Background(), "1", f.ID); err != nil {
				t.Errorf("register: %v", err)
			}
		})
		wg.Wait()
		f, err := h.Files.Get(t.Context(), "1", f.ID)
		if err != nil {
			t.Fatal(err)
		}
		got := content(t, h.Files, f.ID)
		if f.State != sdk.FileRegistered || f.SHA256 != hash(got) || f.SizeBytes != int64(len(got)) {
			t.Errorf("row %+v does not describe %q", f, got)
		}
	}
	for _, path := range onDisk(t, h) {
		if strings.HasPrefix(path, "staging/") {
			t.Errorf("left in staging: %s", path)
		}
	}
}

func TestRegisterPath(t *testing.T) {
	t.Parallel()
	h := open(t)
	staging := h.Layout.Staging("1")
	outside := filepath.Join(h.Layout.Root, "outside")
	for path, text := range map[string]string{filepath.Join(staging, "deep", "plain.csv"): "a\n", outside: "secret", filepath.Join(staging, ".upload-7"): "half"} {
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(outside, filepath.Join(staging, "link")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(h.Layout.Root, filepath.Join(staging, "out")); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]error{
		"": sdk.ErrInvalid, "staging": sdk.ErrInvalid, "staging/": sdk.ErrInvalid, "/etc/passwd": sdk.ErrInvalid,
		"staging/../../../outside": sdk.ErrInvalid, "staging//etc/passwd": sdk.ErrInvalid, "staging/a\x00b": sdk.ErrInvalid,
		"staging/link": sdk.ErrInvalid, "staging/out/outside": sdk.ErrInvalid, "staging/deep": sdk.ErrInvalid,
		"staging/.upload-7": sdk.ErrInvalid, "staging/none": sdk.ErrFileNotFound, "deep/plain.csv": sdk.ErrInvalid,
	} {
		if _, err := h.Files.RegisterPath(t.Context(), "1", path, sdk.FileSpec{Name: "x"}); !errors.Is(err, want) {
			t.Errorf("%q: got %v, want %v", path, err, want)
		}
	}
	f, err := h.Files.RegisterPath(t.Context(), "1", "staging/deep/plain.csv", sdk.FileSpec{Name: "plain.csv"})
	if err != nil {
		t.Fatal(err)
	}
	if got := content(t, h.Files, f.ID); got != "a\n" || f.SHA256 != hash(got) || f.State != sdk.FileRegistered {
		t.Errorf("%+v has %q", f, got)
	}
	if b, err := os.ReadFile(outside); err != nil || string(b) != "secret" {
		t.Errorf("the file outside: %q, %v", b, err)
	}
}

func TestExport(t *testing.T) {
	t.Parallel()
	h := open(t)
	f, err := h.Files.Export(t.Context(), "1", sdk.FileSpec{Name: "out.csv"}, func(path string) error {
		return os.WriteFile(path, []byte("a\n"), 0o600)
	})
	if err != nil || f.State != sdk.FileRegistered || f.SHA256 != hash("a\n") {
		t.Errorf("%+v, %v", f, err)
	}
	full := errors.New("disk full")
	_, err = h.Files.Export(t.Context(), "1", sdk.FileSpec{Name: "half.csv"}, func(path string) error {
		return errors.Join(full, os.WriteFile(path, []byte("half"), 0o600))
	})
	if !errors.Is(err, full) {
		t.Errorf("got %v", err)
	}
	all, err := h.Files.Registry.All(t.Context())
	if err != nil || len(all) != 1 || len(onDisk(t, h)) != 1 {
		t.Errorf("after a failed export: rows %v, disk %v, %v", all, onDisk(t, h), err)
	}
}

func TestExportBytes(t *testing.T) {
	t.Parallel()
	h := open(t)
	f, err := h.Files.ExportBytes(t.Context(), "1", sdk.FileSpec{Name: "out.csv"}, func(w io.Writer) error {
		_, err := io.WriteString(w, "a\nb\n")
		return err
	})
	if err != nil || f.State != sdk.FileRegistered || f.SHA256 != hash("a\nb\n") || f.SizeBytes != 4 || content(t, h.Files, f.ID) != "a\nb\n" {
		t.Errorf("%+v, %v", f, err)
	}
	broken := errors.New("broken")
	_, err = h.Files.ExportBytes(t.Context(), "1", sdk.FileSpec{Name: "half.csv"}, func(w io.Writer) error {
		_, err := io.WriteString(w, "half")
		return errors.Join(broken, err)
	})
	if !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
	if all, err := h.Files.Registry.All(t.Context()); err != nil || len(all) != 1 || len(onDisk(t, h)) != 1 {
		t.Errorf("after a failed export: rows %v, disk %v, %v", all, onDisk(t, h), err)
	}
}

// A client that leaves while its export is finished leaves no bytes without a row.
func TestExportWithoutItsClient(t *testing.T) {
	t.Parallel()
	h := open(t)
	ctx, leave := context.WithCancel(t.Context())
	f, err := h.Files.Export(ctx, "1", sdk.FileSpec{Name: "out.csv"}, func(path string) error {
		defer leave()
		return os.WriteFile(path, []byte("a\n"), 0o600)
	})
	if err != nil || f.State != sdk.FileRegistered {
		t.Errorf("%+v, %v", f, err)
	}
	if diff := cmp.Diff([]string{f.Path}, onDisk(t, h)); diff != "" {
		t.Error(diff)
	}
}

// What a client calls its file never decides where the bytes lie.
func TestNamesOnDisk(t *testing.T) {
	t.Parallel()
	h := open(t)
	for _, name := range []string{"", ".", "..", "../../etc/passwd", "/abs", "a/b", "nul\x00", "žluťoučký.csv", strings.Repeat("x", 300) + ".csv.gz", "\n", ".upload-1"} {
		f := receive(t, h.Files, prepare(t, h.Files, name).ID, "x")
		f, err := h.Files.Register(t.Context(), "1", f.ID)
		if err != nil {
			t.Errorf("%q: %v", name, err)
			continue
		}
		if dir := filepath.Dir(f.Path); dir != f.Created.Format("2006/01/02") || len(filepath.Base(f.Path)) > 128 || f.Name != name {
			t.Errorf("%q lies at %q", name, f.Path)
		}
		if strings.HasSuffix(name, ".gz") != strings.HasSuffix(f.Path, ".gz") {
			t.Errorf("%q lost its ending: %q", name, f.Path)
		}
	}
}

// A request that comes late does not bring back the folders of a dropped project.
func TestDropProject(t *testing.T) {
	t.Parallel()
	h := open(t)
	f := prepare(t, h.Files, "x")
	late := io.MultiReader(strings.NewReader("a"), readerFunc(func([]byte) (int, error) {
		if err := h.Files.DropProject(context.Background(), "1"); err != nil {
			t.Error(err)
		}
		return 0, io.EOF
	}))
	if _, err := h.Files.Receive(t.Context(), "1", f.ID, late, files.Checksums{}); !errors.Is(err, sdk.ErrFileNotFound) && !errors.Is(err, sdk.ErrProjectNotFound) {
		t.Errorf("got %v", err)
	}
	if _, err := os.Stat(h.Layout.Files("1")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the folder is back: %v", err)
	}
	if all, err := h.Files.Registry.All(t.Context()); err != nil || len(all) > 0 {
		t.Errorf("rows are left: %v, %v", all, err)
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(b []byte) (int, error) { return f(b) }

// An upload is read in chunks of bounded size, so that memory does not grow with it.
func TestUploadIsReadInChunks(t *testing.T) {
	t.Parallel()
	h := open(t)
	f := prepare(t, h.Files, "big")
	left, largest := 16<<20, 0
	f, err := h.Files.Receive(t.Context(), "1", f.ID, readerFunc(func(b []byte) (int, error) {
		if left == 0 {
			return 0, io.EOF
		}
		largest = max(largest, len(b))
		n := min(left, len(b))
		left -= n
		return n, nil
	}), files.Checksums{})
	if err != nil || f.SizeBytes != 16<<20 {
		t.Fatalf("%+v, %v", f, err)
	}
	if largest == 0 || largest > 1<<20 {
		t.Errorf("it reads %d bytes at once", largest)
	}
}
