package pluginhost

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"

	"github.com/keboola/duckdb-storage/core/internal/pluginhost/process"
	"github.com/keboola/duckdb-storage/sdk"
	pluginv1 "github.com/keboola/duckdb-storage/sdk/proto/duckdbstorage/plugin/v1"
)

// answerer answers for a plugin: its process, or the plugin itself when it is the
// core's own.
type answerer interface {
	Invoke(context.Context, *pluginv1.InvokeRequest) (*pluginv1.InvokeResponse, error)
	Before(context.Context, *pluginv1.BeforeRequest) (*pluginv1.BeforeResponse, error)
	Notify(context.Context, *pluginv1.NotifyRequest) (*pluginv1.NotifyResponse, error)
}

// member is a plugin as one world has it. It does not change; worlds that follow each
// other share those that stay as they are.
type member struct {
	name     string
	core     bool // it lives in this process
	settings Settings
	grants   grants
	binary   binary
	// description is what the plugin says of itself; nil if it never could.
	description *pluginv1.DescribeResponse
	// sound is a description that the host can work with: commands and events are made
	// of it.
	sound    bool
	commands []*Command
	events   []*event

	answerer answerer         // nil unless it runs
	process  *process.Process // nil unless it runs as one
	err      error            // why it is not loaded, or is switched off and cannot be described

	// next has taken the member's place in a later world.
	next atomic.Pointer[member]
}

// failed reports whether the plugin should run and is not loaded.
func (m *member) failed() bool { return m.err != nil && !m.settings.Off }

// runs reports whether the plugin is there to be asked.
func (m *member) runs() bool { return m.answerer != nil }

// out is the member as one that is not loaded.
func (m *member) out(err error) *member {
	return &member{
		name: m.name, settings: m.settings, grants: m.grants, binary: m.binary, description: m.description,
		sound: m.sound, commands: m.commands, events: m.events, err: err,
	}
}

// Invoke runs a command of the plugin, as process.Process does. It answers
// sdk.ErrPluginOff when the plugin is switched off and sdk.ErrPluginDown when it is
// not loaded.
func (m *member) Invoke(ctx context.Context, req *pluginv1.InvokeRequest) (*pluginv1.InvokeResponse, error) {
	return ask(ctx, m, req.GetCommand(), answerer.Invoke, req)
}

// Before asks a hook of the plugin; errors are as of Invoke.
func (m *member) Before(ctx context.Context, req *pluginv1.BeforeRequest) (*pluginv1.BeforeResponse, error) {
	return ask(ctx, m, req.GetRequest().GetCommand(), answerer.Before, req)
}

// Notify delivers an event to the plugin; errors are as of Invoke.
func (m *member) Notify(ctx context.Context, req *pluginv1.NotifyRequest) (*pluginv1.NotifyResponse, error) {
	return ask(ctx, m, req.GetEvent(), answerer.Notify, req)
}

// ask asks the plugin or, if it has left meanwhile and nothing was sent, the one in
// its place: whoever found it in the world a moment ago does not notice the change.
func ask[Req, Resp any](ctx context.Context, m *member, what string, method func(answerer, context.Context, Req) (Resp, error), req Req) (Resp, error) {
	for {
		var resp Resp
		err := m.absent(what)
		if err == nil {
			resp, err = method(m.answerer, ctx, req)
		}
		next := m.next.Load()
		if next == nil || !errors.Is(err, sdk.ErrPluginDown) && !errors.Is(err, sdk.ErrPluginOff) {
			return resp, m.named(what, err)
		}
		m = next
	}
}

// named adds to a problem of the plugin itself whose it is and what was asked.
func (m *member) named(what string, err error) error {
	var e *sdk.Error
	if errors.As(err, &e) && (errors.Is(e, sdk.ErrPluginDown) || errors.Is(e, sdk.ErrPluginDied)) {
		return e.With("plugin", m.name).With("command", what)
	}
	return err
}

