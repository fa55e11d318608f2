package pluginhost

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/keboola/duckdb-storage/sdk"
	pluginv1 "github.com/keboola/duckdb-storage/sdk/proto/duckdbstorage/plugin/v1"
)

// invoker answers the commands of one plugin: a process, a plugin in the host's
// own process, or one that is switched off.
type invoker interface {
	Invoke(context.Context, *pluginv1.InvokeRequest) (*pluginv1.InvokeResponse, error)
}

// Table is the one list of what the service can do. The router, the API
// document and the list of commands are made from it.
type Table struct {
	commands map[string]*Command
	routes   map[string]string // method and shape of the path, to the command's name
}

func newTable() *Table {
	return &Table{commands: map[string]*Command{}, routes: map[string]string{}}
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

func (t *Table) command(name string) (*Command, error) {
	c, ok := t.commands[name]
	if !ok {
		return nil, sdk.ErrUnsupported.Errorf("Command %q not supported.", name)
	}
	return c, nil
}

var parameter = regexp.MustCompile(`\{[^}]*\}`)

// add takes all commands of a plugin or, if one is wrong or taken, none. The
// error lists every fault.
func (t *Table) add(d *pluginv1.DescribeResponse, owner invoker) error {
	var (
		faults   []string
		commands []*Command
		routes   = map[string]string{}
	)
	names := map[string]bool{}
	for _, declared := range d.GetCommands() {
		c, err := newCommand(d.GetName(), owner, declared)
		if err != nil {
			faults = append(faults, err.Error())
			continue
		}
		if names[c.GetName()] {
			faults = append(faults, fmt.Sprintf("command %s is declared twice", c.GetName()))
		}
		names[c.GetName()] = true
		if other, taken := t.commands[c.GetName()]; taken {
			faults = append(faults, fmt.Sprintf("command %s belongs to plugin %s", c.GetName(), other.Plugin))
		}
		for _, r := range c.GetRoutes() {
			for _, path := range Expand(r.GetPath()) {
				// Two paths that differ only in the names of parameters are one route.
				shape := r.GetMethod() + " " + parameter.ReplaceAllString(path, "{}")
				if other, taken := t.routes[shape]; taken {
					faults = append(faults, fmt.Sprintf("route %s %s belongs to command %s", r.GetMethod(), path, other))
				}
				if other, taken := routes[shape]; taken {
					faults = append(faults, fmt.Sprintf("route %s %s is declared twice, by %s and %s", r.GetMethod(), path, other, c.GetName()))
				}
				routes[shape] = c.GetName()
			}
		}
		commands = append(commands, c)
	}
	if len(faults) > 0 {
		return fmt.Errorf("plugin %s cannot be loaded: %s", d.GetName(), strings.Join(faults, "; "))
	}
	for _, c := range commands {
		t.commands[c.GetName()] = c
	}
	for shape, command := range routes {
		t.routes[shape] = command
	}
	return nil
}

// Expand returns the paths that a declared path stands for.
func Expand(path string) []string {
	rest, scoped := strings.CutPrefix(path, sdk.Catalog)
	if !scoped {
		return []string{path}
	}
	return []string{"/projects/{project}" + rest, "/projects/{project}/branches/{branch}" + rest}
}
