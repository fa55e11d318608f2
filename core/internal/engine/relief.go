package engine

import "github.com/keboola/duckdb-storage/sdk/sql"

// unwrittenShare is the part of a cell's memory that rows may fill before a
// checkpoint: one fourth.
//
// DuckDB keeps the rows of small writes in memory until then, at least 32 KiB for
// each column of a table, and never spills them: with 512 MB the insert into the
// 735th table of 20 columns failed for want of memory (measured, 1.5.6). The
// automatic checkpoint comes by the size of the log, which such writes hardly fill.
const unwrittenShare = 4

// reliefEvery is after how many calls Relieve looks: a look takes 0.5 ms, as long as
// a commit (measured).
const reliefEvery = 8

// Relieve writes the log of the session's catalog into its file if the rows that
// wait for that take too much of the cell's memory. It looks at every eighth write
// only. The caller has the write turn and has committed. What DuckDB refuses now,
// because older reads or other writes run, comes with a later write.
func (s *Session) Relieve() {
	c := s.att.cell
	if c.writes.Add(1)%reliefEvery != 0 {
		return
	}
	s.engine.mu.Lock()
	limit := c.limit
	s.engine.mu.Unlock()
	full, err := s.HasRows(sql.New("SELECT 1 FROM duckdb_memory() WHERE tag = 'IN_MEMORY_TABLE' AND memory_usage_bytes > ?", limit/unwrittenShare))
	s.leave() // a checkpoint fails beside an older snapshot
	if err == nil && full {
		err = s.control(sql.New("CHECKPOINT ?", sql.Name(s.Alias())))
	}
	if err != nil {
		s.engine.cfg.Logger.Debug("a checkpoint that would free memory has to wait", "catalog", s.Alias(), "error", err)
	}
}
