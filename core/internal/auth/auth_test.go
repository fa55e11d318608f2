package auth_test

import (
	"errors"
	"strings"
	"testing"

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
	key, stored := auth.NewProjectKey("1")
	p := registry.Project{ID: "1", Settings: []byte("{}")}
	if err := h.Registry.Reserve(t.Context(), p, func() error { return nil }); err != nil {
		t.Fatal(err)
	}
	if err := h.Registry.Activate(t.Context(), p, stored); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(stored.Hash, key) || len(key) < 40 || !strings.HasPrefix(key, "dsp_") || !strings.HasPrefix(admin, "dsa_") {
		t.Errorf("keys %q, %q, stored %q", admin, key, stored.Hash)
	}
	project := auth.Principal{Subject: "project-1", Project: "1"}
	for header, want := range map[string]auth.Principal{
		"Bearer " + admin: {Subject: "admin", Admin: true}, "Bearer " + key: project, "bearer  " + key + " ": project,
		"": {}, "Bearer": {}, "Bearer ": {}, key: {}, "Basic " + key: {}, "Bearer " + key + "x": {},
		"Bearer " + key[:len(key)-1]: {}, "Bearer " + stored.Hash: {}, "Bearer dsa_": {}, "Bearer \x00": {},
	} {
		got, err := auth.Authenticate(h.Registry, header)
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

// The admin may do everything, and a project's key all but what is the admin's.
func TestAllows(t *testing.T) {
	t.Parallel()
	for _, permission := range []string{"", sdk.AnyKey, "tables:read", "query:write", sdk.WriteSQL, sdk.AdminOnly} {
		if !(auth.Principal{Admin: true}).Allows(permission) {
			t.Errorf("the admin may not %q", permission)
		}
		if got, want := (auth.Principal{Project: "1"}).Allows(permission), permission != sdk.AdminOnly; got != want {
			t.Errorf("a project's key may %q: %v", permission, got)
		}
	}
}
