package keys

import (
	"slices"

	"github.com/keboola/duckdb-storage/core/internal/registry"
	"github.com/keboola/duckdb-storage/sdk"
)

// Delete revokes a key.
var Delete = sdk.Command[KeyRequest, sdk.None]{Name: "keys.Delete", Summary: "Delete a key of the project; the next request with it is refused."}

func (c *Commands) delete(ctx *sdk.Context, in KeyRequest) (sdk.None, error) {
	return sdk.None{}, c.Registry.RemoveKey(ctx, ctx.Project(), in.Key, mayDelete)
}

// mayDelete refuses to delete the last key that can always make others. One that will
// expire is no such key: when it has, nobody of the project could.
func mayDelete(k registry.Key, others []registry.Key) error {
	if !lasting(k) || slices.ContainsFunc(others, lasting) {
		return nil
	}
	return sdk.ErrConflict.Errorf("the key %s is the last admin key of project %q that does not expire; make another one first, or rotate this one to end its secret", k.ID, k.Project)
}

// lasting reports whether a key is an admin key for ever.
func lasting(k registry.Key) bool { return k.Level == sdk.LevelAdmin && k.Expires.IsZero() }
