package registry_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/go-hclog"
	"github.com/oklog/ulid/v2"

	"github.com/keboola/duckdb-storage/core/internal/disk"
	"github.com/keboola/duckdb-storage/core/internal/engine"
	"github.com/keboola/duckdb-storage/core/internal/fixture"
	"github.com/keboola/duckdb-storage/core/internal/registry"
	"github.com/keboola/duckdb-storage/sdk"
	"github.com/keboola/duckdb-storage/sdk/sql"
)

func anyKey([]registry.Key) error { return nil }

func anyRemoval(registry.Key, []registry.Key) error { return nil }

// hashOf is a hash of its own for each name.
func hashOf(name string) string { return strings.Repeat(name+"-", 64)[:64] }

func add(t *testing.T, r *registry.Registry, k registry.Key) registry.Key {
	t.Helper()
	if err := r.AddKey(t.Context(), k, anyKey); err != nil {
		t.Fatal(err)
	}
	return k
}

// wholeKey has every member set.
func wholeKey(project, id string) registry.Key {
	at := time.Date(2026, 1, 2, 3, 4, 5, 678_901_000, time.UTC)
	return registry.Key{
		ID: id, Subject: "subject-" + id, Project: project, Description: `ž" '` + id, Level: sdk.LevelRead, Branch: "7", Created: at,
		Expires: at.Add(time.Hour), Hash: hashOf(id), Replaced: hashOf("old-" + id), ReplacedEnd: at.Add(time.Minute),
	}
}

