package engine_test

import (
	"context"
	"testing"
	"time"

	"github.com/keboola/duckdb-storage/core/internal/engine"
	"github.com/keboola/duckdb-storage/sdk/sql"
)

// What cells hold is told while they work, and no longer when they are closed.
func TestUsage(t *testing.T) {
	t.Parallel()
	p := openWith(t, engine.Config{Memory: 160 << 20, Threads: 1, Idle: time.Hour})
	p.create(t, "1")
	p.create(t, "2")
	one, err := p.Session(t.Context(), p.catalog("1"))
	if err != nil {
		t.Fatal(err)
	}
	defer one.Close()
	before := p.Usage(t.Context())
	if _, err := one.Exec(sql.New("CREATE TEMP TABLE held AS SELECT hash(range) AS a FROM range(1_000_000)")); err != nil {
		t.Fatal(err)
	}
	held := p.Usage(t.Context())
	if grown := held.Memory - before.Memory; grown < 7<<20 || held.Largest > held.Memory || held.Largest < 7<<20 {
		t.Errorf("%+v, before a table of 8 MB %+v", held, before)
	}
	if _, err := one.Exec(sql.New("CREATE TEMP TABLE spilled AS SELECT repeat('x', 50) || range AS a FROM range(4_000_000) ORDER BY hash(range)")); err != nil {
		t.Fatal(err)
	}
	if spilled := p.Usage(t.Context()); spilled.Temp < 50<<20 {
		t.Errorf("%+v, of 250 MB in 160 MiB", spilled)
	}

	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	two, err := p.Session(ctx, p.catalog("2"))
	if err != nil {
		t.Fatal(err)
	}
	defer two.Close()
	before = p.Usage(t.Context())
	ended := make(chan error, 1)
	go func() {
		_, err := two.Exec(sql.New("CREATE TEMP TABLE endless AS SELECT hash(range) AS a FROM range(100_000_000_000)"))
		ended <- err
	}()
	look := time.NewTicker(time.Millisecond)
	defer look.Stop()
	for p.Usage(t.Context()).Memory < before.Memory+8<<20 { // while the statement runs
		select {
		case err := <-ended:
			t.Fatalf("the endless statement ended: %v", err)
		case <-look.C:
		}
	}
	cancel()
	if err := <-ended; err == nil {
		t.Error("the endless statement ended by itself")
	}
	two.Close()
	one.Close()
	for _, id := range []string{"1", "2"} {
		if err := p.Reopen(t.Context(), p.catalog(id)); err != nil {
			t.Fatal(err)
		}
	}
	if closed := p.Usage(t.Context()); closed.Temp != 0 || closed.Memory >= held.Memory {
		t.Errorf("closed cells hold %+v", closed)
	}
}
