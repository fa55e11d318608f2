package pluginhost

import (
	"slices"
	"strings"

	"github.com/keboola/duckdb-storage/core/internal/disk"
	"github.com/keboola/duckdb-storage/core/internal/gate"
	"github.com/keboola/duckdb-storage/sdk"
	pluginv1 "github.com/keboola/duckdb-storage/sdk/proto/duckdbstorage/plugin/v1"
)

// grants is what a plugin may do: everything in its own area, and beyond it what the
// operator granted. They bound the plugin and never widen its caller: a command that
// it calls is refused to a caller who may not run it.
type grants struct {
	plugin  string
	granted []string
	// trusted is the core or an area of the product: it writes the metadata of the host.
	trusted bool
	// own is the alias of the catalog that the run works on.
	own string
}

// on are the grants in a run that works on a target.
func (g grants) on(target *pluginv1.Target) grants {
	g.own = disk.CatalogName(target.GetProject(), target.GetBranch())
	return g
}

// everything is the grant of every permission.
const everything = "*"

// hostAreas are areas of permissions that are no plugin's own, whatever its name.
var hostAreas = []string{"sql", "project", "query", "links", "keys"}

// allow reports whether the plugin may do what takes a permission.
func (g grants) allow(permission string) bool {
	switch permission {
	case "", sdk.AnyKey:
		return true
	}
	area, _, scoped := strings.Cut(permission, ":")
	if scoped && area == g.plugin && !slices.Contains(hostAreas, area) {
		return true
	}
	return slices.Contains(g.granted, everything) || slices.Contains(g.granted, permission)
}

// missing lists those of the permissions that are not granted.
func (g grants) missing(permissions []string) []string {
	return slices.DeleteFunc(slices.Clone(permissions), g.allow)
}

// demand refuses what the plugin has no permission for. what completes "it may not".
func (g grants) demand(permission, what string) error {
	if g.allow(permission) {
		return nil
	}
	return sdk.ErrDenied.Errorf("plugin %s may not %s: that takes the permission %s, which the operator grants it in plugins.%s.grants; its author declares it with Needs",
		g.plugin, what, permission, g.plugin).With("plugin", g.plugin).With("permission", permission)
}

// demandCommand refuses a command of another plugin that takes a permission which
// the plugin does not have.
func (g grants) demandCommand(c *Command, verb string) error {
	if c.Plugin == g.plugin {
		return nil
	}
	return g.demand(c.GetPermission(), verb+" "+c.GetName())
}

// demandPlan refuses a plan that does what the plugin has no permission for.
func (g grants) demandPlan(command string, resp *pluginv1.InvokeResponse) error {
	switch resp.GetResult().(type) {
	case *pluginv1.InvokeResponse_Rows:
		if err := g.demand(sdk.ReadSQL, "answer "+command+" with Rows"); err != nil {
			return err
		}
		return g.demandRead(resp.GetRows().GetStatement())
	case *pluginv1.InvokeResponse_Export:
		if err := g.demand(sdk.ReadSQL, "answer "+command+" with an Export"); err != nil {
			return err
		}
		return g.demandRead(resp.GetExport().GetStatement())
	case *pluginv1.InvokeResponse_Unit:
		if err := g.demand(sdk.WriteSQL, "answer "+command+" with a Unit"); err != nil {
			return err
		}
		return g.demandUnit(resp.GetUnit())
	case *pluginv1.InvokeResponse_File:
		return g.demand(sdk.ReadFiles, "answer "+command+" with a File")
	case *pluginv1.InvokeResponse_Upload:
		return g.demand(sdk.WriteFiles, "answer "+command+" with an Upload")
	}
	return nil
}

// metadata is the schema of the host's own tables in each catalog.
const metadata = "__storage"

// demandRead refuses a statement that names the catalog of another project or branch:
// that may be in the same instance of DuckDB, which hides nothing of it.
func (g grants) demandRead(st *pluginv1.Statement) error {
	if g.trusted {
		return nil
	}
	return gate.Guest(st.GetSql(), gate.Names{Own: g.own})
}

// demandUnit refuses statements that would write the host's metadata, or name another
// catalog. What the host says of a table or a bucket is true only if nobody else writes it.
func (g grants) demandUnit(u *pluginv1.Unit) error {
	for _, p := range u.GetRequire() {
		if err := g.demandRead(p.GetStatement()); err != nil {
			return err
		}
	}
	if err := g.demandRead(u.GetAnswer()); err != nil {
		return err
	}
	for _, st := range slices.Concat(u.GetStage(), u.GetStatements()) {
		if err := g.demandStatement(st); err != nil {
			return err
		}
	}
	return nil
}

// demandStatement refuses any statement of a write that names the metadata: a view or
// a macro is no way around it, because DuckDB writes to tables by their names only.
func (g grants) demandStatement(st *pluginv1.Statement) error {
	if err := g.demandRead(st); err != nil {
		return err
	}
	if g.trusted || !strings.Contains(strings.ToLower(st.GetSql()), metadata) {
		return nil
	}
	return sdk.ErrDenied.Errorf("plugin %s may not name the schema %s in a statement that writes: it is the host's own. Read it with a Query, and keep what is the plugin's in a schema of its own",
		g.plugin, metadata).With("plugin", g.plugin)
}
