package pluginhost_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/keboola/duckdb-storage/core/internal/auth"
	"github.com/keboola/duckdb-storage/core/internal/pluginhost"
	"github.com/keboola/duckdb-storage/sdk"
	pluginv1 "github.com/keboola/duckdb-storage/sdk/proto/duckdbstorage/plugin/v1"
)

// A reload changes what has changed, and leaves the rest as it runs.
func TestReload(t *testing.T) {
	t.Parallel()
	i := installed(t)
	for _, name := range []string{"stays", "newer", "set", "goes", "off"} {
		i.install(describing(name, func(d *pluginv1.DescribeResponse) { d.ConfigSchema = []byte(`{"type":"object"}`) },
			func(d *pluginv1.DescribeResponse) { d.Commands = append(d.Commands, declare(name+".Settings")) }))
	}
	i.open()
	before, table := map[string]pluginhost.Status{}, i.Table()
	for _, s := range i.Plugins() {
		before[s.Name] = s
	}

	i.install(describing("newer", func(d *pluginv1.DescribeResponse) { d.Version = "2.0.0" }))
	i.install(describing("added"))
	if err := os.Remove(filepath.Join(i.dir, "plugin-goes")); err != nil {
		t.Fatal(err)
	}
	next := i.cfg
	next.Plugins = map[string]pluginhost.Settings{"set": {JSON: []byte(`{"text":"new"}`)}, "off": {Off: true}}
	if err := i.Reload(t.Context(), next); err != nil {
		t.Fatal(err)
	}
	if i.Table() == table {
		t.Error("the table is the same, so nobody sees the change")
	}
	var names []string
	for _, s := range i.Plugins() {
		names = append(names, s.Name+" "+s.Version+" "+s.State)
		if same := s.PID == before[s.Name].PID; same != (s.Name == "stays") {
			t.Errorf("%s: process %d before, %d after", s.Name, before[s.Name].PID, s.PID)
		}
	}
	want := []string{"added 1.2.3 running", "newer 2.0.0 running", "off 1.2.3 disabled", "set 1.2.3 running", "stays 1.2.3 running"}
	if diff := cmp.Diff(want, names); diff != "" {
		t.Error(diff)
	}
	if got, err := i.ask("set.Settings"); err != nil || got != `{"text":"new"}` {
		t.Errorf("the settings are %s, %v", got, err)
	}
	if err := i.echo(t.Context(), "goes"); !errors.Is(err, sdk.ErrUnsupported) {
		t.Errorf("one that is gone: %v", err)
	}
	err := i.echo(t.Context(), "off")
	if e := problem(t, err); !errors.Is(err, sdk.ErrPluginOff) || e.Meta["plugin"] != "off" || e.Meta["command"] != "off.Echo" {
		t.Errorf("one that is off: %+v", err)
	}
	for _, name := range []string{"newer", "set", "goes", "off"} {
		eventually(t, "the old process of "+name+" ends", func() bool { return gone(before[name].PID) })
	}
	eventually(t, "the copies of what ended are removed", func() bool {
		copies, err := filepath.Glob(filepath.Join(i.cfg.RuntimeDir, "plugins", "*", "plugin-*"))
		return err == nil && len(copies) == 4
	})
	// Nothing changed: nothing moves but the table.
	pids := map[string]int{}
	for _, s := range i.Plugins() {
		pids[s.Name] = s.PID
	}
	if err := i.Reload(t.Context(), next); err != nil {
		t.Fatal(err)
	}
	for _, s := range i.Plugins() {
		if s.PID != pids[s.Name] {
			t.Errorf("%s was started again for nothing", s.Name)
		}
	}
}

// A reload with a new fault is refused with every fault, and nothing has changed: also
// not what would have been all right.
func TestReloadIsRefused(t *testing.T) {
	t.Parallel()
	i := installed(t)
	i.install(describing("a"))
	i.install(describing("b"))
	i.install(describing("c"))
	i.install(describing("broken", func(d *pluginv1.DescribeResponse) { d.Version = "one" }))
	i.open()
	before, table := i.Plugins(), i.Table()

	i.install(describing("a", func(d *pluginv1.DescribeResponse) { d.Version = "2.0.0" })) // this is fine
	i.install(describing("new", func(d *pluginv1.DescribeResponse) { d.NeedsPermissions = []string{"tables:read"} }))
	next := i.cfg
	next.Plugins = map[string]pluginhost.Settings{"b": {SHA256: strings.Repeat("0", 64)}, "c": {JSON: []byte(`{"x":1}`)}}
	err := i.Reload(t.Context(), next)
	var refused *pluginhost.Refused
	if !errors.As(err, &refused) || len(refused.Faults) != 3 {
		t.Fatalf("got %v", err)
	}
	contains(t, err.Error(), "nothing was changed", "plugin b: ", "wants 0000", "plugin c: it has no settings", "plugin new: it needs tables:read")
	if strings.Contains(err.Error(), "broken") {
		t.Errorf("an old fault is counted: %v", err)
	}
	if diff := cmp.Diff(before, i.Plugins()); diff != "" || i.Table() != table {
		t.Errorf("something changed: %s", diff)
	}
	for _, name := range []string{"a", "b", "c"} {
		if err := i.echo(t.Context(), name); err != nil {
			t.Error(err)
		}
	}
	// The directory is gone: a fault of the whole.
	next.Dir = filepath.Join(i.dir, "none")
	if err := i.Reload(t.Context(), next); err == nil || i.Table() != table {
		t.Errorf("got %v", err)
	}
}

