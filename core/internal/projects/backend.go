package projects

import (
	"context"
	"fmt"
	"os"
	"strings"
	"syscall"

	"github.com/keboola/duckdb-storage/sdk"
)

// minFreeBytes is the least free space with which a backend is fit to start.
const minFreeBytes = 1 << 30

// minOpenFiles is the least limit of open files: every open catalog and every
// upload holds some.
const minOpenFiles = 1024

// InitBackend checks that the service can work and changes nothing.
var InitBackend = sdk.Command[NoRequest, InitResponse]{Name: "backend.Init", Summary: "Check directories, space, limits and DuckDB, and report every problem at once."}

// InitResponse lists what was checked.
type InitResponse struct {
	Status        string  `json:"status"`
	Checks        []Check `json:"checks"`
	Version       string  `json:"version"`
	DuckDBVersion string  `json:"duckdbVersion"`
}

// Check is one thing that was checked.
type Check struct {
	Name   string `json:"name"`
	Status string `json:"status" jsonschema:"ok or failed"`
	Detail string `json:"detail"`
}

func (c *Commands) initBackend(ctx *sdk.Context, _ NoRequest) (InitResponse, error) {
	version, versionErr := c.Executor.Engine.Version(ctx)
	checks := []Check{
		check("dataDir", c.Executor.Layout.Root, writable(c.Executor.Layout.Root)),
		check("metadataDir", c.Executor.Layout.Metadata(), writable(c.Executor.Layout.Metadata())),
		check("tempDir", c.Executor.Layout.Temp(), writable(c.Executor.Layout.Temp())),
		check("runtimeDir", c.Executor.Layout.Runtime, writable(c.Executor.Layout.Runtime)),
		check("freeSpace", c.Executor.Layout.Root, enoughSpace(c.Executor.Layout.Root)),
		check("openFiles", fmt.Sprintf("at least %d", minOpenFiles), enoughFiles()),
		check("duckdb", version, versionErr),
		check("registry", "", c.reachable(ctx)),
	}
	var failed []string
	for _, k := range checks {
		if k.Status != "ok" {
			failed = append(failed, k.Name+": "+k.Detail)
		}
	}
	if len(failed) > 0 {
		return InitResponse{}, sdk.ErrInvalid.Errorf("Cannot initialize backend. Following errors were encountered:\n%s", strings.Join(failed, "\n"))
	}
	return InitResponse{Status: "ok", Checks: checks, Version: c.Version, DuckDBVersion: version}, nil
}

// RemoveBackend does nothing, as in Keboola: it must never delete data.
var RemoveBackend = sdk.Command[NoRequest, sdk.None]{Name: "backend.Remove", Summary: "Take leave of the backend. Deletes nothing."}

func (c *Commands) removeBackend(*sdk.Context, NoRequest) (sdk.None, error) { return sdk.None{}, nil }

func check(name, detail string, err error) Check {
	if err != nil {
		return Check{Name: name, Status: "failed", Detail: err.Error()}
	}
	return Check{Name: name, Status: "ok", Detail: detail}
}

func writable(dir string) error {
	f, err := os.CreateTemp(dir, ".check-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	return f.Close()
}

func enoughSpace(dir string) error {
	var fs syscall.Statfs_t
	if err := syscall.Statfs(dir, &fs); err != nil {
		return err
	}
	if free := fs.Bavail * uint64(fs.Bsize); free < minFreeBytes {
		return fmt.Errorf("%d MiB are free, at least %d MiB are needed", free>>20, minFreeBytes>>20)
	}
	return nil
}

func enoughFiles() error {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return err
	}
	if limit.Cur < minOpenFiles {
		return fmt.Errorf("the limit of open files is %d, at least %d are needed (ulimit -n)", limit.Cur, minOpenFiles)
	}
	return nil
}

// reachable reads from the file registry, as every upload will.
func (c *Commands) reachable(ctx context.Context) error {
	_, err := c.Executor.Files.Registry.All(ctx)
	return err
}
