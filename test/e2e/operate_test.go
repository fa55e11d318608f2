package e2e_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/keboola/duckdb-storage/sdk/sdktest/service"
)

// patience bounds a wait for what takes a moment.
const patience = 30 * time.Second

// operated is a service whose plugins an operator changes: those of the product, and
// one of a third party.
type operated struct {
	t       *testing.T
	plugins string // the directory of plugins
	config  string // the config file
	said    transcript
	*service.Service
}

// transcript is all of a log; the tail that the service keeps is soon full of requests.
type transcript struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *transcript) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

// count returns how often the log has a text.
func (l *transcript) count(text string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return bytes.Count(l.text.Bytes(), []byte(text))
}

// operate starts a service with such plugins and a config file of its own.
func operate(t *testing.T, config string) *operated {
	t.Helper()
	o := &operated{t: t, plugins: filepath.Join(t.TempDir(), "plugins"), config: filepath.Join(t.TempDir(), "config.yaml")}
	if err := os.CopyFS(o.plugins, os.DirFS(filepath.Join(bin, "plugins"))); err != nil {
		t.Fatal(err)
	}
	o.install("sample", "1.0.0")
	o.configure(config)
	var err error
	o.Service, err = service.Start(t.Context(), service.Options{
		Bin: bin, DataDir: dataDir(t), Stderr: &o.said, Args: []string{"--plugin-dir", o.plugins, "--config", o.config},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { o.Kill() })
	return o
}

// thirdParty is the plugin that the host's own tests run, which says of itself what is
// appended to it.
var thirdParty = sync.OnceValues(func() ([]byte, error) {
	dir, err := os.MkdirTemp("", "third-party")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	cmd := exec.Command("go", "build", "-o", dir, "../../core/internal/pluginhost/process/internal/testplugin")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("%w\n%s", err, out)
	}
	return os.ReadFile(filepath.Join(dir, "testplugin"))
})

// install installs a release of a third party's plugin with three routes, which
// requires others.
func (o *operated) install(name, version string, requires ...string) {
	o.t.Helper()
	program, err := thirdParty()
	if err != nil {
		o.t.Fatal(err)
	}
	command := func(operation, method string) map[string]any {
		c := map[string]any{
			"name": name + "." + operation, "effect": "EFFECT_READ", "form": "FORM_JSON", "permission": "any",
			"inputSchema": []byte(`{"type":"object"}`), "outputSchema": []byte(`{"type":"object"}`),
			"routes": []any{map[string]any{"method": method, "path": "/x/" + name + "/" + strings.ToLower(operation), "status": 200}},
		}
		return c
	}
	dependencies := []any{}
	for _, other := range requires {
		dependencies = append(dependencies, map[string]any{"plugin": other})
	}
	script, err := json.Marshal(map[string]any{"describe": map[string]any{
		"name": name, "version": version, "summary": "For tests.", "configSchema": []byte(`{"type":"object","properties":{"text":{"type":"string"}},"additionalProperties":false}`),
		"dependencies": dependencies, "commands": []any{command("Echo", "POST"), command("Settings", "GET"), command("Exit", "POST")},
	}})
	if err != nil {
		o.t.Fatal(err)
	}
	o.write("plugin-"+name, fmt.Appendf(append([]byte{}, program...), "\n#script %s", script))
}

// write replaces a file in the directory of plugins, as an installer does.
func (o *operated) write(name string, content []byte) {
	o.t.Helper()
	path := filepath.Join(o.plugins, name)
	if err := os.WriteFile(path+"~", content, 0o700); err != nil {
		o.t.Fatal(err)
	}
	if err := os.Rename(path+"~", path); err != nil {
		o.t.Fatal(err)
	}
}

func (o *operated) configure(text string) {
	o.t.Helper()
	if err := os.WriteFile(o.config, []byte(text), 0o600); err != nil {
		o.t.Fatal(err)
	}
}