func TestKeysSurviveARestart(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	h := fixture.Open(t, root)
	first := activate(t, h.Registry, "1")
	activate(t, h.Registry, "2")
	whole, gone := add(t, h.Registry, wholeKey("1", "a")), add(t, h.Registry, wholeKey("1", "b"))
	rotated := add(t, h.Registry, wholeKey("1", "c"))
	if err := h.Registry.RemoveKey(t.Context(), "1", gone.ID, anyRemoval); err != nil {
		t.Fatal(err)
	}
	rotated.Hash, rotated.Replaced, rotated.ReplacedEnd = hashOf("new-c"), "", time.Time{}
	if got, err := h.Registry.ChangeKey(t.Context(), "1", "c", func(k *registry.Key) error { *k = rotated; return nil }); err != nil || got != rotated {
		t.Fatalf("%+v, %v", got, err)
	}
	h.Close()
	for name, r := range map[string]*registry.Registry{"before": h.Registry, "after": fixture.Open(t, root).Registry} {
		if diff := cmp.Diff([]registry.Key{whole, rotated, first}, r.Keys("1")); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
		for hash, want := range map[string]registry.Key{whole.Hash: whole, whole.Replaced: whole, rotated.Hash: rotated, first.Hash: first} {
			if got, ok := r.Key(hash); !ok || got != want {
				t.Errorf("%s: %q finds %+v, %v", name, hash, got, ok)
			}
		}
		for _, hash := range []string{"", gone.Hash, gone.Replaced, hashOf("c"), hashOf("old-c"), whole.Hash[:63], whole.Hash + "0", strings.ToUpper(whole.Hash), whole.Hash[:32]} {
			if k, ok := r.Key(hash); ok {
				t.Errorf("%s: %q finds %+v", name, hash, k)
			}
		}
		if got, err := r.KeyOf("1", whole.ID); err != nil || got != whole {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
		for _, at := range [][2]string{{"1", gone.ID}, {"2", whole.ID}, {"1", ""}, {"", ""}, {"", whole.ID}} {
			if k, err := r.KeyOf(at[0], at[1]); !errors.Is(err, registry.ErrKeyNotFound) {
				t.Errorf("%s: %q has %+v, %v", name, at, k, err)
			}
		}
	}
}

// Two keys whose hashes begin alike are told apart by the rest.
func TestKeysWithLikeHashes(t *testing.T) {
	t.Parallel()
	r := fixture.Open(t, t.TempDir()).Registry
	activate(t, r, "1")
	prefix := strings.Repeat("a", 63)
	a, b := wholeKey("1", "a"), wholeKey("1", "b")
	a.Hash, b.Hash, a.Replaced, b.Replaced = prefix+"1", prefix+"2", prefix+"3", prefix+"4"
	add(t, r, a)
	add(t, r, b)
	look := func(found map[string]string) {
		t.Helper()
		for hash, id := range found {
			if k, ok := r.Key(hash); k.ID != id || ok != (id != "") {
				t.Errorf("%q finds %q", hash, k.ID)
			}
		}
	}
	look(map[string]string{a.Hash: "a", a.Replaced: "a", b.Hash: "b", b.Replaced: "b", prefix + "5": "", prefix: ""})
	if err := r.RemoveKey(t.Context(), "1", "a", anyRemoval); err != nil {
		t.Fatal(err)
	}
	look(map[string]string{a.Hash: "", a.Replaced: "", b.Hash: "b", b.Replaced: "b"})
}

// What is refused changes nothing, neither on disk nor in memory.
func TestKeysThatAreRefused(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	h := fixture.Open(t, root)
	r := h.Registry
	first := activate(t, r, "1")
	if err := r.Reserve(t.Context(), project("half"), anyDisk); err != nil {
		t.Fatal(err)
	}
	refused := errors.New("refused")
	seen := 0
	for name, tc := range map[string]struct {
		err  error
		want error
	}{
		"add":            {r.AddKey(t.Context(), wholeKey("1", "a"), func(keys []registry.Key) error { seen += len(keys); return refused }), refused},
		"add to none":    {r.AddKey(t.Context(), wholeKey("3", "a"), anyKey), sdk.ErrProjectNotFound},
		"add to half":    {r.AddKey(t.Context(), wholeKey("half", "a"), anyKey), sdk.ErrProjectNotFound},
		"remove":         {r.RemoveKey(t.Context(), "1", first.ID, func(_ registry.Key, others []registry.Key) error { seen += len(others); return refused }), refused},
		"remove none":    {r.RemoveKey(t.Context(), "1", "x", anyRemoval), registry.ErrKeyNotFound},
		"remove of none": {r.RemoveKey(t.Context(), "3", first.ID, anyRemoval), sdk.ErrProjectNotFound},
		"change":         {change(t, r, "1", first.ID, refused), refused},
		"change none":    {change(t, r, "1", "x", nil), registry.ErrKeyNotFound},
		"change of none": {change(t, r, "3", first.ID, nil), sdk.ErrProjectNotFound},
	} {
		if !errors.Is(tc.err, tc.want) {
			t.Errorf("%s: %v", name, tc.err)
		}
	}
	if seen != 1 {
		t.Errorf("the refusals were told of %d keys", seen)
	}
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	if err := r.AddKey(cancelled, wholeKey("1", "a"), anyKey); err == nil {
		t.Error("a write of a request that is over was done")
	}
	h.Close()
	for _, r := range []*registry.Registry{r, fixture.Open(t, root).Registry} {
		if diff := cmp.Diff([]registry.Key{first}, r.Keys("1")); diff != "" {
			t.Error(diff)
		}
	}
}

func change(t *testing.T, r *registry.Registry, project, id string, refusal error) error {
	_, err := r.ChangeKey(t.Context(), project, id, func(k *registry.Key) error { k.Hash = hashOf("x"); return refusal })
	return err
}

// A project takes its keys with it.
func TestForgottenProjectHasNoKeys(t *testing.T) {
	t.Parallel()
	r := fixture.Open(t, t.TempDir()).Registry
	activate(t, r, "1")
	other := activate(t, r, "2")
	k := add(t, r, wholeKey("1", "a"))
	if err := r.BeginDrop(t.Context(), "1"); err != nil {
		t.Fatal(err)
	}
	if err := r.AddKey(t.Context(), wholeKey("1", "b"), anyKey); !errors.Is(err, sdk.ErrProjectNotFound) {
		t.Errorf("a key was made for a project that is going: %v", err)
	}
	if err := r.Forget(t.Context(), "1"); err != nil {
		t.Fatal(err)
	}
	for _, hash := range []string{k.Hash, k.Replaced, hashOf("b"), "hash-1"} {
		if _, ok := r.Key(hash); ok {
			t.Errorf("%q still opens something", hash)
		}
	}
	if _, ok := r.Key(other.Hash); !ok {
		t.Error("the key of another project is gone")
	}
}

// Additions, changes and removals at once leave memory and disk with the same keys, and
// the index with no hash of a key that is gone.
func TestKeysChangedAtOnce(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	h := fixture.Open(t, root)
	r := h.Registry
	activate(t, r, "1")
	const n = 8
	secrets := make(chan string, 4*n)
	var wg sync.WaitGroup
	for i := range n {
		id := string(rune('a' + i))
		add(t, r, wholeKey("1", id))
		for j := range 2 {
			wg.Go(func() {
				hash := hashOf(id + string(rune('0'+j)))
				secrets <- hash
				_, err := r.ChangeKey(t.Context(), "1", id, func(k *registry.Key) error { k.Replaced, k.Hash = k.Hash, hash; return nil })
				if err != nil && !errors.Is(err, registry.ErrKeyNotFound) {
					t.Error(err)
				}
			})
		}
		if i%2 == 0 {
			wg.Go(func() {
				if err := r.RemoveKey(t.Context(), "1", id, anyRemoval); err != nil {
					t.Error(err)
				}
			})
		}
	}
	wg.Wait()
	close(secrets)
	keys := r.Keys("1")
	if len(keys) != 1+n/2 {
		t.Errorf("there are %d keys", len(keys))
	}
	for hash := range secrets {
		held := slices.ContainsFunc(keys, func(k registry.Key) bool { return k.Hash == hash || k.Replaced == hash })
		if _, ok := r.Key(hash); ok != held {
			t.Errorf("%q: found %v, held %v", hash, ok, held)
		}
	}
	h.Close()
	if diff := cmp.Diff(keys, fixture.Open(t, root).Registry.Keys("1")); diff != "" {
		t.Error(diff)
	}
}

// Keys of a registry that an earlier release wrote open what they opened, and have what
// keys have now.
func TestKeysOfAnEarlierRelease(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	earlier(t, root, 3,
		"INSERT INTO projects VALUES ('1', 'One', 7, 'UTC', '{}', 'active', TIMESTAMP '2026-01-02 03:04:05'), ('2', 'Two', 7, 'UTC', '{}', 'active', TIMESTAMP '2026-01-02 03:04:05')",
		"INSERT INTO keys VALUES ('"+hashOf("a")+"', 'admin', NULL, TIMESTAMP '2026-01-01 00:00:00')",
		"INSERT INTO keys VALUES ('"+hashOf("1")+"', 'project-1', '1', TIMESTAMP '2026-01-02 03:04:05.678'), ('"+hashOf("2")+"', 'project-2', '2', TIMESTAMP '2026-01-02 03:04:05.678')")
	h := fixture.Open(t, root)
	ids := map[string]bool{}
	for _, project := range []string{"1", "2"} {
		keys := h.Registry.Keys(project)
		if len(keys) != 1 {
			t.Fatalf("project %s has the keys %+v", project, keys)
		}
		id := keys[0].ID
		if u, err := ulid.ParseStrict(id); err != nil || !u.Timestamp().Equal(keys[0].Created) {
			t.Errorf("the id of its key is %q: %v", id, err)
		}
		ids[id] = true
		want := registry.Key{
			ID: id, Subject: "project-" + project, Project: project, Description: "made with the project", Level: sdk.LevelAdmin,
			Created: time.Date(2026, 1, 2, 3, 4, 5, 678_000_000, time.UTC), Hash: hashOf(project),
		}
		if got, ok := h.Registry.Key(hashOf(project)); !ok || got != want || keys[0] != want {
			t.Error(cmp.Diff(want, got))
		}
	}
	admin, ok := h.Registry.Key(hashOf("a"))
	if !ok || admin.ID != "" || admin.Project != "" || admin.Subject != "admin" || !h.Registry.HasAdminKey() || len(ids) != 2 {
		t.Errorf("the admin key is %+v, %v; the ids are %v", admin, ok, ids)
	}
	before := h.Registry.Keys("1")
	h.Close()
	if diff := cmp.Diff(before, fixture.Open(t, root).Registry.Keys("1")); diff != "" {
		t.Errorf("after another start: %s", diff)
	}
}

// earlier makes the registry that a release with that version of it left.
func earlier(t *testing.T, root string, version int, rows ...string) {
	t.Helper()
	layout := disk.Layout{Root: root, Runtime: t.TempDir()}
	if err := layout.Open(); err != nil {
		t.Fatal(err)
	}
	e := engine.Open(engine.Config{Layout: layout, Logger: hclog.NewNullLogger(), Threads: 2, Memory: 1 << 30})
	catalog := engine.Catalog{Alias: "registry", Path: layout.Registry(), Reach: []string{layout.Metadata()}, Small: true}
	if err := e.Ensure(t.Context(), catalog); err != nil {
		t.Fatal(err)
	}
	s, err := e.Session(t.Context(), catalog)
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob("migrations/registry/*.sql")
	if err != nil || len(files) < version {
		t.Fatalf("%v, %v", files, err)
	}
	statements := []sql.Statement{sql.New("CREATE TABLE schema_migrations (version INTEGER NOT NULL)"), sql.New("INSERT INTO schema_migrations VALUES (?)", version)}
	for _, file := range files[:version] {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		statements = append(statements, sql.Raw(string(text)))
	}
	for _, row := range rows {
		statements = append(statements, sql.Raw(row))
	}
	for _, st := range statements {
		if _, err := s.Exec(st); err != nil {
			t.Fatal(err)
		}
	}
	s.Close()
	if err := e.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
}
