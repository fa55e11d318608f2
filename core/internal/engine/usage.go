package engine

import (
	"context"
	"time"
)

// usageTimeout bounds what a look at one cell may take. It takes a fifth of a
// millisecond, beside any statement (measured, DuckDB 1.5.6).
const usageTimeout = time.Second

// Usage is what the open cells hold now, in bytes.
type Usage struct {
	Memory  int64 // of all cells together, as DuckDB counts it: its buffers
	Largest int64 // of the cell that holds the most
	Temp    int64 // spilled to disk
}

// Usage asks every open cell. One whose limit is being changed, or that closes, is
// left out. It waits for no statement.
func (e *Engine) Usage(ctx context.Context) Usage {
	var out Usage
	for _, c := range e.open() {
		memory, temp, ok := c.usage(ctx)
		if ok {
			out.Memory += memory
			out.Largest = max(out.Largest, memory)
			out.Temp += temp
		}
	}
	return out
}

// open lists the cells that have an instance.
func (e *Engine) open() []*cell {
	e.mu.Lock()
	defer e.mu.Unlock()
	var out []*cell
	for c := range e.cells {
		if c.started {
			out = append(out, c)
		}
	}
	return out
}

func (c *cell) usage(ctx context.Context) (memory, temp int64, ok bool) {
	if !c.settings.TryLock() {
		return 0, 0, false
	}
	defer c.settings.Unlock()
	if c.db == nil {
		return 0, 0, false
	}
	bounded, cancel := context.WithTimeout(ctx, usageTimeout)
	defer cancel()
	err := c.db.QueryRowContext(bounded,
		"SELECT coalesce(sum(memory_usage_bytes), 0)::BIGINT, coalesce(sum(temporary_storage_bytes), 0)::BIGINT FROM duckdb_memory()").Scan(&memory, &temp)
	return memory, temp, err == nil
}
