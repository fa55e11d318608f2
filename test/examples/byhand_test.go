package examples_test

import (
	"bufio"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	pluginv1 "github.com/keboola/duckdb-storage/sdk/proto/duckdbstorage/plugin/v1"
	"github.com/keboola/duckdb-storage/sdk/sdktest/service"
)

// The binaries of the product, run by hand, say what they are.
func TestByHand(t *testing.T) {
	t.Parallel()
	binaries, err := filepath.Glob(filepath.Join(bin, "plugins", "plugin-*"))
	if err != nil || len(binaries) < 3 {
		t.Fatalf("%v: there are only %q", err, binaries)
	}
	for _, binary := range binaries {
		name := strings.TrimPrefix(filepath.Base(binary), "plugin-")
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, stderr := byHand(t, 1, binary)
			contains(t, stderr, name+" ", "the host starts it", "as plugin-"+name, "routes: [")
			stdout, _ := byHand(t, 0, binary, "--help")
			contains(t, stdout, "the host starts it", name+".")
			stdout, _ = byHand(t, 0, binary, "--doc")
			contains(t, stdout, "# Plugin "+name+" ", "### "+name+".", "| input |")
			_, stderr = byHand(t, 2, binary, "--verbose")
			contains(t, stderr, `unknown argument "--verbose"`, "--manifest")

			first, _ := byHand(t, 0, binary, "--manifest")
			second, _ := byHand(t, 0, binary, "--manifest")
			d, again := &pluginv1.DescribeResponse{}, &pluginv1.DescribeResponse{}
			if err := errors.Join(protojson.Unmarshal([]byte(first), d), protojson.Unmarshal([]byte(second), again)); err != nil {
				t.Fatal(err)
			}
			if first != second || !proto.Equal(d, again) || d.GetName() != name || len(d.GetCommands()) == 0 {
				t.Errorf("the manifest is not stable, or not of %s:\n%s", name, first)
			}
		})
	}
}

// byHand runs a binary and expects an exit status.
func byHand(t *testing.T, status int, binary string, args ...string) (stdout, stderr string) {
	t.Helper()
	var out, log strings.Builder
	cmd := exec.CommandContext(t.Context(), binary, args...)
	cmd.Stdout, cmd.Stderr = &out, &log
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	if got := cmd.ProcessState.ExitCode(); got != status {
		t.Errorf("%s %q ends with status %d, want %d\n%s%s", binary, args, got, status, &out, &log)
	}
	return out.String(), log.String()
}

func contains(t *testing.T, text string, parts ...string) {
	t.Helper()
	for _, p := range parts {
		if !strings.Contains(text, p) {
			t.Errorf("the text has no %q:\n%s", p, text)
		}
	}
}

// A plugin that a debugger started serves one host after another, by what it prints,
// and leaves nothing behind.
func TestDebug(t *testing.T) {
	t.Parallel()
	p := exec.CommandContext(t.Context(), filepath.Join(bin, "plugins", "plugin-tables"), "--debug")
	p.Env = append(os.Environ(), "TMPDIR="+shortDir(t))
	stdout, err := p.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Process.Kill() })
	config, file := printed(t, stdout)
	for range 2 {
		attach(t, config)
	}
	if err := p.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	if err := p.Wait(); err != nil {
		t.Errorf("after Ctrl-C it ends with %v", err)
	}
	if _, err := os.Stat(filepath.Dir(file)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("its folder is still there: %v", err)
	}
}

// printed reads the configuration that a plugin prints, and the file that it names.
func printed(t *testing.T, stdout io.Reader) (config, file string) {
	t.Helper()
	lines := bufio.NewScanner(stdout)
	for file == "" && lines.Scan() {
		config += lines.Text() + "\n"
		_, file, _ = strings.Cut(lines.Text(), "reattach: ")
	}
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var at struct {
		Protocol         int
		Network, Address string
		PID              int
	}
	if err := json.Unmarshal(raw, &at); err != nil || at.Protocol != pluginv1.ProtocolVersion || at.Network != "unix" || at.Address == "" || at.PID == 0 {
		t.Errorf("the file is %s: %v", raw, err)
	}
	return config, file
}

// attach runs a service with the plugin.
func attach(t *testing.T, config string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "config.yaml")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := service.Start(t.Context(), service.Options{Bin: bin, DataDir: shortDir(t), Args: []string{"--config", file}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Kill() })
	if _, err := s.PluginPID("tables"); !errors.Is(err, service.ErrNoProcess) {
		t.Errorf("the host started a process of its own: %v", err)
	}
	p, err := s.Admin().CreateProject(t.Context(), "demo")
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(p.CreateBucket(t.Context(), "in.c-main"), p.CreateTable(t.Context(), "in.c-main", "orders", []string{"id"})); err != nil {
		t.Errorf("%v\n%s", err, s.Log())
	}
	if err := s.Stop(); err != nil {
		t.Error(err)
	}
}
