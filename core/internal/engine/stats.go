package engine

import "time"

// Stats is what the engine holds and has done since it was opened.
type Stats struct {
	Cells        int   // open DuckDB instances
	Catalogs     int   // attached to them
	Quarantined  int   // catalogs whose files could not be opened, as they were then
	MemoryBudget int64 // bytes, for all cells together
	MemoryLimits int64 // bytes, handed out to the cells; more than the budget only by floors

	Attaches     uint64
	AttachTime   time.Duration // of all attaches together
	DetachedIdle uint64        // catalogs closed because nobody used them, or for another one
	LimitChanges uint64        // of memory, of open cells
	FatalErrors  uint64        // of DuckDB; each cost one cell
}

// Stats counts at one moment. It never waits for a statement.
func (e *Engine) Stats() Stats {
	e.mu.Lock()
	defer e.mu.Unlock()
	out := e.counts
	for c := range e.cells {
		if c.started {
			out.Cells++
		}
		out.Catalogs += c.ready
	}
	out.Quarantined, out.MemoryBudget, out.MemoryLimits = len(e.broken), e.cfg.Memory, e.handedOut()
	return out
}
