package audit_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/keboola/duckdb-storage/core/internal/audit"
	"github.com/keboola/duckdb-storage/core/internal/fixture"
	"github.com/keboola/duckdb-storage/core/internal/registry"
)

// gate is a store that stores when it is told to, and tells how much at a time.
type gate struct {
	audit.Store
	together chan int
	open     chan error
}

func newGate(s audit.Store) *gate { return &gate{s, make(chan int), make(chan error)} }

func (g *gate) AddAudit(ctx context.Context, entries ...registry.AuditEntry) error {
	g.together <- len(entries)
	if err := <-g.open; err != nil {
		return err
	}
	return g.Store.AddAudit(ctx, entries...)
}

// counter is an observer that counts.
type counter struct {
	mu             sync.Mutex
	recorded, lost map[registry.AuditOutcome]int
}

func newCounter() *counter {
	return &counter{recorded: map[registry.AuditOutcome]int{}, lost: map[registry.AuditOutcome]int{}}
}

func (c *counter) Recorded(outcome registry.AuditOutcome, _ time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.recorded[outcome]++
}

func (c *counter) Lost(outcome registry.AuditOutcome) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lost[outcome]++
}

func all(t *testing.T, r *registry.Registry) []registry.AuditEntry {
	t.Helper()
	out, err := r.Audit(t.Context(), registry.AuditFilter{Limit: 10_000})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// What comes while the writer writes is written together, and everybody waits for
// their own.
func TestEntriesShareATransaction(t *testing.T) {
	t.Parallel()
	r := fixture.Open(t, t.TempDir()).Registry
	g, c := newGate(r), newCounter()
	l := audit.Open(g, audit.Config{Observer: c})
	var recording sync.WaitGroup
	record := func(n int) {
		recording.Go(func() { l.Record(registry.AuditEntry{Command: fmt.Sprint(n), Outcome: registry.AuditOK}) })
	}
	record(0)
	if n := <-g.together; n != 1 {
		t.Errorf("the first %d entries", n)
	}
	const more = 300 // over what one transaction takes
	for n := range more {
		record(n + 1)
	}
	stored := 1
	for g.open <- nil; stored < 1+more; g.open <- nil {
		n := <-g.together
		if stored += n; n > 256 {
			t.Errorf("%d entries in one transaction", n)
		}
	}
	recording.Wait()
	if err := l.Close(t.Context()); err != nil {
		t.Error(err)
	}
	if got := len(all(t, r)); got != 1+more || c.recorded[registry.AuditOK] != got {
		t.Errorf("%d entries, %v", got, c.recorded)
	}
}

// Close stores what waits. What comes later, and what the disk refuses, is counted as
// lost, and nobody waits for ever.
func TestClose(t *testing.T) {
	t.Parallel()
	r := fixture.Open(t, t.TempDir()).Registry
	g, c := newGate(r), newCounter()
	l := audit.Open(g, audit.Config{Observer: c})
	done := make(chan bool)
	for _, outcome := range []registry.AuditOutcome{registry.AuditFailed, registry.AuditOK} {
		go func() {
			l.Record(registry.AuditEntry{Outcome: outcome})
			done <- true
		}()
		<-g.together
		if outcome == registry.AuditFailed {
			g.open <- errors.New("the disk is full")
			<-done
		}
	}
	closed := make(chan error)
	go func() { closed <- l.Close(context.Background()) }()
	g.open <- nil
	if err := <-closed; err != nil {
		t.Error(err)
	}
	<-done
	l.Record(registry.AuditEntry{Outcome: registry.AuditDenied})
	if err := l.Close(t.Context()); err != nil {
		t.Errorf("twice: %v", err)
	}
	want := []map[registry.AuditOutcome]int{{registry.AuditOK: 1}, {registry.AuditFailed: 1, registry.AuditDenied: 1}}
	if diff := cmp.Diff(want, []map[registry.AuditOutcome]int{c.recorded, c.lost}); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if got := all(t, r); len(got) != 1 || got[0].Outcome != registry.AuditOK {
		t.Errorf("%+v", got)
	}
}

// forgotten tells when a store has removed all that was too old.
type forgotten struct {
	audit.Store
	done chan int64
}

func (f forgotten) ForgetAudit(ctx context.Context, before time.Time, most int) (int64, error) {
	n, err := f.Store.ForgetAudit(ctx, before, most)
	f.done <- n
	return n, err
}

func TestOldEntriesAreForgotten(t *testing.T) {
	t.Parallel()
	r := fixture.Open(t, t.TempDir()).Registry
	if err := r.AddAudit(t.Context(), registry.AuditEntry{Command: "a"}, registry.AuditEntry{Command: "b"}); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		later time.Duration
		left  int
	}{{0, 2}, {59 * time.Minute, 2}, {61 * time.Minute, 0}} {
		f := forgotten{r, make(chan int64)}
		l := audit.Open(f, audit.Config{Keep: time.Hour, Now: func() time.Time { return time.Now().Add(tc.later) }})
		<-f.done
		if err := l.Close(t.Context()); err != nil {
			t.Error(err)
		}
		if got := len(all(t, r)); got != tc.left {
			t.Errorf("%s later: %d entries, want %d", tc.later, got, tc.left)
		}
	}
}
