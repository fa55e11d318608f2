package keys_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/go-hclog"

	"github.com/keboola/duckdb-storage/core/internal/auth"
	"github.com/keboola/duckdb-storage/core/internal/fixture"
	"github.com/keboola/duckdb-storage/core/internal/keys"
	"github.com/keboola/duckdb-storage/core/internal/plan"
	"github.com/keboola/duckdb-storage/core/internal/pluginhost"
	"github.com/keboola/duckdb-storage/core/internal/registry"
	"github.com/keboola/duckdb-storage/sdk"
	pluginv1 "github.com/keboola/duckdb-storage/sdk/proto/duckdbstorage/plugin/v1"
)

// house is the commands behind the table of commands, with a clock that the test sets.
type house struct {
	*fixture.Host
	table *pluginhost.Host
	clock *clock
}

type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

var (
	start = time.Date(2026, 1, 2, 3, 4, 5, 678_901_234, time.FixedZone("", 3600))
	admin = auth.Principal{Subject: "admin", Admin: true}
)

func open(t *testing.T, projects ...string) house {
	t.Helper()
	h := house{Host: fixture.Open(t, t.TempDir()), clock: &clock{now: start}}
	for n, id := range projects {
		p := registry.Project{ID: id, Timezone: "UTC", Settings: []byte("{}")}
		if err := h.Registry.Reserve(t.Context(), p, func() error { return nil }); err != nil {
			t.Fatal(err)
		}
		first := registry.Key{ID: []string{"first", "other"}[n], Hash: "hash of " + id, Subject: "s", Project: id, Level: sdk.LevelAdmin, Created: start.UTC()}
		if err := h.Registry.Activate(t.Context(), p, first); err != nil {
			t.Fatal(err)
		}
	}
	var err error
	h.table, err = pluginhost.Open(t.Context(), pluginhost.Config{Dir: t.TempDir(), Logger: hclog.NewNullLogger(), Executor: h.Executor},
		(&keys.Commands{Registry: h.Registry, Now: h.clock.Now}).Plugin("1.0.0"))
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// as runs a command in project 1.
func (h house) as(t *testing.T, who auth.Principal, command, payload string) (out keys.SecretResponse, err error) {
	t.Helper()
	a, err := h.table.Invoke(t.Context(), pluginhost.Call{
		Command: command, Payload: []byte(payload), Principal: who, Target: &pluginv1.Target{Project: "1", Branch: plan.DefaultBranch}, Accept: "application/json",
	})
	if err == nil && len(a.JSON) > 0 {
		err = json.Unmarshal(a.JSON, &out)
	}
	return out, err
}

func (h house) must(t *testing.T, command, payload string) keys.SecretResponse {
	t.Helper()
	out, err := h.as(t, admin, command, payload)
	if err != nil {
		t.Fatalf("%s %s: %v", command, payload, err)
	}
	return out
}

// opens reports who a secret is of, or why it is of nobody.
func (h house) opens(secret string) (auth.Principal, error) {
	return auth.Authenticate(h.Registry, "Bearer "+secret, h.clock.Now())
}

func (h house) want(t *testing.T, secret string, valid bool) {
	t.Helper()
	if p, err := h.opens(secret); valid != (err == nil) {
		t.Errorf("valid %v, wanted %v: %+v, %v", err == nil, valid, p, err)
	}
}

func TestCreate(t *testing.T) {
	t.Parallel()
	h := open(t, "1")
	for name, tc := range map[string]struct {
		input string
		want  keys.Key
		who   auth.Principal
	}{
		"least": {`{"permissions":["read"]}`, keys.Key{Permissions: []keys.Permission{"read"}}, auth.Principal{Level: sdk.LevelRead}},
		"all of it": {
			`{"description":"ž","permissions":["read","write"],"branch":"default","expiresAt":"2026-01-02T05:04:05.1234567+01:00"}`,
			keys.Key{Description: "ž", Permissions: []keys.Permission{"read", "write"}, Branch: new("default"), ExpiresAt: new("2026-01-02T04:04:05.123456Z")},
			auth.Principal{Level: sdk.LevelWrite, Branch: "default"},
		},
		"the highest counts": {`{"permissions":["write","admin","write"],"branch":null,"expiresAt":null}`, keys.Key{Permissions: []keys.Permission{"read", "write", "admin"}}, auth.Principal{Level: sdk.LevelAdmin}},
		"only write":         {`{"permissions":["write"]}`, keys.Key{Permissions: []keys.Permission{"read", "write"}}, auth.Principal{Level: sdk.LevelWrite}},
		"longest":            {`{"permissions":["read"],"description":"` + strings.Repeat("ž", 1000) + `"}`, keys.Key{Description: strings.Repeat("ž", 1000), Permissions: []keys.Permission{"read"}}, auth.Principal{Level: sdk.LevelRead}},
	} {
		made := h.must(t, "keys.Create", tc.input)
		tc.want.ID, tc.want.Created = made.ID, "2026-01-02T02:04:05Z"
		if diff := cmp.Diff(tc.want, made.Key); diff != "" || len(made.ID) != 26 {
			t.Errorf("%s: %s", name, diff)
		}
		tc.who.Subject, tc.who.Project, tc.who.Key = "project-1/"+made.ID, "1", made.ID
		if got, err := h.opens(made.APIKey); err != nil || got != tc.who {
			t.Errorf("%s: opens %+v, %v", name, got, err)
		}
		shown := h.must(t, "keys.Get", `{"key":"`+made.ID+`"}`)
		if diff := cmp.Diff(keys.SecretResponse{Key: tc.want}, shown); diff != "" {
			t.Errorf("%s: shown as %s", name, diff)
		}
	}
}

func TestCreateRefuses(t *testing.T) {
	t.Parallel()
	h := open(t, "1")
	for input, want := range map[string]error{
		`{}`: sdk.ErrMalformed, `{"permissions":null}`: sdk.ErrInvalid, `{"permissions":["owner"]}`: sdk.ErrMalformed, `{"permissions":"read"}`: sdk.ErrMalformed,
		`{"permissions":["Read"]}`: sdk.ErrMalformed, `{"permissions":["read"],"project":"2"}`: sdk.ErrMalformed, `{"permissions":["read"],"expiresAt":5}`: sdk.ErrMalformed,
		`{"permissions":[]}`:                                                                sdk.ErrInvalid,
		`{"permissions":["read"],"expiresAt":""}`:                                           sdk.ErrInvalid,
		`{"permissions":["read"],"expiresAt":"2027-01-01"}`:                                 sdk.ErrInvalid,
		`{"permissions":["read"],"expiresAt":"2026-01-02T02:04:05.678901Z"}`:                sdk.ErrInvalid, // now
		`{"permissions":["read"],"expiresAt":"2020-01-02T02:04:05Z"}`:                       sdk.ErrInvalid,
		`{"permissions":["read"],"description":"` + strings.Repeat("ž", 1001) + `"}`:        sdk.ErrInvalid,
		`{"permissions":["admin"],"branch":"default"}`:                                      sdk.ErrInvalid,
		`{"permissions":["read","admin"],"branch":"7"}`:                                     sdk.ErrInvalid,
		`{"permissions":["read"],"branch":"7"}`:                                             sdk.ErrBranchNotFound,
		`{"permissions":["read"],"branch":""}`:                                              sdk.ErrBranchNotFound,
		`{"permissions":["write"],"branch":"main"}`:                                         sdk.ErrBranchNotFound,
		`{"permissions":["read"],"expiresAt":"2026-01-02T02:04:05.678901Z","branch":"7"}`:   sdk.ErrInvalid,
		`{"permissions":["read"],"expiresAt":"9999-12-31T23:59:59-23:59"}`:                  sdk.ErrInvalid, // the year 10000 in UTC
		`{"permissions":["read"],"expiresAt":"10000-01-02T02:04:05Z","description":"year"}`: sdk.ErrInvalid,
	} {
		if _, err := h.as(t, admin, "keys.Create", input); !errors.Is(err, want) {
			t.Errorf("%s: %v", input, err)
		}
	}
	if n := len(h.Registry.Keys("1")); n != 1 {
		t.Errorf("there are %d keys", n)
	}
}

// Of the keys of a project there are so many, however many ask at once.
func TestThereAreNotTooManyKeys(t *testing.T) {
	t.Parallel()
	h := open(t, "1")
	const most, callers = 100, 10
	var wg sync.WaitGroup
	for range callers {
		wg.Go(func() {
			for range most/callers + 1 {
				if _, err := h.as(t, admin, "keys.Create", `{"permissions":["read"]}`); err != nil && !errors.Is(err, sdk.ErrConflict) {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if n := len(h.Registry.Keys("1")); n != most {
		t.Errorf("there are %d keys", n)
	}
	_, err := h.as(t, admin, "keys.Create", `{"permissions":["read"]}`)
	if !errors.Is(err, sdk.ErrConflict) || !strings.Contains(err.Error(), "delete those that are expired") {
		t.Errorf("one more: %v", err)
	}
}

func TestList(t *testing.T) {
	t.Parallel()
	h := open(t, "1")
	ids := []string{}
	for i := range 5 {
		ids = append(ids, h.must(t, "keys.Create", fmt.Sprintf(`{"permissions":["read"],"description":"%d"}`, i)).ID)
	}
	ids = append(ids, "first") // sorts after a ULID
	slices.Sort(ids)
	for _, limit := range []int{1, 4, 6, 7} {
		var got []string
		token := ""
		for pages := 0; pages == 0 || token != ""; pages++ {
			a, err := h.table.Invoke(t.Context(), pluginhost.Call{
				Command: "keys.List", Payload: fmt.Appendf(nil, `{"limit":%d,"pageToken":%q}`, limit, token), Principal: admin,
				Target: &pluginv1.Target{Project: "1", Branch: plan.DefaultBranch}, Accept: "application/json",
			})
			var page keys.ListResponse
			if err != nil || json.Unmarshal(a.JSON, &page) != nil || pages > len(ids) || strings.Contains(string(a.JSON), "apiKey") || strings.Contains(string(a.JSON), "hash") {
				t.Fatalf("%s, %v", a.JSON, err)
			}
			for _, k := range page.Items {
				got = append(got, k.ID)
			}
			token = page.NextPageToken
		}
		if diff := cmp.Diff(ids, got); diff != "" {
			t.Errorf("by %d: %s", limit, diff)
		}
	}
}

// Both secrets work while they overlap, and a second rotation ends the older at once.
func TestRotate(t *testing.T) {
	t.Parallel()
	h := open(t, "1")
	made := h.must(t, "keys.Create", `{"permissions":["write"],"description":"d"}`)
	rotate := func(overlap int) keys.SecretResponse {
		t.Helper()
		return h.must(t, "keys.Rotate", fmt.Sprintf(`{"key":%q,"overlapSeconds":%d}`, made.ID, overlap))
	}
	second := rotate(60)
	want := made.Key
	want.ReplacedSecretUntil = new("2026-01-02T02:05:05.678901Z")
	if diff := cmp.Diff(want, second.Key); diff != "" || second.APIKey == made.APIKey {
		t.Error(diff)
	}
	h.want(t, made.APIKey, true)
	h.want(t, second.APIKey, true)
	if a, _ := h.opens(made.APIKey); a.Key != made.ID {
		t.Errorf("the old secret opens %+v", a)
	}
	h.clock.pass(time.Minute)
	h.want(t, made.APIKey, false)
	h.want(t, second.APIKey, true)
	if k := h.must(t, "keys.Get", `{"key":"`+made.ID+`"}`); k.ReplacedSecretUntil != nil {
		t.Errorf("the replaced secret is shown until %s", *k.ReplacedSecretUntil)
	}
	third, fourth := rotate(604800), rotate(60)
	h.want(t, second.APIKey, false)
	h.want(t, third.APIKey, true)
	h.want(t, fourth.APIKey, true)
	fifth := rotate(0)
	h.clock.pass(-time.Hour) // a clock that is set back brings nothing to life
	for _, s := range []keys.SecretResponse{made, second, third, fourth} {
		h.want(t, s.APIKey, false)
	}
	h.want(t, fifth.APIKey, true)
	if fifth.ReplacedSecretUntil != nil {
		t.Errorf("it is shown until %s", *fifth.ReplacedSecretUntil)
	}
}

func TestRotateRefuses(t *testing.T) {
	t.Parallel()
	h := open(t, "1", "2")
	made := h.must(t, "keys.Create", `{"permissions":["read"],"expiresAt":"2026-01-02T02:05:00Z"}`)
	for input, want := range map[string]error{
		`{"key":"` + made.ID + `","overlapSeconds":-1}`: sdk.ErrInvalid, `{"key":"` + made.ID + `","overlapSeconds":604801}`: sdk.ErrInvalid,
		`{"key":"` + made.ID + `","overlapSeconds":9223372036854775807}`: sdk.ErrInvalid, `{"key":"` + made.ID + `","overlapSeconds":0.5}`: sdk.ErrMalformed,
		`{"key":"x"}`: registry.ErrKeyNotFound, `{"key":""}`: registry.ErrKeyNotFound,
	} {
		if _, err := h.as(t, admin, "keys.Rotate", input); !errors.Is(err, want) {
			t.Errorf("%s: %v", input, err)
		}
	}
	h.want(t, made.APIKey, true)
	h.clock.pass(time.Hour)
	if _, err := h.as(t, admin, "keys.Rotate", `{"key":"`+made.ID+`"}`); !errors.Is(err, sdk.ErrConflict) {
		t.Errorf("an expired key: %v", err)
	}
}

// A project keeps one admin key that does not expire.
func TestLastAdminKey(t *testing.T) {
	t.Parallel()
	h := open(t, "1")
	remove := func(id string) error {
		_, err := h.as(t, admin, "keys.Delete", `{"key":"`+id+`"}`)
		return err
	}
	h.must(t, "keys.Create", `{"permissions":["write"]}`)
	expiring := h.must(t, "keys.Create", `{"permissions":["admin"],"expiresAt":"2030-01-01T00:00:00Z"}`)
	if err := remove("first"); !errors.Is(err, sdk.ErrConflict) || !strings.Contains(err.Error(), "make another one first") {
		t.Errorf("the last one: %v", err)
	}
	if err := remove(expiring.ID); err != nil {
		t.Error(err)
	}
	rotated := h.must(t, "keys.Rotate", `{"key":"first"}`)
	h.want(t, rotated.APIKey, true)
	second := h.must(t, "keys.Create", `{"permissions":["admin"]}`)
	var wg sync.WaitGroup
	errs := make([]error, 2)
	for i, id := range []string{"first", second.ID} { // each would leave the other
		wg.Go(func() { errs[i] = remove(id) })
	}
	wg.Wait()
	if (errs[0] == nil) == (errs[1] == nil) || !errors.Is(errors.Join(errs...), sdk.ErrConflict) {
		t.Errorf("of two at once: %v", errs)
	}
}

func TestDelete(t *testing.T) {
	t.Parallel()
	h := open(t, "1")
	made := h.must(t, "keys.Create", `{"permissions":["write"]}`)
	rotated := h.must(t, "keys.Rotate", `{"key":"`+made.ID+`","overlapSeconds":60}`)
	h.must(t, "keys.Delete", `{"key":"`+made.ID+`"}`)
	h.want(t, made.APIKey, false)
	h.want(t, rotated.APIKey, false)
	for _, command := range []string{"keys.Delete", "keys.Get", "keys.Rotate"} {
		if _, err := h.as(t, admin, command, `{"key":"`+made.ID+`"}`); !errors.Is(err, registry.ErrKeyNotFound) {
			t.Errorf("%s afterwards: %v", command, err)
		}
	}
}

// Rotations and a deletion at once leave nothing that opens, and rotations alone leave
// the last secret and at most the one before it.
func TestRotateAndDeleteAtOnce(t *testing.T) {
	t.Parallel()
	h := open(t, "1")
	for round := range 10 {
		made := h.must(t, "keys.Create", `{"permissions":["write"]}`)
		secrets := make([]string, 4)
		var wg sync.WaitGroup
		for i := range secrets {
			wg.Go(func() {
				out, err := h.as(t, admin, "keys.Rotate", `{"key":"`+made.ID+`","overlapSeconds":60}`)
				if err != nil && !errors.Is(err, registry.ErrKeyNotFound) {
					t.Error(err)
				}
				secrets[i] = out.APIKey
			})
		}
		deleted := round%2 == 0
		if deleted {
			wg.Go(func() { h.must(t, "keys.Delete", `{"key":"`+made.ID+`"}`) })
		}
		wg.Wait()
		valid := 0
		for _, s := range append(secrets, made.APIKey) {
			if _, err := h.opens(s); err == nil {
				valid++
			}
		}
		if deleted && valid != 0 || !deleted && valid != 2 {
			t.Errorf("deleted %v: %d secrets open it", deleted, valid)
		}
	}
}

// Only the admin and the admin keys of the project may look at keys or change them.
func TestKeysTakeAnAdmin(t *testing.T) {
	t.Parallel()
	h := open(t, "1", "2")
	inputs := map[string]string{
		"keys.Create": `{"permissions":["read"]}`, "keys.List": `{}`, "keys.Get": `{"key":"first"}`, "keys.Rotate": `{"key":"first"}`, "keys.Delete": `{"key":"first"}`,
	}
	for _, c := range h.table.Table().Commands() {
		if inputs[c.GetName()] == "" {
			t.Errorf("%s is not tried", c.GetName())
		}
	}
	for command, input := range inputs {
		for _, level := range []sdk.Level{sdk.LevelNone, sdk.LevelRead, sdk.LevelWrite} {
			_, err := h.as(t, auth.Principal{Subject: "s", Project: "1", Level: level}, command, input)
			if !errors.Is(err, sdk.ErrDenied) || !strings.Contains(err.Error(), "takes the permission keys:admin") {
				t.Errorf("%s with level %d: %v", command, level, err)
			}
		}
		if _, err := h.as(t, auth.Principal{Subject: "s", Project: "2", Level: sdk.LevelAdmin}, command, input); !errors.Is(err, sdk.ErrProjectNotFound) {
			t.Errorf("%s with the key of another project: %v", command, err)
		}
	}
	if n := len(h.Registry.Keys("1")); n != 1 {
		t.Errorf("there are %d keys", n)
	}
	for _, command := range []string{"keys.Create", "keys.List", "keys.Get", "keys.Rotate"} {
		if _, err := h.as(t, auth.Principal{Subject: "s", Project: "1", Level: sdk.LevelAdmin}, command, inputs[command]); err != nil {
			t.Errorf("%s: %v", command, err)
		}
	}
}
