package process_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/pprof"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/keboola/duckdb-storage/core/internal/pluginhost/process"
	"github.com/keboola/duckdb-storage/sdk"
	pluginv1 "github.com/keboola/duckdb-storage/sdk/proto/duckdbstorage/plugin/v1"
)

// patience bounds every wait of these tests. Nothing takes that long.
const patience = 20 * time.Second

// secret stands for the admin key in the host's environment.
const secret = "DUCKDB_STORAGE_ADMIN_KEY"

// hostDirVariable makes the test binary a host with that runtime directory,
// which runs the plugin of hostPluginVariable.
const (
	hostDirVariable    = "PROCESS_TEST_HOST"
	hostPluginVariable = "PROCESS_TEST_PLUGIN"
)

// binaries holds the test plugin under each of its names.
var binaries string

func TestMain(m *testing.M) {
	if dir := os.Getenv(hostDirVariable); dir != "" {
		runHost(dir) // does not return
	}
	os.Exit(runTests(m))
}

func runTests(m *testing.M) int {
	dir, err := os.MkdirTemp("", "testplugin")
	if err != nil {
		log.Print(err)
		return 1
	}
	defer os.RemoveAll(dir)
	if err := buildPlugin(dir); err != nil {
		log.Print(err)
		return 1
	}
	binaries = dir
	if err := os.Setenv(secret, "s3cret"); err != nil {
		log.Print(err)
		return 1
	}
	before := runtime.NumGoroutine()
	code := m.Run()
	if fuzzing := flag.Lookup("test.fuzz").Value.String() != ""; fuzzing {
		return code // its workers stay
	}
	if code == 0 && !poll(func() bool { return runtime.NumGoroutine() <= before }) {
		log.Printf("%d goroutines are left after every plugin was stopped", runtime.NumGoroutine()-before)
		_ = pprof.Lookup("goroutine").WriteTo(os.Stderr, 1)
		return 1
	}
	return code
}

// buildPlugin builds the test plugin once. Its other names are links: a file
// that is written while another test forks cannot be executed.
func buildPlugin(dir string) error {
	cmd := exec.Command("go", "build", "-o", filepath.Join(dir, "test"), "./internal/testplugin")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build the test plugin: %w\n%s", err, out)
	}
	for _, name := range []string{"crash-at-start", "chatty", "protocol-two", "vanishing", "deaf", "elsewhere", "silent"} {
		if err := os.Link(filepath.Join(dir, "test"), filepath.Join(dir, name)); err != nil {
			return err
		}
	}
	return nil
}

// runHost is the host that TestHostIsKilled kills: it logs the process id that
// its plugin prints.
func runHost(dir string) {
	_, err := process.Start(context.Background(), process.Config{
		Name: "test", Path: os.Getenv(hostPluginVariable), RuntimeDir: dir, Host: host{query: echoQuery},
		Logger:       hclog.New(&hclog.LoggerOptions{Output: os.Stdout, JSONFormat: true}),
		StartTimeout: time.Hour,
	})
	log.Print(err)
	os.Exit(1)
}

// config returns the config of the test plugin with a runtime directory of its
// own and a host that answers a query with its own text.
func config(t testing.TB) process.Config {
	t.Helper()
	dir, err := os.MkdirTemp("", "run") // t.TempDir is too long for sockets
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return process.Config{Name: "test", Path: filepath.Join(binaries, "test"), RuntimeDir: dir, Host: host{query: echoQuery}}
}

// start starts a plugin that is stopped with the test.
func start(t testing.TB, cfg process.Config) *process.Process {
	t.Helper()
	p, err := process.Start(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		_ = p.Stop(ctx)
	})
	return p
}

// host answers callbacks.
type host struct {
	pluginv1.UnimplementedHostServiceServer
	query func(ctx context.Context, sql string) (string, error)
}

func (h host) Query(ctx context.Context, req *pluginv1.QueryRequest) (*pluginv1.QueryResponse, error) {
	text, err := h.query(ctx, req.GetStatement().GetSql())
	if err != nil {
		return nil, err
	}
	rows, err := json.Marshal([]map[string]string{{"text": text}})
	return &pluginv1.QueryResponse{Rows: rows}, err
}

func echoQuery(_ context.Context, sql string) (string, error) { return sql, nil }

// call invokes a command and decodes its JSON answer. An error that the plugin
// answers with is returned like one of Invoke.
func call[Out any](ctx context.Context, p *process.Process, command string, in any) (Out, error) {
	var out Out
	payload, err := json.Marshal(in)
	if err != nil {
		return out, err
	}
	resp, err := p.Invoke(ctx, &pluginv1.InvokeRequest{Command: command, Payload: payload, RequestId: "r1"})
	if err != nil {
		return out, err
	}
	if e := resp.GetError(); e != nil {
		return out, sdk.ErrorFromProto(e)
	}
	return out, json.Unmarshal(resp.GetJson(), &out)
}

type (
	empty struct{}
	text  struct {
		Text string `json:"text"`
	}
)

// echo fails the test unless the plugin serves.
func echo(t testing.TB, p *process.Process) {
	t.Helper()
	out, err := call[text](t.Context(), p, "test.Echo", text{"ping"})
	if err != nil || out.Text != "ping" {
		t.Fatalf("echo returned %q, %v; status %+v", out.Text, err, p.Status())
	}
}

// expect fails the test unless err is an *sdk.Error of that code whose detail
// holds the words.
func expect(t testing.TB, err error, code sdk.Code, words ...string) {
	t.Helper()
	var e *sdk.Error
	if !errors.As(err, &e) || !errors.Is(err, code) {
		t.Fatalf("got error %v, want one of type %s", err, code.Slug)
	}
	contains(t, e.Detail, words...)
}

func contains(t testing.TB, s string, words ...string) {
	t.Helper()
	for _, w := range words {
		if !strings.Contains(s, w) {
			t.Errorf("%q is missing in: %s", w, s)
		}
	}
}

// poll checks a condition every two milliseconds until it holds.
func poll(condition func() bool) bool {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for {
		if condition() {
			return true
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return false
		}
	}
}

func eventually(t testing.TB, what string, condition func() bool) {
	t.Helper()
	if !poll(condition) {
		t.Fatalf("not within %v: %s", patience, what)
	}
}

func kill(t testing.TB, pid int, signal syscall.Signal) {
	t.Helper()
	if pid <= 0 {
		t.Fatalf("there is no process %d", pid)
	}
	if err := syscall.Kill(pid, signal); err != nil {
		t.Fatal(err)
	}
}

// gone reports whether a process has ended, reaped or not.
func gone(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return syscall.Kill(pid, 0) != nil
	}
	_, after, _ := strings.Cut(string(stat), ") ")
	return strings.HasPrefix(after, "Z") || strings.HasPrefix(after, "X")
}

// logbook is a logger whose lines a test can read.
type logbook struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *logbook) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *logbook) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

func (b *logbook) logger(level hclog.Level) hclog.Logger {
	return hclog.New(&hclog.LoggerOptions{Output: b, Level: level, JSONFormat: true, DisableTime: true})
}
