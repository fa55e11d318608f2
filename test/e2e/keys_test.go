package e2e_test

import (
	"bytes"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/keboola/duckdb-storage/sdk/sdktest/service"
)

// locked is a service on a directory, with every secret that it has told.
type locked struct {
	*service.Service
	t       *testing.T
	data    string
	said    *transcript
	secrets []string
}

func lock(t *testing.T) *locked {
	t.Helper()
	l := &locked{t: t, data: dataDir(t), said: &transcript{}}
	l.start()
	return l
}

func (l *locked) start() {
	l.t.Helper()
	s, err := service.Start(l.t.Context(), service.Options{Bin: bin, DataDir: l.data, Stderr: l.said})
	if err != nil {
		l.t.Fatal(err)
	}
	l.t.Cleanup(func() { s.Kill() })
	l.Service = s
}

func (l *locked) restart() {
	l.t.Helper()
	must(l.t, l.Stop())
	l.start()
}

// told keeps a secret for the search, and returns it.
func (l *locked) told(secret string) string {
	l.secrets = append(l.secrets, secret)
	return secret
}

// opens wants that a secret opens project 1, or not.
func (l *locked) opens(secret string, want bool) {
	l.t.Helper()
	status, p, _ := knock(l.t, l.Service, door{method: http.MethodGet}, "/projects/1", "Bearer "+secret, nil)
	if want && status != http.StatusOK || !want && status != http.StatusUnauthorized {
		l.t.Errorf("opens %v, wanted %v: %d %s", status == http.StatusOK, want, status, p.Detail)
	}
}

// search looks for the secrets in the log and in every file of the service. It must find
// the marker, which lies where the keys do.
func (l *locked) search(marker string) {
	l.t.Helper()
	found, files := false, 0
	err := filepath.WalkDir(l.data, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		files++
		found = found || bytes.Contains(content, []byte(marker))
		for _, secret := range l.secrets {
			if bytes.Contains(content, []byte(secret[4:])) {
				l.t.Errorf("a secret is in %s", path)
			}
		}
		return nil
	})
	must(l.t, err)
	for _, secret := range l.secrets {
		if n := l.said.count(secret[4:]); n > 0 {
			l.t.Errorf("a secret is %d times in the log", n)
		}
	}
	if !found || files < 5 || len(l.secrets) < 8 || l.said.count(`"subject":"project-1/`) == 0 {
		l.t.Errorf("the search found nothing: marker %v, %d files, %d secrets, log of %d bytes", found, files, len(l.secrets), l.said.count(""))
	}
}

// A key lives as it was told to: through rotations, past its end, across restarts, until
// it is deleted; and nobody finds its secret anywhere.
func TestLifeOfKeys(t *testing.T) {
	t.Parallel()
	l := lock(t)
	p, err := l.Admin().CreateProject(t.Context(), "1")
	must(t, err)
	l.told(p.Key)
	const marker = "needle-in-the-registry"
	lasting := makeKey(t, l.Service, "1", `{"permissions":["write"],"description":"`+marker+`"}`)
	expiring := makeKey(t, l.Service, "1", fmt.Sprintf(`{"permissions":["read"],"expiresAt":%q}`, time.Now().Add(2*time.Second).Format(time.RFC3339Nano)))
	gone := makeKey(t, l.Service, "1", `{"permissions":["read"]}`)
	for _, k := range []keyShown{lasting, expiring, gone} {
		l.opens(l.told(k.APIKey), true)
	}

	// A long overlap lasts across a restart; a short one ends by itself.
	second := rotate(t, p.Client, lasting.ID, 3600)
	short := makeKey(t, l.Service, "1", `{"permissions":["read"]}`)
	shorter := rotate(t, p.Client, short.ID, 2)
	for _, secret := range []string{lasting.APIKey, second.APIKey, short.APIKey, shorter.APIKey} {
		l.opens(l.told(secret), true)
	}
	if _, err := p.Do(t.Context(), http.MethodDelete, p.Path("keys", gone.ID), nil, nil); err != nil {
		t.Fatal(err)
	}
	l.opens(gone.APIKey, false)
	untilRefused(t, l.Service, expiring.APIKey)
	untilRefused(t, l.Service, short.APIKey)
	l.search(marker)

	var before, after map[string]any
	fetch(t, p.Client, p.Path("keys"), &before)
	l.restart()
	p.URL = l.URL()
	fetch(t, p.Client, p.Path("keys"), &after)
	if diff := cmp.Diff(before, after); diff != "" {
		t.Errorf("after a restart:\n%s", diff)
	}
	for secret, want := range map[string]bool{
		p.Key: true, lasting.APIKey: true, second.APIKey: true, shorter.APIKey: true, short.APIKey: false, expiring.APIKey: false, gone.APIKey: false,
	} {
		l.opens(secret, want)
	}
	// A second rotation ends the older of two secrets, although its overlap is not over.
	third := rotate(t, p.Client, lasting.ID, 3600)
	l.opens(lasting.APIKey, false)
	l.opens(second.APIKey, true)
	l.opens(l.told(third.APIKey), true)
	// A kill loses nothing that was acknowledged.
	must(t, l.Kill())
	l.start()
	l.opens(second.APIKey, true)
	l.opens(third.APIKey, true)
	l.opens(gone.APIKey, false)
	l.search(marker)
}

