// Package admin holds the commands with which an operator looks at the plugins and
// changes them while the service runs. They are the core's own, so they work whatever
// becomes of a plugin. Start with [Commands].
package admin

import (
	"context"

	"github.com/keboola/duckdb-storage/core/internal/pluginhost"
	"github.com/keboola/duckdb-storage/sdk"
)

// Commands is what the commands work with.
type Commands struct {
	Version string // of the service
	// Host is asked for when a command runs: it is opened with these commands.
	Host func() *pluginhost.Host
	// Reload reads the configuration again and applies what it says of plugins. It
	// returns the settings that differ and need a restart of the service.
	Reload func(context.Context) (restart []string, err error)
}

const pluginPath = "/admin/plugins/{name}"

// Plugin declares the commands.
func (c *Commands) Plugin() *sdk.Plugin {
	p := sdk.New("admin", c.Version)
	sdk.Handle(p, List, c.list, sdk.GET("/admin/plugins"), sdk.Permission(sdk.AdminOnly))
	sdk.Handle(p, Enable, c.changed((*pluginhost.Host).Enable), sdk.POST(pluginPath+"/enable"), sdk.Permission(sdk.AdminOnly), sdk.Writes(), refusals)
	sdk.Handle(p, Disable, c.changed((*pluginhost.Host).Disable), sdk.POST(pluginPath+"/disable"), sdk.Permission(sdk.AdminOnly), sdk.Writes(), refusals)
	sdk.Handle(p, Restart, c.changed((*pluginhost.Host).Restart), sdk.POST(pluginPath+"/restart"), sdk.Permission(sdk.AdminOnly), sdk.Writes(), refusals)
	sdk.Handle(p, Reload, c.reload, sdk.POST("/admin/reload"), sdk.Permission(sdk.AdminOnly), sdk.Writes(), refusals)
	return p
}

// refusals are the problems of whatever changes plugins.
var refusals = sdk.Fails(pluginhost.ErrUnknown, pluginhost.ErrRefused)

// The commands.
var (
	List    = sdk.Command[NoRequest, PluginsResponse]{Name: "plugins.List", Summary: "Show every plugin: what it offers, what it may do, whether it runs, and if not, why."}
	Enable  = sdk.Command[PluginRequest, ChangeResponse]{Name: "plugins.Enable", Summary: "Switch a plugin on until the next reload or restart of the service; the configuration stays as it is."}
	Disable = sdk.Command[PluginRequest, ChangeResponse]{Name: "plugins.Disable", Summary: "Switch a plugin off until the next reload or restart of the service; its routes answer 501, what runs in it ends in order."}
	Restart = sdk.Command[PluginRequest, ChangeResponse]{Name: "plugins.Restart", Summary: "Replace the process of a plugin by a new one; if that does not come up, the old one stays."}
	Reload  = sdk.Command[NoRequest, ReloadResponse]{Name: "plugins.Reload", Summary: "Read the configuration again and apply what it says of plugins, all of it or nothing."}
)

// NoRequest is the input of a command that takes none.
type NoRequest struct{}

// PluginRequest names a plugin.
type PluginRequest struct {
	Name string `json:"name" in:"path"`
}

// ChangeResponse is a plugin after a change.
type ChangeResponse struct {
	Plugin
	LastsUntil string `json:"lastsUntil" jsonschema:"the change is not written into the configuration: the next reload or restart of the service forgets it"`
}

// ReloadResponse is what there is after a reload.
type ReloadResponse struct {
	Items   []Plugin `json:"items"`
	Restart []string `json:"restart" jsonschema:"settings that have changed, too, and need a restart of the service"`
}

func (c *Commands) list(*sdk.Context, NoRequest) (PluginsResponse, error) {
	return PluginsResponse{Items: c.plugins()}, nil
}

func (c *Commands) plugins() []Plugin {
	items := []Plugin{}
	for _, s := range c.Host().Plugins() {
		items = append(items, NewPlugin(s))
	}
	return items
}

// changed is a handler that changes one plugin and shows it.
func (c *Commands) changed(change func(*pluginhost.Host, context.Context, string) error) func(*sdk.Context, PluginRequest) (ChangeResponse, error) {
	return func(ctx *sdk.Context, in PluginRequest) (ChangeResponse, error) {
		host := c.Host()
		if err := change(host, ctx, in.Name); err != nil {
			return ChangeResponse{}, err
		}
		s, err := host.Plugin(in.Name)
		return ChangeResponse{NewPlugin(s), "the next reload or restart of the service"}, err
	}
}

func (c *Commands) reload(ctx *sdk.Context, _ NoRequest) (ReloadResponse, error) {
	restart, err := c.Reload(ctx)
	if err != nil {
		return ReloadResponse{}, err
	}
	return ReloadResponse{Items: c.plugins(), Restart: append([]string{}, restart...)}, nil
}
