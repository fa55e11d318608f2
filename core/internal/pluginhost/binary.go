package pluginhost

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
)

// binaryPrefix is how a plugin's executable is named in the plugin directory.
const binaryPrefix = "plugin-"

// binary is the executable of a plugin.
type binary struct {
	source string // the operator's file
	digest string // its SHA-256 in hex; empty when it could not be read
	copied string // the copy that runs; empty when none was made
}

// remove removes the copy.
func (b *binary) remove() {
	if b.copied != "" {
		_ = os.RemoveAll(filepath.Dir(b.copied)) // else the end of the run does
		b.copied = ""
	}
}

// nameShape is what a plugin may be called: its name is part of paths, of commands and
// of settings.
var nameShape = regexp.MustCompile(`^[a-z][a-z0-9-]{0,39}$`)

// Binaries lists the plugins of a directory: name and path. Files whose name could not
// be a plugin's, such as plugin-tables.bak, are none.
func Binaries(dir string) (map[string]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("read the plugin directory: %w (set --plugin-dir)", err)
	}
	out := map[string]string{}
	for _, e := range entries {
		if name, ok := strings.CutPrefix(e.Name(), binaryPrefix); ok && !e.IsDir() && nameShape.MatchString(name) {
			out[name] = filepath.Join(dir, e.Name())
		}
	}
	return out, nil
}

// DefaultPath is where a plugin is that has no path of its own.
func DefaultPath(dir, name string) string { return filepath.Join(dir, binaryPrefix+name) }

// Digest is the SHA-256 of an executable in hex.
func Digest(path string) (string, error) {
	f, err := openBinary(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	return copyHashed(io.Discard, f)
}

// maxBinaryBytes bounds an executable. Reading it cannot be given up half way, and
// takes a second or two for that many bytes; a plugin with the SDK has 14 MB.
const maxBinaryBytes = 1 << 30

// openBinary opens a file that may be run. Its copy is executable in any case, so this
// one must be.
func openBinary(path string) (*os.File, error) {
	// Without O_NONBLOCK the opening of a named pipe waits for somebody who writes.
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	switch {
	case err != nil:
	case !info.Mode().IsRegular():
		err = fmt.Errorf("%s is not a file", path)
	case info.Mode().Perm()&0o111 == 0:
		err = fmt.Errorf("%s is not executable: chmod +x it", path)
	case info.Size() > maxBinaryBytes:
		err = fmt.Errorf("%s has %d bytes, more than the %d that a plugin may have", path, info.Size(), maxBinaryBytes)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

func copyHashed(to io.Writer, from io.Reader) (digest string, err error) {
	h := sha256.New()
	_, err = io.Copy(io.MultiWriter(to, h), from)
	return hex.EncodeToString(h.Sum(nil)), err
}

// pinned reports that an executable is not the one that the operator wants.
func (b binary) pinned(name, want string) error {
	if want == "" || strings.EqualFold(want, b.digest) {
		return nil
	}
	return fmt.Errorf("plugin %s: %s has SHA-256 %s, and plugins.%s.sha256 wants %s; if you have installed another release, put its digest there (duckdb-storage plugins lock prints it), else restore the file",
		name, b.source, b.digest, name, want)
}

// take copies the executable into a folder of its own below dir. What is hashed is what
// runs: whoever replaces the file meanwhile replaces neither.
func (b *binary) take(dir string) error {
	from, err := openBinary(b.source)
	if err != nil {
		return err
	}
	defer from.Close()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	own, err := os.MkdirTemp(dir, "")
	if err != nil {
		return err
	}
	copied := filepath.Join(own, filepath.Base(b.source))
	if b.digest, err = write(copied, from); err != nil {
		return errors.Join(err, os.RemoveAll(own))
	}
	b.copied = copied
	return nil
}

// write copies an executable. A process that is forked while the file is open for
// writing holds it open for a moment, and nobody can run it then ("text file busy"):
// so none is forked.
func write(path string, from io.Reader) (digest string, err error) {
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	to, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o500)
	if err != nil {
		return "", err
	}
	digest, err = copyHashed(to, from)
	return digest, errors.Join(err, to.Close())
}

// unreadable explains why an executable cannot be taken.
func unreadable(name, path string, err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("plugin %s: there is no executable %s: install it, set plugins.%s.path, or remove plugins.%s from the configuration", name, path, name, name)
	}
	return fmt.Errorf("plugin %s: its executable cannot be taken: %w", name, err)
}