// A repeat with an Idempotency-Key gets the key that the first request made, secret and
// all, and the file of it is sealed.
func TestAKeyIsMadeOnce(t *testing.T) {
	t.Parallel()
	l := lock(t)
	p, err := l.Admin().CreateProject(t.Context(), "1")
	must(t, err)
	once := http.Header{"Idempotency-Key": {"make it"}, "Content-Type": {"application/json"}}
	bodies := map[string]bool{}
	for range 3 {
		a := sendJSON(t.Context(), t, p.Client, http.MethodPost, p.Path("keys"), once, map[string]any{"permissions": []string{"write"}})
		if a.status != http.StatusCreated {
			t.Fatalf("%d %s", a.status, a.body)
		}
		bodies[string(a.body)] = true
	}
	var list struct{ Items []keyShown }
	fetch(t, p.Client, p.Path("keys"), &list)
	if len(bodies) != 1 || len(list.Items) != 2 {
		t.Errorf("%d answers and %d keys", len(bodies), len(list.Items))
	}
	// Another key of the project has idempotency keys of its own, and no part in these.
	other := makeKey(t, l.Service, "1", `{"permissions":["admin"]}`)
	a := sendJSON(t.Context(), t, service.Client{URL: l.URL(), Key: other.APIKey}, http.MethodPost, p.Path("keys"), once, map[string]any{"permissions": []string{"write"}})
	if bodies[string(a.body)] || a.header.Get("Idempotency-Replayed") != "" {
		t.Error("a key was shown to somebody else")
	}
	// One that is deleted repeats nothing.
	if _, err := l.Admin().Do(t.Context(), http.MethodDelete, p.Path("keys", other.ID), nil, nil); err != nil {
		t.Fatal(err)
	}
	if a := sendJSON(t.Context(), t, service.Client{URL: l.URL(), Key: other.APIKey}, http.MethodPost, p.Path("keys"), once, map[string]any{"permissions": []string{"write"}}); a.status != http.StatusUnauthorized {
		t.Errorf("a deleted key got %d", a.status)
	}
}

