package sdktest

import (
	"slices"
	"strings"

	"github.com/keboola/duckdb-storage/sdk"
	pluginv1 "github.com/keboola/duckdb-storage/sdk/proto/duckdbstorage/plugin/v1"
)

// permissionOf is what a callback takes of the plugin: one of the permissions. None
// is nothing.
func permissionOf(callback, subject string) []string {
	switch callback {
	case "Query":
		return []string{sdk.ReadSQL}
	case "Write", "Transact":
		return []string{sdk.WriteSQL}
	case "Call", "StartJob":
		return permissionsOfArea(subject)
	case "GetFile":
		return []string{sdk.ReadFiles}
	case "CreateFile", "RegisterFile", "DeleteFile":
		return []string{sdk.WriteFiles}
	}
	return nil
}

// permissionsOfArea are those that a command of an area may take: only the area
// knows which, and not this package.
func permissionsOfArea(command string) []string {
	area, _, _ := strings.Cut(command, ".")
	return []string{area + ":read", area + ":write", sdk.AdminOnly}
}

// permissionOfPlan is what a plan takes of the plugin.
func permissionOfPlan(resp *pluginv1.InvokeResponse) []string {
	switch resp.GetResult().(type) {
	case *pluginv1.InvokeResponse_Rows, *pluginv1.InvokeResponse_Export:
		return []string{sdk.ReadSQL}
	case *pluginv1.InvokeResponse_Unit:
		return []string{sdk.WriteSQL}
	case *pluginv1.InvokeResponse_File:
		return []string{sdk.ReadFiles}
	case *pluginv1.InvokeResponse_Upload:
		return []string{sdk.WriteFiles}
	}
	return nil
}

// demand fails the test unless the plugin declares one of the permissions, or they
// are of its own area.
func (h *Host) demand(what string, oneOf ...string) {
	declared := h.plugin.Describe().GetNeedsPermissions()
	own := h.plugin.Describe().GetName() + ":"
	if len(oneOf) == 0 || slices.ContainsFunc(oneOf, func(p string) bool { return strings.HasPrefix(p, own) || slices.Contains(declared, p) }) {
		return
	}
	h.t.Errorf("sdktest: %s, and the plugin does not declare that it needs %s (Plugin.Needs)", what, strings.Join(oneOf, ", or "))
}

// checkEvents fails the test for an event that the plugin does not declare, and for
// a payload that breaks its schema.
func (h *Host) checkEvents(events []*pluginv1.Emission) {
	for _, e := range events {
		declared := h.plugin.Describe().GetEvents()
		i := slices.IndexFunc(declared, func(d *pluginv1.Event) bool { return d.GetName() == e.GetEvent() })
		if i < 0 {
			h.t.Errorf("sdktest: the event %s is not declared with sdk.Emits", e.GetEvent())
			continue
		}
		if err := check(declared[i].GetSchema(), e.GetPayload()); err != nil {
			h.t.Errorf("sdktest: the event %s breaks its schema: %v", e.GetEvent(), err)
		}
	}
}
