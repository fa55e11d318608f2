package pluginhost_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/keboola/duckdb-storage/core/internal/auth"
	"github.com/keboola/duckdb-storage/core/internal/plan"
	"github.com/keboola/duckdb-storage/core/internal/pluginhost"
	"github.com/keboola/duckdb-storage/sdk"
	pluginv1 "github.com/keboola/duckdb-storage/sdk/proto/duckdbstorage/plugin/v1"
)

// patience bounds every wait of these tests. Nothing takes that long.
const patience = 20 * time.Second

// program is the test plugin, to which a script is appended.
var program []byte

func TestMain(m *testing.M) { os.Exit(runTests(m)) }

func runTests(m *testing.M) int {
	dir, err := os.MkdirTemp("", "testplugin")
	if err != nil {
		log.Print(err)
		return 1
	}
	defer os.RemoveAll(dir)
	built := filepath.Join(dir, "plugin")
	cmd := exec.Command("go", "build", "-o", built, "./process/internal/testplugin")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		log.Printf("build the test plugin: %v\n%s", err, out)
		return 1
	}
	if program, err = os.ReadFile(built); err != nil {
		log.Print(err)
		return 1
	}
	return m.Run()
}

// installation is a directory of plugins and the host that runs them.
type installation struct {
	t   *testing.T
	dir string
	cfg pluginhost.Config
	log *logbook
	*pluginhost.Host
}

func installed(t *testing.T) *installation {
	t.Helper()
	runtime, err := os.MkdirTemp("", "run") // t.TempDir is too long for sockets
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(runtime) })
	i := &installation{t: t, dir: t.TempDir(), log: &logbook{}}
	i.cfg = pluginhost.Config{
		Dir: i.dir, RuntimeDir: runtime, Plugins: map[string]pluginhost.Settings{}, Executor: &plan.Executor{}, Drain: patience,
		Logger: hclog.New(&hclog.LoggerOptions{Output: i.log, Level: hclog.Info, JSONFormat: true}),
	}
	return i
}

// open starts the host.
func (i *installation) open() {
	i.t.Helper()
	i.openWith()
}

// openWith starts the host with plugins in this process.
func (i *installation) openWith(own ...*sdk.Plugin) {
	i.t.Helper()
	var err error
	if i.Host, err = pluginhost.Open(i.t.Context(), i.cfg, own...); err != nil {
		i.t.Fatal(err)
	}
	i.t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := i.Close(ctx); err != nil {
			i.t.Error(err)
		}
		left, err := filepath.Glob(filepath.Join(i.cfg.RuntimeDir, "*", "*"))
		if err != nil || len(left) > 0 {
			i.t.Errorf("left in the runtime directory: %v, %v", left, err)
		}
	})
}

// plays is what a test has a plugin do beside describing itself.
type plays struct {
	Refuse string `json:"refuse,omitempty"`
	Exit   int    `json:"exit,omitempty"`
}

// install puts a plugin into the directory that describes itself so.
func (i *installation) install(d *pluginv1.DescribeResponse, how ...plays) {
	i.t.Helper()
	i.write("plugin-"+d.GetName(), i.binary(d, how...))
}

// binary is a plugin that describes itself so.
func (i *installation) binary(d *pluginv1.DescribeResponse, how ...plays) []byte {
	i.t.Helper()
	claim, err := protojson.Marshal(d)
	if err != nil {
		i.t.Fatal(err)
	}
	script := struct {
		Describe json.RawMessage `json:"describe"`
		plays
	}{Describe: claim}
	if len(how) > 0 {
		script.plays = how[0]
	}
	raw, err := json.Marshal(script)
	if err != nil {
		i.t.Fatal(err)
	}
	return fmt.Appendf(append([]byte{}, program...), "\n#script %s", raw)
}

