package process_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/keboola/duckdb-storage/core/internal/pluginhost/process"
)

func TestSurroundings(t *testing.T) {
	t.Parallel()
	if os.Getenv(secret) == "" {
		t.Fatal("the host has no secret to hide")
	}
	cfg := config(t)
	p := start(t, cfg)
	got, err := call[struct {
		PID, Group int
		Dir, Stdin string
		Env, Files []string
	}](t.Context(), p, "test.Look", empty{})
	if err != nil {
		t.Fatal(err)
	}
	if got.PID != p.Status().PID || got.Group != got.PID || got.Dir != "/" || got.Stdin != os.DevNull {
		t.Errorf("the plugin finds %+v", got)
	}
	for _, file := range got.Files {
		if file != os.DevNull && !strings.HasPrefix(file, "/proc/") && !strings.HasPrefix(file, "/sys/fs/cgroup/") {
			t.Errorf("the plugin has %s of the host open", file)
		}
	}

	bounds := map[string]string{"GOMAXPROCS": "2", "GOMEMLIMIT": "128MiB"}
	var names []string
	for _, variable := range got.Env {
		name, value, _ := strings.Cut(variable, "=")
		if value == os.Getenv(secret) {
			t.Errorf("the plugin sees the host's secret as %s", name)
		}
		if bound := bounds[name]; value != bound && bound != "" {
			t.Errorf("%s is %s, want %s", name, value, bound)
		}
		switch name {
		case "TZ", "LANG", "GOTRACEBACK": // not every host has them
		default:
			names = append(names, name)
		}
	}
	slices.Sort(names)
	want := []string{
		"DUCKDB_STORAGE_PLUGIN", "GOMAXPROCS", "GOMEMLIMIT", "PATH", "PLUGIN_CLIENT_CERT",
		"PLUGIN_MAX_PORT", "PLUGIN_MIN_PORT", "PLUGIN_PROTOCOL_VERSIONS", "PLUGIN_UNIX_SOCKET_DIR",
	}
	if diff := cmp.Diff(want, names); diff != "" {
		t.Error(diff)
	}
}

// Pdeathsig kills the plugin when the thread that forked it ends, so the thread
// of whoever calls Start must not be that thread.
func TestStartFromAThreadThatEnds(t *testing.T) {
	t.Parallel()
	cfg := config(t)
	var p *process.Process
	var err error
	tid := onThreadThatEnds(func() { p, err = process.Start(context.Background(), cfg) })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Stop(context.Background()) })
	eventually(t, "the thread ends", func() bool {
		_, err := os.Stat(fmt.Sprintf("/proc/self/task/%d", tid))
		return err != nil
	})
	for range 100 { // for longer than a signal takes
		echo(t, p)
	}
	if s := p.Status(); s.Restarts != 0 {
		t.Errorf("status is %+v", s)
	}
}

// onThreadThatEnds runs fn on an operating system thread that ends afterwards,
// and returns its id.
func onThreadThatEnds(fn func()) (tid int) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread()
		if tid = syscall.Gettid(); tid == os.Getpid() {
			// The main thread never ends. As long as it is locked here, the
			// next goroutine gets another.
			defer runtime.UnlockOSThread()
			tid = onThreadThatEnds(fn)
			return
		}
		fn() // the thread ends with the goroutine that never unlocks it
	}()
	<-done
	return tid
}

// A plugin dies with a host that is killed. The plugin here never comes as far
// as the SDK, which watches its parent: only the kernel can end it.
func TestHostIsKilled(t *testing.T) {
	t.Parallel()
	test, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	hostProcess := exec.Command(test)
	hostProcess.Env = append(os.Environ(), hostDirVariable+"="+config(t).RuntimeDir, hostPluginVariable+"="+filepath.Join(binaries, "silent"))
	hostProcess.Stderr = os.Stderr
	out, err := hostProcess.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := hostProcess.Start(); err != nil {
		t.Fatal(err)
	}
	line, readErr := bufio.NewReader(out).ReadBytes('\n')
	var entry struct {
		Message string `json:"@message"`
	}
	err = json.Unmarshal(line, &entry)
	pid, pidErr := strconv.Atoi(entry.Message)
	if err != nil || pidErr != nil {
		_ = hostProcess.Process.Kill()
		t.Fatalf("the host said %q: %v, %v, %v", line, readErr, err, pidErr)
	}
	if gone(pid) {
		t.Error("the plugin ended before its host")
	}
	t.Cleanup(func() {
		if !gone(pid) {
			kill(t, pid, syscall.SIGKILL)
		}
	})
	kill(t, hostProcess.Process.Pid, syscall.SIGKILL)
	_ = hostProcess.Wait()
	eventually(t, "the plugin ends", func() bool { return gone(pid) })
}