// What a key has begun goes on when it is deleted: its job, which still waits for the
// turn of the project, has the permissions with which it started, and ends.
func TestJobOfADeletedKey(t *testing.T) {
	t.Parallel()
	s := start(t)
	p, err := s.Admin().CreateProject(t.Context(), "1")
	must(t, err)
	before := sqlJob(t.Context(), t, p, endlessOf("before"))
	awaitLine(t, s.Admin(), func(l line) bool { return l.Holder.Command == "query.Execute" })
	k := makeKey(t, s, "1", `{"permissions":["write"]}`)
	writer := service.Project{Client: service.Client{URL: s.URL(), Key: k.APIKey}, ID: "1"}
	j := sqlJob(t.Context(), t, writer, "CREATE TABLE main.t AS SELECT 'done' AS n")
	awaitLine(t, s.Admin(), func(l line) bool { return l.Waiting == 1 })
	if _, err := p.Do(t.Context(), http.MethodDelete, p.Path("keys", k.ID), nil, nil); err != nil {
		t.Fatal(err)
	}
	if status, _, _ := knock(t, s, door{method: http.MethodGet}, "/jobs/"+j.ID, "Bearer "+k.APIKey, nil); status != http.StatusUnauthorized {
		t.Errorf("the deleted key asks for its job: %d", status)
	}
	if _, err := p.Do(t.Context(), http.MethodDelete, "/jobs/"+before.ID, nil, nil); err != nil {
		t.Fatal(err)
	}
	if done := awaitJob(t.Context(), t, p.Client, j.ID, job.done); done.State != "success" {
		t.Errorf("the job ended as %+v", done)
	}
	if diff := cmp.Diff([][]any{{"done"}}, sqlOf(t.Context(), t, p, "SELECT n FROM main.t")); diff != "" {
		t.Error(diff)
	}
}

// A deletion is true from the next request on, however many are on their way.
func TestDeletedKeysAreRefusedAtOnce(t *testing.T) {
	t.Parallel()
	s := start(t)
	p, err := s.Admin().CreateProject(t.Context(), "1")
	must(t, err)
	for range 10 {
		k := makeKey(t, s, "1", `{"permissions":["read"]}`)
		var deleted, asking sync.WaitGroup
		deleted.Add(1)
		for range 4 {
			asking.Go(func() {
				deleted.Wait()
				if status, _, _ := knock(t, s, door{method: http.MethodGet}, "/projects/1", "Bearer "+k.APIKey, nil); status != http.StatusUnauthorized {
					t.Errorf("a deleted key got %d", status)
				}
			})
		}
		if _, err := p.Do(t.Context(), http.MethodDelete, p.Path("keys", k.ID), nil, nil); err != nil {
			t.Error(err)
		}
		deleted.Done()
		asking.Wait()
	}
}

// Of rotations at once the last two secrets work, and after a deletion beside them none.
func TestRotationsAtOnce(t *testing.T) {
	t.Parallel()
	s := start(t)
	p, err := s.Admin().CreateProject(t.Context(), "1")
	must(t, err)
	for _, withDelete := range []bool{false, true} {
		k := makeKey(t, s, "1", `{"permissions":["read"]}`)
		secrets := make([]string, 6)
		var wg sync.WaitGroup
		for i := range secrets {
			wg.Go(func() {
				var out keyShown
				_, err := p.Do(t.Context(), http.MethodPost, p.Path("keys", k.ID, "rotate"), map[string]int{"overlapSeconds": 3600}, &out)
				if err != nil && !service.IsProblem(err, "key-not-found") {
					t.Error(err)
				}
				secrets[i] = out.APIKey
			})
		}
		if withDelete {
			wg.Go(func() {
				if _, err := p.Do(t.Context(), http.MethodDelete, p.Path("keys", k.ID), nil, nil); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		valid := 0
		for _, secret := range append(secrets, k.APIKey) {
			if secret == "" {
				continue
			}
			if status, _, _ := knock(t, s, door{method: http.MethodGet}, "/projects/1", "Bearer "+secret, nil); status == http.StatusOK {
				valid++
			}
		}
		if want := map[bool]int{false: 2, true: 0}[withDelete]; valid != want {
			t.Errorf("with a deletion %v: %d secrets work", withDelete, valid)
		}
	}
}

// The log names the key of each request, and never its secret.
func TestLogNamesKeys(t *testing.T) {
	t.Parallel()
	l := lock(t)
	_, err := l.Admin().CreateProject(t.Context(), "1")
	must(t, err)
	k := makeKey(t, l.Service, "1", `{"permissions":["read"]}`)
	l.opens(k.APIKey, true)
	must(t, l.Stop())
	if n := l.said.count(`"subject":"project-1/` + k.ID + `"`); n != 1 {
		t.Errorf("the key is named %d times", n)
	}
	if n := l.said.count(strings.TrimPrefix(k.APIKey, "dsp_")); n != 0 {
		t.Errorf("its secret is there %d times", n)
	}
}
