package e2e_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/keboola/duckdb-storage/sdk/sdktest/service"
)

// checkup is what the doctor found.
type checkup struct {
	Status string  `json:"status"`
	Checks []check `json:"checks"`

	exit   int
	stderr string
}

type check struct {
	Name   string `json:"name"`
	Status string `json:"status"`
	Detail string `json:"detail"`
}

// doctor runs duckdb-storage doctor --json, or what wrap makes of that command line.
func doctor(t *testing.T, wrap func(*exec.Cmd), args ...string) (c checkup) {
	t.Helper()
	args = append([]string{"doctor", "--json", "--plugin-dir", filepath.Join(bin, "plugins")}, args...)
	cmd := exec.CommandContext(t.Context(), filepath.Join(bin, "duckdb-storage"), args...)
	if wrap != nil {
		wrap(cmd)
	}
	var out, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	if err := json.Unmarshal(out.Bytes(), &c); err != nil {
		t.Fatalf("%v: %s %s", err, &out, &stderr)
	}
	c.exit, c.stderr = cmd.ProcessState.ExitCode(), stderr.String()
	return c
}

// failed compares which checks failed; each names what its detail must have.
func (c checkup) failed(t *testing.T, want map[string]string) {
	t.Helper()
	found := map[string]string{}
	for _, k := range c.Checks {
		if k.Status != "failed" {
			continue
		}
		if found[k.Name] = k.Detail; strings.Contains(k.Detail, want[k.Name]) {
			found[k.Name] = want[k.Name]
		}
	}
	if diff := cmp.Diff(want, found); diff != "" {
		t.Errorf("what failed (-want +got):\n%s", diff)
	}
	exit := 0
	if len(want) > 0 {
		exit = 1
	}
	if c.exit != exit || len(want) > 0 && (c.Status != "failed" || !strings.Contains(c.stderr, fmt.Sprintf("%d of %d checks failed", len(want), len(c.Checks)))) {
		t.Errorf("status %s, exit %d, %q", c.Status, c.exit, c.stderr)
	}
}

func (c checkup) detail(name string) string {
	for _, k := range c.Checks {
		if k.Name == name {
			return k.Detail
		}
	}
	return ""
}

func TestDoctorBeforeTheFirstStart(t *testing.T) {
	t.Parallel()
	dir := dataDir(t)
	data := filepath.Join(dir, "not", "yet")
	c := doctor(t, nil, "--data-dir", data)
	c.failed(t, map[string]string{})
	if got := c.detail("dataDir"); !strings.Contains(got, "makes it in "+dir+" when it starts") {
		t.Error(got)
	}
	if left := names(t, dir); len(left) > 0 {
		t.Errorf("it made %v", left)
	}

	// The same for a person: aligned lines.
	cmd := exec.CommandContext(t.Context(), filepath.Join(bin, "duckdb-storage"), "doctor", "--data-dir", data, "--plugin-dir", dir)
	out, err := cmd.Output()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 1 || !strings.Contains(string(exit.Stderr), "1 of 22 checks failed") {
		t.Errorf("%v", err)
	}
	for line := range strings.Lines(string(out)) {
		status, name, detail := line[:8], line[8:24], line[24:]
		if strings.TrimSpace(status) == "" || !strings.HasSuffix(status, " ") || !strings.HasSuffix(name, " ") || strings.HasPrefix(detail, " ") {
			t.Errorf("not aligned: %q", line)
		}
	}
	if !strings.Contains(string(out), "failed  plugins         "+dir+" holds no executable plugin-<name>: install the plugins") {
		t.Errorf("%s", out)
	}
}

// Beside a service the doctor changes nothing for it, and leaves nothing.
func TestDoctorBesideAService(t *testing.T) {
	t.Parallel()
	data := dataDir(t)
	s, err := service.Start(t.Context(), service.Options{Bin: bin, DataDir: data})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Kill()
	p, err := s.Admin().CreateProject(t.Context(), "1")
	if err != nil {
		t.Fatal(err)
	}
	before := names(t, data)
	for range 3 {
		c := doctor(t, nil, "--data-dir", data)
		c.failed(t, map[string]string{})
		if got := c.detail("dataLock"); !strings.Contains(got, fmt.Sprintf("in use by process %d", s.PID())) {
			t.Error(got)
		}
	}
	if diff := cmp.Diff(before, names(t, data)); diff != "" {
		t.Errorf("files (-before +after):\n%s", diff)
	}
	if err := p.CreateBucket(t.Context(), "b"); err != nil {
		t.Error(err)
	}
	// Both locks are still the service's.
	if other, err := service.Start(t.Context(), service.Options{Bin: bin, DataDir: data}); err == nil {
		other.Kill()
		t.Error("a second service runs on the same directory")
	}
	if err := s.Stop(); err != nil {
		t.Error(err)
	}
	doctor(t, nil, "--data-dir", data).failed(t, map[string]string{})
}

