package pluginhost

import (
	"context"
	"slices"
	"strings"

	"github.com/keboola/duckdb-storage/core/internal/auth"
	"github.com/keboola/duckdb-storage/core/internal/engine"
	"github.com/keboola/duckdb-storage/core/internal/plan"
	"github.com/keboola/duckdb-storage/sdk"
	pluginv1 "github.com/keboola/duckdb-storage/sdk/proto/duckdbstorage/plugin/v1"
)

// admit checks that the caller may run a command, and its input. It is done here as
// well as at the door, so that a plugin cannot lend a project's key more than it has.
func (h *Host) admit(c *Command, call Call) error {
	if err := c.Admit(call.Principal, call.Target); err != nil {
		return err
	}
	return c.validate(call.Payload)
}

// Admit checks that a principal may run the command in a project and branch, or in the
// service as a whole. What the principal may not see does not exist for it: it returns
// ErrProjectNotFound and ErrBranchNotFound, and ErrDenied for what it may see and not do.
func (c *Command) Admit(who auth.Principal, target *pluginv1.Target) error {
	project, branch, permission := target.GetProject(), target.GetBranch(), c.GetPermission()
	switch {
	case project != "" && !who.MayUse(project):
		return sdk.ErrProjectNotFound.Errorf("project %q does not exist", project)
	case project != "" && c.OfBranch() && !who.MayUseBranch(branch):
		return sdk.ErrBranchNotFound.Errorf("branch %q does not exist in project %q for the key %s, which opens the branch %q", branch, project, who.Subject, who.Branch)
	case who.Admin, permission == sdk.AnyKey:
		return nil
	case project == "", permission == sdk.AdminOnly:
		return sdk.ErrDenied.Errorf("%s needs the admin key", c.GetName())
	case !who.Allows(permission):
		return denied(c.GetName(), permission, who)
	}
	return nil
}

// OfBranch reports whether the command works on the tables of one branch: a key of
// another branch does not run it. One without a route may.
func (c *Command) OfBranch() bool {
	return len(c.GetRoutes()) == 0 || slices.ContainsFunc(c.GetRoutes(), func(r *pluginv1.Route) bool { return strings.HasPrefix(r.GetPath(), sdk.Catalog) })
}

func denied(what, permission string, who auth.Principal) error {
	return sdk.ErrDenied.Errorf("%s takes the permission %s, which the key %s does not have; it has %s", what, permission, who.Subject, who.Shown()).With("permission", permission)
}

// demandOfCaller refuses what the caller may not do, whatever permission the command
// declares: a key that only reads changes nothing, whoever wrote the command.
func (r *run) demandOfCaller(permission, what string) error {
	if r.Principal.Allows(permission) {
		return nil
	}
	return denied("what "+r.step+" does ("+what+")", permission, r.Principal)
}

// asCaller is a context in which SQL reads no more than the caller may, whoever wrote it.
func asCaller(ctx context.Context, call Call) context.Context {
	if call.Principal.Allows(sdk.WriteSQL) {
		return ctx
	}
	return plan.WithReader(ctx)
}

// demandPlanOfCaller refuses a plan that does what the caller may not do.
func (r *run) demandPlanOfCaller(resp *pluginv1.InvokeResponse) error {
	switch resp.GetResult().(type) {
	case *pluginv1.InvokeResponse_Unit:
		return r.demandOfCaller(sdk.WriteSQL, "a Unit")
	case *pluginv1.InvokeResponse_Upload:
		return r.demandOfCaller(sdk.WriteFiles, "an Upload")
	case *pluginv1.InvokeResponse_Export:
		if r.Accept == string(engine.JSON) { // any other form is streamed
			return r.demandOfCaller(sdk.WriteFiles, "an Export into a file")
		}
	}
	return nil
}
