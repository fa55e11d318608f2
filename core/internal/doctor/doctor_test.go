package doctor_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/keboola/duckdb-storage/core/internal/disk"
	"github.com/keboola/duckdb-storage/core/internal/doctor"
	"github.com/keboola/duckdb-storage/core/internal/engine"
)

// machine is this one, but for what a test sets.
type machine struct {
	doctor.Local
	files   *uint64
	fs      *doctor.Filesystem
	library *engine.Library
	now     time.Time
	err     error // of every question
}

func (m machine) OpenFiles() (uint64, error) {
	if m.files != nil || m.err != nil {
		return *m.files, m.err
	}
	return m.Local.OpenFiles()
}

func (m machine) Filesystem(path string) (doctor.Filesystem, error) {
	if m.fs != nil || m.err != nil {
		return *m.fs, m.err
	}
	return m.Local.Filesystem(path)
}

func (m machine) Library(ctx context.Context) (engine.Library, error) {
	if m.library != nil || m.err != nil {
		return *m.library, m.err
	}
	return m.Local.Library(ctx)
}

func (m machine) Now() time.Time {
	if !m.now.IsZero() {
		return m.now
	}
	return m.Local.Now()
}

// healthy is a service that runs where nothing is wrong.
func healthy(t *testing.T) doctor.Subject {
	t.Helper()
	root := t.TempDir()
	l := disk.Layout{Root: root, Runtime: filepath.Join(root, "run")}
	if err := os.Chmod(root, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := l.Open(); err != nil {
		t.Fatal(err)
	}
	plugins := t.TempDir()
	return doctor.Subject{
		Running: true, Layout: l, TempDir: l.Temp(), RuntimeDir: l.Runtime, PluginDir: plugins, MinFree: 1, MaxOpen: 1,
		Memory: 1 << 30, Usable: 4 << 30, Plugins: []doctor.Plugin{{Name: "tables", Pinned: true}, {Name: "files"}},
		Registry: func(context.Context) error { return nil },
	}
}

// roomy is a local disk with room.
var roomy = doctor.Filesystem{Kind: "ext4", Bytes: 100 << 30, FreeBytes: 50 << 30, Inodes: 1e6, FreeInodes: 5e5}

func examine(t *testing.T, s doctor.Subject, m doctor.Machine) map[string]doctor.Check {
	t.Helper()
	out := map[string]doctor.Check{}
	for _, c := range doctor.Examine(t.Context(), s, m) {
		if _, twice := out[c.Name]; twice || c.Detail == "" || strings.Contains(c.Detail, "\n") {
			t.Errorf("not a check of its own on one line: %+v", c)
		}
		out[c.Name] = c
	}
	return out
}

// want checks one outcome, and that everything else is as it should be.
func want(t *testing.T, checks map[string]doctor.Check, status doctor.Status, detail string, names ...string) {
	t.Helper()
	for _, name := range names {
		if c := checks[name]; c.Status != status || !strings.Contains(c.Detail, detail) {
			t.Errorf("%s: got %s %q, want %s %q", name, c.Status, c.Detail, status, detail)
		}
		delete(checks, name)
	}
	for name, c := range checks {
		if c.Status != doctor.OK {
			t.Errorf("%s: %s %q besides", name, c.Status, c.Detail)
		}
	}
}

func TestHealthy(t *testing.T) {
	t.Parallel()
	s := healthy(t)
	before := tree(t, s.Layout.Root)
	checks := doctor.Examine(t.Context(), s, machine{fs: &roomy})
	var names []string
	for _, c := range checks {
		names = append(names, c.Name)
		if c.Status != doctor.OK {
			t.Errorf("%+v", c)
		}
	}
	if diff := cmp.Diff([]string{
		"config", "dataDir", "duckdbDir", "filesDir", "metadataDir", "tempDir", "runtimeDir", "pluginDir", "dataLock",
		"filesystem", "freeSpace", "inodes", "tempFilesystem", "tempSpace", "tempInodes", "openFiles", "memory",
		"duckdb", "database", "extensions", "registry", "clock", "plugins",
	}, names); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(before, tree(t, s.Layout.Root)); diff != "" {
		t.Errorf("left behind:\n%s", diff)
	}
}

// tree lists what is below a folder.
func tree(t *testing.T, root string) (paths []string) {
	t.Helper()
	err := filepath.WalkDir(root, func(path string, _ os.DirEntry, err error) error {
		paths = append(paths, path)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return paths
}

// replace puts a file in the place of a folder.
func replace(t *testing.T, path string) {
	t.Helper()
	if err := errors.Join(os.RemoveAll(path), os.WriteFile(path, nil, 0o600)); err != nil {
		t.Fatal(err)
	}
}

func TestFoldersOfAServiceThatRuns(t *testing.T) {
	t.Parallel()
	for name, path := range map[string]func(doctor.Subject) string{
		"duckdbDir":   func(s doctor.Subject) string { return s.Layout.Catalogs() },
		"filesDir":    func(s doctor.Subject) string { return s.Layout.AllFiles() },
		"metadataDir": func(s doctor.Subject) string { return s.Layout.Metadata() },
		"runtimeDir":  func(s doctor.Subject) string { return s.RuntimeDir },
		"pluginDir":   func(s doctor.Subject) string { return s.PluginDir },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := healthy(t)
			if err := os.RemoveAll(path(s)); err != nil {
				t.Fatal(err)
			}
			want(t, examine(t, s, machine{fs: &roomy}), doctor.Failed, "does not exist", name)
			replace(t, path(s))
			want(t, examine(t, s, machine{fs: &roomy}), doctor.Failed, "is not a directory", name)
			if err := errors.Join(os.Remove(path(s)), os.Symlink("nowhere", path(s))); err != nil {
				t.Fatal(err)
			}
			want(t, examine(t, s, machine{fs: &roomy}), doctor.Failed, "is a link to what does not exist", name)
		})
	}
}

func TestSnapshotsAreLookedAtOnceTheyAreThere(t *testing.T) {
	t.Parallel()
	s := healthy(t)
	replace(t, s.Layout.Snapshots())
	want(t, examine(t, s, machine{fs: &roomy}), doctor.Failed, "is not a directory", "snapshotsDir")
	if err := errors.Join(os.Remove(s.Layout.Snapshots()), os.Mkdir(s.Layout.Snapshots(), 0o700)); err != nil {
		t.Fatal(err)
	}
	checks := examine(t, s, machine{fs: &roomy})
	if checks["snapshotsDir"].Status != doctor.OK {
		t.Errorf("%+v", checks["snapshotsDir"])
	}
}

// Nobody may write there, root neither.
const readOnly = "/proc/self"

func TestAFolderThatCannotBeWritten(t *testing.T) {
	t.Parallel()
	if _, err := os.Stat(readOnly); err != nil {
		t.Skip("this system has no folder that root cannot write: ", err)
	}
	s := healthy(t)
	s.TempDir = readOnly
	checks := examine(t, s, machine{fs: &roomy})
	delete(checks, "database")
	if c := checks["tempDir"]; c.Status != doctor.Failed || !strings.Contains(c.Detail, readOnly) {
		t.Errorf("%+v", c)
	}
	s = healthy(t)
	s.TempDir = readOnly
	if c := examine(t, s, machine{fs: &roomy})["database"]; c.Status != doctor.Failed || !strings.Contains(c.Detail, "cannot be tried") {
		t.Errorf("%+v", c)
	}
}

func TestEverybodyMayLook(t *testing.T) {
	t.Parallel()
	s := healthy(t)
	for _, dir := range []string{s.Layout.Root, s.Layout.Metadata()} {
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(s.PluginDir, 0o777); err != nil {
		t.Fatal(err)
	}
	checks := examine(t, s, machine{fs: &roomy})
	if c := checks["pluginDir"]; c.Status != doctor.Warning || !strings.Contains(c.Detail, "chmod o-w") {
		t.Errorf("%+v", c)
	}
	delete(checks, "pluginDir")
	want(t, checks, doctor.Warning, "chmod 700", "dataDir", "metadataDir")
}

func TestAFolderOfAnotherUser(t *testing.T) {
	t.Parallel()
	s := healthy(t)
	if err := os.Chown(s.Layout.Catalogs(), 12345, -1); errors.Is(err, syscall.EPERM) {
		t.Skip("only root gives a folder away")
	} else if err != nil {
		t.Fatal(err)
	}
	want(t, examine(t, s, machine{fs: &roomy}), doctor.Warning, "belongs to user 12345", "duckdbDir")
}

// Before the first start nothing is there: what counts is where it will be.
func TestBeforeTheFirstStart(t *testing.T) {
	t.Parallel()
	above := t.TempDir()
	root := filepath.Join(above, "var", "lib", "storage")
	s := healthy(t)
	s.Running, s.Registry = false, nil
	s.Layout = disk.Layout{Root: root}
	s.TempDir, s.RuntimeDir = s.Layout.Temp(), root
	checks := examine(t, s, machine{fs: &roomy})
	for _, name := range []string{"dataDir", "duckdbDir", "filesDir", "metadataDir", "tempDir", "runtimeDir"} {
		if c := checks[name]; c.Status != doctor.OK || !strings.Contains(c.Detail, "the service makes it in "+above+" when it starts") {
			t.Errorf("%+v", c)
		}
	}
	want(t, checks, doctor.OK, "is free", "dataLock")
	if left := tree(t, above); len(left) != 1 {
		t.Errorf("left %v", left)
	}

	// A file stands where the folders would be made.
	replace(t, filepath.Join(above, "var"))
	checks = examine(t, s, machine{fs: &roomy})
	for _, name := range []string{"dataDir", "duckdbDir", "filesDir", "metadataDir", "tempDir", "runtimeDir"} {
		if c := checks[name]; c.Status != doctor.Failed || !strings.Contains(c.Detail, "not a directory") {
			t.Errorf("%+v", c)
		}
	}
}

// A data directory that another process uses is no fault of it.
func TestInUse(t *testing.T) {
	t.Parallel()
	s := healthy(t)
	s.Running = false
	lock, err := s.Layout.Lock()
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	want(t, examine(t, s, machine{fs: &roomy}), doctor.OK, fmt.Sprintf("in use by process %d", os.Getpid()), "dataLock")
	replace(t, s.Layout.Root+"-file")
	s.Layout.Root += "-file"
	if c := examine(t, s, machine{fs: &roomy})["dataLock"]; c.Status != doctor.Failed {
		t.Errorf("%+v", c)
	}
}

func TestFilesystem(t *testing.T) {
	t.Parallel()
	with := func(change func(*doctor.Filesystem)) machine {
		fs := roomy
		change(&fs)
		return machine{fs: &fs}
	}
	for _, tc := range []struct {
		m      machine
		status doctor.Status
		detail string
		names  []string
	}{
		{with(func(fs *doctor.Filesystem) { fs.Kind = "nfs" }), doctor.Warning, "use a local disk", []string{"filesystem", "tempFilesystem"}},
		{with(func(fs *doctor.Filesystem) { fs.Kind = "tmpfs" }), doctor.Warning, "is memory", []string{"filesystem", "tempFilesystem"}},
		{with(func(fs *doctor.Filesystem) { fs.Kind = "overlay" }), doctor.Warning, "mount a volume", []string{"filesystem", "tempFilesystem"}},
		{with(func(fs *doctor.Filesystem) { fs.Kind = "" }), doctor.OK, "not known", []string{"filesystem", "tempFilesystem"}},
		{with(func(fs *doctor.Filesystem) { fs.FreeBytes = 5 << 30 }), doctor.Warning, "less than 10 %", []string{"freeSpace", "tempSpace"}},
		{with(func(fs *doctor.Filesystem) { fs.FreeBytes = 1 << 20 }), doctor.Failed, "1 MiB of 100 GiB are free", []string{"freeSpace", "tempSpace"}},
		{with(func(fs *doctor.Filesystem) { fs.FreeInodes = 5e4 }), doctor.Warning, "less than 10 %", []string{"inodes", "tempInodes"}},
		{with(func(fs *doctor.Filesystem) { fs.FreeInodes = 999 }), doctor.Failed, "999 of 1000000 inodes", []string{"inodes", "tempInodes"}},
		{with(func(fs *doctor.Filesystem) { fs.Inodes, fs.FreeInodes = 0, 0 }), doctor.OK, "does not limit", []string{"inodes", "tempInodes"}},
	} {
		s := healthy(t)
		s.MinFree = 2 << 20
		want(t, examine(t, s, tc.m), tc.status, tc.detail, tc.names...)
	}
}

func TestLimits(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		files          uint64
		memory, usable int64
		status         doctor.Status
		detail, name   string
	}{
		{1023, 1 << 30, 4 << 30, doctor.Failed, "1024 is the least", "openFiles"},
		{1027, 1 << 30, 4 << 30, doctor.Warning, "may need 1028", "openFiles"},
		{1028, 1 << 30, 4 << 30, doctor.OK, "1028", "openFiles"},
		{9999, 3 << 30, 2 << 30, doctor.Failed, "the kernel would kill", "memory"},
		{9999, 19 << 27, 20 << 27, doctor.Warning, "lower engine.memory_limit", "memory"},
		{9999, 1 << 30, 0, doctor.Warning, "is not known", "memory"},
	} {
		s := healthy(t)
		s.Memory, s.Usable = tc.memory, tc.usable
		want(t, examine(t, s, machine{fs: &roomy, files: &tc.files}), tc.status, tc.detail, tc.name)
	}
}

func TestLibrary(t *testing.T) {
	t.Parallel()
	all := []engine.Extension{
		{Name: "core_functions", Static: true}, {Name: "httpfs"}, {Name: "icu", Static: true}, {Name: "json", Static: true}, {Name: "parquet", Static: true},
	}
	want(t, examine(t, healthy(t), machine{fs: &roomy, library: &engine.Library{Version: "v1.5.6", Extensions: all}}),
		doctor.OK, "not loaded: httpfs", "extensions")
	all[4].Static = false
	want(t, examine(t, healthy(t), machine{fs: &roomy, library: &engine.Library{Version: "v1.5.6", Extensions: all}}),
		doctor.Failed, "parquet must be linked", "extensions")
	all[4].Static = true
	want(t, examine(t, healthy(t), machine{fs: &roomy, library: &engine.Library{Version: "v2.0.0", Extensions: all}}),
		doctor.Failed, "made for v1.5.6", "duckdb")
}

// A database cannot be kept where its log cannot be made.
func TestDatabase(t *testing.T) {
	t.Parallel()
	s := healthy(t)
	replace(t, s.TempDir)
	checks := examine(t, s, machine{fs: &roomy})
	want(t, checks, doctor.Failed, "", "tempDir", "database")
}

func TestClock(t *testing.T) {
	t.Parallel()
	now := time.Now()
	for _, tc := range []struct {
		now, recorded time.Time
		status        doctor.Status
		detail        string
	}{
		{time.Unix(0, 0), time.Time{}, doctor.Failed, "1970-01-01"},
		{now.AddDate(200, 0, 0), time.Time{}, doctor.Failed, "set it"},
		{now, now.Add(2 * time.Hour), doctor.Failed, "something was recorded at"},
		{now, now.Add(30 * time.Second), doctor.OK, ""},
		{now.Add(time.Hour), now, doctor.Warning, "apart from that of the system"},
		{now.Add(-time.Hour), time.Time{}, doctor.Warning, "apart from that of the system"},
	} {
		s := healthy(t)
		s.Recorded = tc.recorded
		want(t, examine(t, s, machine{fs: &roomy, now: tc.now}), tc.status, tc.detail, "clock")
	}
	s := healthy(t)
	recorded := filepath.Join(s.Layout.Metadata(), "registry.duckdb")
	replace(t, recorded)
	if err := os.Chtimes(recorded, time.Time{}, now.Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	want(t, examine(t, s, machine{fs: &roomy}), doctor.Failed, "something was recorded at", "clock")
}

func TestPluginsAndSettings(t *testing.T) {
	t.Parallel()
	broken := errors.New("first\nsecond")
	for _, tc := range []struct {
		change       func(*doctor.Subject)
		status       doctor.Status
		detail, name string
	}{
		{func(s *doctor.Subject) { s.Plugins = nil }, doctor.Failed, "holds no executable", "plugins"},
		{func(s *doctor.Subject) { s.PluginsErr = broken }, doctor.Failed, "first; second", "plugins"},
		{func(s *doctor.Subject) { s.Plugins[0].Err, s.Plugins[1].Err = errors.New("a"), errors.New("b") }, doctor.Failed, "a; b", "plugins"},
		{func(*doctor.Subject) {}, doctor.OK, "tables, files; 1 of 2 pinned", "plugins"},
		{func(s *doctor.Subject) { s.Faults = broken }, doctor.Failed, "first; second", "config"},
		{func(s *doctor.Subject) { s.Registry = func(context.Context) error { return broken } }, doctor.Failed, "first; second", "registry"},
	} {
		s := healthy(t)
		tc.change(&s)
		want(t, examine(t, s, machine{fs: &roomy}), tc.status, tc.detail, tc.name)
	}
}

// A machine that tells nothing makes checks fail, not the program.
func TestAMachineThatTellsNothing(t *testing.T) {
	t.Parallel()
	var none uint64
	m := machine{err: errors.New("no answer"), files: &none, fs: &doctor.Filesystem{}, library: &engine.Library{}}
	want(t, examine(t, healthy(t), m), doctor.Failed, "no answer", "filesystem", "tempFilesystem", "openFiles", "duckdb")
}
