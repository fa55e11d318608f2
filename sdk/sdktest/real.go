//go:build unix

package sdktest

import (
	"context"
	"encoding/json"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hashicorp/go-hclog"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/keboola/duckdb-storage/sdk"
	"github.com/keboola/duckdb-storage/sdk/internal/wire"
	pluginv1 "github.com/keboola/duckdb-storage/sdk/proto/duckdbstorage/plugin/v1"
	"github.com/keboola/duckdb-storage/sdk/sdktest/service"
)

// Options says how the service runs the plugin. The zero value is right for most
// tests.
type Options struct {
	// Name of the plugin that Run starts. Default: what follows "plugin-" in the name
	// of the file.
	Name string
	// Settings become plugins.<name>.config; nil are none.
	Settings any
	// Grants are the permissions that the operator gives. Default: those that the
	// plugin declares that it needs.
	Grants []string
	// Routes are prefixes that the plugin may use beside /x/<name>/.
	Routes []string
	// Env holds settings of the service as NAME=value.
	Env []string
}

// Service is the real service with the plugin, and a project in it. It ends with the
// test, which fails if it does not end in order.
type Service struct {
	*service.Service
	Project service.Project // a client with the project's key

	t testing.TB
}

// Serve runs the plugin in the process of the test, where breakpoints and coverage
// are, behind the real service with the real DuckDB.
func Serve(t testing.TB, p *sdk.Plugin, o Options) *Service {
	t.Helper()
	d := p.Describe()
	o.Name = d.GetName()
	if o.Grants == nil {
		o.Grants = d.GetNeedsPermissions()
	}
	ctx, end := context.WithCancel(context.WithoutCancel(t.Context())) // it outlives the service
	log := hclog.New(&hclog.LoggerOptions{Name: o.Name, Level: hclog.Warn, Output: os.Stderr})
	dir := shortDir(t)
	at, ended, err := wire.Attachable(ctx, p, log, dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		end()
		<-ended
	})
	file := filepath.Join(dir, "reattach.json")
	if err := at.WriteFile(file); err != nil {
		t.Fatal(err)
	}
	return start(t, o, map[string]any{"reattach": file})
}

// Run runs the plugin's binary as the service does, in a process of its own.
func Run(t testing.TB, binary string, o Options) *Service {
	t.Helper()
	binary, err := filepath.Abs(binary)
	if err != nil {
		t.Fatal(err)
	}
	if o.Name == "" {
		o.Name = strings.TrimPrefix(filepath.Base(binary), "plugin-")
	}
	if o.Grants == nil {
		o.Grants = manifest(t, binary).GetNeedsPermissions()
	}
	return start(t, o, map[string]any{"path": binary})
}

// manifest asks a binary what it offers.
func manifest(t testing.TB, binary string) *pluginv1.DescribeResponse {
	t.Helper()
	raw, err := exec.CommandContext(t.Context(), binary, "--manifest").Output()
	if err != nil {
		t.Fatalf("sdktest: %s --manifest: %v", binary, err)
	}
	d := &pluginv1.DescribeResponse{}
	if err := protojson.Unmarshal(raw, d); err != nil {
		t.Fatalf("sdktest: what %s --manifest prints: %v", binary, err)
	}
	return d
}

// Build builds a main package of the module, "." for example, without cgo, and
// returns the binary: plugin-<name> in a folder of the test's own.
func Build(t testing.TB, pkg string) string {
	t.Helper()
	list := exec.CommandContext(t.Context(), "go", "list", "-f", "{{.ImportPath}}", pkg)
	path, err := list.Output()
	if err != nil {
		t.Fatalf("sdktest: %s: %v", list, err)
	}
	name := strings.TrimPrefix(filepath.Base(strings.TrimSpace(string(path))), "plugin-")
	target := filepath.Join(t.TempDir(), "plugin-"+name)
	build := exec.CommandContext(t.Context(), "go", "build", "-o", target, pkg)
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("sdktest: %s: %v\n%s", build, err, out)
	}
	return target
}

// start starts the service with what the operator writes about the plugin.
func start(t testing.TB, o Options, plugin map[string]any) *Service {
	t.Helper()
	bin, err := service.Build(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	plugin["grants"] = o.Grants
	if o.Routes != nil {
		plugin["routes"] = o.Routes
	}
	if o.Settings != nil {
		plugin["config"] = o.Settings
	}
	config, err := json.Marshal(map[string]any{"plugins": map[string]any{o.Name: plugin}}) // is YAML, too
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "config.yaml")
	if err := os.WriteFile(file, config, 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := service.Start(t.Context(), service.Options{Bin: bin, DataDir: shortDir(t), Env: o.Env, Args: []string{"--config", file}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Stop(); err != nil {
			t.Error(err)
		}
	})
	project, err := s.Admin().CreateProject(t.Context(), "demo")
	if err != nil {
		t.Fatalf("%v\n%s", err, s.Log())
	}
	return &Service{Service: s, Project: project, t: t}
}

// shortDir is a folder in whose path sockets fit, which they do not in t.TempDir's.
func shortDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "ds")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// Do sends a request with the project's key to a path below the project, for example
// /x/labels/in.c-main/orders, and decodes the answer as [service.Client.Do] does.
func (s *Service) Do(method, path string, body, out any) error {
	_, err := s.Project.Do(s.t.Context(), method, s.Project.Path()+path, body, out)
	return err
}

// Call runs a command by its name, also one without a route.
func Call[Request, Response any](s *Service, cmd sdk.Command[Request, Response], in Request) (out Response, err error) {
	_, err = s.Project.Do(s.t.Context(), "POST", "/commands/"+cmd.Name+"?project="+url.QueryEscape(s.Project.ID), in, &out)
	return out, err
}

// SQL runs one statement in the project and returns its rows, to set up what a test
// needs and to look at what it left. It fails the test on an error.
func (s *Service) SQL(statement string, params ...any) [][]any {
	s.t.Helper()
	rows, err := s.Project.Query(s.t.Context(), statement, params...)
	if err != nil {
		s.t.Fatalf("%s: %v", statement, err)
	}
	return rows
}