// Enable, disable and restart change one plugin until the next reload.
func TestEnableDisableRestart(t *testing.T) {
	t.Parallel()
	i := installed(t)
	i.install(describing("a"))
	i.install(describing("b"))
	i.open()
	a, b := i.plugin("a"), i.plugin("b")
	check := func(what string, err error, state string) {
		t.Helper()
		if err != nil || i.plugin("a").State != state {
			t.Errorf("%s: %v, state %s", what, err, i.plugin("a").State)
		}
	}
	check("disable", i.Disable(t.Context(), "a"), pluginhost.StateDisabled)
	check("disable again", i.Disable(t.Context(), "a"), pluginhost.StateDisabled)
	if err := i.Restart(t.Context(), "a"); !errors.Is(err, sdk.ErrConflict) {
		t.Errorf("restart of one that is off: %v", err)
	}
	eventually(t, "its process ends", func() bool { return gone(a.PID) })
	check("enable", i.Enable(t.Context(), "a"), "running")
	again := i.plugin("a")
	check("enable again", i.Enable(t.Context(), "a"), "running")
	if i.plugin("a").PID != again.PID {
		t.Error("one that runs was started again")
	}
	check("restart", i.Restart(t.Context(), "a"), "running")
	if i.plugin("a").PID == again.PID {
		t.Error("a restart has left the process")
	}
	for name, change := range map[string]func(context.Context, string) error{"enable": i.Enable, "disable": i.Disable, "restart": i.Restart} {
		if err := change(t.Context(), "none"); !errors.Is(err, pluginhost.ErrUnknown) {
			t.Errorf("%s of none: %v", name, err)
		}
	}
	// A new release that does not come up: the old process stays.
	i.write("plugin-a", i.binary(describing("a"), plays{Exit: 4}))
	serving := i.plugin("a")
	if err := i.Restart(t.Context(), "a"); !errors.Is(err, pluginhost.ErrRefused) || !strings.Contains(err.Error(), "exit status 4") {
		t.Errorf("restart of one that dies: %v", err)
	}
	if diff := cmp.Diff(serving, i.plugin("a")); diff != "" {
		t.Error(diff)
	}
	// Switching off needs nothing of the executable, and its routes stay known.
	check("disable what is broken", i.Disable(t.Context(), "a"), pluginhost.StateDisabled)
	if err := i.echo(t.Context(), "a"); !errors.Is(err, sdk.ErrPluginOff) {
		t.Errorf("got %v", err)
	}
	if err := i.Enable(t.Context(), "a"); !errors.Is(err, pluginhost.ErrRefused) {
		t.Errorf("enable of one that dies: %v", err)
	}
	i.install(describing("a"))
	if err := i.Reload(t.Context(), i.cfg); err != nil { // which knows nothing of the rest
		t.Fatal(err)
	}
	check("reload", nil, "running")
	if i.plugin("b").PID != b.PID {
		t.Error("another plugin was started again")
	}
}

// Requests never notice: those of other plugins, and those of the one that is replaced
// again and again, succeed all.
func TestNoRequestFailsMeanwhile(t *testing.T) {
	t.Parallel()
	i := installed(t)
	i.install(describing("a"))
	i.install(describing("b"))
	i.open()
	enough, stop := context.WithCancel(t.Context())
	var callers sync.WaitGroup
	var answered atomic.Int64
	for _, name := range []string{"a", "b", "a", "b"} {
		callers.Go(func() {
			for enough.Err() == nil {
				if err := i.echo(t.Context(), name); err != nil {
					t.Errorf("%s: %v", name, err)
					return
				}
				answered.Add(1)
			}
		})
	}
	for n := range 6 {
		before := answered.Load()
		if n%2 == 0 {
			if err := i.Restart(t.Context(), "a"); err != nil {
				t.Error(err)
			}
		} else {
			i.install(describing("a", func(d *pluginv1.DescribeResponse) { d.Version = "2.0." + string(rune('0'+n)) }))
			if err := i.Reload(t.Context(), i.cfg); err != nil {
				t.Error(err)
			}
		}
		eventually(t, "requests are answered", func() bool { return answered.Load() > before+10 })
	}
	stop()
	callers.Wait()
	t.Logf("%d requests", answered.Load())
}

