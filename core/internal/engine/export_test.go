package engine

import (
	"context"
	"slices"
	"strconv"
	"strings"

	"github.com/keboola/duckdb-storage/sdk/sql"
)

// Prepare gives more settings to the cells that open from now on.
func (e *Engine) Prepare(settings ...sql.Statement) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.extra = settings
}

// MemoryLimits asks each open instance for its limit, in MiB, at one moment: while
// it asks, no limit changes. DuckDB tells tenths, and from 1 GiB on tenths of that.
func (e *Engine) MemoryLimits() (map[string]float64, error) {
	e.mu.Lock()
	var cells []*cell
	for c := range e.cells {
		if c.started {
			cells = append(cells, c)
		}
	}
	e.mu.Unlock()
	slices.SortFunc(cells, func(a, b *cell) int { return strings.Compare(a.members[0].Alias, b.members[0].Alias) })
	for _, c := range cells {
		c.settings.Lock()
		defer c.settings.Unlock()
	}
	out := map[string]float64{}
	for _, c := range cells {
		if c.db == nil {
			continue
		}
		var text string
		if err := c.db.QueryRowContext(context.Background(), "SELECT current_setting('memory_limit')").Scan(&text); err != nil {
			return nil, err
		}
		number, unit, _ := strings.Cut(text, " ")
		n, err := strconv.ParseFloat(number, 64)
		if err != nil {
			return nil, err
		}
		if unit == "GiB" {
			n *= 1024
		}
		out[c.members[0].Alias] = n
	}
	return out, nil
}
