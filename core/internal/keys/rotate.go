package keys

import (
	"time"

	"github.com/keboola/duckdb-storage/core/internal/auth"
	"github.com/keboola/duckdb-storage/core/internal/registry"
	"github.com/keboola/duckdb-storage/sdk"
)

// Rotate gives a key a new secret.
var Rotate = sdk.Command[RotateRequest, SecretResponse]{Name: "keys.Rotate", Summary: "Give a key of the project a new secret; the answer holds it, once, and the old one may work a while longer."}

// RotateRequest says how long the old secret still works.
type RotateRequest struct {
	KeyRequest
	OverlapSeconds int64 `json:"overlapSeconds,omitempty" jsonschema:"how long the secret before works as well, at most 604800 (7 days); default 0: it ends at once"`
}

// maxOverlap is long enough to hand out a new secret everywhere, and short enough that
// the old one is not forgotten.
const maxOverlap = 7 * 24 * time.Hour

// rotate replaces the secret. Of a key at most two work: a secret that an earlier
// rotation has left ends at once.
func (c *Commands) rotate(ctx *sdk.Context, in RotateRequest) (SecretResponse, error) {
	if in.OverlapSeconds < 0 || in.OverlapSeconds > int64(maxOverlap/time.Second) {
		return SecretResponse{}, sdk.ErrInvalid.Errorf("overlapSeconds must be from 0 to %d, not %d", maxOverlap/time.Second, in.OverlapSeconds).At("/overlapSeconds")
	}
	secret, hash := auth.NewSecret()
	now := c.now()
	k, err := c.Registry.ChangeKey(ctx, ctx.Project(), in.Key, func(k *registry.Key) error {
		if k.Expired(now) {
			return sdk.ErrConflict.Errorf("the key %s expired at %s, and a new secret of it would open nothing; make a new key", k.ID, shown(k.Expires))
		}
		k.Replaced, k.ReplacedEnd = "", time.Time{} // not by its time: no clock that is set back brings it to life
		if in.OverlapSeconds > 0 {
			k.Replaced, k.ReplacedEnd = k.Hash, now.Add(time.Duration(in.OverlapSeconds)*time.Second)
		}
		k.Hash = hash
		return nil
	})
	if err != nil {
		return SecretResponse{}, err
	}
	return SecretResponse{Key: show(k, now), APIKey: secret}, nil
}
