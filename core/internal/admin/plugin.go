package admin

import (
	"github.com/keboola/duckdb-storage/core/internal/pluginhost"
)

// PluginsResponse lists the plugins by name.
type PluginsResponse struct {
	Items []Plugin `json:"items"`
}

// Plugin is a plugin as operators see it.
type Plugin struct {
	Name          string       `json:"name"`
	Version       string       `json:"version" jsonschema:"empty for one that could not say"`
	Summary       string       `json:"summary"`
	State         string       `json:"state" jsonschema:"starting, running, restarting, failed or disabled"`
	Enabled       bool         `json:"enabled"`
	Detail        string       `json:"detail" jsonschema:"why it failed and what to do, or why its process last ended"`
	PID           int          `json:"pid" jsonschema:"0 when no process runs"`
	Restarts      int          `json:"restarts" jsonschema:"processes that came after one that had ended by itself"`
	Path          string       `json:"path" jsonschema:"of the executable"`
	Digest        string       `json:"digest" jsonschema:"SHA-256 of the executable in hex, as it was when it was loaded"`
	Pinned        bool         `json:"pinned" jsonschema:"the configuration says which digest it must have"`
	Debugged      bool         `json:"debugged" jsonschema:"it was started by somebody else, for a debugger"`
	Commands      []string     `json:"commands"`
	Routes        []Route      `json:"routes"`
	Hooks         []string     `json:"hooks" jsonschema:"commands before which it is asked"`
	Events        []string     `json:"events" jsonschema:"that it emits"`
	Subscriptions []string     `json:"subscriptions" jsonschema:"events that it hears of"`
	Grants        []string     `json:"grants" jsonschema:"permissions that it has beyond its own area"`
	Needs         []string     `json:"needs" jsonschema:"permissions that it asks for"`
	Dependencies  []Dependency `json:"dependencies"`
}

// Route is a way to reach a command.
type Route struct {
	Method  string `json:"method"`
	Path    string `json:"path"`
	Command string `json:"command"`
}

// Dependency is another plugin that one calls.
type Dependency struct {
	Plugin   string `json:"plugin"`
	Versions string `json:"versions" jsonschema:"constraint; empty is any"`
	Optional bool   `json:"optional" jsonschema:"the plugin works without it"`
}

// NewPlugin shows the state of a plugin.
func NewPlugin(s pluginhost.Status) Plugin {
	p := Plugin{
		Name: s.Name, Version: s.Version, Summary: s.Summary, State: s.State, Enabled: s.Enabled, Detail: s.Detail,
		PID: s.PID, Restarts: s.Restarts, Path: s.Path, Digest: s.Digest, Pinned: s.Pinned, Debugged: s.Debugged,
		Commands: list(s.Commands), Hooks: list(s.Hooks), Events: list(s.Events), Subscriptions: list(s.Subscriptions),
		Grants: list(s.Grants), Needs: list(s.Needs), Routes: []Route{}, Dependencies: []Dependency{},
	}
	for _, r := range s.Routes {
		p.Routes = append(p.Routes, Route(r))
	}
	for _, d := range s.Dependencies {
		p.Dependencies = append(p.Dependencies, Dependency(d))
	}
	return p
}

// list makes an empty list of none, which JSON shows as one.
func list(items []string) []string { return append([]string{}, items...) }
