package engine_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/go-hclog"

	"github.com/keboola/duckdb-storage/core/internal/disk"
	"github.com/keboola/duckdb-storage/core/internal/engine"
	"github.com/keboola/duckdb-storage/sdk/sql"
)

// waitFor polls until a condition holds.
func waitFor(t *testing.T, what string, holds func() bool) {
	t.Helper()
	deadline := time.NewTimer(20 * time.Second)
	defer deadline.Stop()
	poll := time.NewTicker(2 * time.Millisecond)
	defer poll.Stop()
	for !holds() {
		select {
		case <-poll.C:
		case <-deadline.C:
			t.Fatalf("it never came to: %s", what)
		}
	}
}

func openWith(t *testing.T, cfg engine.Config) projects {
	t.Helper()
	cfg.Layout = disk.Layout{Root: t.TempDir(), Runtime: t.TempDir()}
	cfg.Logger = hclog.NewNullLogger()
	if err := cfg.Layout.Open(); err != nil {
		t.Fatal(err)
	}
	p := projects{engine.Open(cfg), cfg.Layout}
	t.Cleanup(func() {
		if err := p.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return p
}

// limits asks DuckDB for the limits of all open projects, in MiB.
func (p projects) limits(t *testing.T) (all map[string]float64, sum float64) {
	t.Helper()
	all, err := p.MemoryLimits()
	if err != nil {
		t.Error(err)
	}
	for _, limit := range all {
		sum += limit
	}
	return all, sum
}

// Ten projects open, work, rest and close in any order: never do their limits sum
// up to more than the budget, and whoever works alone gets what the others leave.
func TestMemoryStaysWithinTheBudget(t *testing.T) {
	t.Parallel()
	const budget = 1300 // MiB; ten floors of 128 fit
	p := openWith(t, engine.Config{Memory: budget << 20, Threads: 1, Idle: 400 * time.Millisecond})
	stop, checked := make(chan struct{}), 0
	var checker, workers sync.WaitGroup
	checker.Go(func() {
		tick := time.NewTicker(time.Millisecond)
		defer tick.Stop()
		for {
			if all, sum := p.limits(t); sum > budget {
				t.Errorf("%.1f MiB are handed out: %v", sum, all)
			}
			if s := p.Stats(); s.MemoryLimits > budget<<20 {
				t.Errorf("%d MiB are counted", s.MemoryLimits>>20)
			}
			checked++
			select {
			case <-stop:
				return
			case <-tick.C:
			}
		}
	})
	for i := range 10 {
		workers.Go(func() {
			id := fmt.Sprint(i)
			if err := p.Create(t.Context(), p.catalog(id)); err != nil {
				t.Error(err)
				return
			}
			for range 12 {
				s, err := p.Session(t.Context(), p.catalog(id))
				if err != nil {
					t.Error(err)
					return
				}
				if _, err := s.HasRows(sql.New("SELECT 1 FROM range(?)", rand.IntN(100_000))); err != nil {
					t.Error(err)
				}
				if rand.IntN(2) == 0 {
					s.Close()
				}
				timer := time.NewTimer(time.Duration(rand.IntN(1<<min(i+1, 8))) * time.Millisecond)
				<-timer.C
				s.Close()
			}
		})
	}
	workers.Wait()
	waitFor(t, "nine rest or are closed, one works with what they leave", func() bool {
		s, err := p.Session(t.Context(), p.catalog("0"))
		if err != nil {
			t.Fatal(err)
		}
		s.Close()
		all, _ := p.limits(t)
		return all["project_0_main"] >= float64(budget-9*64)
	})
	close(stop)
	checker.Wait()
	if checked < 20 {
		t.Errorf("checked only %d times", checked)
	}
	waitFor(t, "all are closed and nothing is handed out", func() bool {
		s := p.Stats()
		return s.Cells == 0 && s.Catalogs == 0 && s.MemoryLimits == 0
	})
}

// Memory that is in use cannot be taken. Another project is served all the same,
// with the floor, and gets its half when the memory is free.
func TestMemoryInUseIsTakenLater(t *testing.T) {
	t.Parallel()
	const budget = 600 // MiB
	p := openWith(t, engine.Config{Memory: budget << 20, Temp: 1 << 20, Threads: 1, Idle: 400 * time.Millisecond})
	for _, id := range []string{"1", "2"} {
		if err := p.Create(t.Context(), p.catalog(id)); err != nil {
			t.Fatal(err)
		}
	}
	waitFor(t, "all is closed", func() bool { return p.Stats().Cells == 0 })
	s, err := p.Session(t.Context(), p.catalog("1"))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	exec(t, s, "CREATE TEMP TABLE big AS SELECT hash(range) a, hash(range + 1) b, hash(range + 2) c, hash(range + 3) d FROM range(14_000_000)")
	start := time.Now()
	other, err := p.Session(t.Context(), p.catalog("2"))
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	if took := time.Since(start); took > 5*time.Second {
		t.Errorf("the other project waited %s", took)
	}
	waitFor(t, "the other one has the floor", func() bool {
		all, _ := p.limits(t)
		return all["project_2_main"] == 128 && all["project_1_main"] > budget-128
	})
	s.Close()
	waitFor(t, "both have what is theirs", func() bool {
		all, sum := p.limits(t)
		return sum <= budget && all["project_2_main"] >= budget/2
	})
}

// In use without a pause, no limit changes.
func TestSteadyStateChangesNoLimit(t *testing.T) {
	t.Parallel()
	p := openProjects(t, time.Hour, 0, "1", "2")
	waitFor(t, "the memory is divided", func() bool {
		all, _ := p.limits(t)
		return all["project_1_main"] == 250 && all["project_2_main"] == 250
	})
	before := p.Stats().LimitChanges
	for range 200 {
		p.rows(t, "1")
		p.rows(t, "2")
	}
	if after := p.Stats().LimitChanges; after != before || before == 0 {
		t.Errorf("%d changes before, %d after", before, after)
	}
}