// Another user is told what it may not do.
func TestDoctorAsAnotherUser(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("only root becomes another user")
	}
	dir := dataDir(t)
	data := filepath.Join(dir, "data")
	own := filepath.Join(dir, "duckdb-storage") // the folder of the build may be closed to others
	program, err := os.ReadFile(filepath.Join(bin, "duckdb-storage"))
	if err := errors.Join(err, os.Chmod(dir, 0o755), os.Mkdir(data, 0o700), os.WriteFile(own, program, 0o755), os.Mkdir(filepath.Join(dir, "plugins"), 0o755)); err != nil {
		t.Fatal(err)
	}
	c := doctor(t, func(cmd *exec.Cmd) {
		cmd.Path = own
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	}, "--data-dir", data, "--plugin-dir", filepath.Join(dir, "plugins"))
	const denied = "permission denied: user nobody may not: run as the user of the service"
	c.failed(t, map[string]string{
		"dataDir": denied, "duckdbDir": denied, "filesDir": denied, "metadataDir": denied, "tempDir": denied, "runtimeDir": denied,
		"dataLock": denied, "database": denied, "plugins": "holds no executable",
	})
}

func TestDoctorWithFewOpenFiles(t *testing.T) {
	t.Parallel()
	c := doctor(t, func(cmd *exec.Cmd) {
		cmd.Args = append([]string{"sh", "-c", `ulimit -n 512 && exec "$0" "$@"`}, append([]string{cmd.Path}, cmd.Args[1:]...)...)
		cmd.Path = "/bin/sh"
	}, "--data-dir", dataDir(t))
	c.failed(t, map[string]string{"openFiles": "the limit of open files is 512"})
}

// mounted mounts a file system in memory for a test, and fills it.
func mounted(t *testing.T, options string, full bool) string {
	t.Helper()
	dir := dataDir(t)
	if out, err := exec.CommandContext(t.Context(), "mount", "-t", "tmpfs", "-o", options+",mode=0700", "none", dir).CombinedOutput(); err != nil {
		t.Skipf("this user may not mount: %v %s", err, out)
	}
	t.Cleanup(func() {
		if out, err := exec.Command("umount", dir).CombinedOutput(); err != nil {
			t.Errorf("%v %s", err, out)
		}
	})
	if full {
		err := os.WriteFile(filepath.Join(dir, "ballast"), make([]byte, 2<<20), 0o600)
		if !errors.Is(err, syscall.ENOSPC) {
			t.Fatalf("the disk is not full: %v", err)
		}
	}
	return dir
}

func TestDoctorOnAFullDisk(t *testing.T) {
	t.Parallel()
	data := mounted(t, "size=1m", true)
	const full = "no space left on device: free some space"
	doctor(t, nil, "--data-dir", data).failed(t, map[string]string{
		"dataDir": full, "duckdbDir": full, "filesDir": full, "metadataDir": full, "tempDir": full, "runtimeDir": full,
		"freeSpace": "0 MiB of 1 MiB are free", "tempSpace": "0 MiB of 1 MiB are free", "database": "the disk is full",
	})
	if left := names(t, data); len(left) != 1 {
		t.Errorf("left %v", left)
	}
}

func TestDoctorOnAReadOnlyDisk(t *testing.T) {
	t.Parallel()
	data := mounted(t, "ro,size=2g", false)
	const denied = "read-only file system: mount it for writing"
	c := doctor(t, nil, "--data-dir", data)
	c.failed(t, map[string]string{
		"dataDir": denied, "duckdbDir": denied, "filesDir": denied, "metadataDir": denied, "tempDir": denied, "runtimeDir": denied, "database": denied,
	})
	if got := c.detail("filesystem"); !strings.Contains(got, "is on tmpfs, which is memory") {
		t.Error(got)
	}
}

