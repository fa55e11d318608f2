package e2e_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/keboola/duckdb-storage/sdk/sdktest/service"
)

// logged is all that a service has logged.
type logged struct {
	mu  sync.Mutex
	all bytes.Buffer
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.all.Write(p)
}

func (l *logged) text() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.all.String()
}

// lines are the entries so far. Each line of the log is one.
func (l *logged) lines(t *testing.T) []map[string]any {
	t.Helper()
	var out []map[string]any
	for line := range strings.Lines(l.text()) {
		if !strings.HasSuffix(line, "\n") {
			break // it is being written
		}
		var entry map[string]any
		if err := json.Unmarshal([]byte(line), &entry); err != nil {
			t.Fatalf("a line of %d bytes is no entry: %v: %.200s", len(line), err, line)
		}
		out = append(out, entry)
	}
	return out
}

// await waits for an entry.
func (l *logged) await(t *testing.T, is func(entry map[string]any) bool) map[string]any {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	look := time.NewTicker(10 * time.Millisecond)
	defer look.Stop()
	for {
		entries := l.lines(t)
		if i := slices.IndexFunc(entries, is); i >= 0 {
			return entries[i]
		}
		select {
		case <-look.C:
		case <-ctx.Done():
			t.Fatal("the entry never came")
		}
	}
}

// startLogged starts a service whose whole log is kept.
func startLogged(t *testing.T, settings ...string) (*service.Service, *logged) {
	t.Helper()
	log := &logged{}
	s, err := service.Start(t.Context(), service.Options{Bin: bin, DataDir: dataDir(t), Stderr: log, Env: append(settings, "DUCKDB_STORAGE_LOG_LEVEL=trace")})
	must(t, err)
	t.Cleanup(func() { s.Kill() })
	return s, log
}

// A line of a plugin is one line in the log of the service: with its level, however
// long it is, and with what tells which request it belongs to.
func TestLogOfAPlugin(t *testing.T) {
	t.Parallel()
	loud := filepath.Join(dataDir(t), "plugin-loud")
	build := exec.Command("go", "build", "-o", loud, "./loud")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	s, log := startLogged(t, "DUCKDB_STORAGE_PLUGINS__LOUD__PATH="+loud)
	say := func(id, level, text string, times int, print bool) {
		t.Helper()
		header := http.Header{"X-Request-Id": {id}, "X-Kbc-Runid": {"run." + id}}
		body := map[string]any{"level": level, "text": text, "times": times, "print": print}
		if a := sendJSON(t.Context(), t, s.Admin(), http.MethodPost, "/x/loud/say", header, body); a.status != http.StatusNoContent {
			t.Fatalf("%s: %d %s", id, a.status, a.body)
		}
	}
	for id, level := range map[string]string{"r1": "debug", "r2": "info", "r3": "warn", "r4": "error"} {
		for _, times := range []int{1, 5 << 10, 40 << 10} { // 20 bytes each: a line, 100 KB, 800 KB
			text := "twenty bytes of " + id + ", "
			say(id, level, text, times, false)
			entry := log.await(t, func(e map[string]any) bool {
				return e["request_id"] == id && e["size"] == float64(times*len(text))
			})
			for member, want := range map[string]any{"@level": level, "run_id": "run." + id, "command": "loud.Say"} {
				if entry[member] != want {
					t.Errorf("%s, %d times: %s is %v, want %v", id, times, member, entry[member], want)
				}
			}
			if module, _ := entry["@module"].(string); !strings.HasSuffix(module, "loud") {
				t.Errorf("%s: the module is %q", id, module)
			}
			message, _ := entry["@message"].(string)
			if !strings.HasPrefix(message, text) || len(message) > 65<<10 || times == 1 && message != text {
				t.Errorf("%s, %d times: the message has %d bytes: %.100s", id, times, len(message), message)
			}
		}
	}
	// What is no entry is one all the same, and what follows it is not spoiled.
	say("r5", "", "printed ", 1<<18, true) // 2 MiB
	say("r6", "info", "after it", 1, false)
	log.await(t, func(e map[string]any) bool { return e["request_id"] == "r6" && e["@message"] == "after it" })
	printed := log.await(t, func(e map[string]any) bool {
		m, _ := e["@message"].(string)
		return strings.HasPrefix(m, "printed ")
	})
	if m, _ := printed["@message"].(string); printed["@level"] != "info" || len(m) > 65<<10 {
		t.Errorf("%v, %d bytes", printed["@level"], len(m))
	}
	must(t, s.Stop())
	log.lines(t)
}

// No key is in the log, whatever is asked with it: every route, at the level that
// says the most.
func TestLogHasNoSecrets(t *testing.T) {
	t.Parallel()
	s, log := startLogged(t)
	p, err := s.Admin().CreateProject(t.Context(), "1")
	must(t, err)
	must(t, p.CreateBucket(t.Context(), "b"))
	must(t, p.CreateTable(t.Context(), "b", "t", []string{"id"}))
	const wrong = "dsp_a-key-that-is-not-valid-anywhere"
	keys := []string{s.AdminKey, p.Key, wrong}
	var doc struct {
		Paths map[string]map[string]struct{}
	}
	_, err = s.Admin().Do(t.Context(), http.MethodGet, "/openapi.json", nil, &doc)
	must(t, err)
	names := strings.NewReplacer("{project}", "1", "{branch}", "default", "{schema}", "b", "{bucket}", "b", "{table}", "t", "{id}", "none")
	ask := func(key, method, path string, header http.Header) {
		t.Helper()
		resp, err := service.Client{URL: s.URL(), Key: key}.Send(t.Context(), method, path, header, strings.NewReader(`{"sql":"SELECT 1"}`))
		must(t, err)
		resp.Body.Close()
	}
	asked := 0
	for _, method := range []string{"GET", "POST", "PUT", "DELETE"} {
		for _, path := range slices.Sorted(maps.Keys(doc.Paths)) {
			if _, ok := doc.Paths[path][strings.ToLower(method)]; !ok {
				continue
			}
			// What a client does wrong must not show its key either. Only the path and
			// X-Request-Id are logged as they come.
			for _, key := range slices.Backward(keys) {
				asked++
				place := names.Replace(path)
				ask(key, method, place, http.Header{"Content-Type": {"application/json"}, "Idempotency-Key": {key}})
				ask("", method, place, http.Header{"Authorization": {"Basic " + key}, "X-Request-Id": {"no id: " + key}})
				ask("", method, place+"?apiKey="+key, http.Header{"Cookie": {"key=" + key}})
			}
		}
	}
	if asked < 100 {
		t.Fatalf("%d requests", asked)
	}
	must(t, s.Stop())
	text := log.text()
	if n := strings.Count(text, `"@message":"request"`); n < 3*asked {
		t.Errorf("the log has %d requests of %d", n, 3*asked)
	}
	for _, key := range keys {
		sum := sha256.Sum256([]byte(key))
		for _, secret := range []string{key, strings.TrimPrefix(key, "dsp_"), hex.EncodeToString(sum[:])} {
			if i := strings.Index(text, secret); i >= 0 {
				t.Errorf("the log has the key %s…: %s", key[:6], text[max(0, i-200):i])
			}
		}
	}
}
