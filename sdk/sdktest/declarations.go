package sdktest

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"

	"github.com/keboola/duckdb-storage/sdk"
	pluginv1 "github.com/keboola/duckdb-storage/sdk/proto/duckdbstorage/plugin/v1"
)

var (
	semver        = regexp.MustCompile(`^\d+\.\d+\.\d+(-[0-9A-Za-z.-]+)?(\+[0-9A-Za-z.-]+)?$`)
	constraint    = regexp.MustCompile(`^\s*(=|!=|>|<|>=|<=|~>)?\s*\d+(\.\d+){0,2}(-[0-9A-Za-z.-]+)?\s*$`)
	pluginName    = regexp.MustCompile(`^[a-z][a-z0-9-]*$`)
	operation     = regexp.MustCompile(`^[A-Z][A-Za-z0-9]*$`)
	permission    = regexp.MustCompile(`^(admin|any|[a-z][a-z0-9-]*:(read|write|admin))$`)
	pathParameter = regexp.MustCompile(`\{([^}]*)\}`)

	// The host fills these itself.
	scope = []string{"catalog", "project", "branch"}
	// Plans that change something.
	writes = []pluginv1.Form{pluginv1.Form_FORM_UNIT, pluginv1.Form_FORM_UPLOAD, pluginv1.Form_FORM_EXPORT}
)

// declarations are the faults of what a plugin declares.
func declarations(d *pluginv1.DescribeResponse) (out []string) {
	fault := func(bad bool, format string, args ...any) {
		if bad {
			out = append(out, fmt.Sprintf(format, args...))
		}
	}
	name := d.GetName()
	fault(!pluginName.MatchString(name), "plugin name %q is not made of lower-case letters, digits and dashes", name)
	fault(d.GetVersion() == "", "plugin %s has no version", name)
	fault(d.GetVersion() != "" && !semver.MatchString(d.GetVersion()), "version %q is not semantic: major.minor.patch", d.GetVersion())
	fault(len(d.GetCommands())+len(d.GetHooks())+len(d.GetSubscriptions()) == 0, "plugin %s has no commands, hooks or subscriptions", name)
	for _, c := range d.GetCommands() {
		for _, f := range faults(name, c) {
			out = append(out, "command "+c.GetName()+": "+f)
		}
	}
	out = append(out, problemFaults(d)...)
	out = append(out, relationFaults(d)...)
	out = append(out, eventFaults(d)...)
	return append(out, settingFaults(d.GetConfigSchema())...)
}

// problemFaults are slugs that stand for two problems.
func problemFaults(d *pluginv1.DescribeResponse) (out []string) {
	seen := map[string]*pluginv1.Problem{}
	look := func(where string, problems []*pluginv1.Problem) {
		for _, p := range problems {
			if !pluginName.MatchString(p.GetCode()) || p.GetTitle() == "" || p.GetKind() == pluginv1.Kind_KIND_UNSPECIFIED {
				out = append(out, fmt.Sprintf("%s: problem %q has no slug of lower-case letters and dashes, no title or no kind", where, p.GetCode()))
			}
			if other := seen[p.GetCode()]; other != nil && !proto.Equal(other, p) {
				out = append(out, fmt.Sprintf("problem %s is declared twice, with another title, kind or code", p.GetCode()))
			}
			seen[p.GetCode()] = p
		}
	}
	for _, c := range d.GetCommands() {
		look("command "+c.GetName(), c.GetProblems())
	}
	for _, h := range d.GetHooks() {
		look("hook before "+h.GetCommand(), h.GetProblems())
	}
	return out
}

// relationFaults are about other plugins: what it needs of them and does to them.
func relationFaults(d *pluginv1.DescribeResponse) (out []string) {
	needs := d.GetNeedsPermissions()
	for i, n := range needs {
		if !permission.MatchString(n) || n == sdk.AnyKey {
			out = append(out, fmt.Sprintf("it needs %q, which is neither area:read, area:write, area:admin nor admin", n))
		}
		if strings.HasPrefix(n, d.GetName()+":") {
			out = append(out, fmt.Sprintf("it needs %s, which is its own area", n))
		}
		if slices.Contains(needs[:i], n) {
			out = append(out, fmt.Sprintf("it needs %s twice", n))
		}
	}
	for _, dep := range d.GetDependencies() {
		if !pluginName.MatchString(dep.GetPlugin()) || dep.GetPlugin() == d.GetName() {
			out = append(out, fmt.Sprintf("it depends on %q, which is no other plugin", dep.GetPlugin()))
		}
		for part := range strings.SplitSeq(dep.GetVersions(), ",") {
			if dep.GetVersions() != "" && !constraint.MatchString(part) {
				out = append(out, fmt.Sprintf("the versions %q of plugin %s are no constraint such as \">= 1.2, < 2\"", dep.GetVersions(), dep.GetPlugin()))
			}
		}
	}
	needed := func(area string, permissions ...string) bool {
		return area == d.GetName() || slices.ContainsFunc(permissions, func(p string) bool { return slices.Contains(needs, p) })
	}
	for _, h := range d.GetHooks() {
		area, op, _ := strings.Cut(h.GetCommand(), ".")
		if !pluginName.MatchString(area) || !operation.MatchString(op) {
			out = append(out, fmt.Sprintf("it hooks on %q, which is no area.Operation", h.GetCommand()))
		} else if !needed(area, permissionsOfArea(h.GetCommand())...) {
			out = append(out, fmt.Sprintf("it hooks on %s and does not declare that it needs that command's permission", h.GetCommand()))
		}
	}
	for _, s := range d.GetSubscriptions() {
		area, fact, _ := strings.Cut(s, ".")
		if !pluginName.MatchString(area) || !operation.MatchString(fact) {
			out = append(out, fmt.Sprintf("it subscribes to %q, which is no area.Fact", s))
		} else if !needed(area, area+":read") {
			out = append(out, fmt.Sprintf("it subscribes to %s and does not declare that it needs %s:read", s, area))
		}
	}
	return out
}