// write replaces a file of the directory, as an installer does: the old one stays what
// it was for whoever has it open.
func (i *installation) write(name string, content []byte) {
	i.t.Helper()
	path := filepath.Join(i.dir, name)
	if err := os.WriteFile(path+"~", content, 0o700); err != nil {
		i.t.Fatal(err)
	}
	if err := os.Rename(path+"~", path); err != nil {
		i.t.Fatal(err)
	}
}

// plugin returns the state of one plugin.
func (i *installation) plugin(name string) pluginhost.Status {
	i.t.Helper()
	s, err := i.Plugin(name)
	if err != nil {
		i.t.Fatal(err)
	}
	return s
}

// echo asks a plugin for what every scripted one can do.
func (i *installation) echo(ctx context.Context, name string) error {
	a, err := i.Invoke(ctx, pluginhost.Call{
		Command: name + ".Echo", Payload: []byte(`{"text":"ping"}`), Principal: auth.Principal{Subject: "test", Admin: true}, Accept: "application/json",
	})
	if err == nil && string(a.JSON) != `{"text":"ping"}` {
		err = fmt.Errorf("it answers %s", a.JSON)
	}
	return err
}

// ask runs a command without input and returns its answer.
func (i *installation) ask(command string) (string, error) {
	a, err := i.Invoke(i.t.Context(), pluginhost.Call{
		Command: command, Payload: []byte(`{}`), Principal: auth.Principal{Subject: "test", Admin: true}, Accept: "application/json",
	})
	return string(a.JSON), err
}

// describing is a plugin that has Echo, and whatever else is changed.
func describing(name string, change ...func(*pluginv1.DescribeResponse)) *pluginv1.DescribeResponse {
	d := &pluginv1.DescribeResponse{Name: name, Version: "1.2.3", Summary: "For tests.", Commands: []*pluginv1.Command{declare(name + ".Echo")}}
	d.Commands[0].Routes = []*pluginv1.Route{{Method: "GET", Path: "/x/" + name + "/echo", Status: 200}}
	for _, c := range change {
		c(d)
	}
	return d
}

// declare is a command as the host takes it.
func declare(name string) *pluginv1.Command {
	return &pluginv1.Command{
		Name: name, Effect: pluginv1.Effect_EFFECT_READ, Form: pluginv1.Form_FORM_JSON, Permission: "any",
		InputSchema: []byte(`{"type":"object"}`), OutputSchema: []byte(`{"type":"object"}`),
	}
}

// first changes the first command.
func first(change func(*pluginv1.Command)) func(*pluginv1.DescribeResponse) {
	return func(d *pluginv1.DescribeResponse) { change(d.GetCommands()[0]) }
}

// route makes the first command have this one.
func route(method, path string, status uint32) func(*pluginv1.DescribeResponse) {
	return first(func(c *pluginv1.Command) {
		c.Routes = []*pluginv1.Route{{Method: method, Path: path, Status: status}}
	})
}

func contains(t *testing.T, text string, words ...string) {
	t.Helper()
	for _, w := range words {
		if !strings.Contains(text, w) {
			t.Errorf("%q is missing in: %s", w, text)
		}
	}
}

// eventually checks a condition until it holds.
func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !condition() {
		select {
		case <-tick.C:
		case <-deadline.C:
			t.Fatalf("not within %v: %s", patience, what)
		}
	}
}

// debugged runs an installed plugin as its author does, and returns its process and the
// file for Settings.Reattach.
func (i *installation) debugged(name string) (pid int, file string) {
	i.t.Helper()
	cmd := exec.Command(filepath.Join(i.dir, "plugin-"+name), "--debug")
	out, err := cmd.StdoutPipe()
	if err != nil {
		i.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		i.t.Fatal(err)
	}
	i.t.Cleanup(func() {
		_ = cmd.Process.Signal(os.Interrupt)
		_ = cmd.Wait()
	})
	for lines := bufio.NewScanner(out); file == "" && lines.Scan(); {
		_, file, _ = strings.Cut(lines.Text(), "reattach: ")
	}
	return cmd.Process.Pid, file
}

// logbook is a log that a test can read.
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
