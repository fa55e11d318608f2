package admin_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/keboola/duckdb-storage/core/internal/admin"
	"github.com/keboola/duckdb-storage/core/internal/pluginhost"
	"github.com/keboola/duckdb-storage/sdk"
)

// A plugin that never said anything has lists all the same.
func TestPluginWithoutAnything(t *testing.T) {
	t.Parallel()
	raw, err := json.Marshal(admin.NewPlugin(pluginhost.Status{Name: "a", State: "failed"}))
	if err != nil || strings.Contains(string(raw), "null") {
		t.Errorf("%s, %v", raw, err)
	}
}

// Every command here is the administrator's alone.
func TestCommandsAreForTheAdmin(t *testing.T) {
	t.Parallel()
	d := (&admin.Commands{Version: "1.0.0"}).Plugin().Describe()
	if len(d.GetCommands()) != 5 {
		t.Errorf("there are %d commands", len(d.GetCommands()))
	}
	for _, c := range d.GetCommands() {
		if c.GetPermission() != sdk.AdminOnly {
			t.Errorf("%s takes %q", c.GetName(), c.GetPermission())
		}
	}
}
