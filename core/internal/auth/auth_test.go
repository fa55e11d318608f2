package auth_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/keboola/duckdb-storage/core/internal/auth"
	"github.com/keboola/duckdb-storage/core/internal/fixture"
	"github.com/keboola/duckdb-storage/core/internal/registry"
	"github.com/keboola/duckdb-storage/sdk"
)

func TestAuthenticate(t *testing.T) {
	t.Parallel()
	h := fixture.Open(t, t.TempDir())
	admin := auth.NewAdminKey()
	if err := h.Registry.SetAdminKey(t.Context(), auth.Hash(admin)); err != nil {
		t.Fatal(err)
	}
	key, stored := auth.NewKey(registry.Key{Project: "1", Level: sdk.LevelWrite, Branch: "default"})
	activate(t, h.Registry, stored)
	if strings.Contains(stored.Hash, key) || len(key) < 40 || !strings.HasPrefix(key, "dsp_") || !strings.HasPrefix(admin, "dsa_") {
		t.Errorf("keys %q, %q, stored %q", admin, key, stored.Hash)
	}
	if want := "project-1/" + stored.ID; stored.Subject != want || len(stored.ID) != 26 {
		t.Errorf("its subject is %q, want %q", stored.Subject, want)
	}
	project := auth.Principal{Subject: stored.Subject, Project: "1", Branch: "default", Key: stored.ID, Level: sdk.LevelWrite}
	for header, want := range map[string]auth.Principal{
		"Bearer " + admin: {Subject: "admin", Admin: true}, "Bearer " + key: project, "bearer  " + key + " ": project,
		"": {}, "Bearer": {}, "Bearer ": {}, key: {}, "Basic " + key: {}, "Bearer " + key + "x": {},
		"Bearer " + key[:len(key)-1]: {}, "Bearer " + stored.Hash: {}, "Bearer dsa_": {}, "Bearer \x00": {},
	} {
		got, err := auth.Authenticate(h.Registry, header, time.Now())
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%q: %s", header, diff)
		}
		if (want == auth.Principal{}) != errors.Is(err, sdk.ErrUnauthenticated) {
			t.Errorf("%q: got %v", header, err)
		}
		if err != nil && strings.Contains(err.Error(), key[4:]) {
			t.Errorf("%q: the error shows the key: %v", header, err)
		}
	}
	if !project.MayUse("1") || project.MayUse("2") || project.MayUse("") || !(auth.Principal{Admin: true}).MayUse("2") {
		t.Error("a key opens a project that is not its own")
	}
}

// The admin may do everything, and a project's key what its level says.
func TestAllows(t *testing.T) {
	t.Parallel()
	admin, writer := auth.Principal{Admin: true}, auth.Principal{Project: "1", Level: sdk.LevelWrite}
	for _, permission := range []string{"", sdk.AnyKey, "tables:read", "query:write", "keys:admin", sdk.WriteSQL, sdk.AdminOnly} {
		if !admin.Allows(permission) {
			t.Errorf("the admin may not %q", permission)
		}
		if got, want := writer.Allows(permission), sdk.LevelWrite.Allows(permission); got != want {
			t.Errorf("a project's key may %q: %v", permission, got)
		}
	}
	if bound := (auth.Principal{Branch: "7"}); !bound.MayUseBranch("7") || bound.MayUseBranch("default") || !writer.MayUseBranch("7") {
		t.Error("a key opens a branch that is not its own, or not its own")
	}
}

func activate(t *testing.T, r *registry.Registry, k registry.Key) {
	t.Helper()
	p := registry.Project{ID: k.Project, Settings: []byte("{}")}
	if err := r.Reserve(t.Context(), p, func() error { return nil }); err != nil {
		t.Fatal(err)
	}
	if err := r.Activate(t.Context(), p, k); err != nil {
		t.Fatal(err)
	}
}

// A key opens its project until the moment at which it expires, and the secret before
// the current one until the moment at which its time ends. Whoever has it learns why.
func TestAuthenticateInTime(t *testing.T) {
	t.Parallel()
	h := fixture.Open(t, t.TempDir())
	now := time.Date(2026, 1, 2, 3, 4, 5, 600_000_000, time.UTC)
	old, k := auth.NewKey(registry.Key{Project: "1", Level: sdk.LevelRead, Expires: now.Add(time.Hour)})
	current, hash := auth.NewSecret()
	k.Replaced, k.ReplacedEnd, k.Hash = k.Hash, now.Add(time.Minute), hash
	activate(t, h.Registry, k)
	for _, tc := range []struct {
		secret string
		at     time.Duration
		says   string // empty: it is valid
	}{
		{current, 0, ""}, {current, time.Hour - 1, ""},
		{current, time.Hour, "expired at 2026-01-02T04:04:05.6Z"}, {current, 48 * time.Hour, "expired at 2026-01-02T04:04:05.6Z"},
		{old, 0, ""}, {old, time.Minute - 1, ""},
		{old, time.Minute, "this secret of it ended at 2026-01-02T03:05:05.6Z"}, {old, time.Hour, "expired at"},
	} {
		got, err := auth.Authenticate(h.Registry, "Bearer "+tc.secret, now.Add(tc.at))
		switch {
		case tc.says == "":
			if want := (auth.Principal{Subject: k.Subject, Project: "1", Key: k.ID, Level: sdk.LevelRead}); err != nil || got != want {
				t.Errorf("after %v: %+v, %v", tc.at, got, err)
			}
		case !errors.Is(err, sdk.ErrUnauthenticated), !strings.Contains(err.Error(), tc.says), !strings.Contains(err.Error(), k.Subject), got != auth.Principal{}:
			t.Errorf("after %v: %+v, %v", tc.at, got, err)
		case strings.Contains(err.Error(), tc.secret[4:]):
			t.Errorf("the error shows the secret: %v", err)
		}
	}
}
