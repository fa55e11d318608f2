package engine_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/keboola/duckdb-storage/core/internal/disk"
	"github.com/keboola/duckdb-storage/core/internal/engine"
	"github.com/keboola/duckdb-storage/sdk"
)

// A file that cannot be opened refuses its project and no other. It is left as it
// is, the problem shows no path of the host, and a good copy is served at once.
func TestBrokenFile(t *testing.T) {
	t.Parallel()
	p := openProjects(t, 10*time.Millisecond, 0, "broken", "other")
	p.waitDetached(t, "broken")
	path := p.catalog("broken").Path
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for name, bad := range map[string][]byte{
		"empty":  {},
		"text":   []byte("this is no database"),
		"half":   good[:len(good)/2],
		"header": append(bytes.Repeat([]byte("x"), 64), good[64:]...),
		"zeros":  make([]byte, len(good)),
	} {
		if err := os.WriteFile(path, bad, 0o600); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			_, err := p.Session(t.Context(), p.catalog("broken"))
			var e *sdk.Error
			if !errors.As(err, &e) || e.Slug != "catalog-broken" || e.Kind != sdk.Unavailable || e.Retryable || strings.Contains(e.Detail, p.layout.Root) {
				t.Errorf("%s: got %#v", name, err)
			}
		}
		if left, err := os.ReadFile(path); err != nil || !bytes.Equal(left, bad) {
			t.Errorf("%s: the file was changed: %v", name, err)
		}
		if got := p.rows(t, "other"); got != `{"n":1}` {
			t.Errorf("%s: the other project has %s", name, got)
		}
	}
	if err := os.WriteFile(path, good, 0o600); err != nil {
		t.Fatal(err)
	}
	if got := p.rows(t, "broken"); got != `{"n":1}` {
		t.Errorf("with a good copy it has %s", got)
	}
}

// Whatever the inside of a file lacks, its project is not said to be gone.
func TestBrokenInside(t *testing.T) {
	t.Parallel()
	layout := disk.Layout{Root: t.TempDir(), Runtime: t.TempDir()}
	if err := layout.Open(); err != nil {
		t.Fatal(err)
	}
	inside := error(nil)
	p := projects{engine.Open(engine.Config{
		Layout: layout, Logger: hclog.NewNullLogger(), Threads: 1, OnAttach: func(context.Context, *engine.Session) error { return inside },
	}), layout}
	defer p.Close(context.Background())
	for _, tc := range []struct {
		inside error
		slug   string
	}{
		{sdk.ErrTableNotFound.Errorf("no such table"), "catalog-broken"},
		{errors.New("anything"), "catalog-broken"},
		{sdk.ErrDiskFull.Errorf("full"), "disk-full"},
		{sdk.ErrUnavailable.Errorf("a newer version"), "unavailable"},
	} {
		inside = tc.inside
		var e *sdk.Error
		if err := p.Create(t.Context(), p.catalog(tc.slug)); !errors.As(err, &e) || e.Slug != tc.slug {
			t.Errorf("%v: got %v, want %s", tc.inside, err, tc.slug)
		}
		if err := p.Drop(t.Context(), p.catalog(tc.slug)); err != nil {
			t.Error(err)
		}
	}
}
