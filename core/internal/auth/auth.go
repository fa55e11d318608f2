// Package auth makes keys and tells who a request comes from.
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

	"github.com/keboola/duckdb-storage/core/internal/registry"
	"github.com/keboola/duckdb-storage/sdk"
)

// The prefixes tell a reader of a leaked key what it opens.
const (
	adminPrefix   = "dsa_"
	projectPrefix = "dsp_"
)

// Principal is who asks.
type Principal struct {
	Subject string // name of the key in logs
	Admin   bool   // may do everything
	Project string // the one project that a project key opens
}

// MayUse reports whether the principal may see a project.
func (p Principal) MayUse(project string) bool { return p.Admin || p.Project == project }

// Allows reports whether the principal may run what takes a permission: the admin
// everything, and a project's key everything but what is the admin's. In which project
// it may do so is another question, see MayUse.
func (p Principal) Allows(permission string) bool { return p.Admin || permission != sdk.AdminOnly }

// NewAdminKey makes a secret for the whole service.
func NewAdminKey() string { return adminPrefix + secret() }

// NewProjectKey makes a secret for one project and what to store of it.
func NewProjectKey(project string) (secretKey string, stored registry.Key) {
	secretKey = projectPrefix + secret()
	return secretKey, registry.Key{Hash: Hash(secretKey), Subject: "project-" + project, Project: project}
}

// Hash is what is stored of a key.
func Hash(key string) string {
	sum := sha256.Sum256([]byte(key))
	return hex.EncodeToString(sum[:])
}

// Authenticate finds the principal of an Authorization header. The look-up is
// by hash, so its time tells nothing about the secret.
func Authenticate(r *registry.Registry, header string) (Principal, error) {
	key := bearer(header)
	if key == "" {
		return Principal{}, sdk.ErrUnauthenticated.Errorf("send a key as Authorization: Bearer <key>")
	}
	k, ok := r.Key(Hash(key))
	if !ok {
		return Principal{}, sdk.ErrUnauthenticated.Errorf("the key is not valid")
	}
	return Principal{Subject: k.Subject, Admin: k.Project == "", Project: k.Project}, nil
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
