package e2e_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/keboola/duckdb-storage/sdk/sdktest/service"
)

// An operator switches a plugin off and on, restarts it, and reloads the configuration,
// by route and by signal. Requests for other areas never notice.
func TestOperatePlugins(t *testing.T) {
	t.Parallel()
	o := operate(t, "plugins: {sample: {config: {text: first}}}")
	project, err := o.Admin().CreateProject(t.Context(), "1")
	if err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile(filepath.Join(o.plugins, "plugin-sample"))
	if err != nil {
		t.Fatal(err)
	}
	sample := o.plugin("sample")
	pid, err := o.PluginPID("sample")
	if err != nil {
		t.Fatal(err)
	}
	if sample.State != "running" || !sample.Enabled || sample.PID != pid || sample.Version != "1.0.0" || sample.Pinned ||
		sample.Digest != fmt.Sprintf("%x", sha256.Sum256(raw)) || len(sample.Commands) != 3 || len(sample.Routes) != 3 || len(sample.Grants) != 0 {
		t.Errorf("got %+v", sample)
	}
	if got := o.plugin("tables"); cmp.Diff([]string{"*"}, got.Grants) != "" || len(got.Needs) == 0 {
		t.Errorf("got %+v", got)
	}
	if _, err := project.Do(t.Context(), http.MethodGet, "/admin/plugins", nil, nil); !service.IsProblem(err, "permission-denied") {
		t.Errorf("with a project's key: %v", err)
	}

	meanwhile := o.load(project)
	o.must(http.MethodPost, "/admin/plugins/sample/disable", nil)
	p := o.problem(http.MethodPost, "/x/sample/echo", 501, "plugin-disabled", "sample.Echo", "plugin sample")
	if p.Context["plugin"] != "sample" || p.Context["command"] != "sample.Echo" {
		t.Errorf("the problem's context is %v", p.Context)
	}
	o.refused(http.MethodGet, "/x/sample/none", 404, "not-found")
	var changed struct {
		plugin
		LastsUntil string
	}
	o.must(http.MethodPost, "/admin/plugins/sample/enable", &changed)
	if changed.State != "running" || changed.LastsUntil == "" || !o.echoes() {
		t.Errorf("got %+v", changed)
	}
	before := changed.PID
	o.must(http.MethodPost, "/admin/plugins/sample/restart", &changed)
	if changed.PID == before || !o.echoes() {
		t.Errorf("got %+v, process %d before", changed, before)
	}
	o.refused(http.MethodPost, "/admin/plugins/none/restart", 404, "plugin-not-found", `"none"`)

	// By signal: settings and a new release, at once.
	o.configure("plugins: {sample: {config: {text: second}}}")
	o.install("sample", "1.1.0")
	o.hangUp()
	o.eventually("the signal is obeyed", func() bool { return o.plugin("sample").Version == "1.1.0" })
	var settings struct{ Text string }
	o.must(http.MethodGet, "/x/sample/settings", &settings)
	if settings.Text != "second" {
		t.Errorf("the settings are %q", settings.Text)
	}

	// A plugin that is new has its routes and its part of the API document.
	o.refused(http.MethodPost, "/x/late/echo", 404, "not-found")
	o.install("late", "1.0.0")
	o.must(http.MethodPost, "/admin/reload", nil)
	o.must(http.MethodGet, "/x/late/settings", nil)
	var document struct{ Paths map[string]any }
	o.must(http.MethodGet, "/openapi.json", &document)
	if _, ok := document.Paths["/x/late/echo"]; !ok {
		t.Error("the API document does not know the new plugin")
	}

	// A configuration that makes no sense changes nothing, and every fault is told.
	wrong := strings.Repeat("0", 64)
	o.configure("plugins: {sample: {config: {text: 5}}, tables: {sha256: '" + wrong + "'}, buckets: {enabled: false}}")
	serving := o.plugin("tables").PID
	o.refused(http.MethodPost, "/admin/reload", 409, "plugins-unchanged", "plugins.sample.config/text: got number, want string", "plugins.tables.sha256 wants "+wrong)
	o.hangUp()
	o.eventually("the refusal is logged", func() bool {
		return o.said.count("plugins.sample.config/text: got number") >= 2 && o.said.count("wants "+wrong) >= 2
	})
	o.configure("colour: red")
	o.refused(http.MethodPost, "/admin/reload", 409, "plugins-unchanged", "unknown setting colour")
	if o.plugin("tables").PID != serving || o.plugin("buckets").State != "running" || o.plugin("sample").Version != "1.1.0" {
		t.Error("a refused reload has changed something")
	}

	// Other settings are told of.
	o.configure("log_level: warn\nqueue: {length: 5}\nplugins: {sample: {enabled: false}}")
	var reloaded struct {
		Items   []plugin
		Restart []string
	}
	o.must(http.MethodPost, "/admin/reload", &reloaded)
	if cmp.Diff([]string{"log_level", "queue"}, reloaded.Restart) != "" || len(reloaded.Items) != 5 {
		t.Errorf("got %+v", reloaded)
	}
	o.refused(http.MethodPost, "/x/sample/echo", 501, "plugin-disabled")
	meanwhile()
	if err := o.Stop(); err != nil {
		t.Error(err)
	}
}

