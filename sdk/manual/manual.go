// Package manual tells people what a plugin offers, from what it declares: to
// whoever runs its binary by hand, and to operators through the host.
//
// Start with [Markdown]. [JSON] is for programs, [Usage] for a terminal, and
// [Configuration] is what the operator has to write to have the plugin loaded.
// The same declarations give the same text, byte for byte.
package manual

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"google.golang.org/protobuf/encoding/protojson"

	pluginv1 "github.com/keboola/duckdb-storage/sdk/proto/duckdbstorage/plugin/v1"
)

// JSON is the declarations as protobuf's JSON, indented: what Describe answers.
// Schemas are bytes there, so base64.
func JSON(d *pluginv1.DescribeResponse) ([]byte, error) {
	raw, err := protojson.Marshal(d)
	if err != nil {
		return nil, err
	}
	// protojson varies its spaces on purpose.
	var out bytes.Buffer
	if err := json.Indent(&out, raw, "", "  "); err != nil {
		return nil, err
	}
	out.WriteByte('\n')
	return out.Bytes(), nil
}

// Configuration is the YAML that the operator writes to have the plugin loaded: the
// permissions that it needs, and routes beside /x/<name>/. It is empty when the plugin
// needs neither.
func Configuration(d *pluginv1.DescribeResponse) string {
	var lines []string
	if needs := d.GetNeedsPermissions(); len(needs) > 0 {
		lines = append(lines, "    grants: "+flow(needs))
	}
	if prefixes := routesElsewhere(d); len(prefixes) > 0 {
		lines = append(lines, "    routes: "+flow(prefixes))
	}
	if lines == nil {
		return ""
	}
	return fmt.Sprintf("plugins:\n  %s:\n%s\n", d.GetName(), strings.Join(lines, "\n"))
}

// flow is a list in YAML, on one line.
func flow(values []string) string {
	quoted := make([]string, len(values))
	for i, v := range values {
		quoted[i] = `"` + v + `"`
	}
	return "[" + strings.Join(quoted, ", ") + "]"
}

// catalogs are what routes of a catalog begin with.
var catalogs = []string{"{catalog}", "/projects/{project}/branches/{branch}", "/projects/{project}"}

// routesElsewhere lists prefixes of the routes that are not below the one that every
// plugin may use, /x/<name>/, of the service or of a catalog.
func routesElsewhere(d *pluginv1.DescribeResponse) []string {
	var out []string
	for _, c := range d.GetCommands() {
		for _, r := range c.GetRoutes() {
			catalog, rest := "", r.GetPath()
			for _, prefix := range catalogs {
				if after, ok := strings.CutPrefix(rest, prefix+"/"); ok {
					catalog, rest = prefix, "/"+after
					break
				}
			}
			if strings.HasPrefix(rest+"/", "/x/"+d.GetName()+"/") {
				continue
			}
			first, _, _ := strings.Cut(strings.TrimPrefix(rest, "/"), "/")
			if prefix := catalog + "/" + first; !slices.Contains(out, prefix) {
				out = append(out, prefix)
			}
		}
	}
	return out
}

// Usage is what a plugin's binary says of itself to a person who runs it.
func Usage(d *pluginv1.DescribeResponse) string {
	var out strings.Builder
	p := func(format string, args ...any) { fmt.Fprintf(&out, format+"\n", args...) }
	name := d.GetName()
	p("%s %s is a plugin of DuckDB Storage: the host starts it.", name, d.GetVersion())
	if d.GetSummary() != "" {
		p("%s", d.GetSummary())
	}
	if len(d.GetCommands()) > 0 {
		p("\nCommands:")
	}
	for _, c := range d.GetCommands() {
		p("  %s: %s", c.GetName(), c.GetSummary())
		for _, r := range c.GetRoutes() {
			p("      %s %s", r.GetMethod(), route(r))
		}
	}
	p("\nTo install it, copy it to the plugin directory of the host as plugin-%s.", name)
	if yaml := Configuration(d); yaml != "" {
		p("It needs this in the configuration:\n\n%s", indent(strings.TrimSuffix(yaml, "\n"), "  "))
	}
	p("\nFlags:")
	p("  --manifest  what it offers, as JSON")
	p("  --doc       the same as Markdown")
	p("  --debug     serve for a debugger, until Ctrl-C; prints how the host finds it")
	p("  --help      this text")
	return out.String()
}

// route is the path of a route as a client writes it.
func route(r *pluginv1.Route) string {
	return strings.Replace(r.GetPath(), "{catalog}", "/projects/{project}", 1)
}

func indent(text, with string) string {
	return with + strings.ReplaceAll(text, "\n", "\n"+with)
}
