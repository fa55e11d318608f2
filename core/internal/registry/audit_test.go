package registry_test

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/keboola/duckdb-storage/core/internal/fixture"
	"github.com/keboola/duckdb-storage/core/internal/registry"
)

// An entry comes back as it was, within its bounds, also after a restart.
func TestAuditKeepsEntries(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	h := fixture.Open(t, root)
	full := registry.AuditEntry{
		Subject: "project-1", Key: "key", Project: "1", Branch: "default", Command: "tables.Create", Method: "POST", Path: "/projects/1/tables",
		Input: `{"name":"it's \"ž\" ?"}`, Outcome: registry.AuditFailed, Status: 409, Problem: "table-exists", RequestID: "request", RunID: "run", JobID: "job",
		Repeated: true, Duration: 1234567 * time.Microsecond, RemoteAddr: "127.0.0.1:1",
	}
	long := registry.AuditEntry{
		Input: registry.AuditInput([]byte(strings.Repeat("ž", 1<<20))), Path: strings.Repeat("/", registry.MaxAuditPath+1), Project: strings.Repeat("p", 300), Outcome: registry.AuditOK,
	}
	hostile := registry.AuditEntry{Project: "a\xffb\x00c", Branch: "\u2028'\"\\ud800", Input: "\xff", Outcome: registry.AuditDenied}
	if err := h.Registry.AddAudit(t.Context()); err != nil {
		t.Error(err)
	}
	if len(long.Input) > registry.MaxAuditInput+1 {
		t.Errorf("an entry holds %d bytes of an input", len(long.Input))
	}
	start := time.Now().UTC().Truncate(time.Microsecond)
	if err := h.Registry.AddAudit(t.Context(), full, long, hostile); err != nil {
		t.Fatal(err)
	}
	h.Close()
	got, err := fixture.Open(t, root).Registry.Audit(t.Context(), registry.AuditFilter{Limit: 10})
	if err != nil {
		t.Fatal(err)
	}
	slices.Reverse(got)
	long.Input, long.Path, long.Project, long.InputCut = long.Input[:registry.MaxAuditInput], long.Path[:registry.MaxAuditPath], long.Project[:255], true
	hostile.Project, hostile.Input = "a?b?c", "?"
	if diff := cmp.Diff([]registry.AuditEntry{full, long, hostile}, got, cmpopts.IgnoreFields(registry.AuditEntry{}, "ID", "Time")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for i, e := range got {
		if e.Time.Before(start) || time.Since(e.Time) > time.Hour || len(e.ID) != 26 || i > 0 && (e.ID <= got[i-1].ID || e.Time.Before(got[i-1].Time)) {
			t.Errorf("entry %d: id %s, time %s", i, e.ID, e.Time)
		}
	}
}

func TestAuditFilters(t *testing.T) {
	t.Parallel()
	r := fixture.Open(t, t.TempDir()).Registry
	entries := []registry.AuditEntry{
		{Command: "a", Project: "1", Subject: "x", Outcome: registry.AuditOK, RequestID: "r1"},
		{Command: "b", Project: "1", Subject: "y", Outcome: registry.AuditFailed, RequestID: "r2"},
		{Command: "c", Project: "2", Subject: "y", Outcome: registry.AuditOK, RequestID: "r3"},
		{Command: "d", Project: "", Subject: "x", Outcome: registry.AuditDenied, RequestID: "r3"},
	}
	for _, e := range entries { // each at a time of its own
		if err := r.AddAudit(t.Context(), e); err != nil {
			t.Fatal(err)
		}
	}
	list := func(f registry.AuditFilter) string {
		t.Helper()
		if f.Limit == 0 {
			f.Limit = 100
		}
		found, err := r.Audit(t.Context(), f)
		if err != nil {
			t.Fatal(err)
		}
		var commands strings.Builder
		for _, e := range found {
			commands.WriteString(e.Command)
		}
		return commands.String()
	}
	stored, err := r.Audit(t.Context(), registry.AuditFilter{Limit: 100})
	if err != nil || len(stored) != len(entries) {
		t.Fatalf("%d entries, %v", len(stored), err)
	}
	for _, tc := range []struct {
		filter registry.AuditFilter
		want   string
	}{
		{registry.AuditFilter{}, "dcba"},
		{registry.AuditFilter{Limit: 2}, "dc"},
		{registry.AuditFilter{Before: stored[1].ID}, "ba"},
		{registry.AuditFilter{Project: "1"}, "ba"},
		{registry.AuditFilter{Subject: "x"}, "da"},
		{registry.AuditFilter{Command: "c"}, "c"},
		{registry.AuditFilter{Outcome: registry.AuditOK}, "ca"},
		{registry.AuditFilter{RequestID: "r3"}, "dc"},
		{registry.AuditFilter{RequestID: "r3", Subject: "y"}, "c"},
		{registry.AuditFilter{Project: "3"}, ""},
		{registry.AuditFilter{Since: stored[1].Time}, "dc"},
		{registry.AuditFilter{Until: stored[1].Time}, "ba"},
		{registry.AuditFilter{Since: stored[2].Time, Until: stored[0].Time}, "cb"},
		{registry.AuditFilter{Since: stored[0].Time.In(time.FixedZone("", 3600))}, "d"},
	} {
		if got := list(tc.filter); got != tc.want {
			t.Errorf("%+v: %q, want %q", tc.filter, got, tc.want)
		}
	}
	if n, err := r.ForgetAudit(t.Context(), stored[1].Time, 1); n != 1 || err != nil || list(registry.AuditFilter{}) != "dcb" {
		t.Errorf("forgot %d, %v", n, err)
	}
	if n, err := r.ForgetAudit(t.Context(), stored[1].Time, 100); n != 1 || err != nil || list(registry.AuditFilter{}) != "dc" {
		t.Errorf("forgot %d, %v", n, err)
	}
}

// A page begins where the one before it ended, however many entries come meanwhile.
func TestAuditPagesAreStable(t *testing.T) {
	t.Parallel()
	r := fixture.Open(t, t.TempDir()).Registry
	add := func(first, n int) {
		entries := make([]registry.AuditEntry, n)
		for i := range entries {
			entries[i].Command = fmt.Sprint(first + i)
		}
		if err := r.AddAudit(t.Context(), entries...); err != nil {
			t.Error(err)
		}
	}
	const old = 500
	add(0, old)
	var adding sync.WaitGroup
	for n := range 8 {
		adding.Go(func() { add(old+100*n, 100) })
	}
	first, err := r.Audit(t.Context(), registry.AuditFilter{Limit: 10_000})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	page := first[len(first)-old:][:1] // the newest of the old ones
	for got = append(got, page[0].Command); len(page) > 0; {
		if page, err = r.Audit(t.Context(), registry.AuditFilter{Limit: 7, Before: page[len(page)-1].ID}); err != nil {
			t.Fatal(err)
		}
		for _, e := range page {
			got = append(got, e.Command)
		}
	}
	adding.Wait()
	want := make([]string, old)
	for i := range want {
		want[i] = fmt.Sprint(old - 1 - i)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	whole, err := r.Audit(t.Context(), registry.AuditFilter{Limit: 10_000})
	if err != nil || len(whole) != old+800 || !slices.IsSortedFunc(whole, func(a, b registry.AuditEntry) int { return b.Time.Compare(a.Time) }) {
		t.Errorf("%d entries, sorted by time: %v", len(whole), err)
	}
}

// A page of a million entries, from the newest on and from the middle, of one project
// and of all.
func BenchmarkAudit(b *testing.B) {
	r := fixture.Open(b, b.TempDir()).Registry
	const million, together = 1_000_000, 1000
	for n := 0; n < million; n += together {
		entries := make([]registry.AuditEntry, together)
		for i := range entries {
			id := fmt.Sprint(n + i)
			entries[i] = registry.AuditEntry{
				Subject: "project-1", Project: fmt.Sprint(i % 100), Command: "tables.ImportFile", Method: "POST", Path: "/projects/1/tables/in.c-main/" + id + "/import/file",
				Input: `{"fileId":"` + id + `"}`, Outcome: registry.AuditOK, RequestID: id,
			}
		}
		if err := r.AddAudit(b.Context(), entries...); err != nil {
			b.Fatal(err)
		}
	}
	middle, err := r.Audit(b.Context(), registry.AuditFilter{RequestID: "500000", Limit: 1})
	if err != nil || len(middle) != 1 {
		b.Fatal(middle, err)
	}
	for name, f := range map[string]registry.AuditFilter{
		"newest": {}, "project": {Project: "7"}, "middle": {Before: middle[0].ID}, "until": {Until: middle[0].Time, Project: "7"}, "request": {RequestID: "1"},
	} {
		b.Run(name, func(b *testing.B) {
			f.Limit = 100
			for b.Loop() {
				if found, err := r.Audit(b.Context(), f); err != nil || len(found) == 0 {
					b.Fatal(found, err)
				}
			}
		})
	}
}
