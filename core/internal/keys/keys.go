// Package keys holds the commands for the keys of a project. They are the core's own, so
// they work whatever becomes of a plugin. Start with [Commands].
//
// A key opens one project. It has a level, read, write or admin, may be bound to the
// tables of one branch, and may expire. Its secret is shown when it is made and when it
// is rotated, and never again: only a hash of it is stored. A key that is deleted is
// refused from the next request on; what it has begun goes on, jobs included. Each
// project keeps an admin key that does not expire, so that it never locks its owner out.
package keys

import (
	"time"

	"github.com/google/jsonschema-go/jsonschema"

	"github.com/keboola/duckdb-storage/core/internal/registry"
	"github.com/keboola/duckdb-storage/sdk"
)

// Commands is what the commands work with.
type Commands struct {
	Registry *registry.Registry
	Now      func() time.Time
}

const (
	all = "/projects/{project}/keys"
	one = all + "/{key}"
)

// permission of every command here: keys are the way to more of what a key has.
const permission = "keys:admin"

// Plugin declares the commands.
func (c *Commands) Plugin(version string) *sdk.Plugin {
	p := sdk.New("keys", version)
	p.Summary("Makes, rotates and deletes the keys of a project.")
	takes, missing := sdk.Permission(permission), sdk.Fails(registry.ErrKeyNotFound)
	sdk.Handle(p, Create, c.create, sdk.POST(all, sdk.Status(201)), takes, sdk.Writes(), sdk.Secret(), sdk.Fails(sdk.ErrBranchNotFound))
	sdk.Handle(p, List, c.list, sdk.GET(all), takes)
	sdk.Handle(p, Get, c.get, sdk.GET(one), takes, missing)
	sdk.Handle(p, Delete, c.delete, sdk.DELETE(one), takes, sdk.Writes(), missing)
	sdk.Handle(p, Rotate, c.rotate, sdk.POST(one+"/rotate"), takes, sdk.Writes(), sdk.Secret(), missing)
	return p
}

// Key is a key as the API shows it.
type Key struct {
	ID                  string       `json:"id"`
	Description         string       `json:"description"`
	Permissions         []Permission `json:"permissions" jsonschema:"each comes with those before it"`
	Branch              *string      `json:"branch" jsonschema:"the one branch whose tables it opens; null is every one"`
	Created             string       `json:"created" jsonschema:"RFC 3339, UTC, whole seconds"`
	ExpiresAt           *string      `json:"expiresAt" jsonschema:"RFC 3339, UTC; null is never"`
	ReplacedSecretUntil *string      `json:"replacedSecretUntil" jsonschema:"after a rotation: until when the secret before it works as well; null when it does not"`
}

// Permission is a level of a key.
type Permission string

// JSONSchema lists the levels.
func (Permission) JSONSchema() *jsonschema.Schema { return sdk.Enum("read", "write", "admin") }

// SecretResponse is a key with its secret.
type SecretResponse struct {
	Key
	APIKey string `json:"apiKey" jsonschema:"the secret; shown only here"`
}

// KeyRequest names a key.
type KeyRequest struct {
	Key string `json:"key" in:"path" jsonschema:"id of the key"`
}

// now is the time as it is stored.
func (c *Commands) now() time.Time { return c.Now().UTC().Truncate(time.Microsecond) }

// show is a key as the API shows it at a time.
func show(k registry.Key, now time.Time) Key {
	out := Key{ID: k.ID, Description: k.Description, Permissions: []Permission{}, Created: k.Created.UTC().Format(time.RFC3339)}
	for _, name := range k.Level.Names() {
		out.Permissions = append(out.Permissions, Permission(name))
	}
	if k.Branch != "" {
		out.Branch = &k.Branch
	}
	if !k.Expires.IsZero() {
		expires := shown(k.Expires)
		out.ExpiresAt = &expires
	}
	if now.Before(k.ReplacedEnd) {
		until := shown(k.ReplacedEnd)
		out.ReplacedSecretUntil = &until
	}
	return out
}

func shown(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }
