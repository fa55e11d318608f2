package service

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
)

// BinEnv names the folder of a set that is built already: duckdb-storage, and
// plugins/plugin-<name>. It must be absolute. The Makefile sets it.
const BinEnv = "TEST_SERVICE_BIN"

// module is the product.
const module = "github.com/keboola/duckdb-storage"

// Build makes the host and the plugins of the product and returns their folder. It
// must be called with the working directory inside a Go module that is the product's
// or requires it: the sources are those of the version that the module requires. The
// set is kept in the user's cache folder, so that a build without changes takes a
// second; several processes may build at the same time. With BinEnv set it builds
// nothing and returns that folder.
func Build(ctx context.Context) (dir string, err error) {
	dir = os.Getenv(BinEnv)
	if dir == "" {
		return compile(ctx)
	}
	if !filepath.IsAbs(dir) {
		return "", fmt.Errorf("%s must be an absolute path, not %q", BinEnv, dir)
	}
	if _, err := os.Stat(filepath.Join(dir, "duckdb-storage")); err != nil {
		return "", fmt.Errorf("%s holds no service: %w", BinEnv, err)
	}
	return dir, nil
}

func compile(ctx context.Context) (string, error) {
	root, err := moduleRoot(ctx)
	if err != nil {
		return "", err
	}
	dir, err := cacheDir(root)
	if err != nil {
		return "", err
	}
	unlock, err := lock(filepath.Join(dir, "lock"))
	if err != nil {
		return "", err
	}
	defer unlock()
	plugins, err := filepath.Glob(filepath.Join(root, "cmd", "plugin-*"))
	if err != nil {
		return "", err
	}
	if len(plugins) == 0 {
		return "", fmt.Errorf("%s/cmd has no plugins", root)
	}
	return dir, errors.Join(
		goBuild(ctx, root, filepath.Join(dir, "duckdb-storage"), "CGO_ENABLED=1", "./cmd/duckdb-storage"),
		goBuild(ctx, root, filepath.Join(dir, "plugins")+"/", "CGO_ENABLED=0", "./cmd/plugin-..."),
	)
}

func goBuild(ctx context.Context, root, target, cgo, packages string) error {
	cmd := exec.CommandContext(ctx, "go", "build", "-o", target, packages)
	cmd.Dir, cmd.Env = root, append(os.Environ(), cgo)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", cmd, err, out)
	}
	return nil
}

// moduleRoot is where the sources of the product are.
func moduleRoot(ctx context.Context) (string, error) {
	cmd := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}", module)
	out, err := cmd.Output()
	dir := strings.TrimSpace(string(out))
	if err != nil || dir == "" {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			err = fmt.Errorf("%w: %s", err, bytes.TrimSpace(exit.Stderr))
		}
		return "", fmt.Errorf("find the sources of %s (run go mod download, or set %s to binaries that are built already): %w", module, BinEnv, err)
	}
	return dir, nil
}

// cacheDir is a folder for each version and checkout.
func cacheDir(root string) (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256([]byte(root))
	dir := filepath.Join(cache, "duckdb-storage-test", fmt.Sprintf("%x", sum[:6]))
	return dir, os.MkdirAll(filepath.Join(dir, "plugins"), 0o700)
}

// lock waits until no other process builds into the folder.
func lock(path string) (unlock func(), err error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
		f.Close()
		return nil, err
	}
	return func() {
		f.Close()
	}, nil
}
