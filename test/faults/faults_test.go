package faults_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/keboola/duckdb-storage/test/faults"
)

// workArg makes the test's binary do a bit of work on files.
const workArg = "work"

func TestMain(m *testing.M) {
	faults.Launch()
	if len(os.Args) == 3 && os.Args[1] == workArg {
		if err := work(os.Args[2]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// work changes files below a folder, in every way that is seen, and some outside.
func work(dir string) error {
	if err := os.Mkdir(filepath.Join(dir, "a"), 0o700); err != nil {
		return err
	}
	f, err := os.Create(filepath.Join(dir, "a", "x"))
	if err != nil {
		return err
	}
	fd := int(f.Fd())
	for _, do := range []func() error{
		func() error { _, err := f.WriteString("bytes"); return err },
		func() error { _, err := f.WriteAt([]byte("more"), 5); return err },
		func() error { return unix.Fallocate(fd, 0, 0, 64) },
		f.Sync,
		func() error { return unix.Fdatasync(fd) },
		func() error { return f.Truncate(1) },
		f.Close,
		func() error { return unix.Link(filepath.Join(dir, "a", "x"), filepath.Join(dir, "a", "y")) },
		func() error { return os.Rename(filepath.Join(dir, "a", "x"), filepath.Join(dir, "z")) },
		func() error { return os.Rename(filepath.Join(dir, "z"), dir+"-outside") },
		func() error { return os.Remove(dir + "-outside") },
		func() error { return child(filepath.Join(dir, "child")) },
		func() error { return unix.Unlink(filepath.Join(dir, "a", "y")) },
		func() error { return unix.Rmdir(filepath.Join(dir, "a")) },
		func() error { return syncFolder(dir) },
	} {
		if err := do(); err != nil {
			return err
		}
	}
	_, err = os.ReadDir(dir)
	return err
}

// child changes a file in another process.
func child(path string) error { return exec.Command("touch", path).Run() }

func syncFolder(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Sync()
}

// run does the work under supervision and returns how it ended.
func run(t *testing.T, dir string, judge func(faults.Op) faults.Verdict) error {
	t.Helper()
	s, err := faults.Supervise(dir, judge)
	if err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	command := append(s.Command(), self, workArg, dir)
	out, ended := exec.Command(command[0], command[1:]...).CombinedOutput()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if ended != nil {
		return errors.Join(ended, errors.New(string(out)))
	}
	return nil
}

// all are the operations of the work.
var all = []string{
	"mkdir a", "create a/x", "write a/x", "write a/x", "allocate a/x", "sync a/x", "sync a/x", "truncate a/x",
	"link a/x -> a/y", "rename a/x -> z", "rename z", "unlink a/y", "rmdir a", "sync .",
}

func TestEveryOperationIsSeen(t *testing.T) {
	t.Parallel()
	faults.Need(t)
	var got []string
	if err := run(t, t.TempDir(), func(op faults.Op) faults.Verdict {
		got = append(got, op.String())
		return faults.GoOn
	}); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(all, got); diff != "" {
		t.Errorf("operations (-want +got):\n%s", diff)
	}
}

// Each operation can be answered with an error, which the process gets, and is not
// done then.
func TestFail(t *testing.T) {
	t.Parallel()
	faults.Need(t)
	for n, want := range all {
		seen := 0
		err := run(t, t.TempDir(), func(op faults.Op) faults.Verdict {
			if seen++; seen != n+1 {
				return faults.GoOn
			}
			if op.String() != want {
				t.Errorf("operation %d is %s, want %s", seen, op, want)
			}
			return faults.Fail(syscall.ENOSPC)
		})
		if err == nil || !strings.Contains(err.Error(), "no space left on device") {
			t.Errorf("%s failed, and the process ended with %v", want, err)
		}
	}
}

// The process is killed before the operation: what came before it happened, it and
// what comes after did not.
func TestKill(t *testing.T) {
	t.Parallel()
	faults.Need(t)
	dir := t.TempDir()
	var once sync.Once
	err := run(t, dir, func(op faults.Op) (v faults.Verdict) {
		if op.Kind == faults.Rename {
			once.Do(func() { v = faults.Kill })
		}
		return v
	})
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		t.Fatalf("the process ended with %v, want a kill", err)
	}
	var got []string
	for _, pattern := range []string{"*", "a/*"} {
		found, err := filepath.Glob(filepath.Join(dir, pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range found {
			got = append(got, strings.TrimPrefix(path, dir+"/"))
		}
	}
	if want := []string{"a", "a/x", "a/y"}; !slices.Equal(got, want) {
		t.Errorf("there are %v, want %v", got, want)
	}
}

// Where a test cannot supervise, as under a supervisor, it is skipped and says why, or
// fails if it must not be.
func TestNeed(t *testing.T) {
	faults.Need(t)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for required, want := range map[string]string{"": "--- SKIP: TestKill", "1": "--- FAIL: TestKill"} {
		s, err := faults.Supervise(t.TempDir(), func(faults.Op) faults.Verdict { return faults.GoOn })
		if err != nil {
			t.Fatal(err)
		}
		command := append(s.Command(), self, "-test.run=^TestKill$", "-test.v")
		cmd := exec.Command(command[0], command[1:]...)
		cmd.Env = append(os.Environ(), faults.RequiredEnv+"="+required)
		out, err := cmd.CombinedOutput()
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if failed := err != nil; failed != (required == "1") || !strings.Contains(string(out), want) || !strings.Contains(string(out), "seccomp with user notification") {
			t.Errorf("%s=%s: %v, want %s\n%s", faults.RequiredEnv, required, err, want, out)
		}
	}
}
