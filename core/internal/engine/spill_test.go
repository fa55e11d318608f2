package engine_test

import (
	"errors"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/keboola/duckdb-storage/core/internal/engine"
	"github.com/keboola/duckdb-storage/sdk"
	"github.com/keboola/duckdb-storage/sdk/sql"
)

// A statement that needs more memory and more of the disk than it may have fails,
// says so, and leaves nothing on the disk. One that fits into both spills.
func TestSpillIsBounded(t *testing.T) {
	t.Parallel()
	p := openWith(t, engine.Config{Memory: 128 << 20, Temp: 80 << 20, Threads: 1, Idle: time.Hour})
	p.create(t, "1")
	spilled := func() (files int) {
		err := filepath.WalkDir(p.layout.Temp(), func(_ string, d fs.DirEntry, err error) error {
			if err == nil && !d.IsDir() {
				files++
			}
			return err
		})
		if err != nil {
			t.Error(err)
		}
		return files
	}
	sort := func(rows int) error {
		s, err := p.Session(t.Context(), p.catalog("1"))
		if err != nil {
			return err
		}
		defer s.Close()
		_, err = s.Exec(sql.New("CREATE OR REPLACE TEMP TABLE sorted AS SELECT repeat('x', 50) || range AS a FROM range(?) ORDER BY hash(range)", rows))
		if err == nil && spilled() == 0 {
			t.Errorf("%d rows were sorted in memory", rows)
		}
		return err
	}
	if err := sort(1_500_000); err != nil {
		t.Errorf("what fits: %v", err)
	}
	if err := sort(4_000_000); !errors.Is(err, sdk.ErrOutOfMemory) || !strings.Contains(err.Error(), "engine.temp_limit") || strings.Contains(err.Error(), "SET") {
		t.Errorf("what does not fit: got %v", err)
	}
	if n := spilled(); n != 0 {
		t.Errorf("%d files are left", n)
	}
	p.wantCount(t, "1", "t", `{"n":1}`)
	if err := p.Reopen(t.Context(), p.catalog("1")); err != nil {
		t.Fatal(err)
	}
	if left, err := filepath.Glob(filepath.Join(p.layout.Temp(), "*")); err != nil || len(left) > 0 {
		t.Errorf("a closed cell leaves %v, %v", left, err)
	}
}