// A call that runs in a plugin which is switched off ends as it would have.
func TestRunningCallsAreDrained(t *testing.T) {
	t.Parallel()
	i := installed(t)
	i.install(describing("a", func(d *pluginv1.DescribeResponse) { d.Commands = append(d.Commands, declare("a.Wait")) }))
	running, release := make(chan struct{}), make(chan struct{})
	own := sdk.New("own", "1.0.0")
	sdk.Handle(own, sdk.Command[struct{}, output]{Name: "own.Wait"}, func(*sdk.Context, struct{}) (output, error) {
		close(running)
		<-release
		return output{"done"}, nil
	}, sdk.Permission(sdk.AnyKey))
	i.openWith(own)
	pid := i.plugin("a").PID
	answered := make(chan error, 1)
	go func() {
		a, err := i.Invoke(context.Background(), pluginhost.Call{
			Command: "a.Wait", Payload: []byte(`{}`), Principal: auth.Principal{Subject: "test", Admin: true}, Accept: "application/json",
		})
		if err == nil && string(a.JSON) != `{"text":"done"}` {
			err = errors.New("it answers " + string(a.JSON))
		}
		answered <- err
	}()
	<-running
	if err := i.Disable(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	if err := i.echo(t.Context(), "a"); !errors.Is(err, sdk.ErrPluginOff) {
		t.Errorf("a new call: %v", err)
	}
	if gone(pid) {
		t.Error("the process ended before its call")
	}
	close(release)
	if err := <-answered; err != nil {
		t.Error(err)
	}
	eventually(t, "the process ends", func() bool { return gone(pid) })
}

// What was hashed is what runs: who replaces the file replaces nothing of a plugin that
// runs, also when its process is started again.
func TestTheCopyRuns(t *testing.T) {
	t.Parallel()
	i := installed(t)
	i.install(describing("a"))
	i.open()
	before := i.plugin("a")
	i.install(describing("a", func(d *pluginv1.DescribeResponse) { d.Version = "6.6.6" }))
	if err := syscall.Kill(before.PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it was started again", func() bool { s := i.plugin("a"); return s.State == "running" && s.Restarts == 1 })
	if err := i.echo(t.Context(), "a"); err != nil {
		t.Error(err)
	}
	if after := i.plugin("a"); after.Version != "1.2.3" || after.Digest != before.Digest {
		t.Errorf("got %+v", after)
	}
}

// One that was given up, and fails again, is no new fault.
func TestReloadWithOneThatWasGivenUp(t *testing.T) {
	t.Parallel()
	i := installed(t)
	i.install(describing("a", func(d *pluginv1.DescribeResponse) { d.Commands = append(d.Commands, declare("a.Exit")) }))
	i.install(describing("b"))
	i.open()
	eventually(t, "it is given up", func() bool {
		_, err := i.ask("a.Exit")
		return err != nil && i.plugin("a").State == "failed"
	})
	i.install(describing("a"), plays{Exit: 3})
	i.install(describing("b", func(d *pluginv1.DescribeResponse) { d.Version = "2.0.0" }))
	if err := i.Reload(t.Context(), i.cfg); err != nil {
		t.Fatal(err)
	}
	contains(t, i.plugin("a").Detail, "exit status 3")
	if got := i.plugin("b").Version; got != "2.0.0" {
		t.Errorf("the other one is %s", got)
	}
	i.install(describing("a"))
	if err := i.Restart(t.Context(), "a"); err != nil {
		t.Error(err)
	}
}

// A plugin under a debugger is connected to, is left alone by reloads, and outlives the
// host.
func TestAttachedPlugin(t *testing.T) {
	t.Parallel()
	i := installed(t)
	i.install(describing("a"))
	pid, file := i.debugged("a")
	i.cfg.Plugins["a"] = pluginhost.Settings{Reattach: file}
	i.open()
	if err := i.echo(t.Context(), "a"); err != nil {
		t.Error(err)
	}
	if s := i.plugin("a"); s.State != "running" || s.PID != pid || !s.Debugged || s.Digest != "" {
		t.Errorf("got %+v", s)
	}
	contains(t, i.log.String(), "attached for debugging")
	if err := i.Reload(t.Context(), i.cfg); err != nil {
		t.Error(err)
	}
	if err := i.echo(t.Context(), "a"); err != nil {
		t.Errorf("after a reload: %v", err)
	}
	if err := i.Disable(t.Context(), "a"); err != nil {
		t.Error(err)
	}
	if err := i.echo(t.Context(), "a"); !errors.Is(err, sdk.ErrPluginOff) {
		t.Errorf("one that is off: %v", err)
	}
	if gone(pid) {
		t.Error("the host has ended it")
	}
}

// gone reports whether a process has ended.
func gone(pid int) bool { return pid == 0 || syscall.Kill(pid, 0) != nil }