func TestDoctorOfAConfiguration(t *testing.T) {
	t.Parallel()
	data := dataDir(t)
	config := filepath.Join(dataDir(t), "config.yaml")
	write := func(text string) {
		if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("min_free: 9000TiB\nlog_level: loud\nengine: {memory_limit: 9000TB}\nqueue: {length: 0}\nruntime_dir: /" + strings.Repeat("x", 60) +
		"\nplugins: {tables: {sha256: \"" + strings.Repeat("0", 64) + "\"}, more: {path: /none}}\n")
	c := doctor(t, nil, "--data-dir", data, "--config", config)
	c.failed(t, map[string]string{
		"config": `log_level "loud"`, "memory": "lower engine.memory_limit", "freeSpace": "are the least (min_free)", "tempSpace": "are the least (min_free)",
		"plugins": "plugin more: there is no executable /none",
	})
	for _, part := range []string{"queue.length", "runtime_dir"} {
		if got := c.detail("config"); !strings.Contains(got, part) {
			t.Errorf("%q is not in %q", part, got)
		}
	}
	if got := c.detail("plugins"); !strings.Contains(got, "plugin tables: ") || !strings.Contains(got, "is pinned") {
		t.Error(got)
	}
	// Of a text that is no configuration nothing more can be told.
	write("colour: red\n")
	c = doctor(t, nil, "--data-dir", data, "--config", config)
	c.failed(t, map[string]string{"config": "unknown setting colour"})
}

// Init tells all that is wrong at once, as the doctor does, and is well again when it
// is put right.
func TestInitReportsEveryProblem(t *testing.T) {
	t.Parallel()
	data, config := dataDir(t), filepath.Join(dataDir(t), "config.yaml")
	write := func(text string) {
		if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("{}")
	s, err := service.Start(t.Context(), service.Options{Bin: bin, DataDir: data, Args: []string{"--config", config}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Kill() })
	var fit checkup
	if _, err := s.Admin().Do(t.Context(), http.MethodPost, "/backend/init", map[string]any{}, &fit); err != nil || fit.Status != "ok" || len(fit.Checks) != 23 {
		t.Errorf("%+v, %v", fit, err)
	}
	fit.failed(t, map[string]string{})

	pipes := filepath.Join(data, "run")
	if err := errors.Join(os.RemoveAll(filepath.Join(data, "tmp")), os.Rename(pipes, pipes+"-away"), os.WriteFile(pipes, nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	write("min_free: 9000TiB\nengine: {memory_limit: 9000TB}\nplugins: {tables: {sha256: \"" + strings.Repeat("0", 64) + "\"}}\n")
	_, err = s.Admin().Do(t.Context(), http.MethodPost, "/backend/init", map[string]any{}, nil)
	var p *service.Problem
	if !errors.As(err, &p) || p.Status != 422 || p.Code != 3000 || p.Retryable {
		t.Fatalf("%v", err)
	}
	lines := strings.Split(p.Detail, "\n")
	if lines[0] != "Cannot initialize backend. Following errors were encountered:" {
		t.Errorf("%q", lines[0])
	}
	for i, name := range []string{"tempDir", "runtimeDir", "freeSpace", "tempSpace", "memory", "plugins"} {
		if len(lines) != 7 || !strings.HasPrefix(lines[i+1], name+": ") || p.Context[name] == "" {
			t.Errorf("line %d of %d is not that of %s: %s", i+1, len(lines), name, p.Detail)
		}
	}

	if err := errors.Join(os.Mkdir(filepath.Join(data, "tmp"), 0o700), os.Remove(pipes), os.Rename(pipes+"-away", pipes)); err != nil {
		t.Fatal(err)
	}
	write("{}")
	if _, err := s.Admin().Do(t.Context(), http.MethodPost, "/backend/init", map[string]any{}, nil); err != nil {
		t.Error(err)
	}
	if err := s.Stop(); err != nil {
		t.Error(err)
	}
}

// Remove takes leave and takes nothing along.
func TestRemoveBackendDeletesNothing(t *testing.T) {
	t.Parallel()
	data := dataDir(t)
	s, err := service.Start(t.Context(), service.Options{Bin: bin, DataDir: data})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Kill()
	p, err := s.Admin().CreateProject(t.Context(), "1")
	if err != nil {
		t.Fatal(err)
	}
	fill(t, p, "b", "t", 10)
	content, all := digests(t, data, "duckdb", "files"), names(t, data)
	for range 2 {
		if status, err := s.Admin().Do(t.Context(), http.MethodPost, "/backend/remove", map[string]any{}, nil); err != nil || status != http.StatusNoContent {
			t.Errorf("%d, %v", status, err)
		}
	}
	if diff := cmp.Diff(content, digests(t, data, "duckdb", "files")); diff != "" || len(content) < 3 {
		t.Errorf("%d files (-before +after):\n%s", len(content), diff)
	}
	if diff := cmp.Diff(all, names(t, data)); diff != "" {
		t.Errorf("names (-before +after):\n%s", diff)
	}
	if _, err := p.Do(t.Context(), http.MethodGet, p.Path("tables", "b", "t", "preview"), nil, nil); err != nil {
		t.Error(err)
	}
	if err := s.Stop(); err != nil {
		t.Error(err)
	}
}

// names lists what is below a folder.
func names(t *testing.T, root string) (out []string) {
	t.Helper()
	err := filepath.WalkDir(root, func(path string, _ fs.DirEntry, err error) error {
		if path != root {
			out = append(out, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// digests are those of all files in folders of a data directory.
func digests(t *testing.T, data string, folders ...string) map[string]string {
	t.Helper()
	out := map[string]string{}
	for _, folder := range folders {
		for _, path := range names(t, filepath.Join(data, folder)) {
			if info, err := os.Lstat(path); err != nil || !info.Mode().IsRegular() {
				continue
			}
			content, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			out[path] = fmt.Sprintf("%x", sha256.Sum256(content))
		}
	}
	return out
}