// plugin is what GET /admin/plugins says of one.
type plugin struct {
	Name, Version, State, Detail, Digest, Path string
	Enabled, Pinned                            bool
	PID, Restarts                              int
	Commands, Grants, Needs                    []string
	Routes                                     []struct{ Method, Path, Command string }
}

func (o *operated) plugin(name string) plugin {
	o.t.Helper()
	var list struct{ Items []plugin }
	o.must(http.MethodGet, "/admin/plugins", &list)
	for _, p := range list.Items {
		if p.Name == name {
			return p
		}
	}
	o.t.Fatalf("there is no plugin %s in %+v", name, list)
	return plugin{}
}

func (o *operated) must(method, path string, out any) {
	o.t.Helper()
	if _, err := o.Admin().Do(o.t.Context(), method, path, nil, out); err != nil {
		o.t.Fatalf("%s %s: %v", method, path, err)
	}
}

// refused wants a problem whose detail has all the words.
func (o *operated) refused(method, path string, status int, slug string, words ...string) {
	o.t.Helper()
	_ = o.problem(method, path, status, slug, words...)
}

// problem is refused, for whoever wants to see more of the problem.
func (o *operated) problem(method, path string, status int, slug string, words ...string) *service.Problem {
	o.t.Helper()
	_, err := o.Admin().Do(o.t.Context(), method, path, map[string]string{}, nil)
	if !service.IsProblem(err, slug) {
		o.t.Fatalf("%s %s: %v, want %s", method, path, err, slug)
	}
	var p *service.Problem
	if !errors.As(err, &p) || p.Status != status {
		o.t.Errorf("%s %s: status %d, want %d", method, path, p.Status, status)
	}
	for _, w := range words {
		if !strings.Contains(p.Detail, w) {
			o.t.Errorf("%s %s: %q is missing in %s", method, path, w, p.Detail)
		}
	}
	return p
}

func (o *operated) eventually(what string, condition func() bool) {
	o.t.Helper()
	ctx, cancel := context.WithTimeout(o.t.Context(), patience)
	defer cancel()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !condition() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			o.t.Fatalf("not within %v: %s\n%s", patience, what, o.Log())
		}
	}
}

// echoes reports whether the third party's route answers.
func (o *operated) echoes() bool {
	_, err := o.Admin().Do(o.t.Context(), http.MethodPost, "/x/sample/echo", map[string]string{"text": "ping"}, nil)
	return err == nil
}

func (o *operated) hangUp() {
	o.t.Helper()
	if err := syscall.Kill(o.PID(), syscall.SIGHUP); err != nil {
		o.t.Fatal(err)
	}
}

// load makes requests for other areas until it is called: none may fail.
func (o *operated) load(project service.Project) (done func()) {
	enough, stop := context.WithCancel(o.t.Context())
	var clients sync.WaitGroup
	var answered atomic.Int64
	for n, path := range []string{project.Path("buckets"), project.Path("tables"), project.Path("info"), "/openapi.json"} {
		clients.Go(func() {
			for enough.Err() == nil {
				if _, err := project.Do(o.t.Context(), http.MethodGet, path, nil, nil); err != nil {
					o.t.Errorf("meanwhile: GET %s: %v", path, err)
					return
				}
				answered.Add(1)
			}
		})
		if n > 0 {
			continue
		}
		clients.Go(func() { // and one that writes
			for i := 0; enough.Err() == nil; i++ {
				if err := project.CreateBucket(o.t.Context(), fmt.Sprintf("in.c-%d", i)); err != nil {
					o.t.Errorf("meanwhile: a bucket: %v", err)
					return
				}
				answered.Add(1)
			}
		})
	}
	return func() {
		stop()
		clients.Wait()
		o.t.Logf("%d requests meanwhile", answered.Load())
		if answered.Load() < 20 {
			o.t.Error("there was no load")
		}
	}
}
