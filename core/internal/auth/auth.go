// Package auth makes keys and tells who a request comes from, and what they may do.
//
// A key is 32 random bytes, so a plain SHA-256 is enough to store it: there is
// nothing to guess. Secrets are shown once and never logged.
package auth

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"strings"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/keboola/duckdb-storage/core/internal/registry"
	"github.com/keboola/duckdb-storage/sdk"
	pluginv1 "github.com/keboola/duckdb-storage/sdk/proto/duckdbstorage/plugin/v1"
)

// The prefixes tell a reader of a leaked key what it opens.
const (
	adminPrefix   = "dsa_"
	projectPrefix = "dsp_"
)

// Principal is who asks.
type Principal struct {
	Subject string    // how its key is called in logs
	Admin   bool      // the admin key of the service: may do everything
	Project string    // the one project that a project's key opens
	Branch  string    // the one branch whose tables it opens; empty for every one
	Key     string    // id of a project's key
	Level   sdk.Level // how much that may do in its project
}

// MayUse reports whether the principal may see a project.
func (p Principal) MayUse(project string) bool {
	return p.Admin || project != "" && p.Project == project
}

// MayUseBranch reports whether the principal may see the tables of a branch.
func (p Principal) MayUseBranch(branch string) bool { return p.Branch == "" || p.Branch == branch }

// Allows reports whether the principal may do what takes a permission: the admin
// everything, a project's key what its level says. In which project it may do so is
// another question, see MayUse.
func (p Principal) Allows(permission string) bool { return p.Admin || p.Level.Allows(permission) }

// Shown is what the principal may do, for a message.
func (p Principal) Shown() string {
	if p.Level == sdk.LevelNone {
		return "none"
	}
	return strings.Join(p.Level.Names(), ", ")
}

// Of is the principal of a call, as far as a handler knows it.
func Of(c *sdk.Context) Principal {
	return Principal{Subject: c.Subject(), Admin: c.Admin(), Project: c.KeyProject(), Branch: c.KeyBranch(), Level: c.Level()}
}

// Proto is the principal as plugins are told of it.
func (p Principal) Proto() *pluginv1.Principal {
	return &pluginv1.Principal{Subject: p.Subject, Admin: p.Admin, Project: p.Project, Branch: p.Branch, Permissions: p.Level.Names()}
}

// NewAdminKey makes a secret for the whole service.
func NewAdminKey() string { return adminPrefix + secret() }

// NewKey makes a key of a project: it gives k its id, its subject and the hash of its
// secret.
func NewKey(k registry.Key) (secret string, _ registry.Key) {
	k.ID = ulid.Make().String()
	k.Subject = "project-" + k.Project + "/" + k.ID
	secret, k.Hash = NewSecret()
	return secret, k
}

// NewSecret makes a secret of a project's key, and what is stored of it.
func NewSecret() (secretKey, hash string) {
	secretKey = projectPrefix + secret()
	return secretKey, Hash(secretKey)
}

// Hash is what is stored of a key.
func Hash(key string) string {
	sum := sha256.Sum256([]byte(key))
	return hex.EncodeToString(sum[:])
}

// Authenticate finds the principal of an Authorization header. Everything else is
// ErrUnauthenticated: only who has a secret learns of its key that it is over, and when.
// The look-up is by hash, so its time tells nothing about the secret.
func Authenticate(r *registry.Registry, header string, now time.Time) (Principal, error) {
	key := bearer(header)
	if key == "" {
		return Principal{}, sdk.ErrUnauthenticated.Errorf("send a key as Authorization: Bearer <key>")
	}
	hash := Hash(key)
	k, ok := r.Key(hash)
	switch {
	case !ok:
		return Principal{}, sdk.ErrUnauthenticated.Errorf("the key is not valid")
	case k.Expired(now):
		return Principal{}, sdk.ErrUnauthenticated.Errorf("the key %s expired at %s; ask for a new one", k.Subject, k.Expires.Format(time.RFC3339Nano))
	case k.Hash != hash && !now.Before(k.ReplacedEnd):
		return Principal{}, sdk.ErrUnauthenticated.Errorf("the key %s was rotated, and this secret of it ended at %s; use the new one", k.Subject, k.ReplacedEnd.Format(time.RFC3339Nano))
	}
	return Principal{Subject: k.Subject, Admin: k.Project == "", Project: k.Project, Branch: k.Branch, Key: k.ID, Level: k.Level}, nil
}

// bearer is the key in an Authorization header, or empty.
func bearer(header string) string {
	scheme, key, _ := strings.Cut(header, " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return ""
	}
	return strings.TrimSpace(key)
}

func secret() string {
	b := make([]byte, 32)
	rand.Read(b) // never fails (crypto/rand, Go 1.24)
	return base64.RawURLEncoding.EncodeToString(b)
}
