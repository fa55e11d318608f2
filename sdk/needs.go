package sdk

import pluginv1 "github.com/keboola/duckdb-storage/sdk/proto/duckdbstorage/plugin/v1"

// Version is that of this package, for people: whether host and plugin understand
// each other is decided by protocol number and features.
const Version = "0.1.0"

// The permissions that are not about an area's commands. A plugin that does more
// than answer from its own area declares them with Plugin.Needs.
const (
	ReadSQL    = "sql:read"    // plans and callbacks that read with SQL
	WriteSQL   = "sql:write"   // plans and callbacks that write with SQL
	ReadFiles  = "files:read"  // the files of the project
	WriteFiles = "files:write" // make, register and delete them
)

// The features that a host may have beyond the first release of the protocol.
const (
	FeatureTransact = "transact" // Context.Transact
	FeatureJobs     = "jobs"     // StartJob, Progress
	FeatureHooks    = "hooks"    // Before
	FeatureEvents   = "events"   // Emits, After
	FeatureConfig   = "config"   // Config
)

// Summary says in one sentence what the plugin is for.
func (p *Plugin) Summary(text string) { p.description.Summary = text }

// Needs declares what the plugin does beside its own area: the permissions of the
// commands that it calls or hooks on ("tables:read"), and those above. A host loads
// the plugin only if the operator has granted all of them.
func (p *Plugin) Needs(permissions ...string) {
	p.description.NeedsPermissions = append(p.description.NeedsPermissions, permissions...)
}

// NeedsFeature declares features of the host that the plugin cannot do without. A
// host that lacks one says so and does not load the plugin.
func (p *Plugin) NeedsFeature(features ...string) {
	p.description.NeedsFeatures = append(p.description.NeedsFeatures, features...)
}

// Requires declares another plugin without which this one is of no use. versions is
// a constraint such as ">= 1.2, < 2"; empty is any.
func (p *Plugin) Requires(plugin, versions string) {
	p.depend(&pluginv1.Dependency{Plugin: plugin, Versions: versions})
}

// WorksWith declares another plugin that this one calls if it is there. When it is
// not, Call answers ErrUnsupported, and ErrPluginOff when it is switched off.
func (p *Plugin) WorksWith(plugin, versions string) {
	p.depend(&pluginv1.Dependency{Plugin: plugin, Versions: versions, Optional: true})
}

func (p *Plugin) depend(d *pluginv1.Dependency) {
	p.description.Dependencies = append(p.description.Dependencies, d)
}
