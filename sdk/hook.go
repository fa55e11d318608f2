package sdk

import (
	"context"
	"encoding/json"
	"time"

	pluginv1 "github.com/keboola/duckdb-storage/sdk/proto/duckdbstorage/plugin/v1"
)

// hook runs an author's before-hook on the input of a command.
type hook func(c *Context, payload []byte) error

// Before has fn asked each time before a command runs, whoever asked for it. The
// command belongs to any plugin; to hook on one that is not of the plugin's own area
// takes its permission, or <area>:write where it has none or is for AnyKey. The
// operator grants that (Plugin.Needs).
//
// An error refuses the command, and the client gets it. A command that writes is
// hooked inside the lease of its catalog: nobody writes between fn and the command,
// and what fn writes or calls joins that lease. It stays when the command fails
// afterwards. Hooks on one command run by the names of their plugins.
//
// A hook that cannot be asked refuses the command with 503; with FailOpen the
// command runs. While the plugin is switched off there is no hook.
func Before[Request, Response any](p *Plugin, cmd Command[Request, Response], fn func(*Context, Request) error, options ...HookOption) {
	h := &pluginv1.Hook{Command: cmd.Name}
	for _, o := range options {
		o(h)
	}
	if _, dup := p.hooks[cmd.Name]; dup {
		panic("sdk: the hook before " + cmd.Name + " is declared twice")
	}
	p.description.Hooks = append(p.description.Hooks, h)
	p.hooks[cmd.Name] = func(c *Context, payload []byte) error {
		// Members that this plugin does not know are of a later release of the command.
		var in Request
		if err := json.Unmarshal(payload, &in); err != nil {
			return ErrInternal.Errorf("the hook of plugin %s cannot read the input of %s: %v", p.description.GetName(), cmd.Name, err)
		}
		return fn(c, in)
	}
}

// HookOption is a property of a hook, given to Before.
type HookOption func(*pluginv1.Hook)

// Within bounds the time of a hook, in whole seconds; the default is a minute. Every
// write of the project waits meanwhile. It panics unless d is above zero.
func Within(d time.Duration) HookOption {
	if d <= 0 {
		panic("sdk: the time of a hook must be above zero, not " + d.String())
	}
	return func(h *pluginv1.Hook) { h.TimeoutSeconds = wholeSeconds(d) }
}

// FailOpen lets the command run when the hook cannot be asked. It is for hooks that
// help, and never for one that protects.
func FailOpen() HookOption {
	return func(h *pluginv1.Hook) { h.FailOpen = true }
}

// Refuses lists the problems of its own with which a hook refuses, for the API
// document. Those of package sdk need not be named.
func Refuses(codes ...Code) HookOption {
	return func(h *pluginv1.Hook) { h.Problems = append(h.Problems, problems(codes)...) }
}

// Before runs the hook on a command, as the host does before it.
func (p *Plugin) Before(ctx context.Context, host Host, req *pluginv1.BeforeRequest) *pluginv1.BeforeResponse {
	c := p.context(ctx, host, req.GetRequest(), "before "+req.GetRequest().GetCommand())
	err := c.run(func() error {
		h, ok := p.hooks[req.GetRequest().GetCommand()]
		if !ok {
			return ErrUnsupported.Errorf("plugin %s has no hook before %s", p.description.GetName(), req.GetRequest().GetCommand())
		}
		return h(c, req.GetRequest().GetPayload())
	})
	return &pluginv1.BeforeResponse{Error: err.Proto()}
}