func eventFaults(d *pluginv1.DescribeResponse) (out []string) {
	for i, e := range d.GetEvents() {
		name, own := strings.CutPrefix(e.GetName(), d.GetName()+".")
		if !own || !operation.MatchString(name) {
			out = append(out, fmt.Sprintf("event %s: the name is not %s.Fact", e.GetName(), d.GetName()))
		}
		if e.GetSummary() == "" {
			out = append(out, fmt.Sprintf("event %s: has no summary", e.GetName()))
		}
		if _, err := compile(e.GetSchema()); err != nil {
			out = append(out, fmt.Sprintf("event %s: schema: %v", e.GetName(), err))
		}
		if slices.ContainsFunc(d.GetEvents()[:i], func(o *pluginv1.Event) bool { return o.GetName() == e.GetName() }) {
			out = append(out, fmt.Sprintf("event %s is declared twice", e.GetName()))
		}
	}
	return out
}

// settingFaults are about the schema of the settings, each default alone.
func settingFaults(schema []byte) (out []string) {
	if schema == nil {
		return nil
	}
	if _, err := compile(schema); err != nil {
		return []string{fmt.Sprintf("settings: schema: %v", err)}
	}
	properties := asDocument(parseSchema(schema)["properties"])
	for _, name := range slices.Sorted(maps.Keys(properties)) {
		property := asDocument(properties[name])
		value, ok := property["default"]
		if !ok {
			continue
		}
		if err := check([]byte(mustJSON(property)), []byte(mustJSON(value))); err != nil {
			out = append(out, fmt.Sprintf("settings: the default of %s breaks its schema: %v", name, err))
		}
	}
	return out
}

// faults are those of one command.
func faults(plugin string, c *pluginv1.Command) (out []string) {
	fault := func(bad bool, format string, args ...any) {
		if bad {
			out = append(out, fmt.Sprintf(format, args...))
		}
	}
	name, own := strings.CutPrefix(c.GetName(), plugin+".")
	fault(!own || !operation.MatchString(name), "the name is not %s.Operation", plugin)
	fault(c.GetSummary() == "", "has no summary")
	fault(!permission.MatchString(c.GetPermission()), "permission %q is neither area:read, area:write, area:admin, admin nor any", c.GetPermission())
	_, err := compile(c.GetInputSchema())
	fault(err != nil, "input schema: %v", err)
	if c.GetOutputSchema() != nil {
		_, err := compile(c.GetOutputSchema())
		fault(err != nil, "output schema: %v", err)
	}
	isWrite := c.GetEffect() == pluginv1.Effect_EFFECT_WRITE
	fault(slices.Contains(writes, c.GetForm()) && !isWrite, "its plan writes and it is not declared with sdk.Writes")
	for _, r := range c.GetRoutes() {
		route := r.GetMethod() + " " + r.GetPath()
		switch r.GetMethod() {
		case "GET":
			fault(isWrite, "%s writes", route)
		case "PUT", "DELETE":
			fault(!isWrite, "%s is not declared with sdk.Writes", route)
		}
		var inPath []string
		for _, m := range pathParameter.FindAllStringSubmatch(r.GetPath(), -1) {
			inPath = append(inPath, m[1])
		}
		for _, p := range c.GetParameters() {
			isPath := p.GetLocation() == pluginv1.Location_LOCATION_PATH
			fault(isPath && !slices.Contains(inPath, p.GetName()), "%s has no {%s}", route, p.GetName())
		}
		for _, p := range inPath {
			declared := slices.ContainsFunc(c.GetParameters(), func(d *pluginv1.Parameter) bool {
				return d.GetName() == p && d.GetLocation() == pluginv1.Location_LOCATION_PATH
			})
			fault(!declared && !slices.Contains(scope, p), `%s: no member of the input is {%s}, in:"path"`, route, p)
		}
	}
	return out
}