// absent says why the plugin cannot be asked.
func (m *member) absent(what string) error {
	switch {
	case m.runs():
		return nil
	case m.settings.Off:
		return sdk.ErrPluginOff.Errorf("%s belongs to plugin %s, which is switched off", what, m.name).
			With("plugin", m.name).With("command", what)
	}
	e := sdk.ErrPluginDown.Errorf("%s belongs to plugin %s, which could not be loaded; the administrator finds the reason in GET /admin/plugins", what, m.name)
	e.Retryable = false
	return e
}

// stop ends what runs. It may be called twice.
func (m *member) stop(ctx context.Context) error {
	if m.process == nil {
		return nil
	}
	defer m.binary.remove()
	return m.process.Stop(ctx)
}

// local answers the commands of the core, which live in this process.
type local struct {
	plugin *sdk.Plugin
	host   sdk.Host
}

func (l local) Invoke(ctx context.Context, req *pluginv1.InvokeRequest) (*pluginv1.InvokeResponse, error) {
	return l.plugin.Invoke(ctx, l.host, req), nil
}

func (l local) Before(ctx context.Context, req *pluginv1.BeforeRequest) (*pluginv1.BeforeResponse, error) {
	return l.plugin.Before(ctx, l.host, req), nil
}

func (l local) Notify(ctx context.Context, req *pluginv1.NotifyRequest) (*pluginv1.NotifyResponse, error) {
	return l.plugin.Notify(ctx, l.host, req), nil
}

// StateDisabled is the state of a plugin that is switched off, beside those of
// package process.
const StateDisabled = "disabled"

// Status is a plugin as operators see it.
type Status struct {
	Name, Version, Summary string
	State                  string
	Enabled                bool
	Detail                 string // why it failed, or why its process last ended
	PID, Restarts          int
	Path, Digest           string // of the executable; SHA-256 in hex, empty when it cannot be read
	Pinned                 bool   // the configuration says which digest it must have
	Debugged               bool   // it was started by somebody else, see Settings.Reattach
	Commands               []string
	Routes                 []Route
	Hooks                  []string // commands
	Events, Subscriptions  []string
	Grants, Needs          []string
	Dependencies           []Dependency
}

// Route is a way to reach a command.
type Route struct{ Method, Path, Command string }

// Dependency is another plugin that one calls.
type Dependency struct {
	Plugin, Versions string
	Optional         bool
}

func (m *member) status() Status {
	s := Status{
		Name: m.name, Version: m.description.GetVersion(), Summary: m.description.GetSummary(), State: m.state(), Enabled: !m.settings.Off,
		Path: m.binary.source, Digest: m.binary.digest, Pinned: m.settings.SHA256 != "", Debugged: m.settings.Reattach != "",
		Grants: m.grants.granted, Needs: m.description.GetNeedsPermissions(), Subscriptions: m.description.GetSubscriptions(),
	}
	if m.process != nil {
		p := m.process.Status()
		s.PID, s.Restarts, s.Detail = p.PID, p.Restarts, p.LastError
	}
	if m.err != nil {
		s.Detail = m.err.Error()
	}
	for _, c := range m.description.GetCommands() {
		s.Commands = append(s.Commands, c.GetName())
		for _, r := range c.GetRoutes() {
			s.Routes = append(s.Routes, Route{r.GetMethod(), r.GetPath(), c.GetName()})
		}
	}
	slices.Sort(s.Commands)
	for _, h := range m.description.GetHooks() {
		s.Hooks = append(s.Hooks, h.GetCommand())
	}
	for _, e := range m.description.GetEvents() {
		s.Events = append(s.Events, e.GetName())
	}
	for _, d := range m.description.GetDependencies() {
		s.Dependencies = append(s.Dependencies, Dependency{d.GetPlugin(), d.GetVersions(), d.GetOptional()})
	}
	return s
}

func (m *member) state() string {
	switch {
	case m.settings.Off:
		return StateDisabled
	case m.process == nil:
		return string(process.StateFailed)
	}
	return string(m.process.Status().State)
}
