package sdktest

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/keboola/duckdb-storage/sdk"
	pluginv1 "github.com/keboola/duckdb-storage/sdk/proto/duckdbstorage/plugin/v1"
)

// Conform checks what every plugin owes the host: names that are well formed and
// the plugin's own, schemas that compile, a summary and a permission for each
// command, parameters that its routes have, sdk.Writes where a plan or a method
// writes, and the same declarations whenever the plugin is made.
func Conform(t testing.TB, plugin func() *sdk.Plugin) {
	t.Helper()
	d := plugin().Describe()
	if !proto.Equal(d, plugin().Describe()) {
		t.Errorf("plugin %s describes itself differently each time", d.GetName())
	}
	if !pluginName.MatchString(d.GetName()) {
		t.Errorf("plugin name %q is not made of lower-case letters, digits and dashes", d.GetName())
	}
	if d.GetVersion() == "" {
		t.Errorf("plugin %s has no version", d.GetName())
	}
	if len(d.GetCommands()) == 0 {
		t.Errorf("plugin %s has no commands", d.GetName())
	}
	for _, c := range d.GetCommands() {
		for _, fault := range faults(d.GetName(), c) {
			t.Errorf("command %s: %s", c.GetName(), fault)
		}
	}
}

var (
	pluginName    = regexp.MustCompile(`^[a-z][a-z0-9-]*$`)
	operation     = regexp.MustCompile(`^[A-Z][A-Za-z0-9]*$`)
	permission    = regexp.MustCompile(`^(admin|[a-z][a-z0-9-]*:(read|write))$`)
	pathParameter = regexp.MustCompile(`\{([^}]*)\}`)

	// The host fills these itself.
	scope = []string{"catalog", "project", "branch"}
	// Plans that change something.
	writes = []pluginv1.Form{pluginv1.Form_FORM_UNIT, pluginv1.Form_FORM_UPLOAD, pluginv1.Form_FORM_EXPORT}
)

func faults(plugin string, c *pluginv1.Command) (out []string) {
	fault := func(bad bool, format string, args ...any) {
		if bad {
			out = append(out, fmt.Sprintf(format, args...))
		}
	}
	name, own := strings.CutPrefix(c.GetName(), plugin+".")
	fault(!own || !operation.MatchString(name), "the name is not %s.Operation", plugin)
	fault(c.GetSummary() == "", "has no summary")
	fault(!permission.MatchString(c.GetPermission()), "permission %q is neither area:read, area:write nor admin", c.GetPermission())
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
