package doctor

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/keboola/duckdb-storage/core/internal/disk"
)

// folder is one that the service needs.
type folder struct {
	name     string // of its check
	path     string
	later    bool // it is looked at once it is there
	readOnly bool // the service only reads it
}

func (x *examination) folders() []Check {
	var out []Check
	for _, f := range []folder{
		{name: "dataDir", path: x.Layout.Root},
		{name: "duckdbDir", path: x.Layout.Catalogs()},
		{name: "filesDir", path: x.Layout.AllFiles()},
		{name: "snapshotsDir", path: x.Layout.Snapshots(), later: true},
		{name: "metadataDir", path: x.Layout.Metadata()},
		{name: "tempDir", path: x.TempDir},
		{name: "runtimeDir", path: x.RuntimeDir},
		{name: "pluginDir", path: x.PluginDir, readOnly: true},
	} {
		if _, err := os.Lstat(f.path); f.later && err != nil {
			continue
		}
		out = append(out, x.folder(f))
	}
	return out
}

func (x *examination) folder(f folder) Check {
	info, err := os.Stat(f.path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return x.missing(f)
	case err != nil:
		return failed(f.name, "%s", explain(err))
	case !info.IsDir():
		return failed(f.name, "%s is not a directory: move it away, or name another one in the configuration", f.path)
	}
	if f.readOnly {
		_, err = os.ReadDir(f.path)
	} else {
		err = x.try(f.path).err
	}
	if err != nil {
		return failed(f.name, "%s", explain(err))
	}
	if doubts := x.doubts(f, info); len(doubts) > 0 {
		return warning(f.name, "%s", strings.Join(doubts, "; "))
	}
	can := "written"
	if f.readOnly {
		can = "read"
	}
	return ok(f.name, "%s can be %s", f.path, can)
}

// missing judges a folder that is not there. A service that has yet to start makes it.
func (x *examination) missing(f folder) Check {
	if _, err := os.Lstat(f.path); err == nil {
		return failed(f.name, "%s is a link to what does not exist: make that, or remove the link", f.path)
	}
	switch {
	case x.Running:
		return failed(f.name, "%s does not exist: mount or restore it and restart the service", f.path)
	case f.readOnly:
		return failed(f.name, "%s does not exist: make it, or name another one in the configuration", f.path)
	}
	parent := existing(f.path)
	if err := x.try(parent).err; err != nil {
		return failed(f.name, "%s does not exist and cannot be made: %s", f.path, explain(err))
	}
	return ok(f.name, "%s does not exist; the service makes it in %s when it starts", f.path, parent)
}

// doubts are what is not as a careful operator has it.
func (x *examination) doubts(f folder, info os.FileInfo) []string {
	var out []string
	mode := info.Mode().Perm()
	private := x.Running || f.path == x.Layout.Root || strings.HasPrefix(f.path, x.Layout.Root+string(filepath.Separator))
	switch {
	case f.readOnly && mode&0o002 != 0:
		out = append(out, fmt.Sprintf("everybody may change what %s holds (mode %04o), and the service runs it: chmod o-w it", f.path, mode))
	case !f.readOnly && private && mode&0o007 != 0:
		out = append(out, fmt.Sprintf("everybody may look into %s (mode %04o): chmod 700 it", f.path, mode))
	case !f.readOnly && mode&0o002 != 0 && info.Mode()&fs.ModeSticky == 0:
		out = append(out, fmt.Sprintf("everybody may remove what is in %s (mode %04o): chmod o-w it, or name another one", f.path, mode))
	}
	if stat, is := info.Sys().(*syscall.Stat_t); is && private && !f.readOnly && int(stat.Uid) != os.Geteuid() {
		out = append(out, fmt.Sprintf("%s belongs to %s, and this is %s: run the service, and this check, as one user", f.path, who(int(stat.Uid)), who(os.Geteuid())))
	}
	return out
}

// trial is what came of trying a folder.
type trial struct {
	begun, ended time.Time // by the clock of the system
	stamp        time.Time // by that of the file system, between them
	err          error
}

// skew is how far the clocks of file system and system are apart at least.
func (t trial) skew() time.Duration {
	return max(t.begun.Sub(t.stamp), t.stamp.Sub(t.ended), 0)
}

// try tries a folder once.
func (x *examination) try(dir string) trial {
	t, done := x.tried[dir]
	if !done {
		t.begun = x.Now()
		t.stamp, t.err = disk.Try(dir)
		t.ended = x.Now()
		x.tried[dir] = t
	}
	return t
}

// existing is the folder itself, or the nearest one above it that is there.
func existing(path string) string {
	for {
		if _, err := os.Stat(path); err == nil || path == filepath.Dir(path) {
			return path
		}
		path = filepath.Dir(path)
	}
}

// remedies say what to do about an error of the file system.
var remedies = []struct {
	fault  syscall.Errno
	remedy string
}{
	{syscall.EROFS, "mount it for writing"},
	{syscall.EACCES, ""}, {syscall.EPERM, ""}, // see explain
	{syscall.ENOSPC, "free some space"},
	{syscall.EDQUOT, "raise the quota or free some space"},
	{syscall.ENOTDIR, "a part of the path is not a directory: move it away, or name another one in the configuration"},
	{syscall.EMFILE, "raise the limit of open files (ulimit -n)"},
	{syscall.EIO, "look at the disk, and at the log of the kernel"},
	{syscall.ESTALE, "mount it again"},
}

// explain adds to an error of the file system what to do about it.
func explain(err error) string {
	for _, r := range remedies {
		if !errors.Is(err, r.fault) {
			continue
		}
		if r.remedy == "" {
			r.remedy = fmt.Sprintf("%s may not: run as the user of the service, or give it to this one with chown", who(os.Geteuid()))
		}
		return fmt.Sprintf("%s: %s", err, r.remedy)
	}
	return err.Error()
}

// who names a user of the machine.
func who(uid int) string {
	id := strconv.Itoa(uid)
	if u, err := user.LookupId(id); err == nil {
		return "user " + u.Username
	}
	return "user " + id
}
