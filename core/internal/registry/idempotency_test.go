package registry_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/keboola/duckdb-storage/core/internal/fixture"
	"github.com/keboola/duckdb-storage/core/internal/registry"
)

// An answer is found by its key, if it is not too old, and the last one counts.
func TestFirstAnswers(t *testing.T) {
	t.Parallel()
	r := fixture.Open(t, t.TempDir()).Registry
	noon := time.Date(2026, 12, 31, 12, 0, 0, 0, time.UTC)
	find := func(key string, since time.Time) (registry.FirstAnswer, bool) {
		t.Helper()
		a, ok, err := r.FirstAnswer(t.Context(), key, since)
		if err != nil {
			t.Fatal(err)
		}
		return a, ok
	}
	if a, ok := find("a", time.Time{}); ok {
		t.Errorf("found %+v where nothing is", a)
	}
	last := registry.FirstAnswer{Key: "a", Fingerprint: "f2", Sealed: []byte{0, 1, 0xff, '\''}, Created: noon.Add(time.Second)}
	for _, a := range []registry.FirstAnswer{{Key: "a", Fingerprint: "f1", Sealed: []byte("old"), Created: noon}, {Key: "b", Fingerprint: "f1", Sealed: []byte{}, Created: noon}, last} {
		if err := r.KeepAnswer(t.Context(), a); err != nil {
			t.Fatal(err)
		}
	}
	if a, ok := find("a", noon); !ok || cmp.Diff(last, a) != "" {
		t.Errorf("found %v %+v, want %+v", ok, a, last)
	}
	if a, ok := find("a", noon.Add(2*time.Second)); ok {
		t.Errorf("found %+v, which is too old", a)
	}
	if n, err := r.ForgetAnswers(t.Context(), noon.Add(time.Second)); n != 1 || err != nil {
		t.Errorf("forgot %d, %v", n, err)
	}
	if _, ok := find("b", time.Time{}); ok {
		t.Error("b was forgotten, and is found")
	}
	if _, ok := find("a", time.Time{}); !ok {
		t.Error("a was forgotten with what is older")
	}
}

// Long answers that are more than the registry may hold in memory, and short ones
// under the same keys.
func TestLongAnswersDoNotFillTheMemory(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	h := fixture.Open(t, root)
	content := func(seed, size int) []byte {
		r, b := rand.New(rand.NewPCG(1, uint64(seed))), make([]byte, size)
		for i := range b {
			b[i] = byte(r.Uint32())
		}
		return b
	}
	start := time.Now()
	for _, kind := range []struct{ count, size int }{{60, 4 << 20 / 3}, {100, 4000}} {
		for n := range kind.count {
			a := registry.FirstAnswer{Key: fmt.Sprint(n), Fingerprint: "f", Sealed: content(n, kind.size), Created: start}
			if err := h.Registry.KeepAnswer(t.Context(), a); err != nil {
				t.Fatalf("answer %d of %d bytes: %v", n, kind.size, err)
			}
		}
		a, ok, err := h.Registry.FirstAnswer(t.Context(), "3", time.Time{})
		if !ok || err != nil || !bytes.Equal(a.Sealed, content(3, kind.size)) {
			t.Errorf("found %v, %v, %d bytes of %d", ok, err, len(a.Sealed), kind.size)
		}
	}
	h.Close()
	h = fixture.Open(t, root)
	if n, err := h.Registry.ForgetAnswers(t.Context(), start.Add(time.Second)); n != 100 || err != nil {
		t.Errorf("forgot %d, %v", n, err)
	}
	left, err := os.ReadDir(filepath.Join(h.Layout.Metadata(), "answers"))
	if err != nil || len(left) != 0 {
		t.Errorf("%d files of answers are left, %v", len(left), err)
	}
}

// A long answer is in its file before the row says so, and may be replaced.
func TestLongAnswers(t *testing.T) {
	t.Parallel()
	h := fixture.Open(t, t.TempDir())
	r, noon := h.Registry, time.Date(2026, 12, 31, 12, 0, 0, 0, time.UTC)
	keep := func(text string, at time.Time) {
		t.Helper()
		if err := r.KeepAnswer(t.Context(), registry.FirstAnswer{Key: "a", Fingerprint: "f", Sealed: []byte(text), Created: at}); err != nil {
			t.Fatal(err)
		}
	}
	find := func(want string) {
		t.Helper()
		if a, ok, err := r.FirstAnswer(t.Context(), "a", time.Time{}); !ok || err != nil || string(a.Sealed) != want {
			t.Errorf("found %v, %v, %.20q; want %.20q", ok, err, a.Sealed, want)
		}
	}
	forget := func(before time.Time, want int64) {
		t.Helper()
		if n, err := r.ForgetAnswers(t.Context(), before); n != want || err != nil {
			t.Errorf("forgot %d, %v; want %d", n, err, want)
		}
	}
	forget(noon, 0) // there is no folder yet
	keep(strings.Repeat("x", 5000), noon)
	find(strings.Repeat("x", 5000))
	keep(strings.Repeat("y", 6000), noon.Add(time.Hour))
	find(strings.Repeat("y", 6000))
	forget(noon.Add(time.Minute), 0)
	find(strings.Repeat("y", 6000))
	keep("short", noon.Add(2*time.Hour))
	find("short")
	keep(strings.Repeat("z", 5000), noon.Add(3*time.Hour))
	path := filepath.Join(h.Layout.Metadata(), "answers", "a")
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	find("") // somebody removed it: it is lost, and not an error
	forget(noon.Add(4*time.Hour), 1)
}
