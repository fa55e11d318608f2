package httpapi

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/keboola/duckdb-storage/core/internal/auth"
	"github.com/keboola/duckdb-storage/core/internal/engine"
	"github.com/keboola/duckdb-storage/core/internal/plan"
	"github.com/keboola/duckdb-storage/core/internal/registry"
	"github.com/keboola/duckdb-storage/sdk"
)

// slowBody is a body before whose first byte something happens.
type slowBody struct {
	*strings.Reader
	meanwhile func()
}

func (b *slowBody) Read(p []byte) (int, error) {
	if b.meanwhile != nil {
		b.meanwhile()
		b.meanwhile = nil
	}
	return b.Reader.Read(p)
}

// slow sends a request to make a table, and returns its status.
func (d *door) slow(path, key string, meanwhile func()) int {
	r := httptest.NewRequest(http.MethodPost, path, &slowBody{strings.NewReader(`{"name":"late"}`), meanwhile})
	r.Header.Set("Authorization", "Bearer "+key)
	w := httptest.NewRecorder()
	d.http.Handler.ServeHTTP(w, r)
	return w.Code
}

// projectKey makes a key of project 1 that writes.
func (d *door) projectKey() (secret, id string) {
	d.t.Helper()
	secret, k := auth.NewKey(registry.Key{Project: "1", Level: sdk.LevelWrite})
	if err := d.cfg.Registry.AddKey(d.t.Context(), k, func([]registry.Key) error { return nil }); err != nil {
		d.t.Fatal(err)
	}
	return secret, k.ID
}

// nextProject drops project 1 and makes another one of that id.
func (d *door) nextProject() {
	d.t.Helper()
	r, x, ctx := d.cfg.Registry, d.cfg.Executor, d.t.Context()
	catalog := engine.Project(x.Layout, "1", plan.DefaultBranch)
	p, err := r.Project("1")
	_, k := auth.NewKey(registry.Key{Project: "1", Level: sdk.LevelAdmin})
	for _, step := range []func() error{
		func() error { return err },
		func() error { return r.BeginDrop(ctx, "1") },
		func() error { return x.Engine.Drop(ctx, catalog) },
		func() error { return x.Files.DropProject(ctx, "1") },
		func() error { return r.Forget(ctx, "1") },
		func() error { return r.Reserve(ctx, p, func() error { return nil }) },
		func() error { return x.Files.CreateProject("1") },
		func() error { return x.Engine.Create(ctx, catalog) },
		func() error { return r.Activate(ctx, p, k) },
	} {
		if err := step(); err != nil {
			d.t.Fatal(err)
		}
	}
}

// A client that takes its time with the body of a request gets no further with a key
// that is gone by then, nor into the next project of the same id.
func TestSlowBodies(t *testing.T) {
	t.Parallel()
	d := newDoor(t)
	for _, path := range []string{unitPath, "/commands/x.Unit?project=1"} {
		secret, id := d.projectKey()
		deleted := func() {
			if err := d.cfg.Registry.RemoveKey(t.Context(), "1", id, func(registry.Key, []registry.Key) error { return nil }); err != nil {
				t.Error(err)
			}
		}
		if got := d.slow(path, secret, deleted); got != http.StatusUnauthorized {
			t.Errorf("%s with a key that was deleted meanwhile: %d", path, got)
		}
		secret, _ = d.projectKey()
		if got := d.slow(path, secret, d.nextProject); got != http.StatusUnauthorized {
			t.Errorf("%s with a key of a project that was dropped meanwhile: %d", path, got)
		}
		if got := d.slow(path, d.key, d.nextProject); got != http.StatusNotFound {
			t.Errorf("%s with the admin key, into the next project: %d", path, got)
		}
	}
	if got := d.slow(unitPath, d.key, nil); got != http.StatusOK {
		t.Errorf("afterwards: %d", got)
	}
}
