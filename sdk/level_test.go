package sdk_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/keboola/duckdb-storage/sdk"
)

func TestLevelOf(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		names []string
		want  sdk.Level
		all   []string
	}{
		{nil, sdk.LevelNone, []string{}},
		{[]string{}, sdk.LevelNone, []string{}},
		{[]string{"", "owner", "Read", "admin "}, sdk.LevelNone, []string{}},
		{[]string{"read"}, sdk.LevelRead, []string{"read"}},
		{[]string{"read", "read", "owner"}, sdk.LevelRead, []string{"read"}},
		{[]string{"write"}, sdk.LevelWrite, []string{"read", "write"}},
		{[]string{"write", "read"}, sdk.LevelWrite, []string{"read", "write"}},
		{[]string{"admin"}, sdk.LevelAdmin, []string{"read", "write", "admin"}},
		{[]string{"read", "admin", "write"}, sdk.LevelAdmin, []string{"read", "write", "admin"}},
	} {
		got := sdk.LevelOf(tc.names)
		if diff := cmp.Diff(tc.all, got.Names()); got != tc.want || diff != "" {
			t.Errorf("%q: level %d, with %s", tc.names, got, diff)
		}
	}
}

// A list that was given away is the caller's: no change of it changes a level.
func TestLevelNamesAreACopy(t *testing.T) {
	t.Parallel()
	names := sdk.LevelRead.Names()
	names[0] = "admin"
	if got := sdk.LevelRead.Names(); got[0] != "read" {
		t.Errorf("the level is now %q", got)
	}
}

// Whoever may not do a thing with one level may not do it with any lower one.
func TestLevelAllows(t *testing.T) {
	t.Parallel()
	for permission, lowest := range map[string]sdk.Level{
		sdk.AnyKey: sdk.LevelNone, "tables:read": sdk.LevelRead, sdk.ReadSQL: sdk.LevelRead, "tables:write": sdk.LevelWrite,
		sdk.WriteFiles: sdk.LevelWrite, "keys:admin": sdk.LevelAdmin,
		// Names of others, and what only looks like a permission.
		"": sdk.LevelAdmin, "read": sdk.LevelAdmin, "tables": sdk.LevelAdmin, "tables:": sdk.LevelAdmin, "tables:Read": sdk.LevelAdmin,
		"tables:read:all": sdk.LevelAdmin, "tables:approve": sdk.LevelAdmin, "tables:reads": sdk.LevelAdmin,
	} {
		for l := sdk.LevelNone; l <= sdk.LevelAdmin; l++ {
			if got, want := l.Allows(permission), l >= lowest; got != want {
				t.Errorf("level %d and %q: %v", l, permission, got)
			}
		}
	}
	for l := sdk.LevelNone; l <= sdk.LevelAdmin; l++ {
		if l.Allows(sdk.AdminOnly) {
			t.Errorf("level %d does what only the key of the service may", l)
		}
	}
}
