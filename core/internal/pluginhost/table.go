package pluginhost

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

// Table is the one list of what the service can do. The router, the API
// document and the list of commands are made from it. It does not change.
type Table struct {
	commands map[string]*Command
	routes   map[string]string // method and shape of the path, to the command's name
	plugins  map[string]*pluginv1.DescribeResponse
}

func newTable() *Table {
	return &Table{commands: map[string]*Command{}, routes: map[string]string{}, plugins: map[string]*pluginv1.DescribeResponse{}}
}

// Commands returns the commands by name.
func (t *Table) Commands() []*Command {
	out := make([]*Command, 0, len(t.commands))
	for _, c := range t.commands {
		out = append(out, c)
	}
	slices.SortFunc(out, func(a, b *Command) int { return strings.Compare(a.GetName(), b.GetName()) })
	return out
}

// Plugins returns what each plugin in the table says of itself, by name.
func (t *Table) Plugins() []*pluginv1.DescribeResponse {
	out := make([]*pluginv1.DescribeResponse, 0, len(t.plugins))
	for _, name := range slices.Sorted(maps.Keys(t.plugins)) {
		out = append(out, t.plugins[name])
	}
	return out
}

func (t *Table) command(name string) (*Command, error) {
	c, ok := t.commands[name]
	if !ok {
		return nil, sdk.ErrUnsupported.Errorf("Command %q not supported.", name)
	}
	return c, nil
}

// add takes all commands of a plugin or, if one is taken, none. It returns every
// conflict.
func (t *Table) add(m *member) (conflicts []error) {
	for _, c := range m.commands {
		if other, taken := t.commands[c.GetName()]; taken {
			conflicts = append(conflicts, fmt.Errorf("command %s belongs to plugin %s; one of the two must go", c.GetName(), other.Plugin))
		}
		for _, r := range c.GetRoutes() {
			for _, path := range Expand(r.GetPath()) {
				if other, taken := t.routes[shape(r.GetMethod(), path)]; taken {
					conflicts = append(conflicts, fmt.Errorf("route %s %s belongs to command %s of plugin %s; one of the two must go",
						r.GetMethod(), path, other, t.commands[other].Plugin))
				}
			}
		}
	}
	if len(conflicts) > 0 {
		return conflicts
	}
	t.plugins[m.name] = m.description
	for _, c := range m.commands {
		t.put(m, *c)
	}
	return nil
}

// fill takes of a plugin that does not run what nobody else claims.
func (t *Table) fill(m *member) {
	if !m.sound {
		return
	}
	t.plugins[m.name] = m.description
	for _, c := range m.commands {
		if _, taken := t.commands[c.GetName()]; taken {
			continue
		}
		free := *c
		free.Command = proto.CloneOf(c.Command)
		free.Routes = slices.DeleteFunc(free.Routes, func(r *pluginv1.Route) bool {
			return slices.ContainsFunc(Expand(r.GetPath()), func(path string) bool {
				_, taken := t.routes[shape(r.GetMethod(), path)]
				return taken
			})
		})
		t.put(m, free)
	}
}

func (t *Table) put(owner *member, c Command) {
	c.owner = owner
	t.commands[c.GetName()] = &c
	for _, r := range c.GetRoutes() {
		for _, path := range Expand(r.GetPath()) {
			t.routes[shape(r.GetMethod(), path)] = c.GetName()
		}
	}
}

var parameter = regexp.MustCompile(`\{[^}]*\}`)

// shape is what makes a route: two paths that differ only in the names of parameters
// are one.
func shape(method, path string) string {
	return method + " " + parameter.ReplaceAllString(path, "{}")
}

// Expand returns the paths that a declared path stands for.
func Expand(path string) []string {
	rest, scoped := strings.CutPrefix(path, sdk.Catalog)
	if !scoped {
		return []string{path}
	}
	return []string{"/projects/{project}" + rest, "/projects/{project}/branches/{branch}" + rest}
}
