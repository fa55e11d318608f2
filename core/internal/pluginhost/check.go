package pluginhost

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	goversion "github.com/hashicorp/go-version"

	"github.com/keboola/duckdb-storage/sdk"
	pluginv1 "github.com/keboola/duckdb-storage/sdk/proto/duckdbstorage/plugin/v1"
)

// features are what this host can do beyond the first release of the protocol.
func features() []string {
	return []string{sdk.FeatureTransact, sdk.FeatureJobs, sdk.FeatureHooks, sdk.FeatureEvents, sdk.FeatureConfig}
}

// reserved are first segments of paths that the host answers itself.
var reserved = []string{"health", "livez", "readyz", "metrics", "openapi.json", "commands", "jobs", "admin", "docs", "problems"}

var (
	// semver is the version of a plugin (semver.org), without what is after a plus.
	semver = regexp.MustCompile(`^(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(-[0-9A-Za-z.-]+)?(\+[0-9A-Za-z.-]+)?$`)
	// memberName is what comes after the plugin in the name of a command or an event.
	memberName = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9]*$`)
	// permissionShape is an area and a level.
	permissionShape = regexp.MustCompile(`^[a-z][a-z0-9-]*:(read|write|admin)$`)
	// segment is one part of a path: a fixed text or one parameter.
	segment = regexp.MustCompile(`^(\{[A-Za-z][A-Za-z0-9]*\}|[A-Za-z0-9._~-]+)$`)
)

// maxCommands bounds what a reload has to look through; the areas of the product have
// some ten each.
const maxCommands = 1000

// methods are those that a route may have.
var methods = []string{"GET", "POST", "PUT", "DELETE"}

// joined makes one error of several, or nil of none.
func joined(faults []error) error {
	if len(faults) == 0 {
		return nil
	}
	var lines []string
	for _, f := range faults {
		lines = append(lines, f.Error())
	}
	return errors.New(strings.Join(lines, "; "))
}

// compile makes commands and events of what the plugin says of itself, and returns
// everything that is wrong with it. A description without a fault is sound.
func (m *member) compile() (faults []error) {
	fault := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	d := m.description
	if !m.core {
		if !nameShape.MatchString(d.GetName()) {
			fault("its name %q is not of lower-case letters, digits and dashes, 40 at most", d.GetName())
		}
		if !semver.MatchString(d.GetVersion()) {
			fault("its version %q is no semantic version such as 1.2.3", d.GetVersion())
		}
	}
	if n := len(d.GetCommands()); n > maxCommands {
		fault("it has %d commands, more than %d", n, maxCommands)
		return faults
	}
	for _, need := range d.GetNeedsPermissions() {
		if need != sdk.AdminOnly && !permissionShape.MatchString(need) {
			fault("it needs %q, which is not <area>:read, <area>:write, <area>:admin or %s", need, sdk.AdminOnly)
		}
	}
	m.commands, m.events = nil, nil
	routes := map[string]string{}
	for _, c := range d.GetCommands() {
		compiled, err := newCommand(m.name, c)
		if err != nil {
			faults = append(faults, err)
			continue
		}
		if slices.ContainsFunc(m.commands, func(other *Command) bool { return other.GetName() == c.GetName() }) {
			fault("command %s is declared twice", c.GetName())
		}
		m.commands = append(m.commands, compiled)
		if !m.core {
			faults = append(faults, m.checkCommand(c)...)
		}
		for _, r := range c.GetRoutes() {
			for _, path := range Expand(r.GetPath()) {
				if other, taken := routes[shape(r.GetMethod(), path)]; taken {
					fault("route %s %s is declared twice, by %s and %s", r.GetMethod(), path, other, c.GetName())
				}
				routes[shape(r.GetMethod(), path)] = c.GetName()
			}
		}
	}
	for _, e := range d.GetEvents() {
		compiled, err := newEvent(m.name, e)
		if err != nil {
			faults = append(faults, err)
			continue
		}
		if slices.ContainsFunc(m.events, func(other *event) bool { return other.name == e.GetName() }) {
			fault("event %s is declared twice", e.GetName())
		}
		if !m.core && !m.owns(e.GetName()) {
			fault("event %q must be called %s.<Fact>", e.GetName(), m.name)
		}
		m.events = append(m.events, compiled)
	}
	for _, dependency := range d.GetDependencies() {
		if _, err := goversion.NewConstraint(dependency.GetVersions()); err != nil && dependency.GetVersions() != "" {
			fault("its dependency on plugin %s has the constraint %q, which is none", dependency.GetPlugin(), dependency.GetVersions())
		}
		if dependency.GetPlugin() == m.name {
			fault("it depends on itself")
		}
	}
	if raw := d.GetConfigSchema(); len(raw) > 0 {
		if _, err := compileSchema("the settings", raw); err != nil {
			faults = append(faults, err)
		}
	}
	m.sound = len(faults) == 0
	return faults
}

// owns reports whether a command or event has a name in the plugin's area.
func (m *member) owns(name string) bool {
	rest, ok := strings.CutPrefix(name, m.name+".")
	return ok && memberName.MatchString(rest)
}

// checkCommand finds what is wrong with a command beside its schemas.
func (m *member) checkCommand(c *pluginv1.Command) (faults []error) {
	fault := func(format string, args ...any) {
		faults = append(faults, fmt.Errorf("command "+c.GetName()+": "+format, args...))
	}
	if !m.owns(c.GetName()) {
		fault("it must be called %s.<Operation>", m.name)
	}
	if _, known := pluginv1.Form_name[int32(c.GetForm())]; !known || c.GetForm() == pluginv1.Form_FORM_UNSPECIFIED {
		fault("its form %d is not known here", c.GetForm())
	}
	if _, known := pluginv1.Effect_name[int32(c.GetEffect())]; !known || c.GetEffect() == pluginv1.Effect_EFFECT_UNSPECIFIED {
		fault("its effect %d is neither read nor write", c.GetEffect())
	}
	switch p := c.GetPermission(); {
	case p == sdk.AdminOnly, p == sdk.AnyKey, permissionShape.MatchString(p):
	default:
		fault("its permission %q is not <area>:read, <area>:write, <area>:admin, %s or %s", p, sdk.AdminOnly, sdk.AnyKey)
	}
	for _, r := range c.GetRoutes() {
		if err := m.checkRoute(c, r); err != nil {
			fault("route %s %s: %w", r.GetMethod(), r.GetPath(), err)
		}
	}
	return faults
}

func (m *member) checkRoute(c *pluginv1.Command, r *pluginv1.Route) error {
	if !slices.Contains(methods, r.GetMethod()) {
		return fmt.Errorf("the method is not %s", strings.Join(methods, ", "))
	}
	if !slices.Contains([]uint32{200, 201, 202, 204}, r.GetStatus()) {
		return fmt.Errorf("the status %d is not 200, 201, 202 or 204", r.GetStatus())
	}
	parts, err := split(r.GetPath())
	if err != nil {
		return err
	}
	for i, p := range parts {
		if i > 0 && strings.HasPrefix(p, "{") && slices.Contains(parts[:i], p) {
			return fmt.Errorf("%s is in it twice", p)
		}
		if parts[0] == sdk.Catalog && (p == "{project}" || p == "{branch}") {
			return fmt.Errorf("%s is in %s already", p, sdk.Catalog)
		}
		switch name := strings.Trim(p, "{}"); {
		case name == p, i == 0 && p == sdk.Catalog, name == "project", name == "branch", hasPathParameter(c, name):
		default:
			return fmt.Errorf("%s is no path parameter of the command", p)
		}
	}
	if slices.Contains(reserved, parts[0]) {
		return fmt.Errorf("/%s is the host's own", parts[0])
	}
	if !slices.ContainsFunc(m.prefixes(), func(prefix string) bool { return under(r.GetPath(), prefix) }) {
		return fmt.Errorf("it may be below %s only; to allow another add it to the configuration: plugins: {%s: {routes: [%q]}}",
			strings.Join(m.prefixes(), ", "), m.name, r.GetPath())
	}
	return nil
}

func hasPathParameter(c *pluginv1.Command, name string) bool {
	return slices.ContainsFunc(c.GetParameters(), func(p *pluginv1.Parameter) bool {
		return p.GetName() == name && p.GetLocation() == pluginv1.Location_LOCATION_PATH
	})
}

// split takes a declared path apart.
func split(path string) ([]string, error) {
	rest, ok := strings.CutPrefix(path, "/")
	if !ok && !strings.HasPrefix(path, sdk.Catalog+"/") {
		return nil, fmt.Errorf("the path must begin with / or %s/", sdk.Catalog)
	}
	parts := strings.Split(rest, "/")
	for _, p := range parts {
		if !segment.MatchString(p) || p == "." || p == ".." {
			return nil, fmt.Errorf("%q is neither a name nor a {parameter}", p)
		}
	}
	return parts, nil
}

// prefixes are those that the plugin's routes may have.
func (m *member) prefixes() []string {
	own := "/x/" + m.name
	return append([]string{own, sdk.Catalog + own}, m.settings.Routes...)
}

// under reports whether all that a declared path stands for is below a prefix, by
// whole segments.
func under(path, prefix string) bool {
	for _, p := range Expand(path) {
		if !slices.ContainsFunc(Expand(prefix), func(prefix string) bool { return below(p, prefix) }) {
			return false
		}
	}
	return true
}

func below(path, prefix string) bool {
	prefix = parameter.ReplaceAllString(strings.TrimSuffix(prefix, "/"), "{}")
	path = parameter.ReplaceAllString(path, "{}")
	return path == prefix || strings.HasPrefix(path, prefix+"/")
}

// mayOwn reports whether a path that was asked for may be one of the plugin's.
func (m *member) mayOwn(path string) bool {
	return slices.ContainsFunc(m.prefixes(), func(prefix string) bool {
		return slices.ContainsFunc(Expand(prefix), func(prefix string) bool { return leads(prefix, path) })
	})
}

// leads reports whether a path begins with the segments of a prefix, in which a
// parameter stands for any.
func leads(prefix, path string) bool {
	want, got := strings.Split(strings.Trim(prefix, "/"), "/"), strings.Split(strings.TrimPrefix(path, "/"), "/")
	if want[0] == "" {
		return true
	}
	return len(got) >= len(want) && slices.EqualFunc(want, got[:len(want)], func(w, g string) bool {
		return w == g || strings.HasPrefix(w, "{")
	})
}

// check compares a sound description with what this host has and what the operator
// allows.
func (m *member) check() (faults []error) {
	for _, f := range m.description.GetNeedsFeatures() {
		if !slices.Contains(features(), f) {
			faults = append(faults, fmt.Errorf("it needs the feature %q, which this host does not have (it has %s): upgrade the host, or install an older release of the plugin",
				f, strings.Join(features(), ", ")))
		}
	}
	if missing := m.grants.missing(m.description.GetNeedsPermissions()); len(missing) > 0 {
		faults = append(faults, m.ungranted("it needs "+strings.Join(missing, ", "), missing...))
	}
	return append(faults, m.checkSettings()...)
}

// ungranted says how to grant permissions.
func (m *member) ungranted(why string, permissions ...string) error {
	all := slices.Concat(m.grants.granted, permissions)
	list, _ := json.Marshal(all) // texts
	return fmt.Errorf("%s, which is not granted; if you trust it with that, add to the configuration: plugins: {%s: {grants: %s}}", why, m.name, list)
}

// checkSettings checks what the operator set for the plugin against its schema.
func (m *member) checkSettings() (faults []error) {
	set := m.settings.JSON
	if len(m.description.GetConfigSchema()) == 0 {
		if len(set) > 0 && !bytes.Equal(set, []byte("{}")) {
			return []error{fmt.Errorf("it has no settings: remove plugins.%s.config", m.name)}
		}
		return nil
	}
	if len(set) == 0 {
		set = []byte("{}") // what has no default must be set
	}
	schema, err := compileSchema("the settings", m.description.GetConfigSchema())
	if err != nil {
		return []error{err}
	}
	found, err := violations(schema, set)
	if err != nil {
		return []error{fmt.Errorf("plugins.%s.config: %w", m.name, err)}
	}
	for _, v := range found {
		faults = append(faults, fmt.Errorf("plugins.%s.config%s: %s", m.name, v.Pointer, v.Detail))
	}
	return faults
}