// A plugin that dies in a call answers 502; killed or hanging it is replaced; one that
// dies again and again stays down until it is restarted, and the rest serves.
func TestPluginsThatDie(t *testing.T) {
	t.Parallel()
	o := operate(t, "")
	// It dies in the call, and again when the call is repeated.
	o.refused(http.MethodPost, "/x/sample/exit", 502, "plugin-died", "plugin sample", "sample.Exit")
	o.eventually("it serves again", o.echoes)
	pid, err := o.PluginPID("sample")
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	if !o.echoes() {
		t.Error("the request after a kill fails")
	}
	t.Logf("served %v after the kill", time.Since(begin))
	if got := o.plugin("sample"); got.Restarts != 3 || !strings.Contains(got.Detail, "signal: killed") {
		t.Errorf("got %+v", got)
	}
	// The fourth and fifth end.
	o.refused(http.MethodPost, "/x/sample/exit", 502, "plugin-died")
	o.eventually("it is given up", func() bool { return o.plugin("sample").State == "failed" })
	p := o.problem(http.MethodPost, "/x/sample/echo", 503, "plugin-unavailable", "plugin sample", "5 times within 10m0s")
	if p.Retryable || p.Context["plugin"] != "sample" || p.Context["command"] != "sample.Echo" {
		t.Errorf("got %+v", p)
	}
	var ready bytes.Buffer
	resp, err := o.Admin().Send(t.Context(), http.MethodGet, "/readyz", nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if _, err := ready.ReadFrom(resp.Body); err != nil || resp.StatusCode != http.StatusServiceUnavailable || !strings.Contains(ready.String(), "plugin sample is failed") {
		t.Errorf("readyz: %d %s, %v", resp.StatusCode, &ready, err)
	}
	if _, err := o.Admin().CreateProject(t.Context(), "1"); err != nil {
		t.Error(err)
	}
	o.must(http.MethodPost, "/admin/plugins/sample/restart", nil)
	if !o.echoes() {
		t.Error("it does not serve after its restart")
	}
}

// A process that hangs is found by the health check, after which its calls are
// answered by the next one.
func TestPluginThatHangs(t *testing.T) {
	t.Parallel()
	o := operate(t, "")
	project, err := o.Admin().CreateProject(t.Context(), "1")
	if err != nil {
		t.Fatal(err)
	}
	pid, err := o.PluginPID("sample")
	if err != nil {
		t.Fatal(err)
	}
	suspend(t, pid)
	meanwhile := o.load(project)
	begin := time.Now()
	if !o.echoes() {
		t.Errorf("a call of a plugin that hangs is not answered\n%s", o.Log())
	}
	t.Logf("answered after %v", time.Since(begin))
	meanwhile()
	if got := o.plugin("sample"); got.PID == pid || got.Restarts != 1 || !strings.Contains(got.Detail, "did not answer the health check") {
		t.Errorf("got %+v", got)
	}
	// Whoever stops the service does not wait for one that hangs.
	suspend(t, o.plugin("sample").PID)
	begin = time.Now()
	if err := o.Stop(); err != nil {
		t.Error(err)
	}
	t.Logf("stopped after %v", time.Since(begin))
}

// suspend stops a process and waits until all of its threads stand still: one of them
// takes the signal, and another may answer a call before that.
func suspend(t *testing.T, pid int) {
	t.Helper()
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	poll := time.NewTicker(time.Millisecond)
	defer poll.Stop()
	for !stopped(t, pid) {
		select {
		case <-poll.C:
		case <-ctx.Done():
			t.Fatalf("process %d does not stop", pid)
		}
	}
}

// stopped reports whether every thread of a process is stopped.
func stopped(t *testing.T, pid int) bool {
	t.Helper()
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", pid))
	if err != nil || len(threads) == 0 {
		t.Fatalf("the threads of process %d: %v", pid, err)
	}
	return !slices.ContainsFunc(threads, func(path string) bool {
		stat, err := os.ReadFile(path)
		_, state, _ := strings.Cut(string(stat), ") ") // behind the name of the program
		return err == nil && !strings.HasPrefix(state, "T")
	})
}

// Plugins that cannot be loaded do not keep the service from starting. Their paths
// answer 503 and never 404, also where nobody knows which they would have been.
func TestBadPluginsOverHTTP(t *testing.T) {
	t.Parallel()
	wrong := strings.Repeat("0", 64)
	o := operate(t, "plugins: {sample: {sha256: '"+wrong+"'}, needy: {config: {text: x}}}")
	digest := o.plugin("sample").Digest
	if got := o.plugin("sample"); got.State != "failed" || !got.Pinned ||
		!strings.Contains(got.Detail, "has SHA-256 "+digest) || !strings.Contains(got.Detail, "wants "+wrong) {
		t.Errorf("got %+v", got)
	}
	o.refused(http.MethodPost, "/x/sample/echo", 503, "plugin-unavailable", "plugin sample", "GET /admin/plugins")
	o.refused(http.MethodDelete, "/projects/1/x/sample/thing", 503, "plugin-unavailable", "plugin sample")
	o.refused(http.MethodGet, "/projects/1/x/needy", 503, "plugin-unavailable", "plugin needy")
	o.refused(http.MethodGet, "/x/samples", 404, "not-found")
	project, err := o.Admin().CreateProject(t.Context(), "1")
	if err != nil {
		t.Fatal(err)
	}
	if err := project.CreateBucket(t.Context(), "in.c-main"); err != nil {
		t.Error(err)
	}
	// An area of the product may own any path.
	o.configure("plugins: {sample: {sha256: '" + wrong + "'}, needy: {}, tables: {sha256: '" + wrong + "'}}")
	o.refused(http.MethodPost, "/admin/reload", 409, "plugins-unchanged", "plugin tables")
	o.must(http.MethodPost, "/admin/plugins/sample/disable", nil)
	o.refused(http.MethodDelete, "/projects/1/x/sample/thing", 501, "plugin-disabled", "plugin sample")
	if err := o.Stop(); err != nil {
		t.Fatal(err)
	}
	again, err := service.Start(t.Context(), service.Options{Bin: bin, DataDir: dataDir(t), Args: []string{"--config", o.config}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { again.Kill() })
	for _, path := range []string{"/projects/1/tables/in.c-main/t", "/nothing"} {
		if _, err := again.Admin().Do(t.Context(), http.MethodDelete, path, nil, nil); !service.IsProblem(err, "plugin-unavailable") {
			t.Errorf("DELETE %s: %v", path, err)
		}
	}
}

// What is switched off although another cannot do without it is a contradiction, which
// keeps a service from starting and a reload from being made; both are named.
func TestARequiredPluginThatIsOff(t *testing.T) {
	t.Parallel()
	o := operate(t, "")
	o.install("needy", "1.0.0", "files")
	o.must(http.MethodPost, "/admin/reload", nil)
	const why = "plugin needy requires plugin files, which is disabled: enable files, or disable needy as well"
	o.refused(http.MethodPost, "/admin/plugins/files/disable", 409, "plugins-unchanged", why)
	o.configure("plugins: {files: {enabled: false}}")
	o.refused(http.MethodPost, "/admin/reload", 409, "plugins-unchanged", why)
	if o.plugin("files").State != "running" {
		t.Error("it was switched off all the same")
	}
	_, err := service.Start(t.Context(), service.Options{
		Bin: bin, DataDir: dataDir(t), Args: []string{"--plugin-dir", o.plugins, "--config", o.config},
	})
	if err == nil || !strings.Contains(err.Error(), why) {
		t.Errorf("a start: %v", err)
	}
}

// No area of the product keeps another from being switched off.
func TestEachAreaCanBeOff(t *testing.T) {
	t.Parallel()
	for _, area := range []string{"buckets", "files", "tables"} {
		s := start(t, "DUCKDB_STORAGE_PLUGINS__"+strings.ToUpper(area)+"__ENABLED=false")
		if _, err := s.Admin().CreateProject(t.Context(), "1"); err != nil {
			t.Errorf("without %s: %v", area, err)
		}
		if err := s.Stop(); err != nil {
			t.Errorf("without %s: %v", area, err)
		}
	}
}
