package keys

import (
	"time"
	"unicode/utf8"

	"github.com/keboola/duckdb-storage/core/internal/auth"
	"github.com/keboola/duckdb-storage/core/internal/plan"
	"github.com/keboola/duckdb-storage/core/internal/registry"
	"github.com/keboola/duckdb-storage/sdk"
)

// Create makes a key.
var Create = sdk.Command[CreateRequest, SecretResponse]{Name: "keys.Create", Summary: "Make a key of the project; the answer holds its secret, once."}

// CreateRequest is the key to make.
type CreateRequest struct {
	Description string       `json:"description,omitempty" jsonschema:"at most 1000 characters"`
	Permissions []Permission `json:"permissions" jsonschema:"the highest counts: admin has write, and write has read"`
	Branch      *string      `json:"branch,omitempty" jsonschema:"id of the one branch whose tables it opens; null is every one"`
	ExpiresAt   *string      `json:"expiresAt,omitempty" jsonschema:"RFC 3339, in the future; null is never"`
}

const (
	// maxKeys bounds the keys of a project, which are all held in memory. Keboola
	// Connection needs one, others one for each of their programs.
	maxKeys = 100
	// maxDescription is in characters.
	maxDescription = 1000
)

func (c *Commands) create(ctx *sdk.Context, in CreateRequest) (SecretResponse, error) {
	now := c.now()
	k, err := in.key(now)
	if err != nil {
		return SecretResponse{}, err
	}
	k.Project = ctx.Project()
	secret, k := auth.NewKey(k)
	err = c.Registry.AddKey(ctx, k, func(keys []registry.Key) error {
		if len(keys) >= maxKeys {
			return sdk.ErrConflict.Errorf("project %q has %d keys, which is the most; delete those that are expired or not needed", k.Project, len(keys))
		}
		return nil
	})
	if err != nil {
		return SecretResponse{}, err
	}
	return SecretResponse{Key: show(k, now), APIKey: secret}, nil
}

// key is what the request asks for.
func (in CreateRequest) key(now time.Time) (k registry.Key, err error) {
	k = registry.Key{Description: in.Description, Level: levelOf(in.Permissions), Created: now.Truncate(time.Second)}
	if utf8.RuneCountInString(k.Description) > maxDescription {
		return k, sdk.ErrInvalid.Errorf("the description has more than %d characters", maxDescription).At("/description")
	}
	if k.Level == sdk.LevelNone {
		return k, sdk.ErrInvalid.Errorf("a key needs one of the permissions read, write, admin").At("/permissions")
	}
	if in.ExpiresAt != nil {
		if k.Expires, err = parseExpiry(*in.ExpiresAt, now); err != nil {
			return k, err
		}
	}
	if in.Branch == nil {
		return k, nil
	}
	if k.Level == sdk.LevelAdmin {
		return k, sdk.ErrInvalid.Errorf("an admin key is for the whole project, and cannot be bound to the branch %q; leave out the branch, or give it write", *in.Branch).At("/branch")
	}
	if *in.Branch != plan.DefaultBranch { // dev branches have no commands yet, so none exists
		return k, sdk.ErrBranchNotFound.Errorf("branch %q does not exist; the main one is %q", *in.Branch, plan.DefaultBranch).At("/branch")
	}
	k.Branch = *in.Branch
	return k, nil
}

func levelOf(permissions []Permission) sdk.Level {
	names := make([]string, len(permissions))
	for i, p := range permissions {
		names[i] = string(p)
	}
	return sdk.LevelOf(names)
}

// parseExpiry reads a time in the future.
func parseExpiry(text string, now time.Time) (time.Time, error) {
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return t, sdk.ErrInvalid.Errorf("expiresAt %q is no time as in RFC 3339, for example 2027-01-31T12:00:00Z", text).At("/expiresAt")
	}
	if t.UTC().Year() > 9999 {
		return t, sdk.ErrInvalid.Errorf("expiresAt %q is after the year 9999; leave it out for a key that does not expire", text).At("/expiresAt")
	}
	if t = t.UTC().Truncate(time.Microsecond); !t.After(now) {
		return t, sdk.ErrInvalid.Errorf("expiresAt %s is not in the future; it is %s now", shown(t), shown(now)).At("/expiresAt")
	}
	return t, nil
}
